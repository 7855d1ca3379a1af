"""One verb, one function: the key, the palette entry and the shell command call the same one.

Everything here raises `errors.IbtuiError` subclasses only.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ibtui.auth.effects import Answers
from ibtui.core.models import Status
from ibtui.errors import Competing, GatewayDown, NotLoggedIn, PersonNeeded, Unreachable
from ibtui.secret import Secret
from ibtui.service.runtime import Progress, Runtime

LOADING = "loading accounts, positions and orders"


def silent(_: str) -> None:
    """A `Progress` for nobody."""


async def bring_up(runtime: Runtime, answers: Answers | None, progress: Progress = silent) -> Status:
    """From nothing to live values: gateway, login, brokerage session, stream.

    What is there already is left alone. Without `answers` it goes as far as it gets
    without asking anybody.

    Raises:
        PersonNeeded: a login is needed and there is nobody to ask.
        GatewayDown, Unreachable: see `reachable`.
    """
    await start_gateway(runtime, progress)
    progress("looking at the session")
    status = await runtime.refresh()
    reachable(status, direct=runtime.profile.direct)
    if status.sso.state != "on":
        if answers is None:
            raise PersonNeeded("Nobody is logged in at the gateway.", "Log in: press l, or run ibtui login.")
        progress("logging in")
        await runtime.login(answers)
    elif status.brokerage.state != "on":
        progress("opening the brokerage session")
        await runtime.open_brokerage(compete=runtime.profile.competing == "take")
    progress(LOADING)
    await runtime.go_live()
    return runtime.status


async def start(runtime: Runtime, progress: Progress = silent) -> None:
    """Start the gateway; where a login needs nobody (the demo) go all the way, else look what is there."""
    answers = runtime.unattended()
    if answers is not None:
        await bring_up(runtime, answers, progress)
    else:
        await start_gateway(runtime, progress)
        await refresh(runtime)


async def start_gateway(runtime: Runtime, progress: Progress = silent) -> None:
    """Start the gateway, or find the one that runs already."""
    await runtime.start_gateway(progress)


async def stop_gateway(runtime: Runtime) -> None:
    """Stop the gateway process; the session ends with it."""
    await runtime.stop_gateway()


async def restart_gateway(runtime: Runtime, progress: Progress = silent) -> None:
    """Stop the gateway process and start it anew, then as `start`."""
    progress("stopping the gateway")
    await runtime.stop_gateway()
    progress("starting the gateway")
    await start(runtime, progress)


async def starts_gateway(runtime: Runtime) -> bool:
    """Whether the profile starts its gateway itself, so that it can be stopped from here."""
    from ibtui.service.host import starts_one

    profile = runtime.profile
    return profile.mode == "gateway" and await asyncio.to_thread(starts_one, profile)


async def login(runtime: Runtime, answers: Answers, *, factor: str = "") -> None:
    """Log in, open the brokerage session and load live values; `factor` as in `Runtime.login`."""
    await runtime.login(answers, factor=factor)
    await runtime.go_live()


async def enroll(runtime: Runtime, answers: Answers, pin: Secret) -> None:
    """Enroll IB Key in place of the phone's; neither gateway nor session is needed."""
    await runtime.enroll(answers, pin)


async def export_key(runtime: Runtime, path: Path, passphrase: Secret) -> None:
    """Write a sealed backup of the IB Key that was enrolled last."""
    await runtime.export_key(path, passphrase)


async def logout(runtime: Runtime) -> None:
    """End the brokerage session and the login."""
    await runtime.logout()


async def take_over(runtime: Runtime, progress: Progress = silent) -> None:
    """Take the brokerage session from whatever program holds it now, and load live values."""
    await runtime.open_brokerage(compete=True)
    progress(LOADING)
    await runtime.go_live()


async def yield_session(runtime: Runtime, minutes: int) -> None:
    """Leave the brokerage session to another program for `minutes`."""
    await runtime.yield_session(minutes)


async def stop_keeping(runtime: Runtime) -> None:
    """End the keep-alive, also the one that outlives this terminal."""
    await runtime.stop_keeping()


async def refresh(runtime: Runtime) -> Status:
    """Look at gateway, login and brokerage session anew; go live again if all is well."""
    status = await runtime.refresh()
    if status.ready:
        await runtime.go_live()
    return status


async def refresh_quietly(runtime: Runtime) -> Status:
    """Look at the three things without loading anything."""
    return await runtime.refresh()


def reachable(status: Status, *, direct: bool = False) -> None:
    """Go on only when something is known of the session. `direct`: the first lamp is a token's.

    Raises:
        GatewayDown: the gateway does not answer.
        NotLoggedIn: there is no token.
        Unreachable: it does, but nothing could be learnt through it (IBKR in maintenance, say).
    """
    lamp = status.gateway
    if direct and lamp.state in ("off", "unknown"):
        kind = NotLoggedIn if lamp.state == "off" else Unreachable
        raise kind(_sentence(lamp.reason or "there is no token"), _sentence(lamp.fix))
    if lamp.state in ("off", "unknown"):
        raise GatewayDown(_sentence(lamp.reason or "the gateway does not answer"), _sentence(lamp.fix))
    if status.sso.state == "unknown":
        raise Unreachable(
            status.sso.reason or "Nothing could be learnt about the session.",
            status.sso.fix or "Try again in a moment.",
        )


def _sentence(text: str) -> str:
    """A lamp's line as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


async def need_session(runtime: Runtime) -> None:
    """For commands that read: make sure the session is there, without logging in.

    Raises:
        GatewayDown, Unreachable, NotLoggedIn, Competing: what is missing, first broken link first.
    """
    status = await runtime.refresh()
    if status.ready:
        return
    reachable(status, direct=runtime.profile.direct)
    if status.sso.state != "on":
        raise NotLoggedIn(_sentence(status.sso.reason or "nobody is logged in"), "Run: ibtui login")
    try:
        await runtime.open_brokerage(compete=False)
    except Competing as error:
        raise Competing(error.what, "Take it over: ibtui login --take-over") from None
