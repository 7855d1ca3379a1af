"""`ibtui supervise` (started by ibtui itself) and `ibtui keep status/stop`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import msgspec

from ibtui import config, log, paths
from ibtui.config import Settings
from ibtui.errors import IbtuiError, UsageError
from ibtui.service import output, spawn, wire
from ibtui.service.commands.context import Context, run
from ibtui.service.link import find


def supervise() -> int:
    """Keep a profile, as told on standard input; says on standard output when it listens."""
    try:
        orders = msgspec.json.decode(sys.stdin.buffer.read(), type=wire.Orders)
    except msgspec.DecodeError:
        raise UsageError("This is started by ibtui itself.", "Try: ibtui gateway start") from None
    config.hand_over(orders.variables)
    log.set_up(paths.log_dir())
    told = False

    def tell(report: wire.Report) -> None:
        nonlocal told
        if not told:
            told = True
            os.write(1, msgspec.json.encode(report) + b"\n")
            _let_go_of_the_terminal()

    def load() -> Settings:
        return config.load(flags={"profile": orders.profile})

    from ibtui.service.supervisor import Supervisor

    trouble: IbtuiError
    try:
        asyncio.run(Supervisor(load).run(lambda: tell(wire.Report(pid=os.getpid()))))
        return 0
    except IbtuiError as error:
        trouble = error
    tell(wire.Report(trouble=wire.Trouble.of(trouble)))
    logging.getLogger("ibtui.keep").warning("%s", log.redact(str(trouble)))
    return trouble.exit_code


def _let_go_of_the_terminal() -> None:
    """Standard input from nowhere, standard output where standard error goes: the log."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    os.close(nowhere)


def status(context: Context) -> int:
    """Whether a process keeps the profile's session alive, and how it does; 0 when one does."""
    name = context.profile.name
    truth = run(_truth(name))
    if context.as_json:
        output.dump(_document(truth))
    elif truth is None:
        output.say(f"Nothing keeps the session of profile {name} alive.")
        if spawn.wanted(context.profile):
            output.say("       It begins with: ibtui gateway start, or ibtui login")
    else:
        since = f"{truth.since.astimezone():%Y-%m-%d %H:%M:%S}"
        output.out(f"keep-alive {truth.keeping.mode:<8} since {since}  pid {truth.pid}")
        if truth.keeping.why:
            output.out(f"           {output.safe(truth.keeping.why)}")
        output.status_text(truth.status)
    return 0 if truth is not None else 1


async def _truth(name: str) -> wire.Truth | None:
    link = find(name)
    return await link.truth(brief=True) if link is not None else None


def _document(truth: wire.Truth | None) -> dict[str, object]:
    if truth is None:
        return {"running": False}
    return {
        "running": True,
        "pid": truth.pid,
        "since": truth.since.isoformat(),
        "version": truth.version,
        "terminals": truth.terminals,
        "keeping": msgspec.to_builtins(truth.keeping),
        "status": output.status_json(truth.status),
    }


def stop(context: Context) -> int:
    """End it; the gateway lives on."""
    name = context.profile.name
    pid = run(spawn.end(name, "asked to: ibtui keep stop"))
    if context.as_json:
        output.dump({"stopped": bool(pid), "pid": pid or None})
    elif pid:
        output.say(f"The keep-alive (pid {pid}) has ended. Gateway and session are left as they are.")
    else:
        output.say(f"Nothing keeps the session of profile {name} alive.")
    return 0
