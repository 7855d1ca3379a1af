"""The keeper's runner: whatever happens in a look or a deed, it goes on, at a bounded pace."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from ibtui.auth.effects import Challenge, Credentials, Note, Step
from ibtui.clock import FakeClock, Tasks
from ibtui.core.feed import Hub
from ibtui.core.models import Lamp, Status
from ibtui.errors import IbtuiError, LoginRefused, PersonNeeded, UsageError
from ibtui.secret import Secret
from ibtui.service.answers.held import HeldAnswers
from ibtui.service.board import Board
from ibtui.service.keeper import Keeper
from ibtui.service.sight import Kind, Means, Policy, Sight

ON = Lamp(state="on")
READY = Status(gateway=ON, sso=ON, brokerage=ON)


class World:
    """Hands that count, and do what they are told to."""

    def __init__(self, policy: Policy | None = None, *, memory: bool = False) -> None:
        self.clock, hub = FakeClock(), Hub()
        self.board = Board(self.clock, hub)
        self.sight = Sight(Kind.READY)
        self.means = Means(password=True, revive=True)
        self.fails: dict[str, Exception] = {}
        self.calls: Counter[str] = Counter()
        self.keeper = Keeper(
            self.board,
            hub,
            self.clock,
            policy or Policy(acts=True, competing="take"),
            self.look,
            self.ready,
            self,
            memory=memory,
        )

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.fails:
            raise self.fails[name]

    async def look(self) -> Status:
        self._called("look")
        self.keeper.saw()
        return READY if self.sight.kind is Kind.READY else Status()

    async def ready(self) -> None:
        self._called("ready")

    def seen(self) -> tuple[Sight, Means]:
        return self.sight, self.means

    async def open_again(self, *, compete: bool) -> None:
        self._called("take" if compete else "open")

    async def log_in_again(self, held: Credentials | None) -> None:
        self._called("login")

    async def revive(self) -> None:
        self._called("revive")

    async def run(self, seconds: float) -> None:
        """Let it run for so many seconds of its own clock."""
        tasks, end = Tasks(), self.clock.monotonic() + seconds
        tasks.start(self.keeper.run(), "keep")
        async with asyncio.timeout(10):
            while self.clock.monotonic() < end:
                await asyncio.sleep(0)
        await tasks.close()

    @property
    def said(self) -> list[str]:
        return [event.text for event in self.board.events]


async def test_a_ready_session_is_looked_at_four_times_a_minute() -> None:
    world = World()
    await world.run(600.0)
    assert 30 <= world.calls["look"] <= 42 and world.calls["ready"] == world.calls["look"]
    assert world.keeper.keeping.mode == "on"


@pytest.mark.parametrize("error", [ZeroDivisionError(), IbtuiError("something"), UsageError("a setting")])
async def test_a_look_that_fails_is_told_and_tried_again(error: Exception) -> None:
    world = World()
    world.fails["look"] = error
    await world.run(120.0)
    assert 2 <= world.calls["look"] <= 100 and len(world.said) == 1
    world.fails.clear()
    await world.run(60.0)
    assert world.keeper.keeping.mode == "on" and world.calls["ready"] > 0


async def test_values_that_cannot_be_loaded_are_tried_again_soon() -> None:
    world = World()
    world.fails["ready"] = IbtuiError("no orders")
    await world.run(60.0)
    assert 4 <= world.calls["ready"] <= 7 and "no orders" in world.said


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.LOGGED_OUT, "login"), (Kind.COMPETING, "take"), (Kind.CLOSED, "take")]
)
@pytest.mark.parametrize("error", [ZeroDivisionError(), IbtuiError("not now")])
async def test_a_deed_that_fails_is_no_busy_loop(kind: Kind, name: str, error: Exception) -> None:
    world = World()
    await world.run(30.0)
    world.sight, world.fails[name] = Sight(kind), error
    await world.run(3600.0)
    assert 2 <= world.calls[name] <= 40, world.said


async def test_a_look_that_says_nothing_is_no_reason_to_act() -> None:
    """It began before a person's login was done, and what it saw is no longer so."""
    world = World()
    await world.run(30.0)
    world.keeper.asked("login")
    world.sight = Sight(Kind.LOGGED_OUT)
    saw, world.keeper.saw = world.keeper.saw, lambda: None  # type: ignore[method-assign]
    looks = world.calls["look"]
    await world.run(20.0)
    assert world.calls["login"] == 0 and 3 <= world.calls["look"] - looks <= 8
    world.keeper.saw = saw  # type: ignore[method-assign]
    await world.run(20.0)
    assert world.calls["login"] >= 1


async def test_a_process_that_died_is_started_again() -> None:
    world = World()
    await world.run(30.0)
    world.sight = Sight(Kind.DOWN)
    world.keeper.died()
    await world.run(20.0)
    assert world.calls["revive"] == 1


async def test_nothing_is_done_while_a_person_does_something() -> None:
    world = World()
    await world.run(30.0)
    before = world.calls.copy()
    with world.board.verb("sso", "logging in"):
        await world.run(300.0)
    assert {**world.calls, "look": 0} == {**before, "look": 0}, "it is kept alive, and nothing else"


async def test_a_refusal_drops_what_is_held() -> None:
    world = World(memory=True)
    await world.run(30.0)
    world.keeper.hold(Credentials("demo123", Secret("a password")))
    world.sight, world.fails["login"] = Sight(Kind.LOGGED_OUT), LoginRefused("IBKR refused it.")
    await world.run(7200.0)
    assert world.calls["login"] == 1 and world.keeper.held is None
    assert "IBKR refused it." in world.keeper.keeping.why


async def test_news_are_looked_at_at_once() -> None:
    world = World()
    await world.run(30.0)
    seen = world.calls["look"]
    world.board.news.set()
    await world.run(2.0)
    assert world.calls["look"] == seen + 1


async def test_held_answers_ask_nobody() -> None:
    nobody, held = HeldAnswers(None), HeldAnswers(Credentials("demo123", Secret("x")))
    assert not nobody.has_password and held.has_password and held.username == "demo123"
    assert (await held.credentials("")).username == "demo123"
    with pytest.raises(PersonNeeded):
        await nobody.credentials("demo123")
    with pytest.raises(PersonNeeded):
        await held.ask(Challenge("4.2", "SWTK"))
    with pytest.raises(PersonNeeded):
        await held.choose(("4", "4.2"))
    assert await held.confirm("go on?") is False
    held.note(Note(Step.PASSWORD, "x"))


async def test_a_session_stays_alive_while_a_person_sits_before_a_login() -> None:
    world = World()
    with world.board.verb("sso", "logging in"):
        await world.run(600.0)
    assert 10 <= world.calls["look"] <= 14, "a tickle each three quarters of a minute"
    assert not world.calls["login"] and not world.calls["open"] and not world.calls["take"]
