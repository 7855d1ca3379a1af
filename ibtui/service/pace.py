"""Spacing of repeated tries: the first at once, each further one later, forgotten after a calm time."""

from __future__ import annotations

from dataclasses import dataclass

CALM_S = 600.0
"""Seconds of good health after which the next trouble is a first one again."""
LASTED_S = 3600.0
"""A session that has lasted so long was worth its login."""


@dataclass(slots=True)
class Pace:
    """`waits`: seconds before the second try, the third …; the last one for all further tries."""

    waits: tuple[float, ...]
    tries: int = 0
    """Since the last calm time."""
    last: float = 0.0
    """When the last one ended (monotonic)."""

    def due(self, first: float) -> float:
        """When the next try may begin (monotonic); `first` for the first one."""
        if not self.tries:
            return first
        return max(first, self.last + self.waits[min(self.tries, len(self.waits)) - 1])

    def spend(self, now: float) -> None:
        """One more try has ended."""
        self.tries += 1
        self.last = now

    def forget(self) -> None:
        """Whatever was tried before no longer counts."""
        self.tries = 0
