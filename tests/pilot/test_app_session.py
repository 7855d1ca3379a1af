"""The Session screen: start, verbs, what goes wrong and where it says so."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

from ibtui.config import Profile
from ibtui.core.feed import Change
from ibtui.errors import Competing, GatewayDown
from tests import fakes
from tests.pilot.driving import make_app, running, says, shows, text, until

FIRST_FRAME = """
import asyncio, sys
from ibtui.config import Settings
from ibtui.ui.app import IbtuiApp

async def make():
    strips = app.screen._compositor.render_strips()
    shown = "\\n".join(strip.text for strip in strips)
    assert "Session" in shown and "Brokerage" in shown, shown
    heavy = {"httpx", "websockets", "cryptography", "aiohttp", "ibtui.core", "ibtui.sim", "ibtui.gateway"}
    loaded = [name for name in sys.modules if name in heavy]
    print("LOADED", loaded)
    app.exit(0)
    raise RuntimeError("enough")

app = IbtuiApp(Settings(), make)
app.run(headless=True, size=(80, 24))
"""


def test_first_frame_comes_before_network_and_processes() -> None:
    """The runtime is made after the frame, and until then nothing heavy is imported."""
    done = subprocess.run([sys.executable, "-c", FIRST_FRAME], capture_output=True, text=True, timeout=60)
    assert "LOADED []" in done.stdout, done.stdout + done.stderr


async def test_the_demo_comes_up_by_itself() -> None:
    runtime = fakes.FakeRuntime(fakes.DOWN, unattended=True)
    async with running(runtime) as pilot:
        await shows(pilot, "● Gateway", "● Login", "● Brokerage", "DU1234567")
        assert runtime.calls[:2] == ["start_gateway", "refresh"]
        assert runtime.calls[-1] == "go_live"


async def test_without_unattended_answers_it_only_looks() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await shows(pilot, "○ Login", "nobody is logged in", "→ Log in: l here")
        assert runtime.calls == ["refresh"]


async def test_what_is_done_is_shown_with_its_time_and_can_be_cancelled() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        runtime.gate = asyncio.Event()
        await pilot.press("r")
        await shows(pilot, "◐ looking anew 0 s", "esc cancels")
        runtime.clock.advance(7)
        await shows(pilot, "looking anew 7 s")
        await pilot.press("l")
        await says(pilot, "Wait, or press esc to cancel")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.busy is None)
        assert pilot.app.problem is None


async def test_a_failure_is_told_in_place_with_its_fix() -> None:
    runtime = fakes.FakeRuntime(
        fakes.COMPETING, fails={"open_brokerage": Competing("TWS holds the session.", "Close it there.")}
    )
    async with running(runtime) as pilot:
        await shows(pilot, "▲ Brokerage", "→ t take it over    y yield 30 min")
        await pilot.press("t")
        await shows(pilot, "Take the brokerage session over?", "Profile default", "another ibtui")
        await pilot.press("y")
        await shows(
            pilot, "✕ Another program holds the session", "TWS holds the session.", "→ Close it there."
        )
        del runtime.fails["open_brokerage"]
        await pilot.press("t", "y")
        await shows(pilot, "● Brokerage")
        assert "TWS holds" not in text(pilot.app)


async def test_an_unforeseen_error_shows_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        runtime.fails["refresh"] = ZeroDivisionError("secret words")  # type: ignore[assignment]
        logging.getLogger("ibtui").propagate = True
        await pilot.press("r")
        await shows(pilot, "Something inside ibtui broke (ZeroDivisionError).")
        assert "secret words" not in text(pilot.app)
        assert "unforeseen" in caplog.text


async def test_a_runtime_that_cannot_be_made_is_told() -> None:
    runtime = fakes.FakeRuntime()
    app = make_app(runtime)

    async def refuse() -> object:
        raise GatewayDown("No such profile.", "ibtui config show")

    app._make_runtime = refuse  # type: ignore[assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "No such profile.", "→ ibtui config show")
        await pilot.press("r")
        await pilot.press("2", "3", "4", "1")
        await shows(pilot, "No such profile.")
        await pilot.press("q")
        await until(pilot, lambda: app._exit)


async def test_stop_asks_and_enter_means_no() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await shows(pilot, "s stop")
        await pilot.press("s")
        await shows(pilot, "Stop the gateway?")
        await pilot.press("enter")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert "stop_gateway" not in runtime.calls
        await pilot.press("s")
        await shows(pilot, "Stop the gateway?")
        await pilot.press("y")
        await shows(pilot, "○ Gateway", "s start")
        assert "stop_gateway" in runtime.calls
        await pilot.press("s")
        await shows(pilot, "● Gateway")


async def test_verbs_that_cannot_be_done_say_why() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("l")
        await says(pilot, "You are logged in already")
        runtime.clock.advance(2)
        await pilot.press("t")
        await says(pilot, "yours already")
        await pilot.press("o")
        await shows(pilot, "Log out?")
        await pilot.press("y")
        await shows(pilot, "○ Login")


async def test_time_line_and_log_follow() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await shows(pilot, "caught up after 12 s")
        runtime.event("a new thing [/bold] [@click=app.quit]x", "warn")
        await shows(pilot, "▲ a new thing [/bold] [@click=app.quit]x")
        await pilot.press("g")
        await shows(pilot, "gateway log", "tickle ok 48 ms")
        runtime.log_lines.append("14:40:00 ERROR [/red] boom")
        runtime.change(fakes.NOBODY)
        runtime.hub.publish([Change("log", "*")])
        await shows(pilot, "[/red] boom", "○ Login")
        await pilot.press("g")
        await until(pilot, lambda: "boom" not in text(pilot.app))


async def test_keep_alive_age() -> None:
    runtime = fakes.FakeRuntime(profile=Profile(name="default", keep_alive=False))
    async with running(runtime) as pilot:
        await shows(pilot, "off (keep_alive = false)")


async def test_copy_says_so() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("c")
        await says(pilot, "Copied the three lamps")
        assert pilot.app.clipboard.startswith(" ● Gateway")


@pytest.mark.parametrize("kind", ["paper", "live"])
async def test_a_live_account_is_loud(kind: str) -> None:
    runtime = fakes.FakeRuntime(profile=Profile(name="default", account_type=kind))
    async with running(runtime) as pilot:
        await shows(pilot, "LIVE" if kind == "live" else "paper")
