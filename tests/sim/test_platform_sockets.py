"""The websocket over real TLS, read by the `websockets` library."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import websockets

from ibtui.sim import scenario
from ibtui.sim.server import Simulator
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import Client, frame, frame_with, started


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    chosen = scenario.load()
    chosen.settings.auth_delay_s = 0.1
    sim = await started(chosen, logged_in="demo123", brokerage=TinyBrokerage())
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[Client]:
    async with Client(sim) as client:
        yield client


@pytest.mark.parametrize("form", ["json", "plain", "message"])
async def test_three_ways_to_present_a_session_and_the_opening_frames(client: Client, form: str) -> None:
    token = client.token
    cookie = {"json": f'api={{"session":"{token}"}}', "plain": f"api={token}", "message": None}[form]
    async with client.socket(cookie) as ws:
        if form == "message":
            assert await frame(ws) == {"message": "waiting for session"}
            await ws.send(f'{{"session":"{token}"}}')
        first, second, third = [await frame(ws) for _ in range(3)]
        assert first == {"topic": "system", "success": "demo123", "isFT": False, "isPaper": True}
        assert second["topic"] == "act"
        assert second["args"]["accounts"] == ["DU1234567"]
        assert third["topic"] == "sts"
        assert third["args"]["authenticated"] is third["args"]["established"] is True
        assert third["args"]["username"] == "demo123"


async def test_a_strange_token_waits(client: Client) -> None:
    async with client.socket("api=ffff") as ws:
        assert await frame(ws) == {"message": "waiting for session"}
        await ws.send('{"session":"eeee"}')
        assert await frame(ws) == {"message": "waiting for session"}


async def test_the_session_frame_on_an_open_socket_is_an_unknown_topic(client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        await ws.send(f'{{"session":"{client.token}"}}')
        error = await frame(ws)
        assert error["error"].startswith("Topic unknown '{\"s'")


async def test_frames_are_binary_by_default_and_text_by_switch(sim: Simulator, client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        assert isinstance(await ws.recv(), bytes)
    await client.control("/quirks", {"binary_frames": False})
    async with client.socket(f"api={client.token}") as ws:
        assert isinstance(await ws.recv(), str)


async def test_tic_four_times_and_the_old_echo(client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        await ws.send("tic")
        frames = [await frame(ws) for _ in range(4)]
        assert frames[0]["alive"] is True
        assert frames[0]["id"] == client.token
        assert frames == [frames[0]] * 4
        await ws.send("ech+hb")
        assert await frame(ws) == "ech+hb"


@pytest.mark.slow
async def test_a_beat_each_ten_seconds(client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        begin = time.monotonic()
        beat = await frame_with(ws, "system", 2.0)
        beat = await frame_with(ws, "system", 12.0)
        assert "hb" in beat
        assert 9.8 < time.monotonic() - begin < 10.6


async def test_topics_reach_the_world_and_end_with_the_socket(sim: Simulator, client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        await ws.send('smd+265598+{"fields":["31"]}')
        assert (await frame_with(ws, "smd+265598"))["31"] == "193.18"
        assert len(sim.world.open) == 1  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        while sim.world.open or sim.hub.sockets:  # type: ignore[attr-defined]
            await asyncio.sleep(0.02)


async def test_without_a_brokerage_session_its_topics_stay_dead(sim: Simulator, client: Client) -> None:
    assert sim.sessions.jar is not None
    sim.sessions.lose_brokerage(sim.sessions.jar)
    async with client.socket(f"api={client.token}") as ws:
        assert (await frame(ws))["topic"] == "system"
        status = await frame(ws)
        assert (status["topic"], status["args"]["authenticated"]) == ("sts", False)
        await ws.send("smd+265598+{}")
        assert await frame(ws) == {"error": "No accounts", "code": 500, "topic": "smd"}
        await ws.send("sor+{}")
        assert await frame(ws) == {"error": "unable to subscribe", "code": 500, "topic": "sor"}
        await ws.send("spl+{}")
        assert (await frame(ws))["topic"] == "spl"


async def test_status_changes_come_as_deltas(client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        await client.control("/session", {"action": "compete"})
        assert (await frame_with(ws, "sts"))["args"] == {"competing": True}
        assert (await frame_with(ws, "sts"))["args"] == {"authenticated": False, "established": False}


async def test_old_sockets_beat_but_are_dead_after_a_new_token(sim: Simulator, client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        before = client.token
        life = sim.sessions.jar
        assert life is not None
        sim.sessions.lose_brokerage(life)
        assert (await frame_with(ws, "sts"))["args"]["authenticated"] is False
        reply = await client.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
        assert reply.json()["authenticated"] is True
        assert client.token != before
        await ws.send("tic")
        assert (await frame(ws))["topic"] == "tic"
        for _ in range(3):
            await frame(ws)
        await ws.send("spl+{}")
        with pytest.raises(TimeoutError):
            await frame(ws, 0.4)
        # The old token opens nothing either, the new one does.
        async with client.socket(f"api={before}") as stale:
            assert await frame(stale) == {"message": "waiting for session"}
        async with client.socket(f"api={client.token}") as fresh:
            assert (await frame(fresh))["success"] == "demo123"


async def test_logout_closes_the_socket(client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        assert (await client.post("/logout")).json() == {"status": True}
        with pytest.raises(websockets.ConnectionClosedOK):
            async with asyncio.timeout(5):
                while True:
                    await frame(ws)


async def test_drop_and_silence(client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        assert (await client.control("/sockets", {"action": "silent"}))["sockets"] == 1
        await ws.send("tic")
        with pytest.raises(TimeoutError):
            await frame(ws, 0.4)
        await client.control("/sockets", {"action": "drop"})
        with pytest.raises(websockets.ConnectionClosedError):
            await frame(ws)


async def test_faults_of_frames(client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        await client.control("/faults", {"path": "/v1/api/ws", "kind": "garble", "count": 1})
        await client.control("/faults", {"path": "/v1/api/ws", "kind": "silent", "count": 1, "seconds": 0.5})
        await ws.send("tic")
        garbled = await ws.recv()
        assert isinstance(garbled, bytes)
        with pytest.raises(UnicodeDecodeError):
            garbled.decode()
        # One frame is swallowed and half a second of silence begins; the queued rest still comes.
        for _ in range(2):
            assert (await frame(ws))["topic"] == "tic"
        await ws.send("ech+hb")
        with pytest.raises(TimeoutError):
            await frame(ws, 0.2)
        await asyncio.sleep(0.5)
        await ws.send("ech+hb")
        assert await frame(ws) == "ech+hb"


async def test_five_thousand_frames_a_second(sim: Simulator, client: Client) -> None:
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        (socket,) = sim.hub.sockets
        count, got = 5_000, 0
        begin = time.monotonic()
        price = {"topic": "smd+265598", "conid": 265598, "31": "193.18", "_updated": 1777041130123}
        for start in range(0, count, 100):
            for _ in range(100):
                socket.send(dict(price))
            await asyncio.sleep(0)
            assert start < count
        while got < count:
            await asyncio.wait_for(ws.recv(), 5)
            got += 1
        assert socket.dropped == 0
        assert time.monotonic() - begin < 3.0


async def test_a_reader_that_does_not_read_costs_prices_then_the_connection(
    sim: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ibtui.sim.sockets.ROOM", 200)
    async with client.socket(f"api={client.token}", max_queue=1) as ws:
        await frame_with(ws, "sts")
        (socket,) = sim.hub.sockets
        for _ in range(400):
            socket.send({"topic": "smd+265598", "conid": 265598})
        assert socket.dropped >= 200
        for _ in range(201):
            socket.send({"topic": "sor", "args": []})
        with pytest.raises(websockets.ConnectionClosedError):
            for _ in range(1000):
                await frame(ws)


@pytest.mark.parametrize("how", ["reset", "login"])
async def test_sockets_beat_on_after_a_reset_and_a_new_login(
    sim: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("ibtui.sim.sockets.BEAT_S", 0.3)
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        if how == "reset":
            await client.control("/session", {"action": "reset"})
        else:
            await client.login("demo456")
        await ws.send("smd+265598+{}")
        await ws.send("spl+{}")
        for _ in range(3):
            assert list(await frame(ws)) == ["topic", "hb"]


async def test_two_sockets_of_a_session_have_their_own_subscriptions(client: Client) -> None:
    cookie = f"api={client.token}"
    async with client.socket(cookie) as one, client.socket(cookie) as two:
        await frame_with(one, "sts")
        await frame_with(two, "sts")
        await one.send("spl+{}")
        assert (await frame(one))["topic"] == "spl"
        with pytest.raises(TimeoutError):
            await frame(two, 0.2)


async def test_upgrade_can_be_refused_by_a_fault(client: Client) -> None:
    await client.control("/faults", {"path": "/v1/api/ws", "kind": "status", "status": 503})
    with pytest.raises(websockets.InvalidStatus):
        async with client.socket(f"api={client.token}"):
            pass
    async with client.socket(f"api={client.token}") as ws:
        assert (await frame(ws))["topic"] == "system"


async def test_a_websocket_needs_no_user_agent(client: Client) -> None:
    async with client.socket(f"api={client.token}", user_agent_header=None) as ws:
        assert (await frame(ws))["topic"] == "system"
