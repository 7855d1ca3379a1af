"""What the other login tests through the real Java gateway leave out of factors and ways.

IB Key's challenge answered by a person on a screen and by a program; an authenticator's secret on a
screen, its code from a program; enrollments at a terminal, and on a screen with Twilio.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ibtui.sim import ocra
from tests.conftest import FOLDERS, PEERS
from tests.interop.java_world import World, simulator, started
from tests.interop.peers import Peers
from tests.interop.test_java_wizard import WAIT_S, app_at, log_in, message, paste, ready
from tests.pilot.driving import shows, text, until

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("java-two")]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One gateway for all tests of this file; its own pause after a login is not what they are about."""
    install = Peers(PEERS).gateway()
    folder = tmp_path_factory.mktemp("java-ways")
    with pytest.MonkeyPatch.context() as environment:
        for name in FOLDERS:
            (folder / name.lower()).mkdir(mode=0o700)
            environment.setenv(name, str(folder / name.lower()))
        with (
            simulator(folder, "--plain", "--seed", "7") as sim,
            started(install, sim, folder, auth_delay_ms=300) as world,
        ):
            yield world


@pytest.fixture
def world(shared: World, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The gateway is adopted by its run folder; auth data is the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(shared.state))
    shared.settings()
    yield shared
    shared.settings()
    shared.run("logout")


def setups(world: World, user: dict[str, Any]) -> list[tuple[bool, str]]:
    """Activations of a user: whether accepted, and where it went."""
    rows = [row for row in world.sim.control("logins") if row["action"] == "COMPLETE_SETUP"]
    via = {row["via"] for row in world.sim.journal() if row["path"].startswith("/sso/AuthenticatorMgr")}
    assert "gateway" not in via
    return [(row["accepted"], row["where"]) for row in rows if row["user"] == user["username"]]


def response(user: dict[str, Any], challenge: str, counter: int) -> str:
    """What the phone's app would show."""
    value = ocra.value_of(counter, rfc=False)
    return ocra.answer(bytes.fromhex(user["ocra"]), value, challenge, user["pin"])


async def test_the_phones_answer_is_typed_on_a_screen(world: World) -> None:
    user = world.sim.user("5.2a")
    async with app_at(world, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "Challenge", "Response")
        found = re.search(r"Challenge +(\d[\d ]*\d)", text(pilot.app))
        assert found is not None
        await pilot.press(*response(user, found[1].replace(" ", ""), user["counter"]), "enter")
        await ready(pilot)
    assert world.answered() == (user["username"], "login")


async def test_an_authenticators_secret_answers_on_a_screen(world: World) -> None:
    user = world.sim.user("4")
    secret = world.private("totp", user["totp_secret"])
    async with app_at(world, user, f'totp_secret.file = "{secret}"') as pilot:
        await log_in(pilot, user)
        await until(pilot, lambda: pilot.app.runtime.status.ready, 60.0)  # type: ignore[attr-defined]
        await ready(pilot)
    assert world.answered() == (user["username"], "login")
    assert world.kept(user)["attempts"] == 0


async def test_an_enrollment_on_a_screen_whose_message_twilio_reads(world: World) -> None:
    user = world.sim.user("4.2")
    before = len(setups(world, user))
    async with app_at(world, user, *world.twilio) as pilot:
        await pilot.press("e")
        await shows(pilot, "This replaces the IB Key")
        await pilot.press("y")
        await shows(pilot, "4 to 6 digits")
        await pilot.press("enter")  # makes one
        await shows(pilot, "Password", "login host")
        await paste(pilot, user["password"])
        await pilot.press("enter")
        await until(pilot, lambda: "is enrolled here; 93 logins left." in text(pilot.app), WAIT_S)
        await pilot.press("enter")
        await until(pilot, lambda: "IB Key works" in text(pilot.app), WAIT_S)
        await ready(pilot)
    assert world.kept(user)["counter"] == 3 and setups(world, user)[before:] == [(True, "enroll")]


def test_an_enrollment_typed_at_a_terminal(world: World) -> None:
    user = world.sim.user("4.2")
    before = len(setups(world, user))
    child = world.terminal("ibkey", "enroll", "--user", user["username"])
    said: list[str] = []
    child.logfile_read = type("Log", (), {"write": lambda _, s: said.append(s), "flush": lambda _: None})()
    child.expect("Password of ")
    child.sendline(user["password"])
    child.expect("Type yes to go on: ")
    child.sendline("yes")
    for prompt in ("PIN: ", "Once more: "):
        child.expect(prompt)
        child.sendline("009513")
    child.expect("Code .*: ")
    code = message(world)
    child.sendline(code)
    child.expect("File for a sealed backup")
    child.sendline("")
    child.expect("IB Key works: logged in")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, "".join(said)
    kept = world.kept(user)
    assert (kept["pin"], kept["counter"], kept["attempts"]) == ("009513", 3, 0)
    assert setups(world, user)[before:] == [(True, "enroll")]
    assert world.answered() == (user["username"], "login")
    words = "".join(said)
    assert not any(secret in words for secret in ("009513", user["password"], kept["ocra"]))


def test_a_program_answers_the_challenge_and_gives_the_authenticators_code(world: World) -> None:
    by_key = world.sim.user("5.2a")
    counter = by_key["counter"] + 1  # the screen's test may have used the first
    script = (
        "import os; from ibtui.sim import ocra;"
        f"value = ocra.value_of({counter}, rfc=False);"
        f"print(ocra.answer(bytes.fromhex('{by_key['ocra']}'), value,"
        f" os.environ['IBTUI_CHALLENGE'], '{by_key['pin']}'))"
    )
    world.piped(by_key, "--code-command", json.dumps([sys.executable, "-c", script]))
    assert world.answered() == (by_key["username"], "login")

    by_totp = world.sim.user("4", "4.2", "5.2a")
    world.settings('second_factor = "totp"')
    script = (
        "import time; from ibtui.sim import totp;"
        f"print(totp.code_at('{by_totp['totp_secret']}', time.time()))"
    )
    world.piped(by_totp, "--code-command", json.dumps([sys.executable, "-c", script]))
    assert world.answered() == (by_totp["username"], "login")
