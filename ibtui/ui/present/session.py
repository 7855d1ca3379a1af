"""The Session screen as lines: three lamps with their next step, keep-alive, time line, log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ibtui.ui.present import privacy
from ibtui.ui.present.numbers import clock, duration, since
from ibtui.ui.present.spans import Line, Span, clean, line

if TYPE_CHECKING:
    from ibtui.core.models import Event, Lamp, LoginFacts, Status

GLYPHS: dict[str, Span] = {
    "on": ("●", "good"),
    "off": ("○", "muted"),
    "busy": ("◐", "accent"),
    "warn": ("▲", "warn"),
    "unknown": ("·", "muted"),
}
"""A lamp's shape and style; the shape alone tells the state."""
_NAMES = (("gateway", "Gateway"), ("sso", "Login"), ("brokerage", "Brokerage"))
_UNSEEN = "not looked yet"
_WORDS = {
    "gateway": {"on": "up", "off": "not running", "busy": "starting", "warn": "up", "unknown": _UNSEEN},
    "sso": {
        "on": "logged in",
        "off": "not logged in",
        "busy": "logging in",
        "warn": "logged in",
        "unknown": _UNSEEN,
    },
    "brokerage": {
        "on": "ready",
        "off": "not ready",
        "busy": "opening",
        "warn": "contested",
        "unknown": _UNSEEN,
    },
}
FEW = 10
"""Logins with IB Key at which it is time to think of enrolling it again."""
_LEVELS = {"warn": "warn", "error": "bad"}


@dataclass(frozen=True, slots=True)
class Verb:
    """Something a person may do to the session, and why not where it cannot be done now."""

    id: str
    label: str
    why_not: str = ""


def dots(status: Status | None) -> Line:
    """The three lamps alone, for the top bar: `● ○ ·`."""
    if status is None:
        return line(GLYPHS["unknown"], " ", GLYPHS["unknown"], " ", GLYPHS["unknown"])
    shapes = [
        GLYPHS.get(lamp.state, GLYPHS["unknown"]) for lamp in (status.gateway, status.sso, status.brokerage)
    ]
    return line(shapes[0], " ", shapes[1], " ", shapes[2])


def lamps(
    status: Status | None, now: datetime, *, hide: bool = False, names: Iterable[str] = ()
) -> list[Line]:
    """A line for each lamp, with a second one where a next step is known.

    `status` None means that ibtui has not looked yet.
    """
    out: list[Line] = []
    names = tuple(names)
    for field, title in _NAMES:
        if status is None:
            out.append(line(" ", GLYPHS["unknown"], f" {title:<11} ", ("starting …", "muted")))
            continue
        lamp: Lamp = getattr(status, field)
        glyph = GLYPHS.get(lamp.state, GLYPHS["unknown"])
        words = _WORDS[field].get(lamp.state, lamp.state)
        age = since(lamp.since, now)
        reason = privacy.text(clean(lamp.reason), hide=hide, names=names)
        parts = " · ".join(part for part in (f"{words} {age}".strip(), reason) if part)
        out.append(line(" ", glyph, (f" {title:<11} ", "strong"), parts))
        step = privacy.text(clean(lamp.fix), hide=hide, names=names) or _next_step(field, status)
        if step and lamp.state != "on":
            out.append(line(" " * 15, ("→ ", "accent"), step))
    return out


def _next_step(field: str, status: Status) -> str:
    """What to press when the lamp itself names no step; only the first broken link gets one."""
    if field == "gateway":
        return "s start it" if status.gateway.state == "off" else ""
    if status.gateway.state != "on":
        return ""
    if field == "sso":
        return "l log in" if status.sso.state == "off" else ""
    if status.sso.state == "on" and status.brokerage.state in ("off", "warn"):
        return "t take it over    r look again"
    return ""


def verbs(status: Status | None, busy: str = "") -> dict[str, Verb]:
    """The verbs by id, each with the reason why it cannot be done now (empty where it can)."""
    if status is None:
        wait = "ibtui is still starting."
        start = Verb("start", "start")
        return {
            verb: Verb(verb, verb, wait) for verb in ("login", "enroll", "logout", "takeover", "refresh")
        } | {"start": Verb(start.id, start.label, wait)}
    wait = f"Wait, or press esc to cancel: {busy}." if busy else ""
    up, within, ready = (
        lamp.state in ("on", "warn") for lamp in (status.gateway, status.sso, status.brokerage)
    )
    login = "You are logged in already; o logs out." if within else ""
    logout = "" if within else "Nobody is logged in; l logs in."
    take = ""
    if not within:
        take = "Log in first: l."
    elif ready and status.brokerage.state == "on":
        take = "The brokerage session is yours already."
    return {
        "start": Verb("start", "stop" if up else "start", wait),
        "login": Verb("login", "log in", wait or login),
        "enroll": Verb("enroll", "enroll IB Key", wait),
        "logout": Verb("logout", "log out", wait or logout),
        "takeover": Verb("takeover", "take over", wait or take),
        "refresh": Verb("refresh", "refresh", wait),
    }


def facts(found: LoginFacts, now: datetime, alive: Line) -> Line:
    """`Attempts  0 of 4 used   IB Key  61 logins left   Keep-alive  ok 12 s ago`; `alive` of `keep_alive`."""
    used = "warn" if found.attempts else ""
    out = [(" Attempts  ", "muted"), (f"{found.attempts} of {found.limit} used", used)]
    if found.wait_until is not None and found.wait_until > now:
        left = duration((found.wait_until - now).total_seconds())
        out.append((f", automatic logins wait {left}", "warn"))
    if found.logins_left is not None:
        few = "bad" if found.logins_left == 0 else "warn" if found.logins_left <= FEW else ""
        out += [("   IB Key  ", "muted"), (f"{found.logins_left} logins left", few)]
    return (*out, ("   ", ""), *alive)


def keep_alive(enabled: bool, age: float | None, status: Status | None) -> Line:
    """`Keep-alive  ok 12 s ago`; `age` in seconds since the last one that was answered, None if none was."""
    if not enabled:
        return line(("Keep-alive  ", "muted"), "off (keep_alive = false)")
    if status is None or status.sso.state not in ("on", "warn"):
        return line(("Keep-alive  ", "muted"), "begins with the login")
    if age is None:
        return line(("Keep-alive  ", "muted"), "on, once a minute")
    style = "warn" if age > 150 else ""
    return line(("Keep-alive  ", "muted"), (f"ok {duration(age)} ago", style))


def problem(title: str, what: str, fix: str) -> list[Line]:
    """A failed action, told in place."""
    out = [line(" ", ("✕ ", "bad"), (clean(title), "strong")), line("   ", clean(what))]
    if fix:
        out.append(line("   ", ("→ ", "accent"), clean(fix)))
    return out


def time_line(events: Sequence[Event], *, hide: bool = False, names: Iterable[str] = ()) -> list[Line]:
    """What happened, newest first: time, source, text."""
    names = tuple(names)
    out: list[Line] = []
    for event in reversed(events):
        words = privacy.text(clean(event.text), hide=hide, names=names, source=event.source)
        style = _LEVELS.get(event.level, "")
        mark = {"warn": "▲ ", "error": "✕ "}.get(event.level, "")
        out.append(
            line(
                (f" {clock(event.at)}", "muted"), f"  {clean(event.source):<11.11}", (f"{mark}{words}", style)
            )
        )
    return out


def log(lines: Iterable[str], *, hide: bool = False, names: Iterable[str] = ()) -> list[Line]:
    """Log lines as they are, without control characters; warnings and errors stand out."""
    names = tuple(names)
    out: list[Line] = []
    for raw in lines:
        words = privacy.text(clean(raw), hide=hide, names=names)
        style = "bad" if " ERROR" in words else "warn" if " WARN" in words else "muted"
        out.append(line((f" {words}", style)))
    return out
