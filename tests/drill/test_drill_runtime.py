"""Longer drills: real time-outs, the simulator's other troubles, everything in a row (`make drill`)."""

from __future__ import annotations

import asyncio

import pytest

from ibtui.service import actions, keeper
from tests.conftest import Sim, StartSim
from tests.headless.test_headless_runtime import (
    _clear,
    answers_of,
    control,
    runtime_at,
    streams,
    until,
    words,
)
from tests.headless.test_headless_words import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_the_nightly_reset(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "session", {"action": "reset"})
        await until(lambda: not runtime.status.ready)
        await asyncio.sleep(1)
        assert any(lamp.fix or lamp.reason for lamp in (runtime.status.sso, runtime.status.brokerage))
        if runtime.status.sso.state != "on":
            await actions.login(runtime, answers_of(live_sim))
        elif not runtime.status.ready:
            await actions.take_over(runtime)
        await streams(live_sim, runtime, 660.0)


async def test_dropped_sockets_come_back(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "sockets", {"action": "drop"})
        await until(lambda: "caught up" in words(runtime))
        await streams(live_sim, runtime, 400.0)
        assert runtime.status.ready


@pytest.mark.parametrize(("kind", "said"), [("status", "503"), ("cut", "broke")])
async def test_a_keep_alive_in_trouble_says_so_and_recovers(live_sim: Sim, kind: str, said: str) -> None:
    async with runtime_at(live_sim, timeout=1.0) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "faults", {"path": "/tickle", "kind": kind, "count": None})
        await until(lambda: runtime.status.sso.state == "unknown", 40)
        assert said in runtime.status.sso.reason
        await asyncio.to_thread(_clear, live_sim)
        await until(lambda: runtime.status.ready, 40)
        await streams(live_sim, runtime, 900.0)


async def test_a_stall_of_thirty_seconds(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "faults", {"path": "/tickle", "kind": "delay", "count": 2, "seconds": 30})
        await until(lambda: "no answer within 15 s" in runtime.status.sso.reason, 60)
        assert "try again later" in runtime.status.sso.fix
        await until(lambda: runtime.status.ready, 120)
        await streams(live_sim, runtime, 900.0)
        assert len(runtime.events) < 20, words(runtime)


async def test_a_socket_that_falls_silent(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "sockets", {"action": "silent"})
        await until(lambda: "silent for 30 s" in words(runtime), 60)
        await streams(live_sim, runtime, 900.0)
        assert runtime.status.ready


async def test_one_trouble_after_the_other(live_sim: Sim) -> None:
    async with runtime_at(live_sim, live=True) as runtime:
        await actions.refresh(runtime)
        for turn in range(3):
            await control(live_sim, "sockets", {"action": "drop"})
            await control(live_sim, "session", {"action": "logout"})
            await until(lambda: runtime.status.sso.state == "off", 40)
            await actions.login(runtime, answers_of(live_sim))
            await control(live_sim, "session", {"action": "compete"})
            await until(lambda: runtime.status.brokerage.state == "warn", 40)
            await actions.take_over(runtime)
            await streams(live_sim, runtime, 300.0 + 200 * turn)
        sockets = (await control(live_sim, "state"))["sockets"]
        assert len([one for one in sockets if not one["dead"]]) == 1
        assert len(runtime.events) < 60, words(runtime)


async def test_killed_again_and_again(start_sim: StartSim) -> None:
    port = free_port()
    said = ("--plain", "--port", str(port), "--logged-in", "demo123")
    sim = start_sim(*said)
    async with runtime_at(sim, live=True) as runtime:
        await actions.refresh(runtime)
        for turn in range(3):
            await asyncio.to_thread(sim.stop)
            await until(lambda: runtime.status.gateway.state == "off", 40)
            await asyncio.sleep(turn * 4)
            sim = await asyncio.to_thread(start_sim, *said)
            await until(lambda: runtime.status.ready, 60)
            await streams(sim, runtime, 300.0 + 200 * turn)
        assert len((await control(sim, "state"))["sockets"]) == 1
        assert len(runtime.events) < 80, words(runtime)


@pytest.fixture(autouse=True)
def usual_pace() -> None:
    """The keeper's own times, not the tests'."""
    assert keeper.LOOK_S == 3.0
