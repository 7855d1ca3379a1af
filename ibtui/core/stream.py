"""The WebSocket's connection: the only place that knows websockets (web-api.md §7.1, login.md §9.5)."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import Frame, Opcode
from websockets.protocol import State

import ibtui
from ibtui.clock import Clock
from ibtui.core import relayed
from ibtui.core import trust as tls
from ibtui.core.link import StreamState
from ibtui.core.live import GiveSession, Live, OnEvent, OnFrame
from ibtui.core.pacing import Pacing
from ibtui.core.trust import Trust
from ibtui.core.wire import decode as wire
from ibtui.errors import GatewayDown, IbtuiError, NotLoggedIn, Stalled, Unreachable, UsageError
from ibtui.log import quiet_libraries
from ibtui.secret import Secret

__all__ = ["COOKIES", "Stream", "StreamState"]

COOKIES = frozenset({"json", "plain", "message"})
"""Ways to present the session: `api={"session":"…"}`, `api=…`, or as the first message (§7.1)."""
OPEN_S = 10.0
CLOSE_S = 3.0
_silent = logging.getLogger("ibtui.socket.library")
# The library writes the upgrade request, cookie and all, at DEBUG.
_silent.setLevel(logging.CRITICAL)
_TEXT, _BINARY, _CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
MAX_SIZE = 2**24
"""Bytes of the longest message that is taken."""
_WHOLE = frozenset({0x80 | _TEXT, 0x80 | _BINARY})
"""First bytes of data frames in one piece, without extensions."""
_LONGEST_HEAD = 2**16
Take = Callable[[wire.Frame], None]


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        # A redirect means 'no session'; following it would carry the cookie elsewhere.
        return exc


class _Socket(ClientConnection):
    """Hands each whole message over as soon as it is read, past the library's queue.

    What a market sends, unmasked data frames in one piece, is cut out of the stream here, for
    the library takes longer over such a frame than all the rest of its way to the screen. The
    handshake and every other frame, control frames and fragments among them, are the library's.
    """

    take: Take

    def __init__(self, *args: Any, take: Take, **more: Any) -> None:
        super().__init__(*args, **more)
        self.take = take
        self._parts: list[bytes] = []
        self._shaken = False
        self._library_alone = False
        self._rest = bytearray()
        self._needed = 0

    def data_received(self, data: bytes) -> None:
        if self._library_alone:
            super().data_received(data)
            return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        if self._shaken:
            self._walk(data)
        else:
            self._shake_hands(data)

    def _shake_hands(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 and len(data) < _LONGEST_HEAD:
            self._rest += data
            self._needed = 0
            return
        head, rest = (data[:end], data[end:]) if end >= 4 else (data, b"")
        super().data_received(head)
        self._shaken = self.protocol.state is State.OPEN
        self._library_alone = not self._shaken
        if rest:
            self.data_received(rest)

    def _walk(self, data: bytes) -> None:
        at, size = 0, len(data)
        while size - at >= 2:
            length = data[at + 1]
            start = at + 2
            if length > 125:
                if length < 128:
                    start += 2 if length == 126 else 8
                    if size < start:
                        break
                    length = int.from_bytes(data[at + 2 : start])
                else:  # masked, which a server's frames must not be
                    length = MAX_SIZE + 1
                if length > MAX_SIZE:
                    # The library ends the connection, with the right code.
                    self._library_alone = True
                    super().data_received(data[at:])
                    return
            end = start + length
            if end > size:
                self._needed = end - at
                self._rest += data[at:]
                return
            if data[at] in _WHOLE and not self._parts:
                self.take(data[start:end])
            else:
                super().data_received(data[at:end])
            at = end
        self._needed = 0
        self._rest += data[at:]

    def process_event(self, event: Any) -> None:
        if event.__class__ is not Frame or self.response is None:
            super().process_event(event)
            return
        opcode = event.opcode
        if opcode is _BINARY or opcode is _TEXT:
            if event.fin:
                self.take(event.data)
            else:
                self._parts = [bytes(event.data)]
        elif opcode is _CONT:
            self._parts.append(bytes(event.data))
            if event.fin:
                whole, self._parts = b"".join(self._parts), []
                self.take(whole)
        else:
            super().process_event(event)


class _Link:
    """An open connection, seen from `live`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, frame: str) -> None:
        try:
            await self._socket.send(frame)
        except (ConnectionClosed, OSError) as error:
            raise Unreachable("The WebSocket is closed.") from error

    async def wait_closed(self) -> None:
        await self._socket.wait_closed()

    def abort(self) -> None:
        self._socket.transport.abort()

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close()
        except (TimeoutError, OSError, WebSocketException):
            self.abort()


class Stream(Live):
    """One WebSocket to a gateway, kept open from `open` to `close`.

    `session` gives the token to present and is asked before each connection. `on_event`
    hears every event but those whose frame `on_frame` has dealt with, `on_gap` every time the
    socket is back after having been away, `on_state` of opening and closing. `debug` words (`open
    close send receive error`) are written, redacted, to `write` or the log `ibtui.socket`. `cookie`
    is a word of `COOKIES`.

    Raises:
        UsageError: an unknown debug or cookie word.
    """

    def __init__(
        self,
        url: str,
        trust: Trust,
        session: GiveSession,
        *,
        clock: Clock | None = None,
        pacing: Pacing | None = None,
        debug: Iterable[str] = (),
        write: Callable[[str], None] | None = None,
        cookie: str = "json",
        read_only: bool = True,
        proxy: str = "",
        uds: str = "",
        query: Callable[[], str] | None = None,
        on_event: OnEvent | None = None,
        on_frame: OnFrame | None = None,
        on_gap: Callable[[], None] | None = None,
        on_state: Callable[[StreamState], None] | None = None,
    ) -> None:
        if cookie not in COOKIES:
            raise UsageError(f"{cookie!r} is no way to present the session: {', '.join(sorted(COOKIES))}.")
        quiet_libraries()
        super().__init__(
            url,
            partial(_dial, trust=trust, cookie=cookie, proxy=proxy, uds=uds, query=query),
            session,
            clock=clock,
            pacing=pacing,
            debug=debug,
            write=write,
            read_only=read_only,
            on_event=on_event,
            on_frame=on_frame,
            on_gap=on_gap,
            on_state=on_state,
        )


async def _dial(
    url: str,
    token: Secret | None,
    take: Take,
    *,
    trust: Trust,
    cookie: str,
    proxy: str,
    uds: str = "",
    query: Callable[[], str] | None = None,
) -> _Link:
    headers = {}
    where = url.split("://", 1)[-1].split("/", 1)[0]
    if query is not None:
        url = f"{url}?{query()}"
    door: dict[str, Any] = {"unix": True, "path": uds} if uds else {}
    if token is not None and cookie != "message":
        text = token.reveal()
        value = text if cookie == "plain" else msgspec.json.encode({"session": text}).decode()
        headers["Cookie"] = f"api={value}"
    try:
        socket = await _Connect(
            url,
            ssl=trust.context() if url.startswith("wss") else None,
            additional_headers=headers,
            user_agent_header=f"ibtui/{ibtui.__version__}",
            proxy=proxy or None,
            open_timeout=OPEN_S,
            ping_interval=None,
            close_timeout=CLOSE_S,
            max_size=MAX_SIZE,
            compression=None,
            logger=_silent,
            create_connection=cast(Any, partial(_Socket, take=take)),
            **door,
        )
    except (OSError, ssl.SSLError, WebSocketException, TimeoutError) as error:
        raise _trouble(error, where, bool(uds), query is not None) from error
    return _Link(socket)


def _trouble(error: Exception, where: str, uds: bool, direct: bool) -> IbtuiError:
    found = tls.mismatch(error, where)
    if found is not None:
        return found
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        name = error.response.headers.get(relayed.HEADER, "")
        told = relayed.unpack(name, bytes(error.response.body or b"")) if uds else None
        if told is not None:
            return told
        if status in (401, 403) or 300 <= status < 400:
            return NotLoggedIn(f"The WebSocket was refused (status {status}).", "Log in first.")
        return Unreachable(f"The WebSocket was refused (status {status}).", "Try again later.")
    if isinstance(error, TimeoutError):
        return Stalled(f"The WebSocket at {where} did not open within {OPEN_S:g} s.")
    if isinstance(error, OSError):
        if uds:
            return relayed.gone()
        if direct:
            return Unreachable(f"Nothing answers at {where}.", "Look at the network, or at api_host.")
        return GatewayDown(f"Nothing answers at {where}.", "Start the gateway, or correct its address.")
    return Unreachable(f"The WebSocket at {where} broke while opening ({type(error).__name__}).")
