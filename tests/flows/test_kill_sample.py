"""Eight points of the kill drill and two full disks, the same ones each time; all of them: `make drill`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import StartSim
from tests.drill.kill_tools import KINDS, Victim, full_disk, spread

pytestmark = [pytest.mark.timeout(180)]


@pytest.mark.parametrize(("name", "points"), [("ibkey", 3), ("enroll", 3), ("sms", 2)])
def test_killed_at_a_few_steps(name: str, points: int, start_sim: StartSim, tmp_path: Path) -> None:
    sim = start_sim()
    kind = KINDS[name]
    steps = Victim(sim, kind, tmp_path / "count").steps()
    victim = Victim(start_sim(), kind, tmp_path / "victim")
    # The first third is settings and a look at the lamps.
    chosen = spread(steps - steps // 3, points, seed=7)
    died = sum(victim.drill(at + steps // 3, when) for at, when in chosen)
    assert died >= points - 1, "the last step may be a shorter run's"


@pytest.mark.parametrize(("name", "limit"), [("ibkey", 0), ("enroll", 200)])
def test_a_full_disk(name: str, limit: int, start_sim: StartSim, tmp_path: Path) -> None:
    full_disk(Victim(start_sim(), KINDS[name], tmp_path / "victim"), limit)
