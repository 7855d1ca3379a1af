"""From replies and looks to lamps: what each state means and its next step (web-api.md §2.2)."""

from __future__ import annotations

from datetime import datetime

from ibtui.core.models import AuthStatus, Lamp, LoginFacts, Tickle
from ibtui.errors import NotLoggedIn
from ibtui.gateway.health import Health, Kind
from ibtui.gateway.state import Info, State

RESTART = "Restart it: R here, or ibtui gateway restart"
USED_UP = "Find out why they failed, then: ibtui login --reset-attempts"
TAKE_OVER = "Take it over: t here, or ibtui login --take-over"


def unknown() -> Lamp:
    """Not looked at, because what it stands on is missing."""
    return Lamp(state="unknown", reason="")


def sso_lamp(error: NotLoggedIn, fix: str, old: Lamp, facts: LoginFacts) -> Lamp:
    """Nobody is logged in; where a refused login has left its reason, that stays.

    Failed attempts are told too, and how long automatic logins wait, or that no more is allowed.
    """
    reason, since = "nobody is logged in", None
    if old.state == "off" and old.reason:
        reason, since, fix = old.reason.partition(_ATTEMPTS)[0], old.since, old.fix or fix
    if facts.attempts:
        reason += f"{_ATTEMPTS}{facts.attempts} of {facts.limit}"
        if facts.attempts >= facts.limit:
            fix = USED_UP
        elif facts.wait_until is not None:
            reason += f" · automatic logins wait until {facts.wait_until.astimezone():%H:%M:%S}"
    return Lamp(state="off", since=since, reason=reason, fix=fix)


_ATTEMPTS = " · attempts used: "


def after_login(tickle: Tickle, user: str, old: Lamp, now: datetime) -> Lamp:
    """A live SSO session, with the time it has left."""
    parts = [user or "logged in"]
    if tickle.sso_expires_ms is not None:
        parts.append(f"idle time left {tickle.sso_expires_ms // 60_000} min")
    since = old.since if old.state == "on" else now
    return Lamp(state="on", since=since, reason=" · ".join(parts))


def brokerage_lamp(found: AuthStatus, old: Lamp, now: datetime) -> Lamp:
    """The table 'Reading the combination' of web-api.md §2.2."""
    if found.ready and not found.competing:
        server = f" · server {found.server}" if found.server else ""
        state, reason, fix = "on", f"authenticated{server}", ""
    elif found.authenticated and found.competing:
        state, reason, fix = "warn", "another program is asking for the session", TAKE_OVER
    elif found.competing:
        state, reason, fix = "warn", "another program holds the session", TAKE_OVER
    elif found.authenticated:
        state, reason, fix = "busy", "authenticated, its data is still on the way", ""
    elif found.connected:
        reason = found.fail or found.message or "not authenticated"
        state, fix = "off", "Open it: t here, or ibtui login --if-needed"
    else:
        state, reason, fix = "off", "the gateway has no link to IBKR", "Log in again: l here, or ibtui login"
    since = old.since if old.state == state else now
    return Lamp(state=state, since=since, reason=reason, fix=fix)


def running_lamp(info: Info) -> Lamp:
    """A gateway that answers."""
    parts = [f"pid {info.pid}"] if info.pid else []
    if info.state is State.EXTERNAL:
        if info.pid and info.program not in ("", "java"):
            parts[0] += f" ({info.program})"
        parts.append("started elsewhere")
    parts.append(info.url)
    if info.rss:
        parts.append(f"{info.rss // 1_000_000} MB")
    if info.restarts:
        parts.append("1 restart" if info.restarts == 1 else f"{info.restarts} restarts")
    fix = f"{RESTART}; its settings have changed since it started" if info.outdated else ""
    return Lamp(state="on", since=info.since, reason=" · ".join(parts), fix=fix)


def lamp_of(found: Health, url: str, start_fix: str) -> Lamp:
    """What one look at an address means."""
    match found.kind:
        case Kind.UP:
            return Lamp(state="on", reason=url)
        case Kind.NOTHING:
            return Lamp(
                state="off", reason=f"nothing answers at {url}" if url else "not running", fix=start_fix
            )
        case Kind.CERTIFICATE:
            return _distrusted(found, url)
        case Kind.DENIED:
            return Lamp(
                state="off",
                reason=f"{url} does not let this machine in",
                fix="Add its address to ips.allow in the gateway's conf.yaml",
            )
        case Kind.HANG:
            return Lamp(state="off", reason=f"{url} accepts and does not answer", fix=RESTART)
        case _:
            return Lamp(
                state="off",
                reason=f"{url}: {found.detail}",
                fix="Check gateway_url: another program may hold the port",
            )


def _distrusted(found: Health, url: str) -> Lamp:
    """Another certificate than the pinned one, or one that `ca_file` does not vouch for."""
    if found.fingerprint:
        return Lamp(
            state="off",
            reason=f"{url} shows another certificate than the pinned one; nothing was sent to it",
            fix=f"If you replaced it yourself, put the new fingerprint into the profile: {found.fingerprint}",
        )
    why = f" ({found.detail})" if found.detail else ""
    return Lamp(
        state="off",
        reason=f"{url} shows a certificate that ca_file does not vouch for{why}; nothing was sent to it",
        fix="Correct ca_file in the profile, or leave it empty to pin the certificate on first use",
    )
