"""kill -9 at every step of a login and of an enrollment, and a full disk (`make drill`).

A sample of the same points runs with the other tests (`tests/flows/test_kill_sample.py`).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import StartSim
from tests.drill.kill_tools import KINDS, Victim, full_disk, spread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
POINTS = {"ibkey": 90, "sms": 40, "totp": 12, "plain": 12, "enroll": 70}
"""224 in all; every step of the short ones."""
FRESH_EVERY = 20
"""IB Key's counters are used up otherwise."""


@pytest.mark.parametrize("name", sorted(POINTS))
def test_killed_at_every_step(name: str, start_sim: StartSim, tmp_path: Path) -> None:
    kind = KINDS[name]
    steps = Victim(start_sim(), kind, tmp_path / "count").steps()
    points = spread(steps, POINTS[name], seed=20260131)
    died = 0
    for number, (at, when) in enumerate(points):
        if number % FRESH_EVERY == 0:
            victim = Victim(start_sim(), kind, tmp_path / f"from-{number}")
        died += victim.drill(at, when)
    assert died >= 0.8 * len(points), f"only {died} of {len(points)} were killed"


@pytest.mark.parametrize("name", ["ibkey", "sms", "enroll"])
@pytest.mark.parametrize("limit", [0, 1, 64, 120, 160, 200, 240, 300, 400])
def test_a_full_disk(name: str, limit: int, start_sim: StartSim, tmp_path: Path) -> None:
    full_disk(Victim(start_sim(), KINDS[name], tmp_path / "victim"), limit)


def test_kills_in_a_row(start_sim: StartSim, tmp_path: Path) -> None:
    """Attempts add up over crashes until the limit; nothing is sent from then on."""
    victim = Victim(start_sim(), KINDS["ibkey"], tmp_path / "victim")
    middle = victim.steps() // 2
    for number in range(1, 5):
        since = len(victim.rows())
        assert victim.killed(middle + number, "after")
        victim.check(since, f"killed after step {middle + number}")
        assert victim.vault.status().record.attempts == number
        since = len(victim.rows())
        done = victim.run()
        assert done.returncode == 5 and victim.rows(since) == [], "the wait binds"
        victim.lift_the_wait()
    done = victim.run()
    assert done.returncode == 5 and "Too many failed login attempts" in done.stderr
    assert victim.rows(since) == []
    victim.recovers("at the limit")
