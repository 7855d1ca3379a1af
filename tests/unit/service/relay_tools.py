"""A relay on a real Unix socket and the gateway's end of WebSockets, for the tests of the relay."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from ibtui.clock import Clock, SystemClock
from ibtui.core.client import IbkrClient
from ibtui.core.stream import Stream
from ibtui.service.relay import Connect, Relay
from tests.unit.core.core_servers import Gateway


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def relaying(connect: Connect, clock: Clock | None = None) -> AsyncIterator[tuple[Relay, str]]:
    """A relay, and the path of its socket (short: a Unix socket's may have 107 characters)."""
    folder = Path(tempfile.mkdtemp(prefix="ibtui-"))
    relay = Relay(connect, clock or SystemClock())
    app = web.Application(client_max_size=1 << 24)
    app.add_routes(relay.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "s")).start()
    try:
        yield relay, str(folder / "s")
    finally:
        await relay.close()
        await runner.cleanup()
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def between(gateway: Gateway, **more: Any) -> AsyncIterator[tuple[Relay, str, IbkrClient]]:
    """A relay in front of a scripted gateway, its socket's path and the client it uses."""
    async with IbkrClient(gateway.url, **more) as client:

        async def connect() -> IbkrClient:
            return client

        async with relaying(connect) as (relay, path):
            yield relay, path, client


class Upstream:
    """The gateway's side of all WebSockets: what they sent, and a way to speak."""

    def __init__(self, gateway: Gateway) -> None:
        self.open: list[web.WebSocketResponse] = []
        self.opened = 0
        self.heard: list[str] = []
        self.replies: dict[str, list[Any]] = {}
        """Frame heard -> messages it is answered with."""
        self.token = "token-1"
        gateway.on("GET /ws", self.serve)
        gateway.on("POST /tickle", self.tickle)

    async def tickle(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"session": self.token})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.open.append(ws)
        self.opened += 1
        await self.say({"topic": "system", "success": "demo123"}, ws)
        await self.say({"topic": "act", "args": {"accounts": ["DU1"], "selectedAccount": "DU1"}}, ws)
        await self.say({"topic": "sts", "args": {"connected": True, "authenticated": True}}, ws)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                self.heard.append(message.data)
                for reply in self.replies.get(message.data, []):
                    await self.say(reply, ws)
        self.open.remove(ws)
        return ws

    async def say(self, message: Any, ws: web.WebSocketResponse | None = None) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        for one in [ws] if ws else list(self.open):
            await one.send_bytes(data)


class Listener:
    """A terminal's socket: every message it was sent."""

    def __init__(self, client: IbkrClient) -> None:
        self.messages: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.states: list[str] = []
        self.client = client
        self.stream: Stream = client.socket(
            on_frame=self._take, on_state=lambda state: self.states.append(state.state)
        )

    def _take(self, data: Any) -> bool:
        self.raw.append(bytes(data))
        with contextlib.suppress(ValueError):
            self.messages.append(json.loads(bytes(data)))
        return False

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message.get("topic") == topic]

    async def say(self, *frames: str) -> None:
        for frame in frames:
            await self.stream.send(frame)


@contextlib.asynccontextmanager
async def listening(path: str, **more: Any) -> AsyncIterator[Listener]:
    async with IbkrClient("http://ibtui", uds=path, **more) as client:
        listener = Listener(client)
        await listener.stream.open(10)
        yield listener
