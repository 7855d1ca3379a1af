"""Through an HTTP proxy that the profile names: requests and the stream, TLS from end to end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ibtui import IbkrClient
from ibtui.core.trust import Trust
from ibtui.errors import CertificateMismatch, GatewayDown, Unreachable
from tests.conftest import Sim


class Proxy:
    """Tunnels what it is asked to; notes where to."""

    def __init__(self, status: bytes = b"200 OK") -> None:
        self.asked: list[str] = []
        self.status = status
        self.ends: list[asyncio.StreamWriter] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ends.append(writer)
        method, where, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
        self.asked.append(f"{method} {where}")
        writer.write(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
        if not self.status.startswith(b"200"):
            writer.close()
            return
        host, port = where.split(":")
        there, back = await asyncio.open_connection(host, int(port))
        self.ends.append(back)
        self.tasks |= {asyncio.create_task(pass_on(*it)) for it in ((reader, back), (there, writer))}

    async def close(self) -> None:
        for end in self.ends:
            end.close()
        await asyncio.gather(*self.tasks)
        for end in self.ends:
            with contextlib.suppress(OSError):
                await end.wait_closed()


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def proxy(status: bytes = b"200 OK") -> AsyncIterator[tuple[Proxy, str]]:
    found = Proxy(status)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    async with asyncio.timeout(30), server:
        yield found, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await found.close()


async def test_requests_and_the_stream(live_sim: Sim) -> None:
    assert live_sim.cert is not None
    trust = Trust.ca(Path(live_sim.cert))
    async with proxy() as (seen, url), IbkrClient(live_sim.url, trust=trust, proxy=url) as client:
        await client.init()
        assert await client.request("/portfolio/accounts")
        async for message in client.socket().orders():
            assert message
            break
    place = live_sim.url.removeprefix("https://")
    assert len(seen.asked) >= 2 and set(seen.asked) == {f"CONNECT {place}"}


async def test_the_certificate_is_looked_at_behind_a_proxy_too(live_sim: Sim) -> None:
    async with (
        proxy() as (_, url),
        IbkrClient(live_sim.url, trust=Trust.pin("ab" * 32), proxy=url) as client,
    ):
        with pytest.raises(CertificateMismatch):
            await client.status()
    assert not any(row["path"].endswith("/auth/status") for row in live_sim.journal())


async def test_a_proxy_that_refuses_and_one_that_is_not_there(live_sim: Sim) -> None:
    async with proxy(b"403 Forbidden") as (_, url), IbkrClient(live_sim.url, proxy=url) as client:
        with pytest.raises((GatewayDown, Unreachable)) as caught:
            await client.tickle()
    assert "Traceback" not in str(caught.value)
    async with IbkrClient(live_sim.url, proxy=url) as client:
        with pytest.raises(GatewayDown):
            await client.status()
