"""The Session screen as lines: three lamps with their next step, what can be done, failures, the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ibtui.ui.present import privacy
from ibtui.ui.present.keeping import expires, moment
from ibtui.ui.present.numbers import since
from ibtui.ui.present.spans import Line, Span, clean, line

if TYPE_CHECKING:
    from ibtui.core.models import Keeping, Lamp, Status
    from ibtui.errors import IbtuiError

GLYPHS: dict[str, Span] = {
    "on": ("●", "good"),
    "off": ("○", "muted"),
    "busy": ("◐", "accent"),
    "warn": ("▲", "warn"),
    "left": ("△", "warn"),
    "unknown": ("·", "muted"),
}
"""A lamp's shape and style; the shape alone tells the state."""
_NAMES = (("gateway", "Gateway"), ("sso", "Login"), ("brokerage", "Brokerage"))
_UNSEEN = "not looked yet"
_TOKEN = {"on": "", "off": "none", "busy": "asking IBKR for one", "warn": "", "unknown": ""}
"""The first lamp's words where there is no gateway."""
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
        "left": "left to another program",
        "unknown": _UNSEEN,
    },
}
ELSEWHERE = "started elsewhere"
"""What the gateway's lamp says of a process that ibtui did not start (`service.lamps.running_lamp`)."""


_QUIET = ("off", "paused")
"""Modes of a keep-alive that does nothing."""


@dataclass(frozen=True, slots=True)
class Verb:
    """Something a person may do to the session, and why not where it cannot be done now."""

    id: str
    label: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the lamps are seen with: the time, what to mask, how the keep-alive does."""

    now: datetime
    hide: bool = False
    names: tuple[str, ...] = ()
    reset: datetime | None = None
    """IBKR's next reset, which ends the login."""
    yield_minutes: int = 30
    room: int = 64
    """Cells beside a lamp's name."""
    can_yield: bool = True
    """Whether the brokerage session can be left to another program now."""
    idle: bool = True
    """Nothing is being done: what is on its way needs somebody to look again."""
    direct: bool = False
    """There is no gateway but OAuth: the first lamp is the token."""

    def masked(self, text: str) -> str:
        """Foreign words as they may be shown."""
        return privacy.text(clean(text), hide=self.hide, names=self.names)


def seen(status: Status | None, keeping: Keeping | None, now: datetime) -> Status | None:
    """The lamps as they are to be shown: a session that is left to another program is not green."""
    if status is None or keeping is None or keeping.mode != "yielding" or status.brokerage.state != "on":
        return status
    from ibtui.core.models import Lamp, Status  # not for the first frame

    until = "" if keeping.until is None else f"until {moment(keeping.until, now)}"
    return Status(gateway=status.gateway, sso=status.sso, brokerage=Lamp(state="left", reason=until))


def told(found: IbtuiError, status: Status | None) -> bool:
    """Whether a lamp says already what went wrong, and what to do."""
    if status is None:
        return False
    what = found.what.rstrip(".")
    return any(what in lamp.reason and lamp.fix for lamp in (status.gateway, status.sso, status.brokerage))


def dots(status: Status | None) -> Line:
    """The three lamps alone, for the top bar: `● ○ ·`."""
    if status is None:
        return line(GLYPHS["unknown"], " ", GLYPHS["unknown"], " ", GLYPHS["unknown"])
    shapes = [
        GLYPHS.get(lamp.state, GLYPHS["unknown"]) for lamp in (status.gateway, status.sso, status.brokerage)
    ]
    return line(shapes[0], " ", shapes[1], " ", shapes[2])


def lamps(status: Status | None, scene: Scene) -> list[Line]:
    """A line for each lamp, with a second one where a next step is known.

    `status` None means that ibtui has not looked yet.
    """
    out: list[Line] = []
    for field, name in _NAMES:
        title = "Token" if scene.direct and field == "gateway" else name
        if status is None:
            out.append(line(" ", GLYPHS["unknown"], f" {title:<11} ", ("starting …", "muted")))
            continue
        lamp: Lamp = getattr(status, field)
        glyph = GLYPHS.get(lamp.state, GLYPHS["unknown"])
        said = _login(lamp, scene) if field == "sso" and lamp.state == "on" else _lamp(field, lamp, scene)
        out.append(line(" ", glyph, (f" {title:<11} ", "strong"), said))
        step = _next_step(field, status, scene)
        if step:
            out.append(line(" " * 15, ("→ ", "accent"), *step))
    return out


def _lamp(field: str, lamp: Lamp, scene: Scene) -> str:
    of_token = scene.direct and field == "gateway"
    words = (_TOKEN if of_token else _WORDS[field]).get(lamp.state, lamp.state)
    if lamp.state == "unknown" and lamp.reason:
        words = "not known"
    age = "" if of_token else since(lamp.since, scene.now)
    reason = lamp.reason.removeprefix("token ") if of_token else lamp.reason
    return " · ".join(part for part in (f"{words} {age}".strip(), scene.masked(reason)) if part)


def _login(lamp: Lamp, scene: Scene) -> str:
    """`demo123 by IB Key, 08:19 · expires at midnight New York (9 h 28 m)`."""
    first, _, rest = lamp.reason.partition(" · ")
    if first != "logged in" and not privacy.user(lamp.reason):
        first, rest = "logged in", lamp.reason
    if lamp.since is not None:
        first += f", {moment(lamp.since, scene.now)}"
    if scene.reset is not None and scene.reset > scene.now and not scene.direct:
        rest = expires(scene.reset, scene.now, scene.room - len(first) - 3)
    return " · ".join(part for part in (scene.masked(first), scene.masked(rest)) if part)


def _next_step(field: str, status: Status, scene: Scene) -> Line:
    """What to press: what the lamp says, else ours; of ours only the first broken link gets one."""
    lamp: Lamp = getattr(status, field)
    if field == "brokerage" and lamp.state == "warn" and status.sso.state == "on":
        leave = (("y", f"yield {scene.yield_minutes} min"),) if scene.can_yield else ()
        return _keys(("t", "take it over"), *leave, ("r", "look again"))
    if lamp.state == "left":
        return _keys(("t", "take it back"))
    if lamp.fix:
        return line(scene.masked(lamp.fix))
    if field == "gateway":
        return _keys(("s", "start it")) if lamp.state == "off" else ()
    if status.gateway.state != "on":
        return ()
    if field == "sso":
        return _keys(("l", "log in")) if lamp.state == "off" else ()
    if status.sso.state == "on" and lamp.state == "off":
        return _keys(("t", "take it over"), ("r", "look again"))
    if status.sso.state == "on" and lamp.state == "busy" and scene.idle:
        return _keys(("r", "look again"))
    return ()


def _keys(*keys: tuple[str, str]) -> Line:
    out: list[Span] = []
    for number, (key, word) in enumerate(keys):
        out += [("    " if number else "", ""), (key, "accent"), (f" {word}", "")]
    return tuple(out)


def verbs(
    status: Status | None, busy: str = "", *, keeping: Keeping | None = None, mode: str = "gateway"
) -> dict[str, Verb]:
    """The verbs by id, each with the reason why it cannot be done now (empty where it can)."""
    labels = {
        "login": "log in",
        "enroll": "enroll IB Key",
        "logout": "log out",
        "takeover": "take over",
        "yield": "yield",
        "restart": "restart",
        "quiet": "stop keep-alive",
        "install": "install",
        "refresh": "refresh",
    }
    if status is None:
        wait = "ibtui is still starting."
        found = {verb: Verb(verb, label, wait) for verb, label in labels.items()}
        return found | {"start": Verb("start", "start", wait)}
    wait = f"Wait, or press esc to cancel: {busy}." if busy else ""
    up = status.gateway.state in ("on", "warn")
    within = status.sso.state in ("on", "warn")
    first = "" if within else "Log in first: l."
    none = "Over OAuth there is no gateway." if mode.startswith("oauth") else ""
    left = keeping is not None and keeping.mode == "yielding"
    foreign = _foreign(status.gateway) if up and mode == "gateway" else ""
    why = {
        "start": foreign,
        "login": "You are logged in already; o logs out." if within else "",
        "enroll": "",
        "logout": "" if within else "Nobody is logged in; l logs in.",
        "takeover": first or _held(status, left),
        "yield": first or _no_yield(keeping, mode),
        "restart": none or foreign or ("" if up else "The gateway is not running; s starts it."),
        "quiet": "" if keeping is not None and keeping.mode not in _QUIET else "No keep-alive runs.",
        "install": "The demo brings its own simulator in place of a gateway." if mode == "demo" else none,
        "refresh": "",
    }
    labels["start"] = "stop" if up else "start"
    return {verb: Verb(verb, label, wait or why[verb]) for verb, label in labels.items()}


def _foreign(gateway: Lamp) -> str:
    if ELSEWHERE not in gateway.reason and gateway.reason.startswith("pid "):
        return ""
    return "ibtui did not start this gateway: stop it where it was started."


def _no_yield(keeping: Keeping | None, mode: str) -> str:
    if mode == "demo":
        return "The demo's session is wanted by nobody else."
    if keeping is None or keeping.mode in _QUIET:
        return "No keep-alive runs that could take it up again."
    return "It is left to another program already; t takes it back." if keeping.mode == "yielding" else ""


def _held(status: Status, left: bool) -> str:
    return "The brokerage session is yours already." if status.brokerage.state == "on" and not left else ""


def problem(title: str, what: str, fix: str) -> list[Line]:
    """A failed action, told in place."""
    out = [line(" ", ("✕ ", "bad"), (clean(title), "strong")), line("   ", clean(what))]
    if fix:
        out.append(line("   ", ("→ ", "accent"), clean(fix)))
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
