"""A password that is typed where nobody asks for one is no row of keys."""

from __future__ import annotations

import pytest

from ibtui.config import Profile
from ibtui.core.models import Keeping, Lamp, LoginFacts, Status
from ibtui.errors import Competing, FactorUnsupported, GatewayDown, WrongAccountType
from ibtui.ui.screens.login import LoginScreen
from ibtui.ui.widgets.bar import TopBar
from ibtui.ui.widgets.inks import ink
from ibtui.ui.widgets.secret_input import SecretInput
from tests import fakes
from tests.pilot.driving import running, says, shows, text, until

PASSWORD = "sytoKRqiy2h0re"
"""Every letter of the Session screen that does something is in it."""


async def test_a_password_typed_while_logged_in_does_nothing() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        before = list(runtime.calls)
        await pilot.press("l")
        await says(pilot, "You are logged in already")
        await pilot.press(*PASSWORD, "enter")
        await says(pilot, "it may be a password")
        assert runtime.calls == before
        assert len(pilot.app.screen_stack) == 1 and not pilot.app.hidden and not pilot.app._exit
        assert pilot.app.current_mode == "session"
        runtime.clock.advance(1.1)
        await pilot.press("o")
        await shows(pilot, "Log out?")


async def test_escape_ends_the_quiet() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("l")
        await says(pilot, "You are logged in already")
        await pilot.press("escape", "o")
        await shows(pilot, "Log out?")


async def test_the_wizard_closes_under_whoever_is_typing() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        hold = runtime.hold("go_live")
        looked = runtime.hold("refresh")
        await pilot.press("l")
        await shows(pilot, "Looking at the gateway")
        await pilot.press(*PASSWORD[:3])
        runtime.change(fakes.ALL_ON)  # somebody else has logged in meanwhile
        hold.set()
        looked.set()
        await until(pilot, lambda: not isinstance(pilot.app.screen, LoginScreen))
        await pilot.press(*PASSWORD[3:], "enter")
        assert len(pilot.app.screen_stack) == 1 and not pilot.app._exit and not pilot.app.hidden
        assert not {"stop_gateway", "logout", "stop_keeping"} & set(runtime.calls)


async def test_what_is_typed_before_the_page_is_there_waits_in_the_field() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        looked = runtime.hold("refresh")
        await pilot.press("l")
        await shows(pilot, "Looking at the gateway")
        await pilot.press(*fakes.PASSWORD[:4])
        assert isinstance(pilot.app.screen, LoginScreen)
        looked.set()
        await shows(pilot, "••••", "enter log in", "Typed before this page was there; ^U takes it away.")
        await pilot.press(*fakes.PASSWORD[4:], "enter")
        await says(pilot, "everything is ready")


async def test_typed_too_early_and_for_nothing_is_forgotten() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        runtime.fails["refresh"] = GatewayDown("Nothing answers.", "Start it.")
        looked = runtime.hold("refresh")
        await pilot.press("l")
        await shows(pilot, "Looking at the gateway")
        await pilot.press(*PASSWORD[:3])
        looked.set()
        await shows(pilot, "✕ The gateway does not answer")
        assert not pilot.app.screen.query_one("#password", SecretInput).filled
        await pilot.press(*PASSWORD[3:])
        await shows(pilot, "✕ The gateway does not answer")
        assert isinstance(pilot.app.screen, LoginScreen) and not pilot.app._exit


async def test_q_is_a_letter_while_something_is_asked() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        await pilot.press(*fakes.PASSWORD, "enter")
        await shows(pilot, "waiting")
        await pilot.press("q")
        await says(pilot, "^Q leaves ibtui")
        assert not pilot.app._exit
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, LoginScreen))


# What the lamps and pages say -------------------------------------------------------------


FOREIGN = ("pid 81 · started elsewhere · https://localhost:5000", "https://10.0.0.7:5000")


@pytest.mark.parametrize("reason", FOREIGN)
async def test_somebody_elses_gateway_is_not_offered_to_be_stopped(reason: str) -> None:
    on = Lamp(state="on", reason="demo123")
    status = Status(gateway=Lamp(state="on", reason=reason), sso=on, brokerage=on)
    runtime = fakes.FakeRuntime(status)
    async with running(runtime) as pilot:
        await shows(pilot, "o log out")
        assert "s stop" not in text(pilot.app)
        for key in "sR":
            await pilot.press(key)
            await says(pilot, "ibtui did not start this gateway")
            pilot.app.clear_notifications()
        assert len(pilot.app.screen_stack) == 1


async def test_a_session_left_to_another_program_is_not_green() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await shows(pilot, "● Brokerage", "● ● ●")
        runtime.keeping = Keeping(mode="yielding", until=fakes.NOW.replace(minute=52))
        runtime.change(fakes.ALL_ON)
        await shows(pilot, "△ Brokerage   left to another program · until 14:52", "● ● △", "→ t take it back")
        await pilot.press("2")
        await shows(pilot, "Positions", "● ● △")


async def test_used_up_attempts_name_the_command_that_resets_them() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    runtime.login_facts = LoginFacts(attempts=3, limit=4)
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "attempt 4 of 4, the last one. Being wrong uses it up.")
        await pilot.press(*"wrong", "enter")
        await shows(pilot, "✕ IBKR refused the login", "→ ibtui login --reset-attempts")
        assert "enter them again" not in text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, LoginScreen))
        await pilot.press("l")
        await shows(pilot, "▲ All 4 attempts of this user name are used up", "--reset-attempts")
        assert "5 of 4" not in text(pilot.app)


async def test_a_contested_session_that_was_there_fails_at_the_brokerage_step() -> None:
    there = Status(gateway=fakes.ALL_ON.gateway, sso=fakes.ALL_ON.sso, brokerage=Lamp(state="off"))
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        runtime.fails["open_brokerage"] = Competing("TWS holds it.", "Take it over (compete).")
        looked = runtime.hold("refresh")
        await pilot.press("l")
        runtime.change(there)
        looked.set()
        await shows(pilot, "✓ Gateway", "✕ Brokerage session", "t  take it over")
        assert "(compete)" not in text(pilot.app)


async def test_another_user_name_begins_with_an_empty_field() -> None:
    error = WrongAccountType("This is a paper user name.", "", wanted="live", found="paper")
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": error})
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "demo123", "tab next field")
        await pilot.press(*fakes.PASSWORD, "enter")
        await shows(pilot, "enter log in with another user name")
        await pilot.press("enter")
        await shows(pilot, "Password")
        assert "demo123" not in text(pilot.app)
        assert pilot.app.focused is not None and pilot.app.focused.id == "username"


async def test_what_a_lamp_says_already_is_not_said_twice() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        error = GatewayDown("Nothing answers at https://localhost:5000.", "Start it where it runs.")
        runtime.fails["refresh"] = error
        down = Lamp(state="off", reason=error.what, fix=error.fix)
        runtime.change(Status(gateway=down))
        await pilot.press("r")
        await until(pilot, lambda: pilot.app.problem is error)
        await shows(pilot, "○ Gateway")
        assert text(pilot.app).count("Nothing answers") == 1


async def test_going_back_gives_the_attempt_back_before_it_is_told() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        await pilot.press(*fakes.PASSWORD, "enter")
        await shows(pilot, "waiting", "attempt 1 of 4")
        assert runtime.login_facts.attempts == 1
        looked = runtime.hold("refresh")
        await pilot.press("b")
        await shows(pilot, "Looking at the gateway")
        runtime.login_facts = LoginFacts()  # as the login that was stopped leaves it
        looked.set()
        await shows(pilot, "Password")
        assert "attempt 2" not in text(pilot.app)


async def test_a_session_on_its_way_that_nobody_waits_for_names_the_next_step() -> None:
    halfway = Status(
        gateway=fakes.ALL_ON.gateway, sso=fakes.ALL_ON.sso, brokerage=Lamp(state="busy", reason="on the way")
    )
    profile = Profile(name="default", username="demo123", keep_alive=False)
    runtime = fakes.FakeRuntime(halfway, profile=profile)
    runtime.keeping = Keeping(mode="off")
    async with running(runtime) as pilot:
        await shows(pilot, "◐ Brokerage", "→ r look again")


async def test_a_key_that_is_here_already_is_named_before_it_ends() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    runtime.login_facts = LoginFacts(logins_left=61)
    async with running(runtime) as pilot:
        await pilot.press("e")
        await shows(pilot, "replaces the IB Key on the phone", "The key that is here already ends, too: 61")
        await pilot.press("y")
        await shows(pilot, "▸ PIN", "Once more")
        runtime.clock.advance(7)
        await pilot.pause(1.1)
        assert "7 s" not in text(pilot.app), "typing a PIN takes no time of IBKR's"


async def test_a_page_names_no_key_of_the_screen_below() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        fix = "Start it where it runs. Or install one: i here, or ibtui gateway install"
        runtime.fails["refresh"] = GatewayDown("Nothing answers at https://localhost:5000.", fix)
        await pilot.press("l")
        await shows(pilot, "→ Start it where it runs. Or install one: ibtui gateway install")
        await shows(pilot, "Nothing was sent to IBKR, no attempt was used.")


async def test_a_gateway_that_dies_in_the_middle_is_not_said_to_have_sent_nothing() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": GatewayDown("It ended.", "Start it.")})
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        await pilot.press(*fakes.PASSWORD, "enter")
        await shows(pilot, "✕ The gateway does not answer", "1 of 4 attempts are used up now")
        assert "Nothing was sent" not in text(pilot.app)


async def test_a_look_for_a_login_by_browser_says_that_there_is_none() -> None:
    error = FactorUnsupported("IBKR wants a passkey.", "Log in with a browser.")
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": error})
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        await pilot.press(*fakes.PASSWORD, "enter")
        await shows(pilot, "✕ A second factor ibtui cannot answer", "enter look again")
        await pilot.press("enter")
        await shows(pilot, "▲ The gateway says that nobody is logged in yet.", "Password")
        await pilot.press("escape", "l")
        await shows(pilot, "Password")
        assert "logged in yet" not in text(pilot.app)


@pytest.mark.parametrize("theme", ["ibtui-dark", "ibtui-light", "ansi-dark", "ansi-light"])
async def test_the_mark_of_a_live_account_stands_out_in_every_theme(theme: str) -> None:
    runtime = fakes.FakeRuntime(profile=Profile(name="default", account_type="live"))
    async with running(runtime, theme=theme) as pilot:
        await shows(pilot, "LIVE")
        style = ink(pilot.app.screen.query_one(TopBar), "live")
        assert style.reverse and style.bold
