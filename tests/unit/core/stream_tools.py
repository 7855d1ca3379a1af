"""A scripted WebSocket server, and a stream to it on a clock that tests own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from ibtui.clock import FakeClock
from ibtui.core import live
from ibtui.core.stream import Stream
from ibtui.core.trust import Trust
from ibtui.secret import Secret

TOKEN = "4be07c51d9a2463f8e1b6f0a97c3d25e"


class Clock(FakeClock):
    """Time stands still but for `advance`; sleeping gives way and costs nothing."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.002)


@dataclass
class Socket:
    """A scripted server; `told` are the frames of all connections, `sockets` the connections."""

    url: str = ""
    sockets: list[ServerConnection] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    told: list[tuple[int, str]] = field(default_factory=list)
    greeting: list[str] = field(
        default_factory=lambda: [
            '{"topic":"system","success":"demo123"}',
            '{"topic":"sts","args":{"authenticated":true}}',
        ]
    )
    on_frame: Callable[[ServerConnection, str], Any] | None = None
    refuse: int = 0

    async def handle(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self.cookies.append(socket.request.headers.get("Cookie") if socket.request else None)
        number = len(self.sockets)
        for text in self.greeting:
            await socket.send(text.encode())
        with contextlib.suppress(Exception):
            async for frame in socket:
                self.told.append((number, str(frame)))
                if self.on_frame is not None:
                    await self.on_frame(socket, str(frame))

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.refuse:
            response = connection.respond(HTTPStatus(self.refuse), "no")
            if self.refuse == 302:
                response.headers["Location"] = "/sso/Login"
            return response
        return None

    def frames(self, number: int) -> list[str]:
        return [frame for socket, frame in self.told if socket == number]


@contextlib.asynccontextmanager
async def listening(socket: Socket, **more: Any) -> AsyncIterator[Server]:
    async with serve(socket.handle, "127.0.0.1", 0, process_request=socket.check, **more) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        socket.url = f"{'wss' if more.get('ssl') else 'ws'}://127.0.0.1:{port}/v1/api/ws"
        yield server


@contextlib.asynccontextmanager
async def scripted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Socket]:
    """The server of a test; what the stream waits for takes no time."""
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    monkeypatch.setattr(live, "WELCOME_S", 0.5)
    socket = Socket()
    async with listening(socket):
        yield socket


async def give() -> Secret | None:
    return Secret(TOKEN)


def stream_to(socket: Socket, **more: Any) -> Stream:
    more.setdefault("clock", Clock())
    more.setdefault("session", give)
    session = more.pop("session")
    return Stream(socket.url, more.pop("trust", Trust.system()), session, **more)


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
