"""What the keep-alive can do, plan and tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from ibtui.core.models import Keeping
from ibtui.errors import (
    Backoff,
    CodeRefused,
    IbtuiError,
    LoginRefused,
    PersonNeeded,
    UsageError,
    WrongAccountType,
)
from ibtui.service.sight import Moment


class Deed(StrEnum):
    """What the runner can do."""

    LOOK = "look"
    """See how the three things are; with a ready session this is the tickle."""
    OPEN = "open"
    TAKE = "take"
    """Open the brokerage session, from whoever has it."""
    LOGIN = "login"
    REVIVE = "revive"


@dataclass(frozen=True, slots=True)
class Next:
    """The next deed and its time (monotonic; one that is past means now)."""

    deed: Deed
    at: float


@dataclass(frozen=True, slots=True)
class Told:
    """A line for the time line."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class Plan:
    """How it stands, and what comes of it."""

    mode: str
    why: str = ""
    deed: Deed | None = None
    at: float = math.inf
    until: datetime | None = None


DOING = {
    Deed.OPEN: "opening the brokerage session",
    Deed.TAKE: "taking the brokerage session back",
    Deed.LOGIN: "logging in again",
    Deed.REVIVE: "starting the gateway again",
}


def drift(now: Moment) -> float:
    """What wall time and monotonic time differ by; only its changes mean anything."""
    return now.wall.timestamp() - now.mono


def span(seconds: float) -> str:
    """`2 h 5 min`: a length of time for a person."""
    minutes = round(seconds / 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def wall_of(now: Moment, mono: float) -> datetime:
    """The wall time of a monotonic one."""
    return now.wall + timedelta(seconds=max(0.0, mono - now.mono))


def changed(keeping: Keeping, **values: object) -> Keeping:
    """The same with other values; the very same object where nothing differs."""
    if all(getattr(keeping, name) == value for name, value in values.items()):
        return keeping
    return msgspec.structs.replace(keeping, **values)


def needs_person(error: IbtuiError) -> bool:
    """Whether a failed login must not be tried again by itself: it was refused, or lacks something."""
    if isinstance(error, PersonNeeded | WrongAccountType | UsageError):
        return True
    # A refused code may be tried again with the next one, a wait is over some time; a password never.
    return isinstance(error, LoginRefused) and not isinstance(error, CodeRefused | Backoff)
