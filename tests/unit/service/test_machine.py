"""The keep-alive's machine, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ibtui.auth import guard
from ibtui.core.models import AuthStatus, Lamp, LoginFacts
from ibtui.errors import (
    GatewayDown,
    IbtuiError,
    LoginRefused,
    NotLoggedIn,
    PersonNeeded,
    Rejected,
    Stalled,
    UnknownReply,
    UsageError,
)
from ibtui.service import reset
from ibtui.service.machine import Machine
from ibtui.service.pace import Pace
from ibtui.service.sight import Kind, Means, Moment, Policy, Sight, sight_of
from ibtui.service.steps import Deed
from tests.unit.service.machine_world import START, World

ACTS = Policy(acts=True)
NEW_YORK_MIDNIGHT = datetime(2026, 4, 21, 4, 0, tzinfo=UTC)


def did(world: World, *deeds: Deed) -> int:
    return sum(deed in deeds for _, deed in world.deeds)


def started(**policy: object) -> World:
    """A world in which a person has just logged in."""
    world = World().with_policy(**policy)
    world.log_in()
    world.run(120.0)
    assert world.ready
    world.deeds.clear()
    world.told.clear()
    return world


def test_a_ready_session_is_asked_every_half_minute() -> None:
    world = started()
    world.run(600.0)
    assert 18 <= did(world, Deed.LOOK) <= 22 and len(world.deeds) == did(world, Deed.LOOK)
    assert world.machine.keeping.mode == "on" and world.machine.keeping.why == ""
    assert world.machine.keeping.last is not None
    assert world.machine.keeping.next_reset == NEW_YORK_MIDNIGHT


def test_a_process_of_ours_that_died_is_started_again_and_logged_in_at() -> None:
    world = started()
    world.kill()
    assert world.machine.keeping.why == "starting the gateway again"
    world.run(60.0)
    assert world.ready and did(world, Deed.REVIVE) == 1 and did(world, Deed.LOGIN) == 1
    assert world.told == [
        "starting the gateway again",
        "logging in again: the gateway was started anew",
        "the session is ready",
    ]


def test_one_that_cannot_be_started_is_tried_less_and_less() -> None:
    world = started()
    world.starts = False
    world.kill()
    world.run(3600.0)
    assert 10 <= did(world, Deed.REVIVE) <= 20
    keeping = world.machine.keeping
    assert keeping.mode == "waiting" and "does not stay up" in keeping.why and keeping.until is not None
    assert sum("did not work: The port is taken" in line for line in world.told) >= 1
    world.starts = True
    world.run(400.0)
    assert world.ready


def test_a_process_that_lives_and_says_nothing_is_started_anew() -> None:
    world = started()
    world.up, world.stuck = False, True
    world.run(100.0)
    assert not did(world, Deed.REVIVE)
    world.sso = world.brokerage = False
    world.run(120.0)
    assert did(world, Deed.REVIVE) == 1 and world.ready
    assert any("has not answered for" in line for line in world.told)


def test_somebody_elses_gateway_is_never_started() -> None:
    world = started()
    world.ours = False
    world.kill()
    world.run(7200.0)
    assert did(world, Deed.REVIVE) == 0 and "not ours" in world.machine.keeping.why
    world.up = True
    world.run(60.0)
    assert world.ready


@pytest.mark.parametrize("verb", ["stop", "logout"])
def test_what_a_person_has_ended_stays_ended(verb: str) -> None:
    world = started()
    world.up, world.sso, world.brokerage = verb == "logout", False, False
    world.machine.asked(world.now, verb)
    world.run(7200.0)
    assert not did(world, Deed.REVIVE, Deed.LOGIN, Deed.OPEN, Deed.TAKE)
    world.log_in()
    world.run(30.0)
    world.sso = world.brokerage = False
    world.run(60.0)
    assert did(world, Deed.LOGIN) == 1 and world.ready


def test_a_lost_brokerage_session_is_opened() -> None:
    world = started()
    world.brokerage = False
    world.run(60.0)
    assert world.ready and did(world, Deed.OPEN) == 1 and not did(world, Deed.LOGIN, Deed.TAKE)


def test_after_a_login_elsewhere_the_gateway_gets_its_time() -> None:
    world = World()
    world.run(20.0)
    assert world.machine.keeping.mode == "person" and "nobody has logged in" in world.machine.keeping.why
    world.sso, world.opens_at = True, world.mono + 6.0
    world.run(30.0)
    assert world.ready and not did(world, Deed.OPEN, Deed.LOGIN)


def test_when_opening_fails_again_and_again_a_login_is_tried() -> None:
    world = started()
    world.brokerage = False
    real = world.open

    def broken(deed: Deed) -> None:
        raise Rejected("failed to generate sso dh token")

    world.open = broken  # type: ignore[method-assign]
    world.run(600.0)
    assert did(world, Deed.OPEN) == 4 and did(world, Deed.LOGIN) == 1 and world.ready
    world.open = real  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("relogin", "password", "said"),
    [("off", "right", 'relogin = "off"'), ("source", "", "no password is at hand")],
)
def test_without_leave_or_means_a_person_is_asked_once(relogin: str, password: str, said: str) -> None:
    world = started(relogin=relogin)
    world.password = password
    world.sso = world.brokerage = False
    world.run(6 * 3600.0)
    assert not did(world, Deed.LOGIN)
    assert world.machine.keeping.mode == "person" and said in world.machine.keeping.why
    assert sum(said in line for line in world.told) == 1


def test_a_second_factor_that_needs_a_person_is_not_asked_for_at_night() -> None:
    machine = Machine(ACTS, Moment(START, 0.0))
    machine.asked(Moment(START, 0.0), "login")
    means = Means(password=True, factor=False)
    for at in (1.0, 4.0, 7.0):
        now = Moment(START + timedelta(seconds=at), at)
        machine.saw(now, Sight(Kind.LOGGED_OUT), means)
        assert machine.next(now).deed is Deed.LOOK
    assert machine.keeping.mode == "person" and "second factor needs a person" in machine.keeping.why


def test_a_password_handed_over_later_is_used() -> None:
    world = started()
    world.password = ""
    world.sso = world.brokerage = False
    world.run(60.0)
    assert not did(world, Deed.LOGIN)
    world.password = "right"
    world.machine.held(world.now)
    world.run(60.0)
    assert world.ready


def test_one_odd_reply_is_no_reason_to_log_in() -> None:
    world = started()
    world.odd = [Sight(Kind.LOGGED_OUT)]
    world.run(120.0)
    assert world.ready and not did(world, Deed.LOGIN)


def test_a_refusal_stays_until_a_person_comes() -> None:
    world = started()
    world.password = "wrong"
    world.sso = world.brokerage = False
    world.run(3 * 86_400.0)
    assert len(world.sent) == 1 and "refused the password" in world.machine.keeping.why
    world.password = "right"
    world.run(3600.0)
    assert len(world.sent) == 1
    world.record = guard.Record()  # somebody has reset the attempts
    world.run(60.0)
    assert world.ready and len(world.sent) == 2


def test_competing_ask_waits_and_says_so_once() -> None:
    world = started(competing="ask")
    world.compete()
    world.run(6 * 3600.0)
    assert not did(world, Deed.TAKE, Deed.OPEN, Deed.LOGIN)
    assert world.machine.keeping.mode == "person" and "ibtui login --take-over" in world.machine.keeping.why
    assert sum("another program" in line for line in world.told) == 1
    # The gateway has logged out by itself (login.md §9.4); that is no leave to take it back.
    world.sso = False
    world.run(3600.0)
    assert not did(world, Deed.LOGIN) and world.machine.keeping.mode == "person"
    world.log_in()
    world.run(30.0)
    assert world.ready and world.machine.keeping.mode == "on"


def test_competing_take_takes_it_and_does_not_fight() -> None:
    world = started(competing="take")
    world.compete()
    world.run(30.0)
    assert world.ready and did(world, Deed.TAKE) == 1
    for _ in range(200):
        world.compete()
        world.run(18.0)
    assert did(world, Deed.TAKE) <= 8
    assert "again and again" in world.machine.keeping.why


def test_competing_yield_comes_back_after_its_time() -> None:
    world = started(competing="yield", yield_minutes=20)
    world.compete()
    world.run(19 * 60.0)
    keeping = world.machine.keeping
    assert keeping.mode == "yielding" and keeping.until is not None and not did(world, Deed.TAKE)
    world.run(180.0)
    assert world.ready and did(world, Deed.TAKE) == 1
    assert "the time for the other program is over" in world.told


def test_a_person_lets_another_program_in() -> None:
    world = started(competing="ask")
    world.machine.yield_for(world.now, 30)
    world.run(60.0)
    assert world.machine.keeping.mode == "yielding" and world.ready
    world.compete()
    world.run(25 * 60.0)
    assert not did(world, Deed.TAKE)
    world.run(10 * 60.0)
    assert world.ready and world.machine.keeping.mode == "on"


def test_a_laptop_that_slept_looks_at_once() -> None:
    world = started()
    world.run(11.0)
    world.sleep(3 * 3600.0)
    step = world.machine.next(world.now)
    assert step.deed is Deed.LOOK and step.at <= world.mono
    world.run(60.0)
    assert world.ready and any("slept" in line and "3 h 0 min" in line for line in world.told)
    assert any(line == "logging in again: this machine slept" for line in world.told)


def test_a_clock_set_back_changes_nothing() -> None:
    world = started()
    world.shift -= 7200.0
    world.run(120.0)
    assert world.ready and any("set back by 2 h" in line for line in world.told)


def test_the_nightly_reset_is_waited_out_and_named() -> None:
    world = started()
    world.pass_((NEW_YORK_MIDNIGHT - world.now.wall).total_seconds() - 60.0)
    world.log_in()
    world.run(30.0)
    world.run(40.0)
    world.away_until = world.mono + 300.0
    world.run(60.0)
    assert "the nightly reset" in world.machine.keeping.why
    assert world.machine.keeping.until == NEW_YORK_MIDNIGHT + timedelta(minutes=30)
    world.run(400.0)
    assert world.ready and any("IBKR's nightly reset" in line for line in world.told)


def test_stopped_and_begun_again_by_a_login() -> None:
    world = started()
    world.machine.pause(world.now, "stopped")
    world.run(3600.0)
    assert world.machine.keeping.mode == "paused" and not world.brokerage
    assert not did(world, Deed.OPEN, Deed.LOGIN)
    world.log_in()
    world.run(60.0)
    assert world.machine.keeping.mode == "on"


def test_keep_alive_off_does_nothing_by_itself() -> None:
    world = World(Policy(keeps=False, acts=True))
    world.log_in()
    world.run(20.0)
    world.deeds.clear()
    world.run(300.0)
    assert world.deeds == [] and world.machine.keeping.mode == "off"


def test_whoever_is_not_the_keeper_only_looks() -> None:
    world = World(Policy(acts=False, competing="take"))
    world.log_in()
    world.run(60.0)
    world.kill()
    world.run(300.0)
    world.up = True
    world.run(3600.0)
    assert {deed for _, deed in world.deeds} == {Deed.LOOK} and world.told == []
    assert world.machine.keeping.mode == "on"


def test_a_session_that_does_not_come_up_is_told() -> None:
    machine = Machine(ACTS, Moment(START, 0.0))
    for at in range(0, 600, 3):
        machine.saw(Moment(START + timedelta(seconds=at), float(at)), Sight(Kind.SETTLING), Means())
    assert machine.keeping.mode == "waiting" and "does not come up" in machine.keeping.why


def test_a_setting_that_is_wrong_is_told() -> None:
    machine = Machine(ACTS, Moment(START, 0.0))
    machine.saw(Moment(START, 1.0), Sight(Kind.BLIND, "another machine, and no certificate"), Means())
    assert machine.keeping.mode == "person" and "certificate" in machine.keeping.why


@pytest.mark.parametrize("error", [PersonNeeded("a code"), UsageError("wrong"), LoginRefused("no")])
def test_what_needs_a_person_is_not_tried_again(error: IbtuiError) -> None:
    world = started()

    def fails() -> None:
        world.sent.append(world.now.wall)
        raise error

    world.login = fails  # type: ignore[method-assign]
    world.sso = world.brokerage = False
    world.run(2 * 86_400.0)
    assert len(world.sent) == 1 and error.what in world.machine.keeping.why


def status(**values: bool) -> AuthStatus:
    return AuthStatus(**{"connected": True, **values})  # type: ignore[arg-type]


def test_what_a_look_means() -> None:
    on, off = Lamp(state="on"), Lamp(state="off", reason="nothing answers")
    cases = [
        (sight_of(off, None, None), Kind.DOWN),
        (sight_of(on, status(authenticated=True, established=True), None), Kind.READY),
        (sight_of(on, status(authenticated=True), None), Kind.READY),
        (sight_of(on, status(authenticated=True, established=False), None), Kind.SETTLING),
        (sight_of(on, status(authenticated=True, competing=True), None), Kind.COMPETING),
        (sight_of(on, status(competing=True), None), Kind.COMPETING),
        (sight_of(on, status(), None), Kind.CLOSED),
        (sight_of(on, status(connected=False), None), Kind.LOGGED_OUT),
        (sight_of(on, None, NotLoggedIn("x")), Kind.LOGGED_OUT),
        (sight_of(on, None, Stalled("x")), Kind.AWAY),
        (sight_of(on, None, UnknownReply("x")), Kind.AWAY),
        (sight_of(on, None, GatewayDown("x")), Kind.DOWN),
        (sight_of(on, None, UsageError("x")), Kind.BLIND),
        (sight_of(off, None, None, direct=True), Kind.BLIND),
        (sight_of(Lamp(), None, None, direct=True), Kind.AWAY),
    ]
    assert [found.kind for found, _ in cases] == [kind for _, kind in cases]


def test_pace() -> None:
    pace = Pace((10.0, 60.0))
    assert pace.due(5.0) == 5.0
    for at, due in ((100.0, 110.0), (200.0, 260.0), (300.0, 360.0)):
        pace.spend(at)
        assert pace.due(5.0) == due
    assert pace.due(999.0) == 999.0
    pace.forget()
    assert pace.due(5.0) == 5.0


def test_resets() -> None:
    noon = datetime(2026, 4, 20, 16, 0, tzinfo=UTC)
    assert reset.next_reset("US", noon) == NEW_YORK_MIDNIGHT
    assert reset.next_reset("CH", noon) == datetime(2026, 4, 20, 22, 0, tzinfo=UTC)
    assert reset.next_reset("hk", noon) == datetime(2026, 4, 21, 16, 0, tzinfo=UTC)
    assert reset.last_reset("US", noon) == NEW_YORK_MIDNIGHT - timedelta(days=1)
    assert reset.window("US", noon) is None
    night = reset.window("US", NEW_YORK_MIDNIGHT + timedelta(minutes=5))
    assert night is not None and night.end == NEW_YORK_MIDNIGHT + timedelta(minutes=30)
    saturday = reset.window("CH", datetime(2026, 4, 25, 23, 0, tzinfo=UTC))
    assert saturday is not None and "weekly" in saturday.name
    assert saturday.end == datetime(2026, 4, 26, 4, 30, tzinfo=UTC)


def test_a_machine_without_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise reset.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(reset, "ZoneInfo", none)
    assert reset.next_reset("US", START).hour == 5


def test_without_a_gateway_none_is_blamed() -> None:
    world = started(direct=True)
    world.away_until = world.mono + 300.0
    world.run(60.0)
    assert world.machine.keeping.why == "IBKR does not answer: looking again and again"


def test_spans_for_people() -> None:
    from ibtui.service.steps import span

    assert [span(90), span(600), span(7500)] == ["90 s", "10 min", "2 h 5 min"]


def test_guarded_waits_are_kept() -> None:
    machine = Machine(ACTS, Moment(START, 0.0))
    machine.asked(Moment(START, 0.0), "login")
    wait = START + timedelta(seconds=3600)
    means = Means(password=True, facts=LoginFacts(attempts=2, wait_until=wait))
    for at in (1.0, 4.0):
        machine.saw(Moment(START + timedelta(seconds=at), at), Sight(Kind.LOGGED_OUT), means)
    assert machine.keeping.mode == "waiting" and machine.keeping.until == wait
    step = machine.next(Moment(START + timedelta(seconds=5), 5.0))
    assert step.deed is Deed.LOOK
