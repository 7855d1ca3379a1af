"""The client over a Unix socket: the same calls and sockets, no TLS, no waiting of its own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ibtui import errors
from ibtui.core import relayed
from ibtui.core.client import IbkrClient
from ibtui.core.pacing import Unpaced
from tests.unit.core.core_servers import Gateway


@contextlib.asynccontextmanager
async def door(gateway: Gateway) -> AsyncIterator[str]:
    """A scripted gateway at a Unix socket; gives its path."""
    folder = Path(tempfile.mkdtemp(prefix="ibtui-"))
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", gateway.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "s")).start()
    try:
        yield str(folder / "s")
    finally:
        await runner.cleanup()
        shutil.rmtree(folder)


async def echo(request: web.Request) -> web.StreamResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    await ws.send_json({"topic": "system", "success": "demo"})
    async for message in ws:
        if message.data.startswith("spl"):
            await ws.send_bytes(b'{"topic":"spl","args":{"DU1.Core":{"dpl":1.5}}}')
    return ws


async def test_requests_and_sockets() -> None:
    gateway = Gateway()
    gateway.on("POST /tickle", {"session": "abc"})
    gateway.on("GET /iserver/account/orders", {"orders": []})
    gateway.on("GET /ws", echo)
    async with asyncio.timeout(10), door(gateway) as path, IbkrClient("http://ibtui", uds=path) as client:
        assert isinstance(client.pacing, Unpaced) and client.trust.fingerprint == ""
        # Its budget is counted at the other end.
        for _ in range(15):
            await client.request("/iserver/account/orders")
        async with client.socket().pnl() as messages:
            assert (await anext(messages))["args"] == {"DU1.Core": {"dpl": "1.5"}}
        assert gateway.seen[-1].headers["Cookie"] == 'api={"session":"abc"}'
        client.pacing.cool_down()
        await client.request("/iserver/account/orders")


async def test_a_429_is_still_too_many_requests() -> None:
    gateway = Gateway()
    gateway.on("GET /iserver/accounts", {"error": "Too Many Requests"}, status=429)
    async with asyncio.timeout(10), door(gateway) as path, IbkrClient("http://ibtui", uds=path) as client:
        with pytest.raises(errors.Pacing):
            await client.request("/iserver/accounts")
        with pytest.raises(errors.TradingLocked):
            await client.request("/iserver/account/DU1/orders", "POST", {})
        assert len(gateway.seen) == 1


ERRORS: list[errors.IbtuiError] = [
    errors.TradingLocked("locked", "unlock"),
    errors.GatewayDown("down"),
    errors.Stalled("no answer", "later"),
    errors.Pacing("too many"),
    errors.NotLoggedIn("nobody", "log in"),
    errors.UsageError("wrong"),
    errors.UnknownReply("odd", status=500),
    errors.Rejected("no", status=500),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_errors_arrive_as_they_left(error: errors.IbtuiError) -> None:
    status, headers, body = relayed.pack(error)
    gateway = Gateway()
    for route in ("GET /iserver/accounts", "POST /tickle"):
        gateway.on(route, web.Response(status=status, headers=headers, body=body))
    gateway.on("GET /ws", web.Response(status=status, headers=headers, body=body))
    async with asyncio.timeout(10), door(gateway) as path, IbkrClient("http://ibtui", uds=path) as client:
        with pytest.raises(type(error)) as caught:
            await client.request("/iserver/accounts")
        assert type(caught.value) is type(error)
        assert (caught.value.what, caught.value.fix) == (error.what, error.fix)
        gateway.on("POST /tickle", {"session": "abc"})
        with pytest.raises(type(error)) as caught:
            await client.socket().open(5)
        assert (caught.value.what, caught.value.fix) == (error.what, error.fix)


async def test_the_header_means_nothing_anywhere_else(gateway: Gateway) -> None:
    status, headers, body = relayed.pack(errors.GatewayDown("made up"))
    gateway.on("GET /x", web.Response(status=200, headers=headers, body=body))
    async with IbkrClient(gateway.url) as client:
        assert (await client.request("/x"))["what"] == "made up"
    assert relayed.unpack("", b"") is None


@pytest.mark.parametrize("name", ["Backoff", "SystemExit", "Nonsense"])
def test_what_cannot_be_made_again_is_an_error_all_the_same(name: str) -> None:
    found: Any = relayed.unpack(name, b'{"what":"w","fix":"f"}')
    assert type(found) is errors.IbtuiError and str(found) == "w f"
    assert "background process" in str(relayed.unpack(name, b"<html>"))
