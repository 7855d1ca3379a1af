"""The login wizard's pages as lines: steps with state and time, second factors, failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ibtui.auth.effects import Challenge, Step
from ibtui.auth.factor import plain_name
from ibtui.errors import (
    Competing,
    GatewayDown,
    GatewayFault,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    PersonNeeded,
    UnknownReply,
    Unreachable,
)
from ibtui.ui.present.numbers import duration
from ibtui.ui.present.spans import Line, clean, line

GATEWAY = "Gateway"
STEPS = (GATEWAY, *(step.value for step in Step))
"""What stands on the left, in order."""
_MARKS = {"done": ("✓", "good"), "now": ("▸", "accent"), "failed": ("✕", "bad"), "waiting": ("·", "muted")}


@dataclass(frozen=True, slots=True)
class StepState:
    """Where a step is: `waiting`, `now`, `done` or `failed`; seconds it took or takes; what it says."""

    state: str = "waiting"
    seconds: float | None = None
    text: str = ""


def steps(states: Mapping[str, StepState], width: int) -> list[Line]:
    """One line a step: mark, name, what it says, and its time at the right edge."""
    out: list[Line] = []
    for name in STEPS:
        found = states.get(name, StepState())
        mark = _MARKS.get(found.state, _MARKS["waiting"])
        took = "" if found.seconds is None else _took(found)
        room = max(0, min(width, 100) - 30 - len(took) - 3)
        text = clean(found.text)
        text = text if len(text) <= room else text[: max(0, room - 1)] + "…"
        style = "muted" if found.state == "waiting" else "strong" if found.state == "now" else ""
        out.append(line("   ", mark, (f" {name:<24} ", style), (f"{text:<{room}}", "muted"), (took, "muted")))
    return out


def _took(found: StepState) -> str:
    assert found.seconds is not None
    return (
        f"{found.seconds:.1f} s" if found.state != "now" and found.seconds < 10 else duration(found.seconds)
    )


def credentials(url: str, live: bool) -> list[Line]:
    """Above the fields for user name and password."""
    kind = line("   This profile is for a ", ("live", "warn"), " account.") if live else line(
        "   For a paper account, use the paper account's own user name."
    )  # fmt: skip
    where = f" at {url}" if url else ""
    return [
        line(f"   They go to IBKR through the gateway{where}; neither is stored."),
        kind,
    ]


def challenge(asked: Challenge, url: str) -> list[Line]:
    """A second factor that this version cannot answer: what IBKR offered, and the way out."""
    out = [line("   ", ("IBKR asks for a second factor.", "title")), line(""), line("   It offers:")]
    out += [line("     ", ("· ", "muted"), clean(plain_name(code))) for code in (asked.code, *asked.others)]
    out += [
        line(""),
        line("   This version of ibtui cannot answer it yet. Nothing was opened."),
        *browser(url),
        line("   ", ("→ ", "accent"), "When you have logged in there, press enter: ibtui looks again."),
    ]
    return out


def browser(url: str) -> list[Line]:
    """How to log in by browser, here and from another machine."""
    parts = urlsplit(url)
    port = parts.port or 5000
    arrow = ("→ ", "accent")
    address = (url or "the gateway's address", "strong")
    tunnel = (f"ssh -L {port}:localhost:{port} HOST", "strong")
    return [
        line("   ", arrow, "Log in with a browser on this machine: ", address),
        line("   ", arrow, "From another machine, first: ", tunnel),
        line("     with this machine's name for HOST, then open the same address there."),
    ]


@dataclass(frozen=True, slots=True)
class Failure:
    """A page for a failed login: its lines and what can be done from it."""

    lines: tuple[Line, ...]
    again: str = "try again"
    """The word for enter; empty: trying again is not offered."""
    take_over: bool = False


def failure(error: IbtuiError, url: str) -> Failure:
    """The page of an error: each kind says what it means for the person, then what to do."""
    lines = [line("   ", ("✕ ", "bad"), (error.title, "title")), line(""), line(f"   {clean(error.what)}")]
    if error.fix:
        lines.append(line("   ", ("→ ", "accent"), clean(error.fix)))
    lines.append(line(""))
    again, take_over = "try again", False
    if isinstance(error, LoginLocked):
        again = ""
        lines.append(
            line(
                "   Nothing more is sent from here: each further attempt makes it worse.",
            )
        )
    elif isinstance(error, LoginRefused):
        again = "enter them again"
        lines.append(line("   A wrong password counts at IBKR; going back does not."))
        lines.append(line("   Paper and live accounts have user names of their own."))
    elif isinstance(error, Competing):
        again, take_over = "look again", True
        lines.append(
            line("   You are logged in, but another program has the brokerage session: TWS, the phone,")
        )
        lines.append(line("   or another gateway. Taking it over ends it there."))
    elif isinstance(error, PersonNeeded):
        again = "look again"
        lines += browser(url)
    elif isinstance(error, GatewayDown | GatewayFault):
        lines.append(line("   Nothing was sent to IBKR, no attempt was used."))
    elif isinstance(error, UnknownReply):
        lines.append(line("   No further request was sent."))
        lines += browser(url)
    elif isinstance(error, Unreachable):
        lines.append(line("   This is IBKR's side or the line to it, not your password."))
    return Failure(tuple(lines), again, take_over)
