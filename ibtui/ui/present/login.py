"""The wizards' steps with state and time, and the page for user name and password, as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def steps(states: Mapping[str, StepState], width: int, names: Sequence[str] = STEPS) -> list[Line]:
    """One line a step: mark, name, what it says, and its time at the right edge."""
    out: list[Line] = []
    for name in names:
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
        line(f"   To IBKR through the gateway{where}; neither is stored."),
        kind,
    ]
