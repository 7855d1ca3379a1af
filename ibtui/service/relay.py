"""The supervisor's relay: every terminal's requests and sockets, as one client of the gateway (DESIGN §2.5).

Requests are waited for, timed and refused by the supervisor's own client, so that there is one
pacing budget; replies are handed back as they came. What never was a reply travels as an error
of `ibtui.errors` (`core.relayed`): an attached `IbkrClient(url, uds=…)` raises what a local one
would. Follows web-api.md §1 and §7, login.md §9.3 for cookies.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import WSMsgType, web

from ibtui.clock import Clock, Tasks
from ibtui.core import relayed
from ibtui.core.client import IbkrClient
from ibtui.core.failures import decode
from ibtui.core.pacing import route
from ibtui.core.relayed import Asked, Given
from ibtui.errors import IbtuiError
from ibtui.service.fan import Fan
from ibtui.service.fan_reader import Reader
from ibtui.service.shared import Shared

_TO_GATEWAY = ("Content-Type", "Accept")
_BACK = frozenset({"content-type", "date", "cache-control", "x-response-time"})
_MESSAGE = 1 << 20
_SECURE = re.compile(r"(?i);\s*(secure|domain=[^;]*)")
_SELECTS = "POST /iserver/account"
_OF_THE_SELECTED = frozenset({"sor", "str"})
"""Topics that tell of the account that is selected (web-api.md §3.2)."""
_TICKLES = frozenset({"GET /tickle", "POST /tickle"})

Connect = Callable[[], Awaitable[IbkrClient]]


class Relay:
    """Passes on what comes in under `/v1/` and `/sso/`.

    `connect` gives the supervisor's own client, the same one until there is another (after a
    restart of the gateway, say); it may be called many times at once, and raises `IbtuiError` when
    there is none to be had.
    """

    def __init__(self, connect: Connect, clock: Clock) -> None:
        self._connect = connect
        self._shared = Shared(clock)
        self._clock = clock
        self._client: IbkrClient | None = None
        self._tasks = Tasks()
        self._writers: set[asyncio.Task[None]] = set()
        self.fan = Fan(clock, self._shared.heard)

    def routes(self) -> list[web.AbstractRouteDef]:
        """For the door of the supervisor; the application sets `client_max_size`."""
        return [
            web.get("/v1/api/ws", self._socket),
            web.route("*", "/v1/{path:.*}", self._request),
            web.route("*", "/sso/{path:.*}", self._request),
        ]

    def forget(self) -> None:
        """Another session, or none: nothing that was said before may be said again."""
        self._shared.clear()

    async def close(self) -> None:
        """Close all sockets, upstream and down, and give up what is under way."""
        self._attend(None)
        await self.fan.close()
        if self._writers:
            # Each has a close frame to send.
            await asyncio.wait(self._writers, timeout=1.0)
        await self._shared.close()
        await self._tasks.close()

    async def _ready(self) -> IbkrClient:
        client = await self._connect()
        self._attend(client)
        return client

    def _attend(self, client: IbkrClient | None) -> None:
        if client is self._client:
            return
        if self._client is not None:
            self._client.token.leave(self.forget)
        self._client = client
        self.forget()
        if client is not None:
            client.token.listen(self.forget)

    # requests

    async def _request(self, request: web.Request) -> web.StreamResponse:
        try:
            client = await self._ready()
            asked = Asked(
                request.method,
                request.raw_path,
                _headers(request),
                await request.read(),
            )
            given = await self._shared.ask(asked, client.rest.forward)
        except IbtuiError as error:
            return _refusal(error)
        self._learn(client, asked, given)
        return _reply(given, client.rest.address.origin, login=asked.path.startswith("/sso/"))

    def _learn(self, client: IbkrClient, asked: Asked, given: Given) -> None:
        """What a reply means for all: a tickle's token ends an older one's socket (web-api.md §7.9)."""
        if given.status == 401:
            self.forget()
        name = route(asked.method, asked.path)
        if given.status == 200 and name == _SELECTS:
            self._tasks.start(self.fan.renew(_OF_THE_SELECTED), "account selected")
        if given.status != 200 or name not in _TICKLES:
            return
        try:
            client.tickled(decode(given.content))
        except (msgspec.MsgspecError, ValueError):
            return

    # sockets

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        try:
            await self.fan.open(await self._ready())
        except IbtuiError as error:
            return _refusal(error)
        ws = web.WebSocketResponse(compress=False, max_msg_size=_MESSAGE, timeout=2.0)
        try:
            await ws.prepare(request)
        except ConnectionError:
            return ws  # whoever asked has gone meanwhile
        transport = request.transport
        if transport is None:
            return ws
        reader = Reader(ws, transport)
        writing = self._tasks.start(reader.write(self._clock.sleep), "socket writer")
        self._writers.add(writing)
        writing.add_done_callback(self._writers.discard)
        self.fan.join(reader)
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    await self.fan.receive(reader, message.data)
                elif message.type is WSMsgType.BINARY:
                    await self.fan.receive(reader, message.data.decode("utf-8", "replace"))
        finally:
            self.fan.leave(reader)
            writing.cancel()
        return ws


def _headers(request: web.Request) -> dict[str, str]:
    """What speaks of the content; and in a login its conversation's own cookies (login.md §3)."""
    names = [*_TO_GATEWAY, "Cookie"] if request.raw_path.startswith("/sso/") else _TO_GATEWAY
    return {name: request.headers[name] for name in names if name in request.headers}


def _reply(given: Given, origin: str, *, login: bool) -> web.Response:
    reply = web.Response(status=given.status, body=given.content)
    for name, value in given.headers:
        low = name.lower()
        if low in _BACK:
            reply.headers[name] = value
        elif low == "location":
            reply.headers[name] = value.removeprefix(origin) or "/"
        elif low == "set-cookie" and login:
            # This end is a Unix socket: no TLS, no domain.
            reply.headers.add(name, _SECURE.sub("", value))
    return reply


def _refusal(error: IbtuiError) -> web.Response:
    status, headers, body = relayed.pack(error)
    return web.Response(status=status, headers=headers, body=body)
