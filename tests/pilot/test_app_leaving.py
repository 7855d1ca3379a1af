"""Leaving with a live session, and coming back: what goes on, what ended, what was missed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from ibtui.config import Profile
from ibtui.core.models import Event, Keeping
from ibtui.errors import GatewayFault
from ibtui.service.seen import last_seen, mark_seen
from ibtui.ui import keymap, leaving
from ibtui.ui.present import session as present
from tests import fakes
from tests.pilot.driving import make_app, running, shows, text, until

OURS = Profile(name="default", username="demo123", gateway_dir="/opt/gateway")
ALONE = Keeping(mode="on", shared=True)


async def test_enter_leaves_it_alive() -> None:
    runtime = fakes.FakeRuntime(profile=OURS)
    runtime.keeping = ALONE
    async with running(runtime) as pilot:
        await pilot.press("q")
        await shows(
            pilot, "Leave ibtui? The session of profile default (DU1234567) is alive", "▸ q Leave it alive"
        )
        await shows(pilot, "k Stop the keep-alive", "s Stop the gateway", "go on without you")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app._exit)
    assert runtime.closed and pilot.app.return_value == 0
    assert not {"stop_gateway", "stop_keeping"} & set(runtime.calls)


@pytest.mark.parametrize("keys", ["qq", "qqq"])
async def test_impatience_does_no_harm(keys: str) -> None:
    runtime = fakes.FakeRuntime(profile=OURS)
    async with running(runtime) as pilot:
        await pilot.press(*keys)
        await until(pilot, lambda: pilot.app._exit)
    assert runtime.closed and "stop_gateway" not in runtime.calls


async def test_control_q_answers_its_own_question() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("ctrl+q")
        await shows(pilot, "Leave ibtui? The session of profile default (DU1234567) is alive.")
        await pilot.press("ctrl+q")
        await until(pilot, lambda: pilot.app._exit)
    assert runtime.closed


async def test_escape_stays_and_what_is_not_offered_does_nothing() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("q")
        await shows(pilot, "▸ q Leave", "keep-alive ends with this terminal")
        assert "Stop the keep-alive" not in text(pilot.app), "it ends with the terminal anyway"
        assert "Stop the gateway" not in text(pilot.app), "somebody else started it"
        await pilot.press("s", "k", "up", "down")
        runtime.keeping = ALONE  # a supervisor takes it over while the question stands there
        await shows(pilot, "Leave it alive")
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert not runtime.closed and not pilot.app._exit


@pytest.mark.parametrize(("keys", "call"), [("k", "stop_keeping"), ("s", "stop_gateway")])
async def test_what_is_to_end_is_ended_before_leaving(keys: str, call: str) -> None:
    runtime = fakes.FakeRuntime(profile=OURS)
    runtime.keeping = ALONE
    async with running(runtime) as pilot:
        gate = runtime.hold(call)
        await pilot.press("q", keys)
        await until(pilot, lambda: call in runtime.calls)
        assert not pilot.app._exit
        gate.set()
        await until(pilot, lambda: pilot.app._exit)
    assert runtime.closed


async def test_down_and_enter_choose() -> None:
    runtime = fakes.FakeRuntime(profile=OURS)
    runtime.keeping = ALONE
    async with running(runtime) as pilot:
        await pilot.press("q", "down", "down")
        await shows(pilot, "▸ s Stop the gateway")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app._exit)
    assert "stop_gateway" in runtime.calls


async def test_a_gateway_that_does_not_stop_keeps_us_here() -> None:
    fails = {"stop_gateway": GatewayFault("It does not end.", "Look at its log: g")}
    runtime = fakes.FakeRuntime(profile=OURS, fails=dict(fails))
    async with running(runtime) as pilot:
        await pilot.press("q", "s")
        await shows(pilot, "✕ The gateway process", "It does not end.", "→ Look at its log: g")
        assert not pilot.app._exit and not runtime.closed


@pytest.mark.parametrize(
    "runtime",
    [
        fakes.FakeRuntime(fakes.NOBODY),
        fakes.FakeRuntime(profile=Profile(name="default", keep_alive=False)),
        fakes.FakeRuntime(profile=Profile(name="demo", mode="demo")),
    ],
    ids=["nobody", "not-kept", "demo"],
)
async def test_nothing_is_asked_where_nothing_is_kept(runtime: fakes.FakeRuntime) -> None:
    async with running(runtime) as pilot:
        await pilot.press("q")
        await until(pilot, lambda: pilot.app._exit)
    assert runtime.closed and pilot.app.return_value == 0


async def test_leaving_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "CLOSE_S", 0.05)
    runtime = fakes.FakeRuntime(fakes.NOBODY)

    async def never() -> None:
        await asyncio.sleep(3600)

    runtime.close = never  # type: ignore[method-assign]
    app = make_app(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "○ Login")
        await pilot.press("ctrl+q")
        await until(pilot, lambda: app._exit)


# Coming back -------------------------------------------------------------------------


async def test_what_happened_meanwhile_is_marked() -> None:
    await mark_seen("default", fakes.NOW - timedelta(hours=12, minutes=18))
    runtime = fakes.FakeRuntime()
    runtime.events = [
        Event(at=fakes.NOW - timedelta(hours=13), source="brokerage", text="ready, and seen"),
        Event(at=fakes.NOW - timedelta(hours=12), source="brokerage", text="lost", level="warn"),
        Event(at=fakes.NOW - timedelta(hours=11), source="brokerage", text="back"),
    ]
    async with running(runtime) as pilot:
        await shows(pilot, "── since you left 02:14: 2 changes ──", "1/3")
        lines = [line for line in text(pilot.app).splitlines() if "brokerage" in line or "since you" in line]
        assert [word for line in lines for word in ("back", "lost", "since", "ready,") if word in line] == [
            "back",
            "lost",
            "since",
            "ready,",
        ]
        runtime.event("news while somebody looks")
        await shows(pilot, "news while somebody looks", "02:14: 2 changes")
        assert await last_seen("default") == fakes.NOW
        runtime.clock.advance(300)
        await pilot.press("q", "enter")
        await until(pilot, lambda: pilot.app._exit)
    assert await last_seen("default") == fakes.NOW + timedelta(seconds=300)


async def test_the_demo_is_not_noted() -> None:
    runtime = fakes.FakeRuntime(profile=Profile(name="demo", mode="demo"))
    async with running(runtime) as pilot:
        await shows(pilot, "● Brokerage")
    assert await last_seen("demo") is None


async def test_the_counter_follows_the_time_line() -> None:
    runtime = fakes.FakeRuntime()
    long = (
        "a long line that does not fit into eighty columns and has to be wrapped, so that it counts once only"
    )
    runtime.events = [structs.replace(fakes.EVENTS[0], text=f"{number} {long}") for number in range(30)]
    async with running(runtime) as pilot:
        await shows(pilot, "1/30")
        await pilot.press("tab", "end")
        await until(pilot, lambda: "1/30" not in text(pilot.app) and "/30" in text(pilot.app))
        await pilot.press("home", "down", "down")
        await shows(pilot, "2/30")


# Verbs -------------------------------------------------------------------------------


async def test_yield_is_asked_where_the_session_is_ours() -> None:
    runtime = fakes.FakeRuntime(profile=replace(OURS, yield_minutes=20))
    async with running(runtime) as pilot:
        await shows(pilot, "y yield")
        await pilot.press("y")
        await shows(pilot, "for 20 minutes?", "Profile default (DU1234567).")
        await pilot.press("y")
        await shows(pilot, "yielding until 14:52; t takes it back")
        assert "yield_session 20" in runtime.calls
        runtime.change(fakes.COMPETING)
        await pilot.press("y")
        await until(pilot, lambda: any("already" in toast.message for toast in pilot.app._notifications))


async def test_yield_to_who_has_it_needs_no_question() -> None:
    runtime = fakes.FakeRuntime(fakes.COMPETING)
    async with running(runtime) as pilot:
        await pilot.press("y")
        await until(pilot, lambda: "yield_session 30" in runtime.calls)


async def test_restart_asks_stops_and_starts() -> None:
    runtime = fakes.FakeRuntime(profile=OURS)
    async with running(runtime) as pilot:
        await pilot.press("R")
        await shows(pilot, "Restart the gateway?", "Profile default")
        await pilot.press("y")
        await until(pilot, lambda: "start_gateway" in runtime.calls and pilot.app.busy is None)  # type: ignore[attr-defined]
        found = [call for call in runtime.calls if call.endswith("gateway")]
        assert found == ["stop_gateway", "start_gateway"]
    down = fakes.FakeRuntime(fakes.DOWN)
    async with running(down) as pilot:
        await pilot.press("R")
        await until(pilot, lambda: any("not running" in it.message for it in pilot.app._notifications))


async def test_the_log_is_open_where_there_is_room() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime, (120, 40)) as pilot:
        await shows(pilot, "gateway log", "tickle ok 48 ms")
        await pilot.press("g")
        await until(pilot, lambda: "tickle ok" not in text(pilot.app))
        runtime.log_lines.append("14:40:00 INFO more")
        await pilot.pause(0.05)
        assert "gateway log" not in text(pilot.app), "who closed it wants it closed"


async def test_every_verb_is_in_the_palette_and_on_the_help_page() -> None:
    async with running(fakes.FakeRuntime(), (100, 60)) as pilot:
        titles = {it.title for it in pilot.app.get_system_commands(pilot.app.screen)}
        verbs = [key for key in keymap.of("session") if key.action.startswith("app.verb(")]
        assert {key.description for key in verbs} <= titles and len(verbs) == 10
        await pilot.press("question_mark")
        await shows(pilot, *(key.description for key in verbs))
        assert {key.action.split("'")[1] for key in verbs} == set(present.verbs(fakes.ALL_ON))


async def test_the_keep_alive_is_stopped_by_its_own_verb() -> None:
    runtime = fakes.FakeRuntime(profile=OURS)
    async with running(runtime) as pilot:
        await pilot.press("K")
        await shows(pilot, "Stop the keep-alive?", "Profile default (DU1234567).")
        await pilot.press("y")
        await shows(pilot, "Keep-alive  stopped")
        await pilot.press("q")
        await until(pilot, lambda: pilot.app._exit)
