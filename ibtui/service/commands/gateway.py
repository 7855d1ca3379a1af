"""`ibtui gateway start/stop/restart/status/logs`."""

from __future__ import annotations

from ibtui.errors import GatewayFault
from ibtui.service import actions, output
from ibtui.service.attached import AttachedRuntime
from ibtui.service.commands.context import Context, run
from ibtui.service.host import START, need_log
from ibtui.service.installing import age, started_by
from ibtui.service.runtimes import runtime_for


def start(context: Context) -> int:
    """Start the gateway, detached: it outlives this command and the terminal."""

    async def work() -> AttachedRuntime:
        async with runtime_for(context.settings, spawns=True) as runtime:
            await actions.start_gateway(runtime, output.say)
            warn(runtime)
            return runtime

    return _tell(context, run(work()))


def stop(context: Context) -> int:
    """Stop a gateway of ours."""

    async def work() -> AttachedRuntime:
        async with runtime_for(context.settings) as runtime:
            await actions.stop_gateway(runtime)
            return runtime

    runtime = run(work())
    if context.as_json:
        output.dump(output.lamp_json(runtime.status.gateway))
    else:
        output.say("The gateway is stopped.")
    return 0


def restart(context: Context) -> int:
    """Stop and start."""

    async def work() -> AttachedRuntime:
        async with runtime_for(context.settings, spawns=True) as runtime:
            await actions.stop_gateway(runtime)
            await actions.start_gateway(runtime, output.say)
            warn(runtime)
            return runtime

    return _tell(context, run(work()))


def status(context: Context) -> int:
    """Is it up, whose is it, since when; which installation a start would run."""

    async def work() -> AttachedRuntime:
        async with runtime_for(context.settings) as runtime:
            await actions.refresh_quietly(runtime)
            return runtime

    return _tell(context, run(work()))


def warn(runtime: AttachedRuntime) -> None:
    """Say why nothing keeps the session alive when this command has ended."""
    if runtime.trouble is not None:
        output.say(f"Note: nothing keeps the session alive after this. {runtime.trouble}")


def _tell(context: Context, runtime: AttachedRuntime) -> int:
    lamp = runtime.status.gateway
    found = started_by(context.profile)
    if context.as_json:
        more = {"version": found.version or None, "built": found.built} if found else {}
        output.dump({**output.lamp_json(lamp), **more})
    else:
        output.lamp_text("gateway", lamp)
        if found is not None:
            output.out(
                f"installed  {found.version or output.safe(found.path)}  built {found.built or 'unknown'}"
            )
        if lamp.fix and lamp.state != "on":
            output.out(f"→ {output.safe(output.next_step(lamp.fix))}")
    if found is not None and (old := age(found, runtime.clock)):
        output.say(f"Note: {old}")
    return 0 if lamp.state == "on" else 3


def logs(context: Context, *, follow: bool, lines: int) -> int:
    """Print the last lines of the gateway's log, redacted; go on with new ones if asked.

    As JSON each is an object of its own.
    """

    async def work() -> int:
        printed = 0
        await need_log(context.profile)
        async with runtime_for(context.settings) as runtime:
            async for line in runtime.follow_log(lines, follow=follow):
                output.dump({"line": line}) if context.as_json else output.out(output.safe(line))
                printed += 1
        return printed

    if not run(work()):
        raise GatewayFault("There is no log of a gateway here: none was started.", START)
    return 0
