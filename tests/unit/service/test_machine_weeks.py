"""The keep-alive's machine through simulated days of trouble, a seed of each; more of them: `make drill`."""

from __future__ import annotations

import pytest

from ibtui.service.sight import Kind, Policy, Sight
from ibtui.service.steps import Deed
from tests.unit.service.machine_world import LIMIT, World

DAY = 86_400.0


def trouble(world: World) -> None:
    """Something goes wrong, or nothing does."""
    chance = world.chance
    match chance.randrange(12):
        case 0 | 1:
            world.kill()
        case 2 | 3:
            world.away_until = world.mono + chance.choice((5.0, 90.0, 1200.0, 7200.0))
        case 4 | 5:
            world.compete()
        case 6:
            world.sleep(chance.choice((30.0, 400.0, 3600.0, 40_000.0)))
        case 7:
            world.sso = world.brokerage = False
        case 8:
            world.brokerage = False
        case 9:
            kinds = [Kind.AWAY, Kind.LOGGED_OUT, Kind.DOWN, Kind.CLOSED, Kind.SETTLING]
            world.odd = [Sight(chance.choice(kinds)) for _ in range(chance.choice((1, 1, 3)))]
        case 10:
            world.shift -= chance.choice((5.0, 600.0))
        case _:
            pass


def check(world: World) -> None:
    for (hour, looks), count in world.rates().items():
        assert count <= (1250 if looks else 40), f"busy in hour {hour}: {count}"
    assert world.gap <= 62.0, "a ready session is kept alive"
    assert world.record.attempts <= LIMIT.limit


def truthful(world: World) -> None:
    keeping = world.machine.keeping
    if world.ready:
        assert keeping.mode in ("on", "yielding"), keeping
    elif keeping.mode == "on":
        assert keeping.why, "not ready, and nothing is said about it"


@pytest.mark.parametrize("competing", ["take", "yield", "ask"])
@pytest.mark.parametrize("seed", [0])
def test_weeks_of_trouble_with_a_password_at_hand(seed: int, competing: str) -> None:
    world = World(Policy(acts=True, competing=competing, yield_minutes=10), seed=seed)
    world.log_in()
    for _ in range(40):
        world.run(world.chance.uniform(60.0, 3 * 3600.0))
        truthful(world)
        trouble(world)
    check(world)
    world.run(DAY / 4)
    keeping = world.machine.keeping
    if competing == "ask" and not world.ready:
        assert keeping.mode == "person" and "another program" in keeping.why
    else:
        assert world.ready and keeping.mode == "on", (keeping, world.told[-10:])


@pytest.mark.parametrize("password", ["wrong", ""])
@pytest.mark.parametrize("seed", [0])
def test_weeks_without_a_good_password(seed: int, password: str) -> None:
    world = World(Policy(acts=True, competing="take"), seed=seed, password=password)
    world.log_in()
    for _ in range(40):
        world.run(world.chance.uniform(60.0, 3 * 3600.0))
        truthful(world)
        trouble(world)
    world.away_until = 0.0
    world.sso = world.brokerage = False
    world.run(3 * DAY)
    check(world)
    assert len(world.sent) == (1 if password else 0), "a refused password is never sent again by itself"
    assert world.machine.keeping.mode == "person" and "log" in world.machine.keeping.why.lower()


@pytest.mark.parametrize("seed", [0])
def test_codes_that_are_refused_end_at_the_limit(seed: int) -> None:
    world = World(Policy(acts=True, competing="take"), seed=seed, code="wrong")
    world.log_in()
    for _ in range(60):
        world.run(world.chance.uniform(60.0, 3 * 3600.0))
        trouble(world)
    world.away_until = 0.0
    world.sso = world.brokerage = False
    world.run(2 * DAY)
    check(world)
    assert len(world.sent) == LIMIT.limit
    gaps = [(b - a).total_seconds() for a, b in zip(world.sent, world.sent[1:], strict=False)]
    assert [gap >= wait for gap, wait in zip(gaps, (60, 3600, 6 * 3600), strict=True)] == [True] * 3
    assert "4 of 4 attempts are used" in world.machine.keeping.why


def test_a_long_outage_is_watched_quietly() -> None:
    world = World()
    world.log_in()
    world.run(60.0)
    world.away_until = world.mono + 10 * 3600
    world.run(9.5 * 3600)
    assert world.machine.keeping.mode == "waiting"
    hours = [count for (_, looks), count in sorted(world.rates().items()) if looks]
    assert max(hours[2:9]) <= 61, hours
    assert {deed for _, deed in world.deeds} == {Deed.LOOK}
    world.run(3600.0)
    assert world.ready and world.machine.keeping.mode == "on"
    assert world.sent == [] or len(world.sent) <= 1


def test_a_week_of_nights() -> None:
    world = World()
    world.log_in()
    for _ in range(7):
        world.run(DAY)
        assert world.ready, world.told[-5:]
    assert 6 <= len(world.sent) <= 8, "one login a night"
    assert sum("IBKR's nightly reset" in line for line in world.told) >= 6
    check(world)


@pytest.mark.parametrize("life", [660.0])
def test_a_session_that_never_lasts_does_not_use_up_ib_key(life: float) -> None:
    """Another program with the same user name logs in each time, say: two keep-alives, a phone."""

    class Fought(World):
        in_at = 0.0

        def pass_(self, seconds: float) -> None:
            super().pass_(seconds)
            if self.sso and self.mono - self.in_at > life:
                self.sso = self.brokerage = False

        def login(self) -> None:
            super().login()
            self.in_at = self.mono

    world = Fought(policy=Policy(acts=True), answers=93)
    world.in_at = world.mono
    world.log_in()
    world.run(3 * 86_400.0)
    assert 5 < len(world.sent) < 30 and world.answers == 93 - len(world.sent)
    assert any("again and again, and each login costs" in text for text in world.told)
