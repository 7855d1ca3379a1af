"""From replies to lamps: what each state means and its next step (web-api.md §2.2)."""

from __future__ import annotations

from datetime import datetime

from ibtui.core.models import AuthStatus, Lamp, LoginFacts, Tickle
from ibtui.errors import NotLoggedIn

TAKE_OVER = "Take it over: t here, or ibtui login --take-over"


def unknown() -> Lamp:
    """Not looked at, because what it stands on is missing."""
    return Lamp(state="unknown", reason="")


def sso_lamp(error: NotLoggedIn, fix: str, old: Lamp, facts: LoginFacts) -> Lamp:
    """Nobody is logged in; where a refused login has left its reason, that stays.

    Failed attempts are told too, and how long automatic logins wait.
    """
    reason, since = "nobody is logged in", None
    if old.state == "off" and old.reason:
        reason, since, fix = old.reason.partition(_ATTEMPTS)[0], old.since, old.fix or fix
    if facts.attempts:
        reason += f"{_ATTEMPTS}{facts.attempts} of {facts.limit}"
        if facts.wait_until is not None:
            reason += f" · automatic logins wait until {facts.wait_until.astimezone():%H:%M:%S}"
    return Lamp(state="off", since=since, reason=reason, fix=fix)


_ATTEMPTS = " · attempts used: "


def after_login(tickle: Tickle, user: str, old: Lamp, now: datetime) -> Lamp:
    """A live SSO session, with the time it has left."""
    parts = [user] if user else []
    if tickle.sso_expires_ms is not None:
        parts.append(f"idle time left {tickle.sso_expires_ms // 60_000} min")
    since = old.since if old.state == "on" else now
    return Lamp(state="on", since=since, reason=" · ".join(parts) or "logged in")


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
