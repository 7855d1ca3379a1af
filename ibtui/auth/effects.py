"""What a login conversation may ask of the world, and what it may be answered.

A flow is a generator: it yields one of the effects below and is resumed with the
effect's result. It opens neither socket nor prompt, so it is tested as a transcript
and driven alike by a screen, a terminal and a service (`core.drive`).

Structs, for a dataclass takes some forty times as long to make, at each start.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from enum import Enum
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from ibtui.auth.shy import Shy
from ibtui.secret import Secret

LOGIN_HOST = "login"
"""`Send.host` of IBKR's login host itself, where enrolment goes (login.md §6)."""


class Send(Shy, frozen=True):
    """Send a request to the gateway, or to `host`; resumed with a `Reply`.

    Form values may hold secrets, so the effect's repr shows none.
    """

    SHOWN = ("method", "path", "follow_redirects", "host")

    method: str
    path: str
    form: tuple[tuple[str, str], ...] = ()
    cookies: tuple[tuple[str, str], ...] = ()
    """Cookies to set in the jar before sending."""
    follow_redirects: bool = False
    host: str = ""
    """Empty: the gateway. `LOGIN_HOST`: IBKR's login host, with cookies of its own."""


class Reply(Shy, frozen=True):
    """An answer to `Send`."""

    SHOWN = ("status", "date")

    status: int
    text: str
    date: datetime | None = None
    """The server's Date header."""


class Step(Enum):
    """The stages a person sees, in order."""

    PASSWORD = "User name and password"  # noqa: S105 - a heading, not a password
    FACTOR = "Second factor"
    SESSION = "Session"
    BROKERAGE = "Brokerage session"
    READY = "Ready"


class Note(msgspec.Struct, frozen=True):
    """Tell the person where the conversation is; resumed with None."""

    step: Step
    text: str = ""
    done: bool = False
    attempt: int = 0
    """Which attempt of the user name begins, 1 at first; 0 where the note is about something else."""


class Wait(msgspec.Struct, frozen=True):
    """Wait for `seconds`; resumed with None."""

    seconds: float


Count = Literal["attempt", "refund", "counter", "success"]


class Spend(msgspec.Struct, frozen=True):
    """Count something on disk, synced, before what follows is sent; resumed with None.

    `attempt`: a password proof is about to leave. `refund`: that attempt cost nothing at
    IBKR. `success`: logged in. `counter`: an answer of IB Key is about to leave; its
    counter must already be used up on disk.
    """

    what: Count


class Enrolled(Shy, frozen=True):
    """A new IB Key. Its repr shows neither PIN nor key."""

    SHOWN = ("counter",)

    pin: Secret
    ocra_hex: Secret
    """The `ocra` secret, 40 hex digits."""
    counter: int = 2
    """The counter of the first login."""
    serial: str = ""
    """`SERIAL_NO` as IBKR gave it."""


class Store(msgspec.Struct, frozen=True):
    """Write a new IB Key to disk, synced, before anything else happens; resumed with None."""

    enrolled: Enrolled


class Challenge(Shy, frozen=True):
    """A question about a second factor."""

    SHOWN = ("code", "kind", "others", "skew", "problem")

    code: str
    """IBKR's SF code: `4`, `4.2`, `5.2a` …"""
    kind: str
    """`SWTK` (a code to type) or `SWCR` (a challenge to answer)."""
    challenge: str = ""
    """Decimal digits without white space; empty for `SWTK`."""
    others: tuple[str, ...] = ()
    """The other codes that the server offered and the login can answer."""
    skew: float = 0.0
    """Seconds that IBKR's clock is ahead of ours, 0 when nearly equal or unknown; TOTP needs it."""
    problem: str = ""
    """Why the last answer was not sent, for a person; empty at first."""


class Ask(msgspec.Struct, frozen=True):
    """Ask for a second factor; resumed with an `Answer`."""

    challenge: Challenge


class Choose(msgspec.Struct, frozen=True):
    """Ask which second factor to use; resumed with one of `offered`, or `Cancel`."""

    offered: tuple[str, ...]
    """SF codes that the login can answer, two or more, in the server's order."""


class Code(msgspec.Struct, frozen=True):
    """The digits a person or a device gave."""

    text: Secret
    counted: bool = False
    """An IB Key answer made here: it used up a counter (`Spend("counter")` comes before it leaves)."""


class Resend(msgspec.Struct, frozen=True):
    """Please send the code again."""


class OtherFactor(msgspec.Struct, frozen=True):
    """Use another of the offered factors."""

    code: str


class Cancel(msgspec.Struct, frozen=True):
    """Stop here."""


Answer = Code | Resend | OtherFactor | Cancel
Effect = Send | Note | Wait | Spend | Ask | Choose | Store
T = TypeVar("T")
Flow = Generator[Effect, Any, T]
"""A conversation that ends with a T; secrets it holds die with `close()`."""


class Credentials(msgspec.Struct, frozen=True):
    """Who logs in."""

    username: str
    password: Secret


class Answers(Protocol):
    """Where answers come from: a screen, a terminal, a file, a service."""

    async def credentials(self, username: str) -> Credentials:
        """User name and password; `username` is the one the profile knows, maybe empty.

        Raises:
            PersonNeeded: nobody is there to ask.
        """
        ...

    async def ask(self, challenge: Challenge) -> Answer:
        """Answer a second factor.

        Raises:
            PersonNeeded: nobody is there to ask.
        """
        ...

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """Which of several second factors to use: one of `offered` (SF codes).

        Raises:
            PersonNeeded: nobody is there to ask.
        """
        ...

    async def confirm(self, text: str) -> bool:
        """Ask a person yes or no; False where nobody is there."""
        ...

    def note(self, note: Note) -> None:
        """Show where the login is."""
        ...
