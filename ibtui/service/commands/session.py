"""`ibtui login`, `logout`, `status`, `wait`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from urllib.parse import urlsplit

from ibtui import given
from ibtui.auth import guard
from ibtui.auth.effects import Answers
from ibtui.clock import SystemClock
from ibtui.config import LOOPBACK
from ibtui.core.models import Keeping, Status
from ibtui.errors import (
    Competing,
    GatewayDown,
    IbtuiError,
    NotLoggedIn,
    PersonNeeded,
    Unreachable,
    UsageError,
)
from ibtui.secret import Secret
from ibtui.service import actions, output
from ibtui.service.answers.codes import CodeAnswers, CodeSource, read_command
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.answers.tty import TtyAnswers
from ibtui.service.commands.context import Context, run
from ibtui.service.link import find
from ibtui.service.runtime import Runtime
from ibtui.service.vaults import Memory, vault_for

BROWSER = "browser at the gateway's address"
"""In the way out of what cannot be answered here."""
LONGEST = 4096
"""Characters of a password's line."""
LOOK_S = 1.1
"""Seconds between two looks of `wait`; the session may be asked once a second."""


def status(context: Context) -> int:
    """Print the three lamps; the exit status names the first broken link."""
    return _told(context, run(_status(context)))


async def _status(context: Context) -> Status:
    link = find(context.profile.name) if context.profile.mode != "demo" else None
    if link is not None:
        try:
            truth = await link.truth(look=True, brief=True)
        except IbtuiError as error:
            output.say(f"ibtui: {error}")
        else:
            _tell_of_yielding(truth.keeping)
            return truth.status
    # What looks by itself; the supervisor's answer goes without it.
    from ibtui.service.runtimes import runtime_for

    async with runtime_for(context.settings, alone=link is not None) as runtime:
        return await actions.refresh_quietly(runtime)


def _tell_of_yielding(keeping: Keeping) -> None:
    if keeping.mode == "yielding":
        until = f" until {keeping.until.astimezone():%H:%M}" if keeping.until is not None else ""
        output.say(
            f"The keep-alive leaves the brokerage session to another program{until}; take it back:"
            " ibtui login --take-over"
        )


def exit_of(status: Status, *, direct: bool = False) -> int:
    """0 ready, else the code of the first lamp that is not on; `direct`: that one is a token's."""
    if status.ready:
        return 0
    if direct and status.gateway.state == "off":
        return NotLoggedIn.exit_code
    if status.gateway.state != "on":
        return GatewayDown.exit_code if status.gateway.state == "off" else Unreachable.exit_code
    if status.sso.state != "on":
        return (Unreachable if status.sso.state == "unknown" else NotLoggedIn).exit_code
    return Competing.exit_code if status.brokerage.state == "warn" else NotLoggedIn.exit_code


def login(
    context: Context,
    user: str | None,
    password_stdin: bool,
    if_needed: bool,
    take_over: bool,
    code_file: Path | None = None,
    code_command: str | None = None,
) -> int:
    """Log in; asks on the terminal, or takes password and code from where the options say."""
    from ibtui.service.commands.gateway import warn
    from ibtui.service.runtimes import runtime_for

    answers = answers_of(user, password_stdin, code_file, code_command)

    async def work() -> Status:
        async with runtime_for(context.settings, spawns=True) as runtime:
            found = await actions.refresh_quietly(runtime)
            if found.gateway.state != "on" and not context.profile.direct:
                actions.reachable(found)
            if if_needed and found.ready:
                output.say("The session is ready; nothing to do.")
                await runtime.attach()
                return found
            take = take_over
            if not (found.sso.state == "on" and (if_needed or take_over)):
                take = await _log_in(runtime, answers, take_over)
            if not runtime.status.ready:
                await runtime.open_brokerage(compete=take or runtime.profile.competing == "take")
            warn(runtime)
            return runtime.status

    try:
        return _told(context, run(work()))
    except IbtuiError as error:
        if not context.profile.direct and BROWSER in error.fix:
            error.fix = f"{error.fix} {_way_out(context.profile.gateway_url)}"
        raise


def _way_out(url: str) -> str:
    """Where a browser has to go; a terminal is often another machine's."""
    parts = urlsplit(url)
    port = parts.port or 5000
    if parts.hostname not in LOOPBACK:
        return f"The address: {url}"
    return f"The address: {url} (from another machine first: ssh -L {port}:localhost:{port} HOST)"


def _told(context: Context, found: Status) -> int:
    if context.as_json:
        output.dump(output.status_json(found))
    else:
        output.status_text(found)
    return exit_of(found, direct=context.profile.direct)


async def _log_in(runtime: Runtime, answers: Answers, take_over: bool) -> bool:
    """Returns whether the brokerage session is to be taken from another program."""
    try:
        await runtime.login(answers)
    except Competing as error:
        # The login itself is done; what is left is the brokerage session.
        if take_over:
            return True
        ask = runtime.profile.competing == "ask"
        if not ask or not await answers.confirm(f"{error.what} Take it over?"):
            raise
        return True
    return take_over


def answers_of(
    user: str | None,
    password_stdin: bool,
    code_file: Path | None = None,
    code_command: str | None = None,
) -> Answers:
    if code_file is not None and code_command is not None:
        raise UsageError("--code-file and --code-command do not go together.", "Use one of them.")
    source = None
    if code_file is not None:
        given.check(code_file)  # it may not be there yet; a pipe would hold everything up
    if code_file is not None or code_command is not None:
        source = CodeSource(code_file, read_command(code_command) if code_command is not None else ())
    person: Answers = TtyAnswers(user or "")
    if password_stdin:
        password = sys.stdin.readline(LONGEST).rstrip("\r\n")
        if len(password) >= LONGEST - 2:
            raise UsageError("What comes on standard input is no password: its line has no end.")
        if not password:
            raise PersonNeeded("No password came on standard input.", "Try: pass show ibkr | ibtui login …")
        person = FixedAnswers(user or "", Secret(password))
    return person if source is None else CodeAnswers(person, source, SystemClock())


def reset_attempts(context: Context, user: str | None, yes: bool) -> int:
    """Set the failed attempts of a user name to 0, after saying what that risks."""
    profile = context.profile
    vault = vault_for(profile, user or profile.username)
    used = vault.status().record.attempts

    async def work() -> bool:
        output.say(guard.RESET_RISK)
        return yes or await TtyAnswers().confirm(f"Reset the {used} attempts of {vault.username}?")

    if used and not run(work()):
        raise PersonNeeded("The attempts were not reset.", "Answer y at a terminal, or add --yes.")
    vault.reset()
    Memory(profile, vault.username).forgive()
    output.say(f"{vault.username}: {used} attempts were used, now 0.")
    if context.as_json:
        output.dump({"user": vault.username, "attempts": 0, "were": used})
    return 0


def wait_ready(context: Context, timeout: float) -> int:
    """Wait until all three lamps are on, at most `timeout` seconds; then as `status`."""
    if math.isnan(timeout):
        raise UsageError("nan is no number of seconds.", "Example: --timeout 120")
    from ibtui.service.runtimes import runtime_for

    async def work() -> Status:
        clock = SystemClock()
        end = clock.monotonic() + timeout
        async with runtime_for(context.settings) as runtime:
            while True:
                found = await actions.refresh_quietly(runtime)
                if found.ready or clock.monotonic() >= end:
                    return found
                await clock.sleep(min(LOOK_S, max(0.0, end - clock.monotonic())))

    return _told(context, run(work()))


def logout(context: Context) -> int:
    """End the session; that there is none is no failure."""
    from ibtui.service.runtimes import runtime_for

    async def work() -> bool:
        async with runtime_for(context.settings) as runtime:
            try:
                await actions.logout(runtime)
            except NotLoggedIn:
                return False
            return True

    done = run(work())
    if context.as_json:
        output.dump({"logged_out": done})
    else:
        output.say("Logged out." if done else "Nobody was logged in.")
    return 0
