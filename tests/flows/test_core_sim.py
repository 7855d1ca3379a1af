"""The client core against the simulator: from ten lines of a program to a cell's worth of change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ibtui import IbkrClient
from ibtui.core import watch
from ibtui.core.endpoints import orders
from ibtui.core.models import Event, Placed, Question
from ibtui.core.trust import Trust, fetch_fingerprint
from ibtui.errors import (
    CertificateMismatch,
    Competing,
    GatewayDown,
    NotLoggedIn,
    Stalled,
    TradingLocked,
    Unreachable,
)


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def control(sim: Any, path: str, body: dict[str, Any] | None = None) -> Any:
    return await asyncio.to_thread(sim.control, path, body)


async def place(client: IbkrClient, **more: Any) -> int:
    ticket = {
        "acctId": client.store.selected,
        "conid": 265598,
        "secType": "265598:STK",
        "orderType": "LMT",
        "price": 20.0,
        "side": "BUY",
        "tif": "DAY",
        "quantity": 1,
        **more,
    }
    found = orders.read_placement(await client.call(orders.place(client.store.selected, [ticket])))
    for _ in range(10):
        if not isinstance(found, Question):
            break
        found = orders.read_placement(await client.call(orders.reply(found.id, confirmed=True)))
    assert isinstance(found, list) and isinstance(found[0], Placed)
    return found[0].order_id


async def test_ten_lines(live_sim: Any) -> None:
    async with asyncio.timeout(20), IbkrClient(live_sim.url) as client:
        assert (await client.init()).ready
        accounts = await client.request("/portfolio/accounts")
        assert accounts[0]["id"] == client.store.selected
        async with client.socket().market_data(265598, ["31", "84", "86"]) as messages:
            message = await anext(messages)
        assert message["topic"] == "smd+265598" and message["conid"] == 265598


async def test_nobody_logged_in_and_nobody_there(sim: Any, tmp_path: Path) -> None:
    async with asyncio.timeout(20), IbkrClient(sim.url) as client:
        with pytest.raises(NotLoggedIn) as caught:
            await client.init()
        assert caught.value.exit_code == 4
        with pytest.raises(NotLoggedIn):
            await client.request("/iserver/accounts")
        with pytest.raises(NotLoggedIn):
            await client.socket().open()
        sim.stop()
        with pytest.raises(GatewayDown):
            await client.request("/tickle")


async def test_trust(live_sim: Any) -> None:
    port = int(live_sim.url.rsplit(":", 1)[1])
    fingerprint = await fetch_fingerprint("127.0.0.1", port)
    async with asyncio.timeout(20), IbkrClient(live_sim.url, trust=Trust.pin(fingerprint)) as client:
        await client.tickle()
    async with asyncio.timeout(20), IbkrClient(live_sim.url, trust=Trust.ca(live_sim.cert)) as client:
        await client.tickle()
    async with asyncio.timeout(20), IbkrClient(live_sim.url) as client:
        await client.tickle()
        assert client.trust.fingerprint == fingerprint
    async with asyncio.timeout(20), IbkrClient(live_sim.url, trust=Trust.pin("ab" * 32)) as client:
        with pytest.raises(CertificateMismatch):
            await client.tickle()
        with pytest.raises(CertificateMismatch):
            await client.socket().open()
    entries = await asyncio.to_thread(live_sim.journal)
    assert len([entry for entry in entries if "tickle" in str(entry.get("path"))]) == 3


async def test_read_only_reaches_nothing(live_sim: Any) -> None:
    async with asyncio.timeout(20), IbkrClient(live_sim.url) as client:
        await client.init()
        with pytest.raises(TradingLocked):
            await place(client)
    entries = await asyncio.to_thread(live_sim.journal)
    assert not [entry for entry in entries if str(entry.get("path", "")).endswith("/orders")]


async def test_load_and_watch_follow_the_market_and_an_order(live_sim: Any) -> None:
    async with asyncio.timeout(60), IbkrClient(live_sim.url, read_only=False) as client:
        await client.init()
        store, feed = client.store, client.hub.subscribe()
        await client.load()
        assert store.loaded >= {"accounts", "position", "order", "execution", "pnl", "summary", "ledger"}
        assert store.positions and store.orders and store.summary and store.ledger
        assert all(found.ticker for found in store.positions.values() if found.asset_class == "STK")
        await client.watch()
        feed.drain()
        await until(lambda: store.quotes and store.pnl)
        await until(lambda: any(found.daily_pnl for found in store.positions.values()))
        order_id = await place(client)
        await until(lambda: order_id in store.orders and store.orders[order_id].status == "Submitted")
        assert store.orders[order_id].price == "20.00"
        await client.call(orders.cancel(store.selected, order_id))
        await until(lambda: store.orders[order_id].status == "Cancelled")
        fills = len(store.executions)
        bought = await place(client, orderType="MKT", price=None, quantity=2)
        await until(lambda: store.orders.get(bought) and store.orders[bought].status == "Filled")
        await until(lambda: len(store.executions) > fills)
        kinds = {change.kind for change in feed.drain()}
        assert {"order", "execution", "quote", "position"} <= kinds


async def test_a_gap_is_caught_up(live_sim: Any) -> None:
    events: list[Event] = []
    async with asyncio.timeout(60), IbkrClient(live_sim.url, read_only=False) as client:
        client.listeners.append(events.append)
        await client.init()
        await client.load("orders", "trades")
        await client.watch()
        assert client._watcher is not None
        stream = client._watcher.stream
        # Cut off, and kept away until the fill is done.
        held = asyncio.Event()

        async def later() -> Any:
            await held.wait()
            return await client._presenter()()

        stream._session = later
        await control(live_sim, "sockets", {"action": "drop"})
        await until(lambda: not stream.is_open)
        before = set(client.store.executions)
        bought = await place(client, orderType="MKT", price=None, quantity=3)
        await asyncio.sleep(1.0)
        assert set(client.store.executions) == before
        held.set()
        await until(lambda: any(event.text.startswith("caught up") for event in events), 40)
        assert set(client.store.executions) > before
        assert client.store.orders[bought].status == "Filled"
        told = next(event.text for event in events if event.text.startswith("caught up"))
        assert "missed" in told


async def test_a_new_session_opens_a_new_socket(live_sim: Any) -> None:
    async with asyncio.timeout(40), IbkrClient(live_sim.url) as client:
        await client.init()
        states: list[str] = []
        stream = client.socket(debug=["open", "close"], write=states.append)
        async with stream, stream.pnl() as pnl:
            assert (await anext(pnl))["topic"] == "spl"
            old = client.session
            client.session = "f" * 32
            await until(lambda: sum(state.startswith("open") for state in states) == 2)
            assert client.session == old
            assert (await anext(pnl))["topic"] == "spl"
        assert old not in "".join(states)


async def test_competing(live_sim: Any) -> None:
    async with asyncio.timeout(40), IbkrClient(live_sim.url) as client:
        await client.init()
        await control(live_sim, "session", {"action": "compete"})
        with pytest.raises(Competing):
            await client.init(compete=False)
        assert (await client.init()).ready


async def test_a_session_taken_and_taken_back_while_watching(live_sim: Any) -> None:
    events: list[Event] = []

    def told(text: str) -> bool:
        return any(text in event.text for event in events)

    async with asyncio.timeout(80), IbkrClient(live_sim.url) as client:
        client.listeners.append(events.append)
        await client.init()
        await client.load("positions", "orders")
        await client.watch(tickle_every=1.0)
        await until(lambda: client.store.auth.ready)
        await control(live_sim, "session", {"action": "compete"})
        await until(lambda: told("another program takes"))
        await until(lambda: told("the brokerage session ended"))
        assert not client.store.auth.authenticated
        await client.init()
        await until(lambda: told("caught up"), 40)
        await until(lambda: client.store.auth.ready)
        await client.unwatch()
        assert client._watcher is None and not client._streams


async def test_the_nightly_reset_opens_a_new_socket(live_sim: Any) -> None:
    events: list[Event] = []
    async with asyncio.timeout(60), IbkrClient(live_sim.url) as client:
        client.listeners.append(events.append)
        await client.init()
        await client.watch(tickle_every=0.5)
        await client.load("positions")
        before = client.session
        await control(live_sim, "session", {"action": "reset"})
        await until(
            lambda: [event.level for event in events if event.source in ("stream", "session")].count("warn")
        )
        assert before not in repr(events)


async def test_orders_are_read_anew_while_they_work(live_sim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RECONCILE_S", 1.0)

    def reads(entries: list[dict[str, Any]]) -> int:
        return sum(str(entry.get("path", "")).endswith("/iserver/account/orders") for entry in entries)

    async with asyncio.timeout(60), IbkrClient(live_sim.url, read_only=False) as client:
        await client.init()
        await client.load("orders")
        await place(client)
        await client.watch()
        before = reads(await asyncio.to_thread(live_sim.journal))
        await asyncio.sleep(7)
        assert reads(await asyncio.to_thread(live_sim.journal)) > before


async def test_faults_have_their_own_errors(live_sim: Any) -> None:
    async with asyncio.timeout(40), IbkrClient(live_sim.url, timeout=1.0) as client:
        await client.init()
        path = "/portfolio/DU1234567/summary"
        await control(live_sim, "faults", {"path": path, "kind": "hang", "count": 1, "seconds": 4})
        with pytest.raises(Stalled):
            await client.request(path)
        await control(live_sim, "faults", {"path": path, "kind": "cut", "count": 3, "seconds": 0})
        with pytest.raises(Unreachable):
            await client.request(path)
        assert await client.request("/portfolio/accounts")
        assert await client.request(path)


async def test_many_positions_are_read_page_by_page(live_sim: Any) -> None:
    await control(live_sim, "positions", {"count": 250})
    async with asyncio.timeout(60), IbkrClient(live_sim.url) as client:
        await client.init()
        feed = client.hub.subscribe()
        loading = asyncio.create_task(client.load("positions"))
        while not client.store.positions:
            await feed.wait()
            feed.drain()
        # The first page is there to be looked at, and does not pass for all.
        assert len(client.store.positions) == 100 and "position" not in client.store.loaded
        await loading
        assert len(client.store.positions) == 250
        assert all(found.ticker for found in client.store.positions.values())
        assert f"position:{client.store.selected}" in client.store.loaded
        await client.watch()
        await until(lambda: client._watcher is not None and len(client._watcher._lines) == 100, 30)
        store = client.store
        await until(lambda: sum(map(store.is_live, store.positions.values())) >= 20, 10)
        assert client._watcher is not None
        # What has no line stays as old as its snapshot, and is known for it.
        beyond = [it for it in store.positions.values() if it.conid not in client._watcher._lines]
        assert len(beyond) == 150 and not any(map(store.is_live, beyond))


@pytest.mark.parametrize("mode", ["none", "identity", "refuse"])
async def test_orders_are_known_whatever_the_stream_begins_with(
    start_sim: Any, tmp_path: Path, mode: str
) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(f'[quirks]\nsor_snapshot = "{mode}"\nbinary_frames = false\ntic_replies = 1\n')
    sim = start_sim("--logged-in", "demo123", "--scenario", str(scenario))
    events: list[Event] = []
    async with asyncio.timeout(60), IbkrClient(sim.url, read_only=False) as client:
        client.listeners.append(events.append)
        await client.init()
        await client.watch()
        if mode == "refuse":
            await until(lambda: any("unable to subscribe" in event.text for event in events))
        await client.load("orders")
        assert client.store.orders
        assert all(order.status for order in client.store.orders.values())
        if mode == "none":
            order_id = await place(client)
            await until(lambda: order_id in client.store.orders)
