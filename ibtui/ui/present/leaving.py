"""The question on leaving, as lines: each answer says in one line what goes on and what ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ibtui.ui.present.spans import Line, line


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer: what it is called, its key, what it does."""

    id: str
    key: str
    label: str
    text: str


def choices(shared: bool, *, ours: bool, direct: bool = False) -> list[Choice]:
    """What can be answered; the first one ends nothing that could go on.

    Args:
        shared: the keep-alive runs in a process of its own.
        ours: the gateway can be stopped from here.
        direct: there is no gateway (OAuth).
    """
    runs_out = "The session runs out" if direct else "The gateway goes on, its session runs out"
    if shared:
        found = [
            Choice(
                "leave",
                "q",
                "Leave it alive",
                f"{'S' if direct else 'Gateway, s'}ession and keep-alive go on without you.",
            ),
            Choice("quiet", "k", "Stop the keep-alive", f"{runs_out}."),
        ]
    else:
        found = [
            Choice(
                "leave",
                "q",
                "Leave",
                f"The keep-alive ends with this terminal. {runs_out}.",
            )
        ]
    if ours:
        text = "Login and session end with it; orders that work at IBKR go on."
        found.append(Choice("stop", "s", "Stop the gateway", text))
    return found


def page(found: Sequence[Choice], cursor: int, whose: str) -> list[Line]:
    """The question about the session of `whose`, with the cursor on one answer."""
    out = [line((f" Leave ibtui? The session of {whose} is alive.", "title")), line("")]
    for number, choice in enumerate(found):
        here = number == cursor
        out.append(
            line(
                (" ▸ " if here else "   ", "accent"),
                (f"{choice.key} ", "accent"),
                (choice.label, "strong" if here else ""),
            )
        )
        out.append(line(("     ", ""), (choice.text, "muted")))
    several: Line = (("   ↑↓", "accent"), (" move", "muted")) if len(found) > 1 else ()
    keys: Line = ((" enter", "accent"), (" choose" if several else " leave", "muted"), *several)
    return [*out, line(""), (*keys, ("   esc", "accent"), (" stay", "muted"))]
