"""Subscriptions shared by many readers of one socket (web-api.md §7.2)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ibtui.core.wire import frames

Message = dict[str, Any]
Predicate = Callable[[Message], bool]
Word = str | Callable[[], str] | None

MARKET_FIELDS = ("31", "84", "86")
"""Last, bid and ask."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to send to begin and to end; None: nothing."""

    subscribe: str | None
    unsubscribe: str | None = None


class Messages(AsyncIterator[Message]):
    """The messages a predicate lets through, as an async iterator and async context manager.

    Bounded: when its reader is too slow the oldest messages go, and `dropped` counts them.
    The subscription begins with the first message asked for (or on entering), which raises if
    the socket cannot be opened, and ends with `aclose` (or on leaving). A socket that breaks
    later comes back by itself; iteration ends when it is closed for good.
    """

    def __init__(self, owner: Topics, subscription: Subscription, predicate: Predicate, limit: int) -> None:
        self.dropped = 0
        self._owner = owner
        self._subscription = subscription
        self._predicate = predicate
        self._queue: deque[Message] = deque()
        self._limit = limit
        self._news = asyncio.Event()
        self._begun = False
        self._done = False
        self._let_go = False
        self._error: Exception | None = None

    async def __aenter__(self) -> Messages:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Message:
        await self._begin()
        while not self._queue:
            if self._error is not None:
                raise self._error
            if self._done:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._queue.popleft()

    async def _begin(self) -> None:
        if not self._begun and not self._done:
            self._begun = True
            self._owner.listen(self)
            try:
                await self._owner.add(self._subscription)
                await self._owner.ready()
            except BaseException:
                await self.aclose()
                raise

    async def aclose(self) -> None:
        """End the subscription, unless others share it."""
        self.end()
        self._owner.leave(self)
        if self._begun and not self._let_go:
            self._let_go = True
            await self._owner.remove(self._subscription)

    def end(self) -> None:
        """No more messages will come."""
        self._done = True
        self._news.set()

    def offer(self, message: Message) -> None:
        """Queue a copy of `message` if the predicate wants it; its error is raised to the reader."""
        try:
            if not self._predicate(message):
                return
        except Exception as error:  # noqa: BLE001 - the reader's own code must not break the others' socket
            self._error = error
            self.end()
            return
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(dict(message))
        self._news.set()


class Topics:
    """The subscriptions of a socket; `Stream` sends the frames.

    The same subscription may be held many times: it is sent once, and ended with the last holder.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._iterators: list[Messages] = []

    async def _wish(self, frame: str) -> None:
        raise NotImplementedError

    async def _unwish(self, frame: str) -> None:
        raise NotImplementedError

    def wanted(self) -> list[str]:
        """The subscribe frames in force, in the order they were asked for."""
        return list(self._held)

    async def add(self, subscription: Subscription) -> None:
        """Hold a subscription; sent now if the socket is open, and on every socket to come."""
        frame = subscription.subscribe
        if frame is None:
            await self._wish_nothing()
            return
        held = self._held.get(frame, 0)
        self._held[frame] = held + 1
        if not held:
            await self._wish(frame)

    async def _wish_nothing(self) -> None:
        """Hook: a reader that subscribes nothing still wants the socket open."""

    async def ready(self) -> None:
        """Hook: a reader begins; whether the socket can be opened at all is told to it."""

    async def remove(self, subscription: Subscription) -> None:
        """Let a subscription go; ended when nobody holds it any more."""
        last = self.let_go(subscription)
        if last is not None:
            await self._unwish(last)

    def let_go(self, subscription: Subscription) -> str | None:
        """As `remove`, but the caller sends what this returns."""
        frame = subscription.subscribe
        if frame is None or frame not in self._held:
            return None
        self._held[frame] -= 1
        if self._held[frame] > 0:
            return None
        del self._held[frame]
        return subscription.unsubscribe

    def forget(self) -> None:
        """Hold nothing any more, and say nothing: the socket that knew of it is gone."""
        self._held.clear()

    def listen(self, messages: Messages) -> None:
        """Deliver to `messages` from now on."""
        self._iterators.append(messages)

    def leave(self, messages: Messages) -> None:
        """Deliver to `messages` no more."""
        if messages in self._iterators:
            self._iterators.remove(messages)

    def deliver(self, message: Message) -> None:
        """Offer a message to every reader."""
        for messages in list(self._iterators):
            messages.offer(message)

    def end_all(self) -> None:
        """The socket is gone for good."""
        for messages in self._iterators:
            messages.end()
        self._iterators.clear()

    # what programs use

    def multiplex(
        self, subscribe: Word, unsubscribe: Word, predicate: Predicate, *, limit: int = 1000
    ) -> Messages:
        """Messages that `predicate` lets through; sends `subscribe` first and `unsubscribe` at the end.

        Both may be text, a function that gives text, or None. Messages are dicts as sent,
        numbers with a fraction as text. At most `limit` wait; then the oldest are dropped.

        >>> async for message in socket.multiplex("spl+{}", "upl+{}", lambda m: m.get("topic") == "spl"):
        """
        return Messages(self, Subscription(_text(subscribe), _text(unsubscribe)), predicate, limit)

    def _topic(self, frame: str, topic: str) -> Messages:
        return self.multiplex(frame, frames.opposite(frame), lambda message: message.get("topic") == topic)

    def market_data(self, conid: int | str, fields: Sequence[str] = MARKET_FIELDS) -> Messages:
        """`smd` messages of a contract (§7.7)."""
        return self._topic(frames.market_data(conid, fields), f"smd+{conid}")

    def orders(self) -> Messages:
        """`sor` messages: live orders (§7.7)."""
        return self._topic(frames.orders(), "sor")

    def trades(self, days: int = 1, *, only_new: bool = False) -> Messages:
        """`str` messages: executions of the last `days` and new ones (§7.7)."""
        return self._topic(frames.trades(days=days, only_new=only_new), "str")

    def pnl(self) -> Messages:
        """`spl` messages: profit and loss (§7.7)."""
        return self._topic(frames.pnl(), "spl")

    def summary(self, account: str) -> Messages:
        """`ssd` messages: an account's summary, every 10 s (§7.7)."""
        return self._topic(frames.summary(account), f"ssd+{account}")

    def ledger(self, account: str) -> Messages:
        """`sld` messages: an account's ledger, every 10 s (§7.7)."""
        return self._topic(frames.ledger(account), f"sld+{account}")

    def notices(self) -> Messages:
        """`ntf` and `blt` messages, which come unasked (§7.6)."""
        return self.multiplex(None, None, lambda message: message.get("topic") in ("ntf", "blt"))


def _text(word: Word) -> str | None:
    return word() if callable(word) else word
