"""One limiter for everything a session sends (web-api.md §1.6).

Requests over a budget wait; they do not fail. Windows are a little wider than the
server's, because requests that leave 100 ms apart may arrive 90 ms apart.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from ibtui.clock import Clock, SystemClock
from ibtui.errors import Pacing as PacingError

WINDOW = 1.1
"""Seconds in which `PER_SECOND` requests may leave."""
PER_SECOND = 10
HISTORY_AT_ONCE = 5
SPACING_S = 0.1
"""Between two frames of a WebSocket (§7.8)."""
_QUARTER = 15 * 60.0

_BUDGETS = {
    "GET /tickle": 1.05,
    "POST /tickle": 1.05,
    "GET /iserver/account/orders": 5.1,
    "GET /iserver/account/pnl/partitioned": 5.1,
    "GET /iserver/account/trades": 5.1,
    "GET /portfolio/accounts": 5.1,
    "GET /portfolio/subaccounts": 5.1,
    "POST /iserver/scanner/run": 1.05,
    "GET /sso/validate": 60.5,
    "GET /iserver/scanner/params": _QUARTER,
    "POST /pa/performance": _QUARTER,
    "POST /pa/summary": _QUARTER,
    "POST /pa/transactions": _QUARTER,
}
_FYI_S = 1.05
"""For each route below /fyi."""
_HISTORY = "GET /iserver/marketdata/history"
_BASE = re.compile(r"^/v1/(api|portal)(?=/)")


def route(method: str, path: str) -> str:
    """`METHOD /path` without base, query, doubled and trailing slashes: the key of a budget."""
    plain = re.sub(r"/{2,}", "/", "/" + path.split("?", 1)[0].split("#", 1)[0]).rstrip("/").lower()
    return f"{method.upper()} {_BASE.sub('', plain)}"


def interval(method: str, path: str) -> float:
    """Seconds that IBKR wants between two calls of this route; 0 where it has no budget of its own."""
    return _interval(route(method, path))


def _interval(key: str) -> float:
    return _BUDGETS.get(key, _FYI_S if key.split(" ", 1)[1].startswith("/fyi/") else 0.0)


class _Budget:
    """One route's: `free` is when the next may leave, `waiting` how many stand before a newcomer."""

    def __init__(self) -> None:
        self.free = 0.0
        self.waiting = 0
        self.turn = asyncio.Lock()


class Pacing:
    """Hands out slots in order of asking. One per session, shared by REST and WebSocket.

    `max_wait` seconds is the longest a request may wait for its own budget or for the end
    of a cool-down; beyond that it fails at once with `errors.Pacing`.
    """

    spacing = SPACING_S

    def __init__(self, clock: Clock | None = None, max_wait: float = 70.0) -> None:
        self.clock = clock or SystemClock()
        self.max_wait = max_wait
        self._sent: deque[float] = deque(maxlen=PER_SECOND)
        self._budgets: dict[str, _Budget] = {}
        self._history = asyncio.Semaphore(HISTORY_AT_ONCE)
        self._order = asyncio.Lock()
        self._blocked_until = 0.0
        self._penalty = 0.0

    @asynccontextmanager
    async def slot(self, method: str, path: str) -> AsyncIterator[None]:
        """Wait until the request may leave; hold the block while it is in flight.

        Raises:
            errors.Pacing: the wait would be longer than `max_wait`.
        """
        key = route(method, path)
        if key != _HISTORY:
            await self._path(key)
            yield
            return
        async with self._history:
            await self.frame()
            yield

    async def frame(self) -> None:
        """Wait for the global budget alone; WebSocket frames count in it too (§7.8)."""
        async with self._order:
            while True:
                now = self.clock.monotonic()
                ready = self._blocked_until
                if len(self._sent) == PER_SECOND:
                    ready = max(ready, self._sent[0] + WINDOW)
                if ready <= now:
                    self._sent.append(now)
                    return
                self._refuse(ready - now, "Everything")
                await self.clock.sleep(ready - now)

    @property
    def recent(self) -> tuple[list[float], float]:
        """When the last requests left, and until when all is held back; in `Clock.monotonic` seconds."""
        return list(self._sent), self._blocked_until

    def recall(self, sent: Iterable[float], blocked_until: float) -> None:
        """Count what another process sent just before, as its `recent` told it on this machine."""
        now = self.clock.monotonic()
        self._sent.extend(sorted(at for at in sent if now - WINDOW < at <= now))
        if blocked_until <= now + _QUARTER:  # else it is of a time before the machine was started
            self._blocked_until = max(self._blocked_until, blocked_until)

    async def _path(self, key: str) -> None:
        interval = _interval(key)
        if not interval:
            await self.frame()
            return
        budget = self._budgets.setdefault(key, _Budget())
        left = max(0.0, budget.free - self.clock.monotonic())
        self._refuse(left + budget.waiting * interval, key)
        budget.waiting += 1
        try:
            async with budget.turn:
                left = budget.free - self.clock.monotonic()
                if left > 0:
                    await self.clock.sleep(left)
                await self.frame()
                # Counted from when it leaves: the global budget may have held it back.
                budget.free = self.clock.monotonic() + interval
        finally:
            budget.waiting -= 1

    def _refuse(self, wait: float, what: str) -> None:
        if wait > self.max_wait:
            raise PacingError(
                f"{what} is over its budget of requests for another {wait:.0f} s.",
                "Wait, then try again; asking sooner would get this address blocked.",
            )

    def cool_down(self) -> None:
        """IBKR answered 429: hold everything back, twice as long each time (2 s … 15 min)."""
        self._penalty = min(max(2.0, self._penalty * 2), _QUARTER)
        self._blocked_until = max(self._blocked_until, self.clock.monotonic() + self._penalty)

    def fine(self) -> None:
        """A request went through: the next cool-down starts small again."""
        if self._penalty and self.clock.monotonic() >= self._blocked_until:
            self._penalty = 0.0


class Unpaced(Pacing):
    """Lets everything pass: behind the supervisor's socket it is counted there, once for all clients."""

    spacing = 0.0

    @asynccontextmanager
    async def slot(self, method: str, path: str) -> AsyncIterator[None]:
        """No wait."""
        yield

    async def frame(self) -> None:
        """No wait."""

    def cool_down(self) -> None:
        """The supervisor holds everything back by itself."""
