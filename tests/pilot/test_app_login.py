"""The login wizard: every way it can go has its own page with a way out; no secret leaves its field."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from textual.events import Paste
from textual.widgets import Input

from ibtui.auth.effects import Note, Step
from ibtui.config import Profile
from ibtui.errors import Competing, GatewayDown, LoginLocked, UnknownReply, Unreachable
from ibtui.secret import Secret
from ibtui.ui.screens.login import LoginScreen
from ibtui.ui.widgets.secret_input import SecretInput
from tests import fakes
from tests.pilot.driving import running, says, shows, text, until

GOOD = [*"correct", "space", *"horse"]


async def test_from_nobody_to_ready() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Log in to IBKR", "✓ Gateway", "▸ User name and password", "demo123", "Password")
        await pilot.press(*GOOD)
        await shows(pilot, "•••••••••••••")
        await pilot.press("enter")
        await says(pilot, "everything is ready")
        await shows(pilot, "● Gateway", "● Login", "● Brokerage")
        assert "credentials demo123" in runtime.calls
        assert runtime.calls[-1] == "go_live"


async def test_the_gateway_is_started_first_and_seen_doing_so() -> None:
    runtime = fakes.FakeRuntime(fakes.DOWN)
    async with running(runtime) as pilot:
        runtime.gate = asyncio.Event()
        await pilot.press("l")
        await shows(pilot, "▸ Gateway", "starting the gateway")
        runtime.clock.advance(14)
        await shows(pilot, "14 s")
        runtime.gate.set()
        await shows(pilot, "✓ Gateway", "▸ User name and password")


async def test_enter_in_an_empty_user_name_does_not_lead_to_the_password() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, profile=Profile(name="default"))
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "User name")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        await pilot.press("enter", *"somebody")
        await shows(pilot, "▲ The user name is missing.", "somebody")
        await pilot.press("enter", *"s3cret")
        await shows(pilot, "••••••")


async def test_no_user_name_in_the_profile() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, profile=Profile(name="default"))
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "User name")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        await pilot.press("tab", "enter")
        await shows(pilot, "▲ The user name is missing.")
        await pilot.press(*"qah2", "enter")
        await until(pilot, lambda: isinstance(pilot.app.focused, SecretInput))
        await pilot.press("enter")
        await shows(pilot, "▲ The password is missing.")
        await pilot.press(*GOOD, "enter")
        await until(pilot, lambda: "credentials qah2" in runtime.calls)


async def test_refused_then_again() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("l", *"wrong", "enter")
        await shows(pilot, "✕ IBKR refused the login", "✕ User name and password", "enter them again")
        await pilot.press("enter")
        await shows(pilot, "Password", "▸ User name and password")
        assert not pilot.app.screen.query_one("#password", SecretInput).filled
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "● Brokerage")


async def test_back_begins_again() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("l", *"wrong", "enter")
        await shows(pilot, "refused")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(pilot.app.focused, SecretInput))


async def test_locked_offers_no_further_try() -> None:
    locked = LoginLocked("IBKR allows no further attempt.", "Unlock it in the Client Portal.")
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": locked})
    async with running(runtime) as pilot:
        await pilot.press("l", *GOOD, "enter")
        await shows(pilot, "✕ The account is locked", "makes it worse")
        before = list(runtime.calls)
        await pilot.press("enter", "b", "t")
        assert isinstance(pilot.app.screen, LoginScreen)
        assert runtime.calls == before
        await pilot.press("escape")
        await shows(pilot, "Session", "✕ The account is locked")


async def test_a_factor_that_cannot_be_typed_names_the_way_out() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("7.1",))
    async with running(runtime) as pilot:
        await pilot.press("l", *GOOD, "enter")
        await shows(pilot, "[7.1]", "ssh -L 5000:localhost:5000")
        await shows(pilot, "https://localhost:5000", "▸ Second factor")
        await pilot.press("b")
        await shows(pilot, "▸ User name and password")
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "[7.1]")
        runtime.status = fakes.ALL_ON  # somebody has logged in by browser
        await pilot.press("enter")
        await shows(pilot, "● Brokerage")
        assert runtime.calls[-2:] == ["refresh", "go_live"]


async def test_competing_is_taken_over() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"login": Competing("TWS holds it.", "")})
    async with running(runtime) as pilot:
        await pilot.press("l", *GOOD, "enter")
        await shows(pilot, "Another program holds the session", "take it over; it ends there", "t take over")
        runtime.change(fakes.COMPETING)
        await pilot.press("t")
        await shows(pilot, "● Brokerage")
        assert "open_brokerage" in runtime.calls


@pytest.mark.parametrize(
    ("error", "verb", "words"),
    [
        (GatewayDown("No answer.", "s starts it."), "start_gateway", ("does not answer", "no attempt")),
        (UnknownReply("An odd reply (status 418).", ""), "login", ("A reply ibtui does not know", "ssh -L")),
        (Unreachable("IBKR is away.", "Later."), "login", ("IBKR cannot be reached", "not your password")),
    ],
)  # fmt: skip
async def test_other_failures(error: Exception, verb: str, words: tuple[str, ...]) -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={verb: error})  # type: ignore[dict-item]
    async with running(runtime) as pilot:
        await pilot.press("l")
        if verb == "login":
            await shows(pilot, "Password")
            await pilot.press(*GOOD, "enter")
        await shows(pilot, *words)
        await pilot.press("escape")
        await shows(pilot, "Session")


async def test_escape_cancels_at_each_step() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("l", *"half a", "escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, LoginScreen))
        await until(pilot, lambda: pilot.app.busy is None)
        assert pilot.app.problem is None
        runtime.gate = asyncio.Event()
        await pilot.press("l")
        await shows(pilot, "▸ Gateway")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.busy is None)
        assert pilot.app.current_mode == "session"


async def test_the_password_stays_in_its_field(caplog: pytest.LogCaptureFixture) -> None:
    """Not in a message, the clipboard, the screen, a log, a worker's description or a repr."""
    seen: list[str] = []
    secret = "p4ssw0rd-unique"
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    logging.getLogger("ibtui").propagate = True
    with caplog.at_level(logging.DEBUG):
        async with running(runtime, hook=lambda message: seen.append(repr(message))) as pilot:
            await pilot.press("l")
            await shows(pilot, "Password")
            field = pilot.app.screen.query_one("#password", SecretInput)
            field.post_message(Paste(f"{secret}\nmore"))
            await until(pilot, lambda: field.filled)
            await pilot.press("ctrl+c", "ctrl+x")
            assert pilot.app.clipboard == ""
            shown = pilot.app.export_screenshot() + text(pilot.app) + repr(field) + str(field.__rich_repr__)
            await pilot.press("enter")
            await shows(pilot, "refused")
            workers = repr([(worker.name, worker.description) for worker in pilot.app.workers])
            assert not field.filled
    pasted = [line for line in seen if "Paste" in line]
    everything = "\n".join(line for line in seen if line not in pasted) + shown + workers + caplog.text
    assert secret not in everything


async def test_editing_a_secret() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("l")
        await shows(pilot, "Password")
        field = pilot.app.screen.query_one("#password", SecretInput)
        await pilot.press(*"abcd", "backspace", "tab", "shift+tab", *"é漢")
        assert field.take() == Secret("abcé漢")
        assert not field.filled
        await pilot.press(*"abc", "ctrl+u", "x")
        assert field.take() == Secret("x")


async def test_privacy_masks_the_user_name_in_field_steps_and_notes() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await pilot.press("h", "l")
        await shows(pilot, "User name", "•••••••")
        screen: Any = pilot.app.screen
        field = screen.query_one("#username", Input)
        assert (field.value, field.password) == ("demo123", True)
        assert "demo123" not in text(pilot.app)
        hold = runtime.hold("login")
        await pilot.press(*GOOD, "enter")
        await until(pilot, lambda: "login" in runtime.calls)
        screen.show_note(Note(Step.SESSION, "opening the session of demo123"))
        await shows(pilot, "opening the session of •••")
        assert "demo123" not in text(pilot.app)
        pilot.app.hidden = False  # type: ignore[attr-defined]
        screen.reload()
        await shows(pilot, "opening the session of demo123")
        hold.set()
