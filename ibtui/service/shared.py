"""One reply for many askers: equal readings share a flight, and on paced routes its reply for a while.

Without this three terminals would each wait five seconds for the same list of orders
(web-api.md §1.6). What is shared must never be older than what its asker knows already:

- a flight that still waits for its slot is joined by whoever asks the same;
- on a route with a budget of its own it is joined when it has left, too, and its reply handed out
  again, but only until something has happened that could have changed it: any request that is no
  reading, a frame of the stream that speaks of the same thing, another session;
- cold replies (§1.7: the empty first one), refusals and errors are never kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ibtui.clock import Clock, Tasks
from ibtui.core.endpoints.common import flag, mapping
from ibtui.core.pacing import interval, route
from ibtui.core.relayed import Asked, Given

Send = Callable[[Asked, Callable[[], None]], Awaitable[Given]]
"""Sends a request; the callable is to be called when its slot has come."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SPOKEN_OF = {
    "sor": frozenset({"GET /iserver/account/orders"}),
    "str": frozenset({"GET /iserver/account/orders", "GET /iserver/account/trades"}),
    "spl": frozenset({"GET /iserver/account/pnl/partitioned"}),
}
"""Topic of a frame -> the routes whose replies are old news after it."""
_LOGIN = "/sso/"
"""A login's conversation has cookies of its own; its replies are nobody else's."""
_NEVER_KEPT = frozenset({"GET /sso/validate"})
"""Whether a login is paper or live is looked up, not remembered."""


class _Flight:
    """One request under way, then its reply."""

    def __init__(self, key: tuple[str, str, bytes]) -> None:
        self.key = key
        self.route = route(key[0], key[1])
        self.left: float | None = None
        """When its slot came; None while it waits, so that it is as new as can be."""
        self.until = 0.0
        """Until when its reply may be handed out again."""
        self.task: asyncio.Task[Given] | None = None

    def serves(self, now: float) -> bool:
        """Whether somebody who asks now may have its reply."""
        if self.left is None:
            return True
        return bool(interval(*self.key[:2])) and (not self.until or now < self.until)


class Shared:
    """Flights and kept replies by request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flights: dict[tuple[str, str, bytes], _Flight] = {}
        self._tasks = Tasks()

    async def ask(self, asked: Asked, send: Send) -> Given:
        """The reply to `asked`, somebody else's where that is as good.

        Raises:
            IbtuiError: as `send`, to everybody who waited.
        """
        if not _is_reading(asked):
            self.clear()
            try:
                return await send(asked, _nothing)
            finally:
                self.clear()
        if asked.path.startswith(_LOGIN):
            return await send(asked, _nothing)
        key = (asked.method, asked.path, asked.body)
        flight = self._flights.get(key)
        if flight is None or not flight.serves(self._clock.monotonic()):
            self._sweep()
            flight = self._flights[key] = _Flight(key)
            flight.task = self._tasks.start(self._fly(flight, asked, send), "shared request")
        task = flight.task
        assert task is not None
        # One asker that goes away must not take the reply from the others.
        return await asyncio.shield(task)

    def _sweep(self) -> None:
        now = self._clock.monotonic()
        self._flights = {key: one for key, one in self._flights.items() if not one.until or now < one.until}

    async def _fly(self, flight: _Flight, asked: Asked, send: Send) -> Given:
        def leaving() -> None:
            flight.left = self._clock.monotonic()

        kept = False
        try:
            given = await send(asked, leaving)
            seconds = interval(asked.method, asked.path)
            if seconds and flight.left is not None and self._flights.get(flight.key) is flight:
                flight.until = flight.left + seconds
                kept = _is_warm(flight.route, given) and "force=" not in asked.path
            return given
        finally:
            if not kept and self._flights.get(flight.key) is flight:
                del self._flights[flight.key]

    def clear(self) -> None:
        """Something changed: nobody may be handed what was asked for before."""
        self._flights = {key: one for key, one in self._flights.items() if one.left is None}

    def heard(self, topic: str) -> None:
        """The stream spoke of `topic`."""
        routes = _SPOKEN_OF.get(topic)
        if routes and self._flights:
            for key, flight in list(self._flights.items()):
                if flight.route in routes and flight.left is not None:
                    del self._flights[key]

    async def close(self) -> None:
        """End what is under way."""
        self._flights.clear()
        await self._tasks.close()


def _nothing() -> None:
    return None


def _is_reading(asked: Asked) -> bool:
    """Readings; tickles and analyses (`/pa/`) are some, too, though they may be POSTs."""
    return asked.method in _READING or route(asked.method, asked.path).startswith(
        ("POST /tickle", "POST /pa/")
    )


def _is_warm(name: str, given: Given) -> bool:
    """Whether a reply says all there is (web-api.md §1.7, §4.1)."""
    if given.status != 200 or name in _NEVER_KEPT:
        return False
    try:
        body: Any = msgspec.json.decode(given.content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    if mapping(body).get("error"):
        return False
    match name:
        case "GET /iserver/account/orders":
            return flag(mapping(body).get("snapshot")) is not False
        case "GET /iserver/account/pnl/partitioned":
            return bool(mapping(mapping(body).get("upnl")))
        case _:
            return bool(body)
