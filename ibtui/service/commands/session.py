"""`ibtui login`, `logout`, `status`."""

from __future__ import annotations

import sys

from ibtui.auth.effects import Answers
from ibtui.core.models import Status
from ibtui.errors import Competing, GatewayDown, NotLoggedIn, PersonNeeded, Unreachable
from ibtui.secret import Secret
from ibtui.service import actions, output
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.answers.tty import TtyAnswers
from ibtui.service.commands.context import Context, run
from ibtui.service.local import runtime_for
from ibtui.service.runtime import Runtime


def status(context: Context) -> int:
    """Print the three lamps; the exit status names the first broken link."""

    async def work() -> Status:
        async with runtime_for(context.settings) as runtime:
            return await actions.refresh_quietly(runtime)

    found = run(work())
    if context.as_json:
        output.dump(output.status_json(found))
    else:
        output.status_text(found)
    return exit_of(found)


def exit_of(status: Status) -> int:
    """0 ready, else the code of the first lamp that is not on."""
    if status.ready:
        return 0
    if status.gateway.state != "on":
        return GatewayDown.exit_code if status.gateway.state == "off" else Unreachable.exit_code
    if status.sso.state != "on":
        return (Unreachable if status.sso.state == "unknown" else NotLoggedIn).exit_code
    return Competing.exit_code if status.brokerage.state == "warn" else NotLoggedIn.exit_code


def login(context: Context, user: str | None, password_stdin: bool, if_needed: bool, take_over: bool) -> int:
    """Log in; asks on the terminal, or takes the password from standard input."""
    answers = _answers(user, password_stdin)

    async def work() -> Status:
        async with runtime_for(context.settings) as runtime:
            found = await actions.refresh_quietly(runtime)
            if found.gateway.state != "on":
                actions.reachable(found)
            if if_needed and found.ready:
                output.say("The session is ready; nothing to do.")
                return found
            if not (found.sso.state == "on" and (if_needed or take_over)):
                await _log_in(runtime, answers, take_over)
            if not runtime.status.ready:
                await runtime.open_brokerage(compete=take_over)
            return runtime.status

    found = run(work())
    if context.as_json:
        output.dump(output.status_json(found))
    else:
        output.status_text(found)
    return exit_of(found)


async def _log_in(runtime: Runtime, answers: Answers, take_over: bool) -> None:
    try:
        await runtime.login(answers)
    except Competing as error:
        # The login itself is done; what is left is the brokerage session.
        if not take_over:
            raise Competing(error.what, "Take it over: ibtui login --take-over") from None


def _answers(user: str | None, password_stdin: bool) -> FixedAnswers | TtyAnswers:
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise PersonNeeded("No password came on standard input.", "Try: pass show ibkr | ibtui login …")
        return FixedAnswers(user or "", Secret(password))
    return TtyAnswers(user or "")


def logout(context: Context) -> int:
    """End the session."""

    async def work() -> None:
        async with runtime_for(context.settings) as runtime:
            await actions.logout(runtime)

    run(work())
    if context.as_json:
        output.dump({"logged_out": True})
    else:
        output.say("Logged out.")
    return 0
