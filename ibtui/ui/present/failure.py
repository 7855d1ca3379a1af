"""The wizard's pages for what went wrong: what it means for the person, and the way out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from ibtui.errors import (
    Backoff,
    CodeRefused,
    Competing,
    FactorUnsupported,
    GatewayDown,
    GatewayFault,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    PersonNeeded,
    TokenRefused,
    UnknownReply,
    Unreachable,
    WrongAccountType,
)
from ibtui.service.output import next_step
from ibtui.ui.present.numbers import duration
from ibtui.ui.present.spans import Line, clean, line

_ARROW = ("→ ", "accent")
_UNCOUNTED = (LoginLocked, Backoff, TokenRefused, Competing, WrongAccountType, PersonNeeded)
"""Pages on which attempts are beside the point, or told in other words."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A page for a failed login: its lines and what can be done from it."""

    lines: tuple[Line, ...]
    again: str = "try again"
    """The word for enter; empty: trying again is not offered."""
    take_over: bool = False
    """`t` takes the brokerage session over, `y` leaves it to the other program."""
    switch: bool = False
    """`w` switches the profile between paper and live."""
    outside: bool = False
    """The way out is a login by browser, which is looked for afterwards."""
    until: datetime | None = None
    """A wait that is counted down on the page."""


def browser(url: str) -> list[Line]:
    """How to log in by browser, here and from another machine."""
    parts = urlsplit(url)
    port = parts.port or 5000
    address = (url or "the gateway's address", "strong")
    tunnel = (f"ssh -L {port}:localhost:{port} HOST", "strong")
    return [
        line("   ", _ARROW, "Log in with a browser on this machine: ", address),
        line("   ", _ARROW, "From another machine, first: ", tunnel),
        line("     with this machine's name for HOST, then open the same address there."),
    ]


def failure(error: IbtuiError, url: str, *, used: int = 0, limit: int = 0, begun: bool = False) -> Failure:
    """The page of an error: each kind says what it means for the person, then what to do.

    Args:
        used: attempts used up by now. limit: how many are allowed; 0 when unknown.
        begun: something may have been sent to IBKR.
    """
    ours = isinstance(error, LoginRefused) and not isinstance(error, Backoff | TokenRefused)
    limited = isinstance(error, LoginLocked) and "failed login attempts" in error.what
    spent = ours and 0 < limit <= used and (limited or not isinstance(error, LoginLocked))
    title = "All attempts are used up" if limited else error.title
    head = [line("   ", ("✕ ", "bad"), (clean(title), "title")), line("")]
    head.append(line(f"   {clean(error.what)}"))
    if error.fix and not limited and not isinstance(error, FactorUnsupported | Competing):
        # Else the page itself says what to do. Keys of the screen below are none here.
        head.append(line("   ", _ARROW, clean(next_step(error.fix))))
    head.append(line(""))
    if limited or spent:
        return Failure((*head, *_reset(limit)), again="")
    found = _own(error, url, begun)
    more = list(found.lines)
    counted = begun and used and limit and not isinstance(error, _UNCOUNTED)
    if counted and "attempts are used" not in error.fix:
        more.append(attempts(used, limit))
    elif begun and limit and not used and isinstance(error, GatewayDown | GatewayFault | Unreachable):
        more.append(line(("   No attempt was used.", "muted")))
    return replace(found, lines=(*head, *more))


def _reset(limit: int) -> tuple[Line, ...]:
    return (
        line(f"   All {limit} attempts are used, and nothing more is sent from here. Find out why"),
        line("   they failed: too many wrong ones lock the account at IBKR. Then, at a shell:"),
        line(""),
        line("   ", _ARROW, ("ibtui login --reset-attempts", "strong"), "   (it asks first)"),
    )


def _own(error: IbtuiError, url: str, begun: bool) -> Failure:
    """What is special about a kind of error."""
    match error:
        case LoginLocked():
            return _page("   Nothing more is sent from here: each further attempt makes it worse.", again="")
        case Backoff(until=until):
            return Failure(
                (line("   Nothing was sent. The wait binds automatic logins; it grows with each."),),
                "go on at once",
                until=until,
            )
        case CodeRefused():
            return _page(
                "   User name and password were right. Codes are good for a short time, and once.",
                again="log in again",
            )
        case TokenRefused():
            return _page("   No password is involved, and no attempt was used.")
        case LoginRefused():
            return _page(
                "   A wrong password counts at IBKR; going back does not.",
                "   Paper and live accounts have user names of their own.",
                again="enter them again",
            )
        case WrongAccountType(found=kind):
            return Failure(_mismatch(kind), "log in with another user name", switch=bool(kind))
        case Competing():
            return Failure(_competing(), "look again", take_over=True)
        case FactorUnsupported():
            return Failure((*_nothing_helps(error), *browser(url), _look_again()), "look again", outside=True)
        case PersonNeeded():
            return Failure(tuple(browser(url)), "log in again")
        case GatewayDown() | GatewayFault():
            return Failure(()) if begun else _page("   Nothing was sent to IBKR, no attempt was used.")
        case UnknownReply():
            return Failure((line("   No further request was sent."), *browser(url)))
        case Unreachable():
            return _page("   This is IBKR's side or the line to it, not your password.")
    return Failure(())


def _page(*texts: str, again: str = "try again") -> Failure:
    return Failure(tuple(line(text) for text in texts), again)


def _competing() -> tuple[Line, ...]:
    return (
        line("   You are logged in, but TWS, the phone or another gateway has the brokerage"),
        line("   session. IBKR gives it to one program at a time."),
        line(""),
        line("   ", ("t", "accent"), "  take it over; it ends there"),
        line("   ", ("y", "accent"), "  yield: leave it there and stay logged in"),
        line(""),
        line("   A second user name of the same account lets both work side by side."),
    )


def _mismatch(kind: str) -> tuple[Line, ...]:
    if not kind:
        return ()
    warn = "warn" if kind == "live" else "strong"
    return (
        line("   ", ("w", "accent"), "  mean ", (kind, warn), " from now on, and log in again"),
        line("   A second user name for paper has a password of its own."),
    )


def _nothing_helps(error: IbtuiError) -> tuple[Line, ...]:
    if "does not help" in error.what:
        return ()
    return (line("   Nothing was opened, and trying again here does not help."),)


def nobody_yet() -> Line:
    """After a look for a login by browser."""
    return line("   ", ("▲ ", "warn"), "The gateway says that nobody is logged in yet.")


def _look_again() -> Line:
    return line("   ", _ARROW, "When you have logged in there, press enter: ibtui looks again.")


def attempts(used: int, limit: int) -> Line:
    """`Attempts  2 of 4 used.`"""
    style = "warn" if used >= limit - 1 else "muted"
    return line((f"   {used} of {limit} attempts are used up now; a successful login clears them.", style))


def countdown(left: float) -> Line:
    """The wait of a back-off."""
    if left <= 0:
        return line("   ", ("The wait is over.", "good"))
    return line("   The wait ends in ", (duration(left), "strong"), ".")
