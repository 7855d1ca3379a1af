"""What goes over the supervisor's socket, one JSON object a line."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from ibtui import errors
from ibtui.core.models import Event, Keeping, LoginFacts, Status
from ibtui.errors import IbtuiError

ROOT: Final = "/ibtui"
"""Our own paths begin so; everything else on the socket is the gateway's."""


RELOAD: Final = "reload"
"""As the reason of an end: it begins again at once, with new settings."""
REPLACED: Final = "a newer ibtui takes its place"
"""As the reason of an end: another one is there in a moment."""


class Truth(Struct, frozen=True, kw_only=True):
    """All that a supervisor knows."""

    pid: int
    version: str
    profile: str
    since: datetime
    """When it began."""
    status: Status
    keeping: Keeping
    facts: LoginFacts
    user: str = ""
    """Who is logged in, as far as it is known."""
    account_type: str = ""
    """What the profile means at present."""
    digest: str = ""
    """Of the settings it works with (`spawn.digest`); empty for one that has settings of its own."""
    terminals: int = 0
    """How many follow its changes now."""
    events: list[Event] = []
    log: list[str] = []


class News(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the change stream; the first one has `whole`. What is None has not changed."""

    whole: Truth | None = None
    status: Status | None = None
    keeping: Keeping | None = None
    facts: LoginFacts | None = None
    user: str | None = None
    events: list[Event] = []
    log: list[str] = []
    ended: str = ""
    """It ends now, and why; `RELOAD` and `REPLACED` are no end for those who follow."""


class Trouble(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error of `errors` on its way to another process."""

    kind: str
    what: str
    fix: str = ""
    until: datetime | None = None
    status: int | None = None

    @classmethod
    def of(cls, error: IbtuiError) -> Trouble:
        """Take an error apart."""
        return cls(
            kind=type(error).__name__,
            what=error.what,
            fix=error.fix,
            until=getattr(error, "until", None),
            status=getattr(error, "status", None),
        )

    def error(self) -> IbtuiError:
        """The error again; one this version does not know is an `IbtuiError`."""
        kind: Any = getattr(errors, self.kind, IbtuiError)
        if not (isinstance(kind, type) and issubclass(kind, IbtuiError)):
            kind = IbtuiError
        more: dict[str, Any] = {}
        if kind is errors.Backoff:
            if self.until is None:
                return IbtuiError(self.what, self.fix)
            more["until"] = self.until
        elif self.status is not None and kind in (errors.Rejected, errors.UnknownReply):
            more["status"] = self.status
        found: IbtuiError = kind(self.what, self.fix, **more)
        return found


class Wish(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a verb needs to know."""

    id: str = ""
    """By which it can be cancelled."""
    compete: bool = False
    minutes: int = 0
    account_type: str = ""
    user: str = ""
    why: str = ""
    variables: dict[str, str] = {}
    """As of `Orders`."""

    def __repr__(self) -> str:
        return f"Wish({self.id!r})"


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a verb's answer: `progress`, and at last `trouble` or `truth`."""

    progress: str = ""
    trouble: Trouble | None = None
    truth: Truth | None = None


class Held(Struct, frozen=True):
    """A password to keep in memory; its text is shown nowhere."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Held(***)"


class Orders(Struct, frozen=True, kw_only=True):
    """What a new supervisor reads from its standard input."""

    profile: str
    variables: dict[str, str] = {}
    """Of the environment: what the settings are made of, their file among it. Some are secrets."""

    def __repr__(self) -> str:
        return f"Orders({self.profile!r})"


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a new supervisor writes to its standard output when it listens, or cannot."""

    pid: int = 0
    trouble: Trouble | None = None
