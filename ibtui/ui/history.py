"""The day's P&L as it was seen while ibtui ran, for the chart: bounded, one sample every few seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal

KEPT = 2_000
EVERY_S = 5.0


class PnlHistory:
    """Samples of daily P&L by account. Times are the app's monotonic seconds."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[Decimal]] = {}
        self._last: dict[str, float] = {}

    def add(self, account: str, value: Decimal, now: float) -> None:
        """Note a value; within `EVERY_S` of the last one it replaces that."""
        samples = self._samples.setdefault(account, deque(maxlen=KEPT))
        if samples and now - self._last[account] < EVERY_S:
            samples[-1] = value
            return
        samples.append(value)
        self._last[account] = now

    def samples(self, account: str) -> Sequence[Decimal]:
        """Oldest first; empty if nothing was seen."""
        return tuple(self._samples.get(account, ()))
