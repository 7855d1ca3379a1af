"""One reader of the shared WebSocket: what waits for it, and how it is written (RFC 6455 §5.2).

A server's frames are the same bytes for every client, so each is made once for all. They
are written straight to the transport, many at a time: writing them one by one through the web
server's own method cost four times as much at 5,000 messages a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ibtui.service.fan_topic import KEPT_APART, Topic

SOFT = 256 * 1024
"""Bytes that may wait before streams are told by their latest values only."""
HARD = 8 * 1024 * 1024
"""Bytes that may wait before the reader is given up."""
_AT_ONCE = 64 * 1024
_LOOK_S = 0.02
_REASON = 120
TRY_AGAIN = 1013
"""Close code for a reader that is too slow (RFC 6455, registry)."""
RESTART = 1012
"""Close code when the upstream socket was lost: come back and load anew."""


def frame(data: bytes) -> bytes:
    """A message as a binary frame of a server, the kind in which the gateway sends all (login.md §9.5)."""
    size = len(data)
    if size < 126:
        return b"\x82" + size.to_bytes(1, "big") + data
    if size < 65536:
        return b"\x82\x7e" + size.to_bytes(2, "big") + data
    return b"\x82\x7f" + size.to_bytes(8, "big") + data


class Reader:
    """An attached client: its subscriptions, its queue and its way out.

    `ws` is a prepared `WebSocketResponse` without compression, `transport` its connection's.
    """

    def __init__(self, ws: Any, transport: asyncio.Transport) -> None:
        self.topics: dict[str, dict[str, Any]] = {}
        """Its subscriptions by key, with the options it gave."""
        self.histories: set[str] = set()
        """Server ids of its `smh` requests, to be ended with it."""
        self.gone = False
        self.behind = 0
        """How many messages were replaced by later ones."""
        self._ws = ws
        self._transport = transport
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._most = HARD
        self._late: dict[str, Topic] = {}
        self._wake = asyncio.Event()
        self._code = 0
        self._why = b""

    def give(self, framed: bytes, topic: Topic | None = None) -> None:
        """Queue a frame made by `frame`. A stream's may be replaced by its latest values later on."""
        if self.gone:
            return
        if self._bytes >= SOFT and topic is not None and topic.word not in KEPT_APART:
            self._late[topic.key] = topic
            self.behind += 1
        else:
            self._queue.append(framed)
            self._bytes += len(framed)
            if self._bytes > self._most:
                self.drop(TRY_AGAIN, "too slow")
        if not self._wake.is_set():
            self._wake.set()

    def give_all(self, messages: Iterable[bytes]) -> None:
        """Queue messages that are no frames yet: what a newcomer is told, however much that is."""
        for message in messages:
            framed = frame(message)
            self._most += len(framed)
            self.give(framed)

    def forget(self, key: str) -> None:
        """It does not want this topic any more."""
        self._late.pop(key, None)

    def drop(self, code: int, why: str) -> None:
        """End it: what waits is thrown away, and the client told `code`."""
        if not self.gone:
            self.gone = True
            self._code, self._why = code, why.encode("ascii", "replace")[:_REASON]
            self._queue.clear()
            self._late.clear()
            self._bytes = 0
            self._wake.set()

    async def write(self, sleep: Callable[[float], Any]) -> None:
        """Write what waits until the reader ends; never waits for it longer than to look again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while not self.gone and (self._queue or self._late) and not self._transport.is_closing():
                if self._transport.get_write_buffer_size() > _AT_ONCE:
                    await sleep(_LOOK_S)
                    continue
                self._write_some()
            if self.gone or self._transport.is_closing():
                break
        await self._end()

    def _write_some(self) -> None:
        some: list[bytes] = []
        size = 0
        while self._queue and size < _AT_ONCE:
            some.append(self._queue.popleft())
            size += len(some[-1])
        self._bytes -= size
        if not self._queue and self._late:
            late, self._late = self._late, {}
            some += [frame(message) for topic in late.values() for message in topic.latest()]
        self._transport.write(b"".join(some))

    async def _end(self) -> None:
        self.gone = True
        if self._transport.get_write_buffer_size():
            # It does not read: a close frame would wait behind all the rest.
            self._transport.abort()
            return
        await self._ws.close(code=self._code or RESTART, message=self._why, drain=False)
