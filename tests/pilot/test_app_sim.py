"""The wizards on the real simulator, through the real runtime: every second factor, and the enrolment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from ibtui.auth import ocra
from ibtui.auth.vault import Vault
from ibtui.config import Addresses, Profile, Settings, Ui
from ibtui.profile import Source
from ibtui.secret import Secret
from ibtui.service.local import LocalRuntime
from ibtui.service.runtime import Runtime
from ibtui.sim.totp import code_at
from ibtui.ui.app import IbtuiApp
from tests.conftest import Sim
from tests.pilot.driving import shows, text, until

WAIT_S = 30.0


@contextlib.asynccontextmanager
async def app_at(
    sim: Sim, user: dict[str, Any], *, keeper: bool = False, **more: Any
) -> AsyncIterator[Pilot[Any]]:
    """The app on a simulator's gateway, with the profile of `user`; `keeper` as `LocalRuntime` has it."""
    profile = Profile(
        name="default", gateway_url=sim.url, ca_file=sim.cert or "", username=user["username"], **more
    )
    ca = sim.cert or ""
    where = Addresses(login_host=sim.url, login_ca_file=ca, twilio=sim.url, twilio_ca_file=ca)
    settings = Settings(profiles={"default": profile}, addresses=where, ui=Ui(refresh_hz=60))

    async def make() -> Runtime:
        return LocalRuntime(settings, keeper=keeper)

    app = IbtuiApp(settings, make)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.runtime is not None and app.busy is None, WAIT_S)
        yield pilot


async def log_in(pilot: Pilot[Any], user: dict[str, Any]) -> None:
    """Open the wizard and give the password."""
    await pilot.press("l")
    await shows(pilot, "Password", user["username"])
    await pilot.press(*user["password"], "enter")


async def ready(pilot: Pilot[Any]) -> None:
    """The Session screen says that all is there."""
    app: Any = pilot.app
    words = ("● Gateway", "● Login", "● Brokerage")
    await until(pilot, lambda: all(word in text(app) for word in words) and app.busy is None, WAIT_S)


def message(sim: Sim) -> str:
    """The code of the last text message."""
    return re.findall(r"\b\d{6}\b", sim.control("sms")[-1]["body"])[0]


def attempts(user: dict[str, Any]) -> int:
    """Attempts counted on disk."""
    return Vault(user["username"]).status().record.attempts


async def test_no_second_factor(sim: Sim) -> None:
    user = sim.user()
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await ready(pilot)
        await shows(pilot, "Attempts  0 of 4 used", "Keep-alive")


async def test_a_text_message_sent_twice(sim: Sim) -> None:
    user = sim.user("4.2")
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "IBKR sent a text message", "attempt 1 of 4")
        first = len(sim.control("sms"))
        assert attempts(user) == 1
        await pilot.press("1", "2", "r")
        await until(pilot, lambda: len(sim.control("sms")) == first + 1)
        await shows(pilot, "[ _ _ _ _ _ _ ]")
        await pilot.press(*message(sim), "enter")
        await ready(pilot)
        assert attempts(user) == 0


async def test_a_wrong_code_counts_and_the_next_login_asks_first(sim: Sim) -> None:
    user = sim.user("4.2")
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "IBKR sent a text message")
        wrong = "000000" if message(sim) != "000000" else "111111"
        await pilot.press(*wrong, "enter")
        await shows(pilot, "✕ IBKR refused the code", "1 of 4 attempts are used")
        await pilot.press("enter")
        await shows(pilot, "This is attempt 2 of 4")
        await pilot.press(*user["password"], "enter")
        await shows(pilot, "This is attempt 2 of 4 - go on?", "y yes")
        await pilot.press("y")
        await shows(pilot, "IBKR sent a text message", "attempt 2 of 4")
        await pilot.press(*message(sim), "enter")
        await ready(pilot)


async def test_going_back_costs_nothing(sim: Sim) -> None:
    user = sim.user("4.2")
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "IBKR sent a text message")
        await pilot.press("b")
        await shows(pilot, "Password")
        await until(pilot, lambda: attempts(user) == 0)
        await pilot.press(*user["password"], "enter")
        await shows(pilot, "IBKR sent a text message", "attempt 1 of 4")
        await pilot.press("escape")
        await until(pilot, lambda: attempts(user) == 0 and pilot.app.busy is None)  # type: ignore[attr-defined]
        await shows(pilot, "○ Login")


async def test_totp(sim: Sim) -> None:
    user = sim.user("4")
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "code of the authenticator app")
        await pilot.press(*code_at(user["totp_secret"], time.time()), "enter")
        await ready(pilot)
        await shows(pilot, f"● Login       {user['username']} by authenticator app, ")
        await shows(pilot, "accepted, second factor authenticator app")


async def test_the_challenge_is_answered_on_the_phone(sim: Sim) -> None:
    user = sim.user("5.2a")
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "Challenge   ", "Response   [ _ _ _ _ _ _ _ _ ]")
        found = re.search(r"Challenge   ([0-9 ]+)", text(pilot.app))
        assert found is not None
        key, pin = Secret(user["ocra"]), Secret(user["pin"])
        answer = ocra.respond(key, pin, user["counter"], found[1].replace(" ", "")).reveal()
        await pilot.press(*answer, "enter")
        await ready(pilot)


async def test_the_enrolled_key_answers_by_itself(sim: Sim) -> None:
    user = sim.user("5.2a")
    Vault(user["username"]).import_secret(Secret(user["ocra"]), Secret(user["pin"]), user["counter"])
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await ready(pilot)
        await shows(pilot, f"IB Key  {94 - user['counter']} logins left")


async def test_enrolment_backup_and_a_login_with_the_new_key(sim: Sim, tmp_path: Path) -> None:
    user = next(it for it in sim.ready["users"] if "4.2" in it["factors"] and len(it["factors"]) > 1)
    async with app_at(sim, user) as pilot:
        await pilot.press("e")
        await shows(pilot, "This replaces the IB Key")
        await pilot.press("y")
        await shows(pilot, "4 to 6 digits")
        await pilot.press(*"4711", "enter", *"4711", "enter")
        await shows(pilot, "Password", "login host")
        await pilot.press(*user["password"], "enter")
        await shows(pilot, "IBKR sent a text message")
        await pilot.press(*message(sim), "enter")
        await shows(pilot, "is enrolled here; 93 logins left.")
        assert Vault(user["username"]).key().pin == Secret("4711")
        await pilot.press("s")
        await shows(pilot, "New file")
        field: Any = pilot.app.screen.query_one("#file")
        field.value = str(tmp_path / "backup.json")
        await pilot.press(*"sesame", "enter", *"sesame", "enter")
        await shows(pilot, "✓ A sealed backup is in")
        backup = (tmp_path / "backup.json").read_text()
        assert "4711" not in backup and "sesame" not in backup
        await pilot.press("enter")
        await until(pilot, lambda: "IB Key works" in text(pilot.app), WAIT_S)
        assert Vault(user["username"]).status().counter == 3
        await pilot.press("escape")
        await ready(pilot)


async def test_paper_in_a_live_profile_can_be_switched(sim: Sim) -> None:
    user = sim.user()
    async with app_at(sim, user, account_type="live") as pilot:
        await log_in(pilot, user)
        await until(pilot, lambda: "✕ Paper and live" in text(pilot.app), WAIT_S)
        await shows(pilot, "w  mean paper from now on", "w switch")
        await pilot.press("w")
        await shows(pilot, "Password")
        await pilot.press(*user["password"], "enter")
        await ready(pilot)
        assert "LIVE" not in text(pilot.app)


async def test_two_wrong_passwords_then_the_right_one(sim: Sim) -> None:
    user = sim.user()
    async with app_at(sim, user) as pilot:
        for _ in range(2):
            await log_in(pilot, {**user, "password": "wrong"})
            await until(pilot, lambda: "go on?" in text(pilot.app) or "✕ IBKR" in text(pilot.app))
            if "go on?" in text(pilot.app):
                await pilot.press("y")
            await shows(pilot, "✕ IBKR refused the login", "attempts are used")
            await pilot.press("escape")
            await asyncio.sleep(0)
        await log_in(pilot, user)
        await shows(pilot, "attempt 3 of 4 - go on?")
        await pilot.press("y")
        await ready(pilot)
        assert attempts(user) == 0


async def test_twilio_reads_the_message_while_the_person_could_type(sim: Sim, tmp_path: Path) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    token = tmp_path / "token"
    token.write_text(twilio["token"])
    token.chmod(0o600)
    sim.control("faults", {"path": "/2010-04-01/*", "kind": "delay", "seconds": 4, "count": 1})
    more = {"twilio_sid": twilio["sid"], "twilio_token": Source(file=str(token))}
    async with app_at(sim, user, **more) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "Code   [ _", "◐ Twilio is set up: looking for the message too (try 1 of 6).")
        await ready(pilot)
        assert attempts(user) == 0


async def test_a_sealed_key_asks_for_its_passphrase(sim: Sim) -> None:
    user = sim.user("5.2a")
    vault = Vault(user["username"])
    vault.import_secret(Secret(user["ocra"]), Secret(user["pin"]), user["counter"])
    vault.seal(Secret("sesame"))
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "Passphrase of IB Key's data", "enter go on")
        await pilot.press(*"sesame")
        await shows(pilot, "••••••")
        assert "sesame" not in pilot.app.export_screenshot()
        await pilot.press("enter")
        await ready(pilot)


async def test_another_program_has_the_session(sim: Sim) -> None:
    user = sim.user()
    async with app_at(sim, user) as pilot:
        await log_in(pilot, user)
        await ready(pilot)
        sim.control("session", {"action": "compete", "user": user["username"]})
        await pilot.press("r")
        await until(
            pilot, lambda: "▲ Brokerage" in text(pilot.app) or "○ Brokerage" in text(pilot.app), WAIT_S
        )
        await pilot.press("t")
        if "Take the brokerage session over?" in text(pilot.app):
            await pilot.press("y")
        await ready(pilot)


async def test_the_session_is_left_to_others_taken_back_and_left(sim: Sim) -> None:
    user = sim.user()
    async with app_at(sim, user, keeper=True) as pilot:
        app: Any = pilot.app
        await log_in(pilot, user)
        await ready(pilot)
        await shows(pilot, "authenticated · server ", "expires ")
        await pilot.press("y")
        await shows(pilot, "Leave the brokerage session to another program for 30 minutes?")
        await pilot.press("y")
        await shows(pilot, "yielding until ", "t takes it back")
        await until(pilot, lambda: app.busy is None)
        await pilot.press("t")
        if "Take the brokerage session over?" in text(app):
            await pilot.press("y")
        await ready(pilot)
        await until(pilot, lambda: "yielding" not in text(app), WAIT_S)
        await pilot.press("q")
        await shows(pilot, "Leave ibtui?", "keep-alive ends with this terminal")
        await pilot.press("enter")
        await until(pilot, lambda: app._exit)
    assert sim.process.poll() is None


async def test_no_secret_in_logs_pictures_or_the_time_line(
    sim: Sim, caplog: pytest.LogCaptureFixture
) -> None:
    user = sim.user("4.2")
    pictures: list[str] = []
    logging.getLogger("ibtui").propagate = True
    with caplog.at_level(logging.DEBUG):
        async with app_at(sim, user) as pilot:
            await pilot.press("l")
            await shows(pilot, "Password")
            await pilot.press(*user["password"])
            pictures.append(pilot.app.export_screenshot())
            await pilot.press("enter")
            await shows(pilot, "IBKR sent a text message")
            code = message(sim)
            await pilot.press(*code)
            await shows(pilot, "[ • • • • • • ]")
            pictures.append(pilot.app.export_screenshot())
            await pilot.press("enter")
            await ready(pilot)
            runtime = pilot.app.runtime  # type: ignore[attr-defined]
            pictures += [pilot.app.export_screenshot(), repr(list(runtime.events)), repr(runtime.log_lines)]
    everything = "\n".join(pictures) + caplog.text
    assert user["password"] not in everything
    assert code not in everything
