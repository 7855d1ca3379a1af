"""The websocket `/v1/api/ws` (web-api.md §7.1-7.9): sessions, opening frames, beats, topics.

Frames wait in a bounded queue per socket and leave in order from one writer per socket; a
frame that goes to several sockets is turned into text once.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from ibtui.sim.faults import Fault, Faults, garbled
from ibtui.sim.journal import Journal
from ibtui.sim.seam import Quirks, Session, SimClock
from ibtui.sim.sessions import LIFE, SERVER, Life, Sessions
from ibtui.sim.sso import api_cookie, through_gateway

BEAT_S = 10.0
ROOM = 20_000
"""Frames that may wait for a slow reader; beyond, prices are dropped, and at twice this the socket."""
BROKERAGE = frozenset({"smd", "umd", "smh", "umh", "sbd", "ubd", "sor", "uor", "str", "utr"})
TOPICS = BROKERAGE | {"spl", "upl", "ssd", "usd", "sld", "uld"}

Frame = dict[str, Any] | str | bytes
"""A frame to send: an object, text, or JSON that is serialised already."""

_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Topics(Protocol):
    """Subscriptions of one socket, played by the world."""

    def handle(self, frame: str) -> None:
        """A subscribe or unsubscribe frame of the client."""

    def close(self) -> None:
        """The socket is gone."""


class WorldSide(Protocol):
    """What the sockets need of the world."""

    def subscriptions(self, session: Session, send: Callable[[Frame], None]) -> Topics:
        """Fresh subscriptions whose frames go to `send`."""

    def accounts(self, session: Session) -> dict[str, Any]:
        """The object of web-api.md §3.1."""


class Socket:
    """One client: its queue and what it was opened with."""

    def __init__(self, hub: Hub, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws = ws
        self.life: Life | None = None
        self.bridged = False
        """The brokerage session was there when the socket was opened (else its topics stay dead)."""
        self.dead = False
        """The token changed since: beats go on, nothing else does."""
        self.silent = False
        self.topics: Topics | None = None
        self.dropped = 0
        self._hub = hub
        self._request = request
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._beat: asyncio.TimerHandle | None = None
        self._gone = False

    def send(self, frame: Frame) -> None:
        """Queue one frame of content; nothing for a dead or silent socket."""
        if not self.dead:
            self.push(frame)

    def push(self, frame: Frame) -> None:
        """Queue one frame, also for a dead socket (beats and the answers to `tic`)."""
        if self._gone or self.silent:
            return
        data = frame if isinstance(frame, bytes) else self._hub.data(frame)
        if len(self._queue) >= ROOM:
            if b'"topic":"smd' in data:
                self.dropped += 1
                return
            if len(self._queue) >= 2 * ROOM:
                self.abort()
                return
        self._queue.append(data)
        self._wake.set()

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        self._gone = True
        self._wake.set()
        if self._request.transport is not None:
            self._request.transport.abort()

    def finish(self) -> None:
        """Close properly once the queue is empty."""
        self._gone = True
        self._wake.set()

    def start_beating(self) -> None:
        """From now on a heartbeat each ten seconds."""
        loop = asyncio.get_running_loop()
        self._next_beat(loop, loop.time() + BEAT_S)

    def _next_beat(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        def beat() -> None:
            self.push({"topic": "system", "hb": self._hub.clock.now_ms()})
            if not self._gone:
                # From the due time, not from now: beats must not drift.
                self._next_beat(loop, at + BEAT_S)

        self._beat = loop.call_at(at, beat)

    async def write(self) -> None:
        """Send what is queued until the socket ends."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._write_one(self._queue.popleft())
                if self._gone:
                    await self.ws.close(code=WSCloseCode.OK)
                    return
        except ConnectionError:
            # The client went away in the middle of a frame; the reader sees the end, too.
            self._gone = True

    async def _write_one(self, data: bytes) -> None:
        fault = self._hub.faults.take("/v1/api/ws", frames=True)
        if fault is not None:
            await self._faulty(fault, data)
        elif self._hub.quirks.binary_frames:
            await self.ws.send_bytes(data)
        else:
            await self.ws.send_str(data.decode())

    async def _faulty(self, fault: Fault, data: bytes) -> None:
        if fault.kind == "garble":
            await self.ws.send_bytes(garbled(data))
        elif fault.seconds:
            self.silent = True
            asyncio.get_running_loop().call_later(fault.seconds, self._speak)

    def _speak(self) -> None:
        self.silent = False

    def stop(self) -> None:
        """Release what the socket holds."""
        self._gone = True
        if self._beat is not None:
            self._beat.cancel()
        if self.topics is not None:
            self.topics.close()
            self.topics = None
        self._queue.clear()


class Hub:
    """All open websockets; listens to the sessions."""

    def __init__(
        self,
        world: WorldSide,
        sessions: Sessions,
        faults: Faults,
        quirks: Quirks,
        clock: SimClock,
        journal: Journal,
    ) -> None:
        self.faults = faults
        self.quirks = quirks
        self.clock = clock
        self.sockets: set[Socket] = set()
        self._world = world
        self._sessions = sessions
        self._journal = journal
        self._last: dict[str, Any] | None = None
        self._last_data = b""

    def data(self, frame: dict[str, Any] | str) -> bytes:
        """A frame as bytes; the same object sent to many sockets in a row is serialised once."""
        if isinstance(frame, str):
            return frame.encode()
        if frame is not self._last:
            self._last, self._last_data = frame, _dump(frame).encode()
        return self._last_data

    # --- what sessions tell ----------------------------------------------------------------

    def changed(self, session: Session, changes: dict[str, Any]) -> None:
        """`sts` with the changed members (web-api.md §7.5)."""
        frame = {"topic": "sts", "args": changes}
        for socket in self._of(session):
            socket.send(frame)

    def rotated(self, session: Session) -> None:
        """The sockets of the old token beat on and say nothing more (web-api.md §7.9)."""
        for socket in self._of(session):
            socket.dead = True
            if socket.topics is not None:
                socket.topics.close()
                socket.topics = None

    def ended(self, session: Session) -> None:
        """The SSO session is over: close."""
        for socket in self._of(session):
            socket.finish()

    def _of(self, session: Session) -> list[Socket]:
        return [one for one in self.sockets if one.life is not None and one.life.session is session]

    # --- control ---------------------------------------------------------------------------

    def drop(self) -> int:
        """Cut all connections; returns how many."""
        for socket in list(self.sockets):
            socket.abort()
        return len(self.sockets)

    def silence(self) -> int:
        """Send nothing more on the open sockets, not even beats; returns how many."""
        for socket in self.sockets:
            socket.silent = True
        return len(self.sockets)

    def broadcast(self, frame: dict[str, Any]) -> int:
        """Send a frame on every live socket; returns how many there are."""
        for socket in self.sockets:
            socket.send(frame)
        return len(self.sockets)

    async def close(self) -> None:
        """Close every socket, at most a second long."""
        for socket in list(self.sockets):
            socket.finish()
        for _ in range(20):
            if not self.sockets:
                return
            await asyncio.sleep(0.05)
        self.drop()

    # --- a connection ----------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Upgrade and serve one client until either side ends it."""
        ws = web.WebSocketResponse(compress=False, max_msg_size=1 << 20, timeout=2.0)
        await ws.prepare(request)
        socket = Socket(self, ws, request)
        self.sockets.add(socket)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(socket.write(), name="websocket writer")
                self._open(socket, self._presented(request))
                async for message in ws:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                        data = message.data
                        self._receive(
                            socket, data if isinstance(data, str) else data.decode(errors="replace")
                        )
                socket.finish()
                writer.cancel()
        finally:
            self.sockets.discard(socket)
            socket.stop()
        return ws

    def _presented(self, request: web.Request) -> Life | None:
        """The session that the upgrade names: by cookie (two forms) or as a gateway's only one."""
        if LIFE in request:
            return request[LIFE]
        value = api_cookie(request)
        life = self._sessions.find(value)
        if through_gateway(request) or request.headers.get("User-Agent", "").startswith("ClientPortalGW/"):
            return life or self._sessions.jar
        # A direct client with the token of before a rotation is a stranger.
        return life if life is not None and life.session.token == value else None

    def _open(self, socket: Socket, life: Life | None) -> None:
        if life is None or life.over:
            socket.push({"message": "waiting for session"})
            return
        session = life.session
        socket.life = life
        socket.bridged = self._sessions.bridged(life)
        user = session.user
        socket.send({"topic": "system", "success": user.username, "isFT": False, "isPaper": user.paper})
        if session.authenticated:
            socket.send({"topic": "act", "args": self._world.accounts(session)})
        socket.send({"topic": "sts", "args": self._status(session)})
        socket.topics = self._world.subscriptions(session, socket.send)
        socket.start_beating()

    def _status(self, session: Session) -> dict[str, Any]:
        args: dict[str, Any] = {"connected": session.connected, "authenticated": session.authenticated}
        if self.quirks.established_key:
            args["established"] = session.established
        args |= {"competing": session.competing, "message": "", "fail": ""}
        return args | SERVER | {"username": session.user.username}

    def _receive(self, socket: Socket, frame: str) -> None:
        self._journal.frame(frame)
        if socket.life is None:
            self._present_late(socket, frame)
        elif frame == "ech+hb":
            socket.push("ech+hb")
        elif frame == "tic" or frame.startswith("tic+"):
            self._tic(socket, socket.life)
        else:
            self._topic(socket, frame)

    def _present_late(self, socket: Socket, frame: str) -> None:
        try:
            token = json.loads(frame).get("session")
        except (ValueError, AttributeError):
            token = None
        life = self._sessions.find(token) if isinstance(token, str) else None
        fits = life is not None and life.session.token == token and not life.role
        self._open(socket, life if fits else None)

    def _tic(self, socket: Socket, life: Life) -> None:
        answer = {
            "topic": "tic",
            "alive": True,
            "id": life.session.token,
            "lastAccessed": int(life.last_seen * 1000),
        }
        for _ in range(self.quirks.tic_replies):
            socket.push(answer)

    def _topic(self, socket: Socket, frame: str) -> None:
        name = frame[:3]
        if name not in TOPICS or frame[3:4] not in ("", "+", "{"):
            socket.send({"error": f"Topic unknown '{name}'", "code": 500, "topic": "error"})
        elif name in BROKERAGE and not (socket.bridged and socket.life and socket.life.session.authenticated):
            if name.startswith("s"):
                text = "unable to subscribe" if name in ("sor", "str") else "No accounts"
                socket.send({"error": text, "code": 500, "topic": name})
        elif socket.topics is not None:
            socket.topics.handle(frame)
