"""The keep-alive through a whole day of trouble, time jumping from one wait to the next (`make drill`)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ibtui.service import keeper
from tests.drill.keeper_drill import drill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
DAY = 24 * 3600.0


@pytest.fixture(autouse=True)
def fewer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """One wait from tickle to tickle; a day has 86,400 seconds."""
    monkeypatch.setattr(keeper, "TICKLE_S", 55.0)
    monkeypatch.setattr(keeper, "LONGEST_S", 60.0)


@pytest.mark.parametrize(("seed", "competing"), [(1, "take"), (2, "yield"), (3, "ask")])
async def test_a_day_of_trouble(tmp_path: Path, seed: int, competing: str) -> None:
    hours = DAY if seed == 1 else DAY / 8
    async with drill(seed, tmp_path, competing=competing, yield_minutes=10) as day:
        end = day.clock.monotonic() + hours
        while day.clock.monotonic() < end:
            await day.pass_(day.chance.uniform(300.0, 4000.0))
            await day.trouble()
        await day.clear()
        await day.pass_(7 * 3600.0 if day.runtime.login_facts.attempts else 3600.0)
        await day.collect()
        print(day.story)
        day.check()
        assert len(day.proofs) >= 3


async def test_a_gateway_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibtui.service.machine.STUCK_S", 15.0)
    async with drill(5, tmp_path, competing="take") as day:
        await day.pass_(120.0)
        await day.collect()
        day.signal(signal.SIGSTOP)
        await day.pass_(400.0)
        await day.collect()
        day.check()
        assert day.runtime.status.ready, day.story
        assert "has not answered for" in day.story and "starting the gateway again" in day.story


async def test_values_come_back_after_each_trouble(tmp_path: Path) -> None:
    async with drill(6, tmp_path, live=True, competing="take") as day:
        await day.pass_(60.0)
        for trouble in (day.go_drop_sockets, day.go_logout, day.go_kill, day.go_compete, day.go_rotate):
            await trouble()
            await day.pass_(150.0)
            assert day.runtime.status.ready, day.story
            sockets = (await day.control("state"))["sockets"]
            assert len([one for one in sockets if not one["dead"]]) == 1, day.story
            assert len(day.runtime.store.positions) >= 8
        await day.collect()
        day.check()
