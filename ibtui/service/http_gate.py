"""How many connections the HTTP door holds, and how long one may say nothing.

Without this anybody who reaches the port could use up this process's files, and the keep-alive
could open no connection of its own.
"""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

MOST = 256
"""Connections at once; more are closed as they come."""
HEAD_S = 10.0
"""Seconds from the connection to its first whole request head."""


class Gate:
    """Makes the protocol of each connection, for `loop.create_server`."""

    def __init__(self, most: int = MOST, head_s: float = HEAD_S) -> None:
        self._most = most
        self._head_s = head_s
        self._silent: set[RequestHandler] = set()
        self.server: web.Server | None = None
        """aiohttp's; set before the first connection."""

    def __call__(self) -> asyncio.BaseProtocol:
        """A connection comes in."""
        server = self.server
        if server is None or len(server.connections) >= self._most:
            return _Closed()
        made = server()
        self._silent.add(made)
        asyncio.get_running_loop().call_later(self._head_s, self._look, made)
        return made

    def _look(self, made: RequestHandler) -> None:
        if made in self._silent:
            self._silent.discard(made)
            made.force_close()

    @web.middleware
    async def heard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The application's first middleware: a connection that has asked for something may stay."""
        self._silent.discard(request.protocol)
        return await handler(request)


class _Closed(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()
