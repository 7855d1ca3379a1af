"""Connections to one origin: h11 speaks HTTP/1.1, asyncio has the sockets.

A general HTTP client takes longer to import than a whole login takes; and what ibtui asks of one is
little: one origin, replies read to their end.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

import h11

from ibtui.core.address import Address
from ibtui.core.http import Answer, NoConnection, Request, Shut, TooSlow, Trouble, unpacked

MOST = 20
"""Connections at once; more requests wait their turn."""
KEPT_S = 30.0
"""Seconds that a connection is kept without use."""
_HEAD_BYTES = 100 * 1024
_CLOSING_S = 1.0


class Transport:
    """A `Carrier` over TCP (TLS with `context` for https), or over the Unix socket `uds`."""

    def __init__(self, address: Address, context: ssl.SSLContext | None, uds: str = "") -> None:
        self._address = address
        self._context = context
        self._uds = uds
        self._turns = asyncio.Semaphore(MOST)
        self._idle: deque[_Wire] = deque()
        self._open: set[_Wire] = set()
        self._shut = False

    async def exchange(self, request: Request, connect_s: float, read_s: float) -> Answer:
        """As `http.Carrier`."""
        async with self._turns:
            if self._shut:
                raise Shut("the connection was closed meanwhile")
            wire = self._kept() or await self._connect(connect_s)
            try:
                answer = await wire.exchange(request, read_s)
            except BaseException as error:  # a cancelled request's reply may still come: not for the next one
                wire.abort()
                if isinstance(error, Trouble):
                    # After a sleep or another network the others lead nowhere either.
                    while self._idle:
                        self._idle.pop().abort()
                raise
            if wire.again() and not self._shut:
                self._idle.append(wire)
            else:
                wire.abort()
        return answer

    def _kept(self) -> _Wire | None:
        """The connection used last; those that have gone, or were idle for too long, are dropped."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            wire = self._idle.pop()
            if not wire.gone and now - wire.idle_since <= KEPT_S:
                return wire
            wire.abort()
        return None

    async def _connect(self, seconds: float) -> _Wire:
        loop = asyncio.get_running_loop()
        secure = self._address.scheme == "https"
        try:
            async with asyncio.timeout(seconds):
                if self._uds:
                    _, wire = await loop.create_unix_connection(lambda: _Wire(self._open), self._uds)
                else:
                    _, wire = await loop.create_connection(
                        lambda: _Wire(self._open),
                        self._address.host,
                        self._address.port,
                        ssl=self._context if secure else None,
                        happy_eyeballs_delay=0.25,
                    )
        except TimeoutError as error:
            raise NoConnection("no connection in time") from error
        except (OSError, UnicodeError) as error:  # a host name that cannot be one
            raise NoConnection(str(error)) from error
        return wire

    async def close(self) -> None:
        """As `http.Carrier`."""
        self._shut = True
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
        self._answer: asyncio.Future[Answer] | None = None
        self._head: h11.Response | None = None
        self._body = bytearray()

    async def exchange(self, request: Request, seconds: float) -> Answer:
        """Send a request and wait so many seconds for its whole reply."""
        if self._transport is None or self.gone:
            raise Trouble("the connection has gone")
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._transport.write(self._bytes(request))
            async with asyncio.timeout(seconds):
                return await self._answer
        except (h11.LocalProtocolError, UnicodeError) as error:
            raise Trouble("it cannot be sent") from error
        except TimeoutError as error:
            raise TooSlow("no answer in time") from error
        finally:
            self._answer = None

    def _bytes(self, request: Request) -> bytes:
        head = h11.Request(method=request.method, target=request.path, headers=list(request.headers))
        body = [h11.Data(data=request.body)] if request.body else []
        return b"".join(self._parser.send(part) or b"" for part in (head, *body, h11.EndOfMessage()))

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
            self._fail(Trouble("the server closed the connection without an answer"))
            return
        self._parser.receive_data(b"")
        self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's word that it is closed."""
        self.gone = True
        self._all_open.discard(self)
        if not self.closed.done():
            self.closed.set_result(None)
        self._fail(_because(Trouble("the connection was closed"), exc))

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
                    self._fail(Trouble("the server changed the protocol"))
                    return
        except h11.RemoteProtocolError as error:
            # Its own words quote what came, which may be a cookie.
            self._fail(_because(Trouble("the answer is no whole HTTP reply"), error))

    def _complete(self) -> None:
        if self._answer is None or self._answer.done() or self._head is None:
            return
        headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self._head.headers
        )
        try:
            content = unpacked(headers, bytes(self._body))
        except Trouble as error:
            self._fail(error)
        else:
            self._answer.set_result(Answer(self._head.status_code, headers, content))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def _because(error: Trouble, cause: BaseException | None) -> Trouble:
    error.__cause__ = cause
    return error
