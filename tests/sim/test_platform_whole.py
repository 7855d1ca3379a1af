"""Platform and world together: one login, then what a client reads, streams and steers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ibtui.sim import scenario
from tests.sim.platform_tools import Client, frame, frame_with, started


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    chosen = scenario.load()
    chosen.settings.auth_delay_s = 0.1
    sim = await started(chosen)
    try:
        async with Client(sim) as client:
            yield client
    finally:
        await sim.stop()


async def opened(client: Client, user: str = "demo123") -> Any:
    """Log in over the login pages and open a websocket past its first frames."""
    assert (await client.login(user)).text == "Client login succeeds"
    await client.ready()
    ws = await client.socket(f"api={client.token}")
    await frame_with(ws, "sts")
    return ws


async def test_from_login_to_a_filled_order(client: Client) -> None:
    ws = await opened(client)
    try:
        assert (await client.get("/iserver/accounts")).json()["selectedAccount"] == "DU1234567"
        assert (await client.get("/portfolio/accounts")).json()[0]["accountId"] == "DU1234567"
        assert (await client.get("/iserver/account/orders")).json() == {"orders": [], "snapshot": False}
        await ws.send("str+{}")
        await frame_with(ws, "str")
        await ws.send('smd+265598+{"fields":["31"]}')
        assert "31" in await frame_with(ws, "smd+265598")
        await client.control("/quirks", {"questions": [], "commission_delay_s": 0.1})
        order = {
            "conid": 265598,
            "orderType": "MKT",
            "side": "BUY",
            "tif": "DAY",
            "quantity": 3,
            "cOID": "x1",
        }
        placed = (await client.post("/iserver/account/DU1234567/orders", {"orders": [order]})).json()
        async with asyncio.timeout(15):
            while True:
                args = (await frame_with(ws, "str", 15))["args"]
                if args and args[0].get("order_ref") == "x1":
                    break
        assert int(placed[0]["order_id"]) == args[0]["order_id"]
        books = await client.control("/books")
        assert books["sequence"] > 0
    finally:
        await ws.close()


async def test_steering_reaches_what_the_client_sees(client: Client) -> None:
    ws = await opened(client, "demo456")
    try:
        assert (await client.control("/positions", {"count": 40}))["account"] == "DU2345671"
        await client.get("/portfolio/accounts")
        rows = (await client.get("/portfolio2/DU2345671/positions")).json()
        assert len(rows) == 40
        await client.control("/pause", {"paused": True})
        await ws.send('smd+265598+{"fields":["31"]}')
        await frame_with(ws, "smd+265598")
        await client.control("/prices", {"conid": 265598, "price": 123.45})
        async with asyncio.timeout(5):
            while (await frame_with(ws, "smd+265598")).get("31") != "123.45":
                pass
        for body in ({"conid": 1, "price": 5}, {"conid": 265598, "price": -1}):
            assert (await client.http.post("/sim/prices", json=body)).status_code == 400
    finally:
        await ws.close()


@pytest.mark.slow
async def test_the_highest_rate_through_tls(client: Client) -> None:
    ws = await opened(client)
    try:
        for conid in (265598, 756733, 272093):
            await ws.send(f'smd+{conid}+{{"fields":["31","84","86"]}}')
            await frame_with(ws, f"smd+{conid}")
        await client.control("/rate", {"messages_per_s": 5000})
        await frame(ws)
        count, begin = 0, time.monotonic()
        while time.monotonic() - begin < 1.5:
            await asyncio.wait_for(ws.recv(), 5)
            count += 1
        # Reader and server share this process and the machine may be busy: half is proof enough.
        assert count > 3_750
        assert all(socket.dropped == 0 for socket in client.sim.hub.sockets)
    finally:
        await ws.close()
