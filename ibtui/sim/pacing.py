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

# (method or *, path below /v1/api, seconds between two calls, calls that may come together)
# Together: published clients ask twice in a row for what is empty the first time (orders, P&L,
# trades: web-api.md §1.7), for orders again before they subscribe to them, or tickle up to
# five times while they open a websocket, and IBKR lets them.
_TABLE: tuple[tuple[str, re.Pattern[str], float, int], ...] = tuple(
    (method, re.compile(path), seconds, together)
    for method, path, seconds, together in (
        ("*", r"/fyi/.*", 1.0, 1),
        ("GET", r"/iserver/account/orders", 5.0, 4),
        ("GET", r"/iserver/account/pnl/partitioned", 5.0, 2),
        ("GET", r"/iserver/account/trades", 5.0, 2),
        ("GET", r"/iserver/scanner/params", 900.0, 1),
        ("POST", r"/iserver/scanner/run", 1.0, 1),
        ("POST", r"/pa/(performance|summary|transactions)", 900.0, 1),
        ("GET", r"/portfolio/(accounts|subaccounts)", 5.0, 2),
        ("GET", r"/sso/validate", 60.0, 1),
        ("*", r"/tickle", 1.0, 5),
    )
)


@dataclass(slots=True)
class _Budget:
    calls: deque[float] = field(default_factory=deque)
    used: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Path -> calls not yet made up for, and when that was counted."""
    boxed_until: float = 0.0
    history: int = 0


class Pacing:
    """One budget per session; `now` gives seconds (the simulated clock)."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._budgets: dict[str, _Budget] = {}

    def admits(self, owner: str, method: str, path: str, *, box: bool, strict: bool = False) -> bool:
        """Whether this request may pass; `path` is below `/v1/api`. Refused calls use up nothing.

        `box`: breaking a limit closes everything for 15 minutes. `strict`: no calls may come together.
        """
        now = self._now()
        budget = self._budget(owner)
        if box and now < budget.boxed_until:
            return False
        while budget.calls and now - budget.calls[0] >= WINDOW_S:
            budget.calls.popleft()
        gap, together = _limit(method, path)
        if strict:
            together = 1
        owed, since = budget.used.get(path, (0.0, now))
        owed = max(0.0, owed - (now - since) / gap) if gap else 0.0
        # A hair's width of tolerance: 0.999.. calls made up for in exactly `gap` seconds are one.
        fits = len(budget.calls) < PER_WINDOW and owed + 1 <= together + 1e-6
        if not fits:
            if box:
                budget.boxed_until = now + BOX_S
            return False
        budget.calls.append(now)
        if gap:
            budget.used[path] = (owed + 1, now)
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


def _limit(method: str, path: str) -> tuple[float, int]:
    """Seconds between two calls (0: no limit of its own), and how many may come together."""
    for wanted, pattern, seconds, together in _TABLE:
        if wanted in ("*", method) and pattern.fullmatch(path):
            return seconds, together
    return 0.0, 1
