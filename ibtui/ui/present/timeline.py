"""The time line as lines: what happened, newest first, and what of it happened while nobody looked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from ibtui.ui.present import privacy
from ibtui.ui.present.keeping import moment
from ibtui.ui.present.numbers import clock
from ibtui.ui.present.spans import Line, clean, line

if TYPE_CHECKING:
    from ibtui.core.models import Event

_LEVELS = {"warn": "warn", "error": "bad"}
_MARKS = {"warn": "▲ ", "error": "✕ "}
_RULE = 76
"""Cells of a rule; it fits the narrowest terminal."""


@dataclass(frozen=True, slots=True)
class Away:
    """When this person last looked, and when they came back."""

    left: datetime
    back: datetime


@dataclass(frozen=True, slots=True)
class TimeLine:
    """The lines, and for each the number of the event it belongs to (1 is the newest)."""

    lines: list[Line]
    numbers: list[int]

    @property
    def total(self) -> int:
        """How many events there are."""
        return self.numbers[-1] if self.numbers else 0

    def counter(self, top: int) -> str:
        """`3/14`: the event at the top of the pane, of all; empty without any."""
        return f"{self.numbers[min(top, len(self.numbers) - 1)]}/{self.total}" if self.numbers else ""


def time_line(
    events: Sequence[Event],
    now: datetime,
    *,
    away: Away | None = None,
    hide: bool = False,
    names: Iterable[str] = (),
) -> TimeLine:
    """What happened, newest first: time, source, text; a rule below what was missed, and between days."""
    names = tuple(names)
    missed = _missed(events, away)
    out: list[Line] = []
    numbers: list[int] = []
    day = now.astimezone().date()
    for number, event in enumerate(reversed(events), 1):
        if away is not None and missed and event.at <= away.left:
            out.append(_rule(_since(away, missed, now)))
            numbers.append(max(1, number - 1))
            missed = 0
        if (at := event.at.astimezone().date()) != day:
            out.append(_rule(_day(at)))
            numbers.append(number)
            day = at
        out.append(_event(event, hide=hide, names=names))
        numbers.append(number)
    if away is not None and missed:
        out.append(_rule(_since(away, missed, now)))
        numbers.append(len(events))
    return TimeLine(out, numbers)


def _missed(events: Sequence[Event], away: Away | None) -> int:
    return 0 if away is None else sum(away.left < event.at < away.back for event in events)


def _since(away: Away, missed: int, now: datetime) -> str:
    changes = "1 change" if missed == 1 else f"{missed} changes"
    return f"since you left {moment(away.left, now)}: {changes}"


def _day(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B}"


def _rule(text: str) -> Line:
    return line((f" ── {text} ".ljust(_RULE, "─"), "accent" if text.startswith("since") else "muted"))


def _event(event: Event, *, hide: bool, names: tuple[str, ...]) -> Line:
    words = privacy.text(clean(event.text), hide=hide, names=names, source=event.source)
    mark = _MARKS.get(event.level, "")
    return line(
        (f" {clock(event.at)}", "muted"),
        f"  {clean(event.source):<11.11}",
        (f"{mark}{words}", _LEVELS.get(event.level, "")),
    )
