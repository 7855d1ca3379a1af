"""IBKR's limits on requests (web-api.md §1.6): 10 in a second for all callers, and a table of routes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOW_S = 1.0
PER_WINDOW = 10
BOX_S = 15 * 60.0
HISTORY = "/iserver/marketdata/history"
HISTORY_AT_ONCE = 5

# (method or *, path below /v1/api, seconds between two calls)
_TABLE: tuple[tuple[str, re.Pattern[str], float], ...] = tuple(
    (method, re.compile(path), seconds)
    for method, path, seconds in (
        ("*", r"/fyi/.*", 1.0),
        ("GET", r"/iserver/account/orders", 5.0),
        ("GET", r"/iserver/account/pnl/partitioned", 5.0),
        ("GET", r"/iserver/account/trades", 5.0),
        ("GET", r"/iserver/scanner/params", 900.0),
        ("POST", r"/iserver/scanner/run", 1.0),
        ("POST", r"/pa/(performance|summary|transactions)", 900.0),
        ("GET", r"/portfolio/(accounts|subaccounts)", 5.0),
        ("GET", r"/sso/validate", 60.0),
        ("*", r"/tickle", 1.0),
    )
)


@dataclass(slots=True)
class _Budget:
    calls: deque[float] = field(default_factory=deque)
    last: dict[str, float] = field(default_factory=dict)
    boxed_until: float = 0.0
    history: int = 0


class Pacing:
    """One budget per session; `now` gives seconds (the simulated clock)."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._budgets: dict[str, _Budget] = {}

    def admits(self, owner: str, method: str, path: str, *, box: bool) -> bool:
        """Whether this request may pass; `path` is below `/v1/api`. Refused calls use up nothing.

        `box`: breaking a limit closes everything for 15 minutes.
        """
        now = self._now()
        budget = self._budget(owner)
        if box and now < budget.boxed_until:
            return False
        while budget.calls and now - budget.calls[0] >= WINDOW_S:
            budget.calls.popleft()
        gap = _gap(method, path)
        stamp = budget.last.get(path)
        fits = len(budget.calls) < PER_WINDOW and (gap is None or stamp is None or now - stamp >= gap)
        if not fits:
            if box:
                budget.boxed_until = now + BOX_S
            return False
        budget.calls.append(now)
        if gap is not None:
            budget.last[path] = now
        return True

    def enter_history(self, owner: str) -> bool:
        """A history request begins; false when five are in flight. Pair with `leave_history`."""
        budget = self._budget(owner)
        if budget.history >= HISTORY_AT_ONCE:
            return False
        budget.history += 1
        return True

    def leave_history(self, owner: str) -> None:
        """A history request that was let in has ended."""
        self._budget(owner).history -= 1

    def forget(self) -> None:
        """Start with fresh budgets (after a reset)."""
        self._budgets.clear()

    def _budget(self, owner: str) -> _Budget:
        return self._budgets.setdefault(owner, _Budget())


def _gap(method: str, path: str) -> float | None:
    for wanted, pattern, seconds in _TABLE:
        if wanted in ("*", method) and pattern.fullmatch(path):
            return seconds
    return None
