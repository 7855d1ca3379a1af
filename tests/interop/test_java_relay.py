"""Terminals behind one relay at the real Java gateway: the login, the values and the stream."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from ibtui import IbkrClient
from ibtui.auth.effects import Credentials
from ibtui.auth.login import login
from ibtui.clock import SystemClock
from ibtui.core import drive
from ibtui.core.models import Event
from ibtui.core.trust import Trust
from ibtui.secret import Secret
from tests.interop.java_tools import NoQuestions, gateway, until
from tests.interop.peers import Peers
from tests.unit.service.relay_tools import relaying

pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("java-two")]


async def test_two_terminals_through_the_java_gateway(peers: Peers, start_sim: Any, tmp_path: Path) -> None:
    sim = start_sim("--plain", "--seed", "7")
    user, told = sim.user(), list[Event]()
    async with contextlib.AsyncExitStack() as stack:
        process = await stack.enter_async_context(gateway(peers.gateway(), tmp_path / "run", sim.url))
        trust = Trust.ca(process.ca_file or "")
        ours = await stack.enter_async_context(IbkrClient(process.url, trust=trust))

        async def connect() -> IbkrClient:
            return ours

        _, path = await stack.enter_async_context(relaying(connect))
        clients = [await stack.enter_async_context(IbkrClient("http://ibtui", uds=path)) for _ in range(2)]
        who = Credentials(user["username"], Secret(user["password"]))
        done = await drive.run(login(who), NoQuestions(), clients[0].rest, SystemClock())
        assert done.username == user["username"]

        async def ready() -> bool:
            return (await clients[1].status()).ready

        await until(ready, 15)
        for client in clients:
            client.listeners.append(told.append)
        await asyncio.gather(*(client.load("positions") for client in clients))
        await asyncio.gather(*(client.watch() for client in clients))

        async def priced() -> bool:
            return all(client.store.quotes and client.store.orders and client.store.pnl for client in clients)

        await until(priced, 15, 0.1)
        await asyncio.to_thread(sim.control, "sockets", {"action": "drop"})

        async def caught_up() -> bool:
            return sum(event.text.startswith("caught up") for event in told) == 2

        await until(caught_up, 30, 0.1)
        rows = await asyncio.to_thread(sim.journal)
        assert not [row for row in rows if row["status"] == 429]
        assert sum(row["method"] == "GET" and row["path"].endswith("/ws") for row in rows) == 2
        assert len((await asyncio.to_thread(sim.control, "state"))["sockets"]) == 1
        account = clients[0].store.selected
        truth = {row["order_id"] for row in sim.control("books")["orders"] if row["account"] == account}
        assert all(set(client.store.orders) == truth for client in clients)
