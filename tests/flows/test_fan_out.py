"""Terminals behind one relay, against the simulator: one socket, one budget, the truth for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from ibtui import IbkrClient
from ibtui.core.endpoints import orders
from ibtui.core.models import Event
from tests.flows.test_core_sim import control, place, until
from tests.unit.service.relay_tools import Listener, relaying


@contextlib.asynccontextmanager
async def terminals(sim: Any, count: int, *, read_only: bool = True) -> AsyncIterator[list[IbkrClient]]:
    """Clients of one relay."""
    async with contextlib.AsyncExitStack() as stack:
        ours = await stack.enter_async_context(IbkrClient(sim.url, read_only=read_only))

        async def connect() -> IbkrClient:
            return ours

        _, path = await stack.enter_async_context(relaying(connect))
        yield [
            await stack.enter_async_context(IbkrClient("http://ibtui", uds=path, read_only=read_only))
            for _ in range(count)
        ]


def asked(rows: list[dict[str, Any]]) -> Counter[str]:
    """Requests by method and path; frames by their text."""
    return Counter(
        row["body_redacted"]
        if row["method"] == "WS"
        else f"{row['method']} {row['path'].removeprefix('/v1/api')}"
        for row in rows
    )


async def journal(sim: Any) -> list[dict[str, Any]]:
    return [row for row in await asyncio.to_thread(sim.journal) if not row["path"].startswith("/sim/")]


def check_budget(rows: list[dict[str, Any]]) -> None:
    """Nothing was refused, and never more than ten left in a second (web-api.md §1.6)."""
    assert not [row for row in rows if row["status"] == 429]
    times = [row["t"] for row in rows if row["path"] != "/v1/api/ws" or row["method"] == "WS"]
    for first, eleventh in zip(times, times[10:], strict=False):
        assert eleventh - first > 0.8
    for path, gap in (("/iserver/account/orders", 5.0), ("/iserver/account/trades", 5.0), ("/tickle", 1.0)):
        mine = [row["t"] for row in rows if row["path"] == f"/v1/api{path}"]
        gaps = [later - earlier for earlier, later in zip(mine, mine[1:], strict=False)]
        assert min(gaps, default=gap) > gap - 0.3, (path, gaps)


async def check_truth(sim: Any, clients: list[IbkrClient]) -> None:
    """Each store says what the simulator's books say."""
    await control(sim, "pause", {"paused": True})
    books = await control(sim, "books")
    account = clients[0].store.selected
    rows = {row["order_id"]: row for row in books["orders"] if row["account"] == account}
    fills = {row["execution_id"]: row for row in books["executions"] if row["account"] == account}
    held = {row["conid"]: row for row in books["positions"][account] if Decimal(row["position"])}

    truth = (
        {key: (row["status"], Decimal(row["filled"])) for key, row in rows.items()},
        set(fills),
        {key: Decimal(row["position"]) for key, row in held.items()},
    )

    def seen(client: IbkrClient) -> Any:
        store = client.store
        return (
            {key: (one.status, Decimal(one.filled or 0)) for key, one in store.orders.items()},
            set(store.executions),
            {one.conid: number for one in store.positions.values() if (number := Decimal(one.position or 0))},
        )

    def prices(client: IbkrClient) -> dict[int, str]:
        quotes = client.store.quotes
        return {conid: quotes[conid].fields["31"].lstrip("CH").replace(",", "") for conid in held}

    last = {conid: books["prices"][str(conid)]["last"] for conid in held}
    end = asyncio.get_running_loop().time() + 15
    while asyncio.get_running_loop().time() < end:
        if all(seen(client) == truth and prices(client) == last for client in clients):
            return
        await asyncio.sleep(0.05)
    for client in clients:
        for mine, real in zip(seen(client), truth, strict=True):
            assert mine == real
        assert prices(client) == last


async def test_three_terminals_and_a_reader_are_one_client(live_sim: Any) -> None:
    async with asyncio.timeout(60), terminals(live_sim, 4, read_only=False) as clients:
        three, listener = clients[:3], Listener(clients[3])
        await asyncio.gather(*(client.init() for client in three))
        await asyncio.gather(*(client.load("positions") for client in three))
        await asyncio.gather(*(client.watch() for client in three), listener.stream.open())
        await listener.say("sor+{}")
        await asyncio.gather(*(client.load() for client in three))
        await until(lambda: all(len(client.store.quotes) > 10 for client in three), 20)
        order_id = await place(three[0])
        bought = await place(three[1], orderType="MKT", price=None, quantity=2)
        for client in three:
            await until(lambda client=client: order_id in client.store.orders)
            await until(
                lambda client=client: (found := client.store.orders.get(bought)) and found.status == "Filled"
            )
        await three[2].call(orders.cancel(three[2].store.selected, order_id))
        await until(lambda: three[2].store.orders[order_id].status == "Cancelled")
        await check_truth(live_sim, three)
        assert {row["orderId"] for message in listener.of("sor") for row in message["args"]} >= {bought}
        rows = await journal(live_sim)
        check_budget(rows)
        found = asked(rows)
        assert found["GET /ws"] == 1
        frames = {text: count for text, count in found.items() if text[0] == "s" and "+" in text}
        assert len(frames) > 15 and set(frames.values()) == {1}
        state = await control(live_sim, "state")
        assert len(state["sockets"]) == 1


async def test_one_leaves_and_the_others_go_on_and_all_catch_up(live_sim: Any) -> None:
    told: list[Event] = []
    async with asyncio.timeout(60), terminals(live_sim, 3, read_only=False) as clients:
        # The five seconds of a cold reply are the first test's.
        await control(live_sim, "quirks", {"cold_replies": False})
        await clients[0].init()
        await asyncio.gather(*(client.load("positions") for client in clients))
        await asyncio.gather(*(client.watch() for client in clients))
        first, *others = clients
        for client in others:
            client.listeners.append(told.append)
        first_pnl = Listener(first)
        await first_pnl.stream.open()
        await first_pnl.say("smd+8314+{}")
        await until(lambda: first_pnl.of("smd+8314"))
        await first.close()
        before = len(others[0].store.executions)
        bought = await place(others[0], orderType="MKT", price=None, quantity=1)
        for client in others:
            await until(
                lambda client=client: (found := client.store.orders.get(bought)) and found.status == "Filled"
            )
        for _ in range(100):
            if "umd+8314+{}" in (found := asked(await journal(live_sim))):
                break
            await asyncio.sleep(0.05)
        assert found["umd+8314+{}"] == 1 and not any(text.startswith("uor") for text in found)
        await control(live_sim, "sockets", {"action": "drop"})
        await until(lambda: sum(event.text.startswith("closed") for event in told) == 2)
        # Meanwhile somebody buys elsewhere.
        account = others[0].store.selected
        await control(live_sim, "orders", {"account": account, "conid": 265598, "side": "BUY", "quantity": 1})
        await until(lambda: sum(event.text.startswith("caught up") for event in told) == 2, 30)
        assert all(len(client.store.executions) > before for client in others)
        await check_truth(live_sim, others)
        rows = await journal(live_sim)
        check_budget(rows)
        assert asked(rows)["GET /ws"] == 2
        assert len((await control(live_sim, "state"))["sockets"]) == 1


async def test_another_session_is_followed_by_all(live_sim: Any) -> None:
    async with asyncio.timeout(60), terminals(live_sim, 2) as clients:
        listeners = [Listener(client) for client in clients]
        await clients[0].init()
        for listener in listeners:
            await listener.stream.open()
            await listener.say("spl+{}")
        await control(live_sim, "session", {"action": "rotate"})
        await asyncio.sleep(1.2)
        await clients[1].tickle()
        await until(lambda: all(listener.states.count("open") == 2 for listener in listeners), 20)
        for listener in listeners:
            listener.messages.clear()
            await listener.say("spl+{}")
        await until(lambda: all(listener.of("spl") for listener in listeners))
        assert not [one for one in (await control(live_sim, "state"))["sockets"] if one["dead"]]
