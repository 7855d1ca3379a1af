"""The wizard's pages for second factors: choosing, typing, waiting, answering, confirming, failing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from ibtui.config import Profile
from ibtui.core.models import LoginFacts
from ibtui.errors import Backoff, Competing, FactorUnsupported, LoginLocked, WrongAccountType
from ibtui.ui.screens.login import LoginScreen
from ibtui.ui.widgets.code_input import CodeInput
from tests import fakes
from tests.pilot.driving import running, says, shows, text, until

GOOD = [*"correct", "space", *"horse"]


async def log_in(pilot: Pilot[Any]) -> None:
    """Open the wizard and give user name and password."""
    await pilot.press("l")
    await shows(pilot, "Password")
    await pilot.press(*GOOD, "enter")


async def test_a_text_message_is_typed() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "text message to the phone of demo123 at 14:32:10", "waiting 3:00 more")
        await shows(pilot, "Code   [ _ _ _ _ _ _ ]", "attempt 1 of 4", "going back does not", "r send again")
        runtime.clock.advance(14)
        await shows(pilot, "waiting 2:46 more", "14 s")
        await pilot.press(*"3141", "enter")
        await shows(pilot, "[ • • • • _ _ ]", "▲ That was not sent: it has 6 digits.", "waiting 2:46 more")
        assert "Code" not in runtime.calls
        await pilot.press("backspace", "1", "v")
        await shows(pilot, "[ 3 1 4 1 _ _ ]")
        await until(pilot, lambda: "That was not sent" not in text(pilot.app))
        await pilot.press("v", *"599")  # one too many is not taken
        await shows(pilot, "[ • • • • • • ]")
        await pilot.press("enter")
        await says(pilot, "everything is ready")
        assert "Code" in runtime.calls


async def test_send_again_begins_the_wait_anew() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "waiting 3:00 more")
        runtime.clock.advance(185)
        await shows(pilot, "the time is up", "r asks IBKR for another one")
        await pilot.press(*"31", "r")
        await shows(pilot, "waiting 3:00 more", "[ _ _ _ _ _ _ ]")
        assert runtime.calls.count("Resend") == 1


async def test_pasted_codes_keep_their_digits() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "waiting")
        pilot.app.screen.query_one(CodeInput).post_message(Paste(" 314-159\nmore 77"))
        await shows(pilot, "[ • • • • • • ]")
        await pilot.press("enter")
        await says(pilot, "everything is ready")


async def test_one_of_several_is_chosen() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2", "5.2a", "4"))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "Which one?", "▸ 1  Text message (SMS) [4.2]", "2  IB Key on Android [5.2a]")
        await pilot.press("down", "j", "j", "up")
        await shows(pilot, "▸ 3  Authenticator app (TOTP) [4]")
        await pilot.press("enter")
        await shows(pilot, "code of the authenticator app", "the app's code changes in")
        assert "chose 4" in runtime.calls
        await pilot.press("m")
        await shows(pilot, "Which one?", "▸ 1  Text message (SMS) [4.2]")
        await pilot.press("b")
        await shows(pilot, "code of the authenticator app")
        await pilot.press("m", "2")
        await shows(pilot, "Challenge   708 362", "Response   [ _ _ _ _ _ _ _ _ ]", "r new challenge")
        await pilot.press(*fakes.RESPONSE, "enter")
        await says(pilot, "everything is ready")


async def test_the_other_of_two_needs_no_list() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2", "4"))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "Which one?")
        await pilot.press("1")
        await shows(pilot, "text message to the phone")
        await pilot.press("m")
        await shows(pilot, "code of the authenticator app")


async def test_a_wrong_clock_and_a_slip_are_mentioned() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4",))
    runtime.skew, runtime.problem = 12.4, "That was not sent: the answer has 6 digits."
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "▲ This machine's clock is 12 s behind IBKR's", "▲ That was not sent")


async def test_the_attempt_is_the_one_of_the_user_name_that_was_typed() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    runtime.login_facts = LoginFacts(attempts=1, limit=4)  # another user name's
    runtime.attempt = 3
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "waiting", "This is attempt 3 of 4")


async def test_a_wrong_code_has_its_page() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "waiting")
        await pilot.press(*"000000", "enter")
        await shows(pilot, "✕ IBKR refused the code", "User name and password were right", "1 of 4 attempts")
        await shows(pilot, "✕ Second factor", "enter log in again")
        await pilot.press("enter")
        await shows(pilot, "▸ User name and password", "This is attempt 2 of 4.")


async def test_back_and_escape_at_the_code() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "waiting")
        await pilot.press(*"31", "b")
        await shows(pilot, "▸ User name and password", "Password")
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "[ _ _ _ _ _ _ ]")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, LoginScreen))
        await until(pilot, lambda: pilot.app.busy is None)
        assert pilot.app.problem is None
        assert "Code" not in runtime.calls


async def test_after_failures_the_person_is_asked_first() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    runtime.login_facts = LoginFacts(attempts=2, wait_until=fakes.NOW + timedelta(hours=1))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "Attempt 3 of 4 - go on?", "y yes", "counts wrong ones too")
        await pilot.press("enter", "space")
        assert "confirmed" not in runtime.calls
        await pilot.press("b")
        await shows(pilot, "▸ User name and password")
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "go on?")
        await pilot.press("y")
        await says(pilot, "everything is ready")
        assert runtime.calls.count("confirmed") == 1


async def test_a_wait_is_counted_down() -> None:
    until_then = fakes.NOW + timedelta(minutes=59, seconds=30)
    waits = Backoff("Auth is in backoff after 2 failed login attempts.", "", until=until_then)
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": waits})
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "✕ Waiting after failed logins", "Nothing was sent", "ends in 59 m 30 s")
        runtime.clock.advance(3570)
        await shows(pilot, "The wait is over.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LoginLocked("IBKR allows no further attempt.", "Call."), ("is locked", "makes it worse", "→ Call.")),
        (
            LoginLocked("Too many failed login attempts (4).", "Reset them."),
            ("All attempts are used up", "→ ibtui login --reset-attempts"),
        ),
        (
            FactorUnsupported("IBKR wants a second factor for demo123: passkey [FIDO2].", ""),
            ("[FIDO2]", "does not help", "ssh -L 5000:localhost:5000", "press enter"),
        ),
    ],
)
async def test_dead_ends_name_the_way_out(error: Exception, words: tuple[str, ...]) -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": error})  # type: ignore[dict-item]
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, *words)
        await pilot.press("y", "t", "w", "r", "m")
        assert text(pilot.app).count("✕") == 2
        assert text(pilot.app).count("does not help") <= 1


async def test_no_clock_runs_while_the_person_types() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        runtime.clock.advance(7)
        await pilot.pause(1.1)
        assert "logging in" not in text(pilot.app) and "7 s" not in text(pilot.app)
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "waiting")
        assert "logging in" not in text(pilot.app)


async def test_loading_is_seen_on_the_screen_below() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        hold = runtime.hold("go_live")
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "◐ loading accounts, positions and orders", "● Brokerage")
        assert not isinstance(pilot.app.screen, LoginScreen)
        hold.set()
        await until(pilot, lambda: pilot.app.busy is None)


async def test_the_user_name_is_masked_with_the_rest() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "phone of demo123")
        await pilot.press("h")
        await shows(pilot, "phone of •••")
        assert "demo123" not in text(pilot.app)


async def test_paper_and_live_can_be_switched() -> None:
    error = WrongAccountType("This is a paper user name.", "", wanted="live", found="paper")
    live = Profile(name="default", username="demo123", account_type="live")
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": error}, profile=live)
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "✕ Paper and live", "w  mean paper from now on")
        await pilot.press("w")
        await shows(pilot, "Password", "use the paper account's own user name")
        assert "mean paper" in runtime.calls


async def test_yielding_leaves_the_session_there() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": Competing("TWS holds it.", "")})
    async with running(runtime) as pilot:
        await log_in(pilot)
        await shows(pilot, "y  yield")
        await pilot.press("y")
        await says(pilot, "left to the other program")
        assert "open_brokerage" not in runtime.calls


async def test_a_login_that_ends_under_the_help_page() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        hold = runtime.hold("login")
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "Talking to IBKR")
        await pilot.press("question_mark")
        await shows(pilot, "Send the code again")
        hold.set()
        await until(pilot, lambda: "go_live" in runtime.calls)
        await pilot.press("escape")
        await shows(pilot, "● Brokerage", "1 2 3 4")
        assert not isinstance(pilot.app.screen, LoginScreen)
