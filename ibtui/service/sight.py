"""What one look has found, for the machine that keeps a session (web-api.md §2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ibtui.core.models import AuthStatus, Lamp, LoginFacts
from ibtui.errors import GatewayDown, IbtuiError, NotLoggedIn, UsageError


class Kind(StrEnum):
    """The first broken link, or `READY`."""

    READY = "ready"
    SETTLING = "settling"
    """Authenticated, its data is still on the way."""
    CLOSED = "closed"
    """Logged in, and no brokerage session."""
    COMPETING = "competing"
    """Another program holds the brokerage session, or asks for it."""
    LOGGED_OUT = "logged out"
    AWAY = "away"
    """The gateway answers, IBKR does not: an outage that is not ours."""
    DOWN = "down"
    """The gateway does not answer."""
    BLIND = "blind"
    """A setting keeps us from looking."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen, and one line about it."""

    kind: Kind
    why: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """Wall time (aware, UTC) and monotonic seconds, read together."""

    wall: datetime
    mono: float


@dataclass(frozen=True, slots=True)
class Means:
    """What can be done without a person, as last read.

    `password`: there is a source of the profile's, or one that is held. `revive`: the gateway
    that ran last was a process of ours; `stuck`: it lives and does not answer. `factor`: as far
    as is known, no second factor is wanted that only a person can give.
    """

    password: bool = False
    revive: bool = False
    stuck: bool = False
    factor: bool = True
    facts: LoginFacts = LoginFacts()

    @property
    def missing(self) -> str:
        """What a login without a person lacks; empty for nothing."""
        if not self.password:
            return "no password is at hand here"
        return "" if self.factor else "its second factor needs a person"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a profile wants of its keep-alive.

    `keeps`: keep a ready session alive. `acts`: beyond that revive, open and log in again.
    """

    keeps: bool = True
    acts: bool = False
    relogin: str = "source"
    competing: str = "ask"
    yield_minutes: int = 30
    region: str = "US"
    direct: bool = False


def sight_of(
    gateway: Lamp, status: AuthStatus | None, error: IbtuiError | None, *, direct: bool = False
) -> Sight:
    """Read a look: the gateway's lamp, then either the tickle's status or what went wrong with it.

    `direct`: there is no gateway, and the first lamp is the token's (oauth.md); it is renewed by itself.
    """
    if gateway.state != "on":
        if direct:
            return Sight(Kind.AWAY if gateway.state == "unknown" else Kind.BLIND, gateway.reason)
        return Sight(Kind.DOWN, gateway.reason)
    if status is None:
        return _trouble(error)
    if status.competing:
        return Sight(Kind.COMPETING)
    if status.ready:
        return Sight(Kind.READY)
    if status.authenticated:
        return Sight(Kind.SETTLING)
    if status.connected:
        return Sight(Kind.CLOSED, status.fail or status.message)
    return Sight(Kind.LOGGED_OUT, "the gateway has no link to IBKR")


def _trouble(error: IbtuiError | None) -> Sight:
    why = error.what if error is not None else ""
    match error:
        case NotLoggedIn():
            return Sight(Kind.LOGGED_OUT, why)
        case GatewayDown():
            return Sight(Kind.DOWN, why)
        case UsageError():
            return Sight(Kind.BLIND, why)
        case _:
            return Sight(Kind.AWAY, why)
