"""Connections to one origin for httpx: h11 speaks HTTP/1.1, asyncio has the sockets.

httpx's own transport brings httpcore and anyio, whose import alone costs as much as a whole
login; and what ibtui asks of them is little: one origin, replies read to their end.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

import h11

from ibtui.core.lean import httpx

MOST = 20
"""Connections at once; more requests wait their turn."""
KEPT_S = 30.0
"""Seconds that a connection is kept without use."""
_HEAD_BYTES = 100 * 1024
_CLOSING_S = 1.0


class Transport(httpx.AsyncBaseTransport):
    """Over TCP (TLS with `context` for https), or over the Unix socket `uds`.

    Raises, from a request: httpx's ConnectError, ConnectTimeout, ReadTimeout, ReadError,
    RemoteProtocolError and LocalProtocolError, with what led to them as their cause.
    """

    def __init__(self, context: ssl.SSLContext | None, uds: str = "") -> None:
        self._context = context
        self._uds = uds
        self._turns = asyncio.Semaphore(MOST)
        self._idle: deque[_Wire] = deque()
        self._open: set[_Wire] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request and its whole reply; httpx's own time-outs for connecting and reading."""
        body = await request.aread()
        limits = request.extensions.get("timeout", {})
        async with self._turns:
            wire = self._kept() or await self._connect(request.url, limits.get("connect"))
            try:
                response = await wire.exchange(request, body, limits.get("read"))
            except BaseException as error:  # a cancelled request's reply may still come: not for the next one
                wire.abort()
                if isinstance(error, httpx.TransportError):
                    # After a sleep or another network the others lead nowhere either.
                    while self._idle:
                        self._idle.pop().abort()
                raise
            if wire.again():
                self._idle.append(wire)
            else:
                wire.abort()
        return response

    def _kept(self) -> _Wire | None:
        """The connection used last; those that have gone, or were idle for too long, are dropped."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            wire = self._idle.pop()
            if not wire.gone and now - wire.idle_since <= KEPT_S:
                return wire
            wire.abort()
        return None

    async def _connect(self, url: httpx.URL, timeout: float | None) -> _Wire:
        loop = asyncio.get_running_loop()
        host = url.raw_host.decode("ascii")
        secure = url.scheme == "https"
        try:
            async with asyncio.timeout(timeout):
                if self._uds:
                    _, wire = await loop.create_unix_connection(lambda: _Wire(self._open), self._uds)
                else:
                    _, wire = await loop.create_connection(
                        lambda: _Wire(self._open),
                        host,
                        url.port or (443 if secure else 80),
                        ssl=self._context if secure else None,
                        happy_eyeballs_delay=0.25,
                    )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return wire

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        self._idle.clear()
        waiting = [wire.closed for wire in self._open]
        for wire in list(self._open):
            wire.abort()
        if waiting:
            await asyncio.wait(waiting, timeout=_CLOSING_S)


class _Wire(asyncio.Protocol):
    """One connection: one exchange after the other."""

    def __init__(self, all_open: set[_Wire]) -> None:
        self.gone = False
        """The other side has closed it, or it is of no use any more."""
        self.idle_since = 0.0
        """Loop time of the last reply's end."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._all_open = all_open
        self._parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[httpx.Response] | None = None
        self._head: h11.Response | None = None
        self._body = bytearray()

    async def exchange(self, request: httpx.Request, body: bytes, timeout: float | None) -> httpx.Response:
        """Send a request and wait `timeout` seconds for its whole reply."""
        if self._transport is None or self.gone:
            raise httpx.ReadError("the connection has gone")
        self._answer = asyncio.get_running_loop().create_future()
        try:
            head = h11.Request(
                method=request.method, target=request.url.raw_path, headers=request.headers.raw
            )
            parts = [head, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
            self._transport.write(b"".join(self._parser.send(part) or b"" for part in parts))
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        try:
            async with asyncio.timeout(timeout):
                return await self._answer
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time") from error
        finally:
            self._answer = None

    def again(self) -> bool:
        """Make ready for the next exchange; False where this was the last one."""
        parser = self._parser
        if self.gone or {parser.our_state, parser.their_state} != {h11.DONE} or parser.trailing_data[0]:
            return False
        parser.start_next_cycle()
        self._head = None
        self._body = bytearray()
        self.idle_since = asyncio.get_running_loop().time()
        return True

    def abort(self) -> None:
        """Close at once."""
        self.gone = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's word that it is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._all_open.add(self)

    def data_received(self, data: bytes) -> None:
        """Part of a reply; or what nobody asked for, which ends the connection."""
        if self._answer is None:
            self.abort()
            return
        self._parser.receive_data(data)
        self._read()

    def eof_received(self) -> None:
        """The other side has said all: for a reply without a length this is its end."""
        self.gone = True
        if self._answer is None:
            return
        if self._head is None:
            self._fail(httpx.RemoteProtocolError("the server closed the connection without an answer"))
            return
        self._parser.receive_data(b"")
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's word that it is closed."""
        self.gone = True
        self._all_open.discard(self)
        if not self.closed.done():
            self.closed.set_result(None)
        lost = httpx.ReadError(str(exc or "the connection was closed"))
        lost.__cause__ = exc
        self._fail(lost)

    def _read(self) -> None:
        try:
            while (event := self._parser.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    self._head = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._complete()
                    return
                elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    self._fail(httpx.RemoteProtocolError("the server changed the protocol"))
                    return
        except h11.RemoteProtocolError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))

    def _complete(self) -> None:
        if self._answer is None or self._answer.done() or self._head is None:
            return
        self._answer.set_result(
            httpx.Response(
                self._head.status_code,
                headers=self._head.headers.raw_items(),
                stream=httpx.ByteStream(bytes(self._body)),
                extensions={
                    "http_version": b"HTTP/" + self._head.http_version,
                    "reason_phrase": self._head.reason,
                },
            )
        )

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
