"""The enrolment wizard: warning, PIN, password, text message, result, backup, test login."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from ibtui.errors import CodeRefused, Rejected
from ibtui.secret import Secret
from ibtui.ui.screens.enroll import EnrollScreen
from tests import fakes
from tests.pilot.driving import running, says, shows, text, until

GOOD = [*"correct", "space", *"horse"]


async def to_the_code(pilot: Pilot[Any], pin: str = "") -> None:
    """From the Session screen to the boxes of the text message's code."""
    await pilot.press("e")
    await shows(pilot, "This replaces the IB Key on the phone of demo123", "y go on")
    await pilot.press("enter", "y")
    await shows(pilot, "PIN", "4 to 6 digits", "▸ PIN")
    await pilot.press(*pin, "enter", *([*pin, "enter"] if pin else []))
    await shows(pilot, "Password", "IBKR's login host", "✓ PIN")
    await pilot.press(*GOOD, "enter")
    await shows(pilot, "text message to the phone of demo123", "▸ Text message")


async def test_from_the_warning_to_a_login_with_the_new_key(tmp_path: Path) -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await to_the_code(pilot)
        await pilot.press(*fakes.CODE, "enter")
        await shows(pilot, "✓ IB Key of demo123 is enrolled here; 93 logins left.", "✓ IB Key")
        assert "enroll demo123 6" in runtime.calls  # a PIN was made
        await pilot.press("s")
        await shows(pilot, "New file", "Passphrase", "Once more")
        field: Any = pilot.app.screen.query_one("#file")
        field.value = str(tmp_path / "key.json")
        await pilot.press(*"open", "enter", *"opem", "enter")
        await shows(pilot, "▲ The two differ.")
        await pilot.press(*"open", "enter", *"open", "enter")
        await shows(pilot, "✓ A sealed backup is in", "✓ Sealed backup")
        assert runtime.exported == [(tmp_path / "key.json", Secret("open"))]
        runtime.factors = ()
        await pilot.press("enter")
        await shows(pilot, "✓ IB Key works: you are logged in.", "✓ Test login")
        assert runtime.calls.count("credentials demo123") == 1
        await pilot.press("escape")
        await shows(pilot, "● Brokerage")


async def test_a_chosen_pin_is_typed_twice() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await pilot.press("e", "y")
        await shows(pilot, "PIN")
        await pilot.press(*"4711", "enter", *"4712", "enter")
        await shows(pilot, "▲ The two differ.")
        await pilot.press(*"12", "enter", *"12", "enter")
        await shows(pilot, "▲ The PIN of IB Key has 4 to 6 digits")
        await pilot.press(*"4711", "enter", *"4711", "enter")
        await shows(pilot, "Password")
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "▸ Text message")
        assert "enroll demo123 4" in runtime.calls


async def test_escape_leaves_and_forgets() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await to_the_code(pilot, "4711")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, EnrollScreen))
        await until(pilot, lambda: pilot.app.busy is None)
        assert pilot.app.problem is None
        assert runtime.login_facts.logins_left is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Rejected("IBKR does not let demo123 have IB Key (USER_ALLOWED 1).", "Ask them."), "USER_ALLOWED 1"),
        (CodeRefused("IBKR refused the code.", "Again."), "User name and password were right"),
    ],
)
async def test_failures_have_their_page(error: Exception, words: str) -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, fails={"enroll": error})  # type: ignore[dict-item]
    async with running(runtime) as pilot:
        await pilot.press("e", "y", "enter")
        await shows(pilot, "Password")
        await pilot.press(*GOOD, "enter")
        await shows(pilot, "✕", words)
        await pilot.press("b")
        await shows(pilot, "This replaces the IB Key")


async def test_a_failed_test_login_leaves_the_key() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    async with running(runtime) as pilot:
        await to_the_code(pilot)
        await pilot.press(*fakes.CODE, "enter")
        await shows(pilot, "is enrolled here")
        runtime.fails["login"] = CodeRefused("IBKR refused the code.", "")
        await pilot.press("enter")
        await shows(pilot, "✕ Test login", "✕ IBKR refused the code")
        await pilot.press("b")
        await shows(pilot, "is enrolled here", "enter  log in with it once")


async def test_nothing_typed_leaves_its_field(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """PIN, password, code and passphrase: not in messages, pictures, logs, workers or the clipboard."""
    secrets = ("483651", "p4ssw0rd-unique", fakes.CODE, "phrase-unique")
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))
    seen: list[str] = []
    logging.getLogger("ibtui").propagate = True

    def hook(message: object) -> None:
        if type(message).__name__ not in ("Key", "Paste"):
            seen.append(repr(message))

    async def look(pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+c", "ctrl+x")
        workers = repr([(worker.name, worker.description) for worker in pilot.app.workers])
        seen.append(f"{pilot.app.export_screenshot()}{text(pilot.app)}{pilot.app.clipboard}{workers}")

    with caplog.at_level(logging.DEBUG):
        async with running(runtime, hook=hook) as pilot:
            await pilot.press("e", "y", *secrets[0])
            await look(pilot)
            await pilot.press("enter", *secrets[0], "enter")
            await shows(pilot, "Password")
            await pilot.press(*secrets[1])
            await look(pilot)
            await pilot.press("enter")
            await shows(pilot, "▸ Text message")
            await pilot.press(*secrets[2])
            await shows(pilot, "[ • • • • • • ]")
            await look(pilot)
            await pilot.press("enter")
            await shows(pilot, "is enrolled here")
            await pilot.press("s", *secrets[3])
            await look(pilot)
            await pilot.press("escape")
            await shows(pilot, "is enrolled here")
            await look(pilot)
    everything = "\n".join(seen) + caplog.text
    for secret in secrets:
        assert secret not in everything
    assert not pilot.app._exception


async def test_enroll_waits_its_turn() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        hold = runtime.hold("refresh")
        await pilot.press("r")
        await shows(pilot, "looking anew")
        await pilot.press("e")
        await says(pilot, "Wait, or press esc to cancel")
        hold.set()
        await until(pilot, lambda: pilot.app.busy is None)
