"""The wizards' steps with state and time, and the page for user name and password, as lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ibtui.auth.effects import Step
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


class Track:
    """Where a wizard is among its steps; times are the caller's monotonic seconds.

    `optional` steps may be passed over, others are done when a later one begins.
    """

    def __init__(self, names: Sequence[str] = STEPS, optional: Sequence[str] = ()) -> None:
        self.names = names
        self._optional = optional
        self._states: dict[str, StepState] = {}
        self._begun: dict[str, float] = {}

    def clear(self) -> None:
        """Nothing has been done yet."""
        self._states, self._begun = {}, {}

    def state(self, name: str) -> str:
        """Of one step."""
        return self._states.get(name, StepState()).state

    def enter(self, name: str, now: float, text: str = "") -> None:
        """`name` is the step now; those before it are done."""
        self._begun.setdefault(name, now)
        for earlier in self.names[: self.names.index(name)]:
            state = self.state(earlier)
            if state == "now" or (state == "waiting" and earlier not in self._optional):
                self.finish(earlier, now)
        self._states[name] = StepState("now", None, text)

    def finish(self, name: str, now: float, text: str = "", state: str = "done") -> None:
        """A step is done, or has failed."""
        self._states[name] = StepState(state, self._took(name, now), text)

    def fail(self, now: float) -> None:
        """The step that was being done has failed."""
        for name in self.names:
            if self.state(name) == "now":
                self.finish(name, now, state="failed")

    def begin(self, name: str, now: float | None) -> None:
        """The step's clock begins anew; None: it stands still, as nobody works."""
        self._begun.pop(name, None)
        if now is not None:
            self._begun[name] = now

    def lines(self, width: int, now: float, mask: Callable[[str], str] = str) -> list[Line]:
        """As `steps`, with the time the present step takes so far."""
        shown = {
            name: StepState("now", self._took(name, now), it.text) if it.state == "now" else it
            for name, it in self._states.items()
        }
        return steps(shown, width, self.names, mask)

    def _took(self, name: str, now: float) -> float | None:
        begun = self._begun.get(name)
        return None if begun is None else now - begun


def steps(
    states: Mapping[str, StepState],
    width: int,
    names: Sequence[str] = STEPS,
    mask: Callable[[str], str] = str,
) -> list[Line]:
    """One line a step: mark, name, what it says (through `mask`), and its time at the right edge."""
    out: list[Line] = []
    for name in names:
        found = states.get(name, StepState())
        mark = _MARKS.get(found.state, _MARKS["waiting"])
        took = "" if found.seconds is None else _took(found)
        room = max(0, min(width, 100) - 30 - len(took) - 3)
        text = mask(clean(found.text))
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
        line(f"   To IBKR through the gateway{where}; neither is stored."),
        kind,
    ]


def trouble(text: str) -> Line:
    """What is wrong with what was typed."""
    return line("   ", ("▲ ", "warn"), clean(text))
