"""The wizards on a screen, through the real runtime and the real Java gateway; simulator behind it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from ibtui.auth.vault import Vault
from ibtui.config import load
from ibtui.secret import Secret
from ibtui.service import actions
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.local import LocalRuntime
from ibtui.service.runtime import Runtime
from ibtui.sim.totp import code_at
from ibtui.ui.app import IbtuiApp
from tests.conftest import FOLDERS, PEERS
from tests.interop.java_world import World, simulator, started
from tests.interop.peers import Peers
from tests.pilot.driving import shows, text, until

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("java-one")]

WAIT_S = 30.0
AUTH_DELAY_S = 3.0
"""What the gateway waits between a login and its brokerage session, by its `authDelay`."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One gateway for all tests of this file, in folders of its own."""
    install = Peers(PEERS).gateway()
    folder = tmp_path_factory.mktemp("java-wizard")
    with pytest.MonkeyPatch.context() as environment:
        for name in FOLDERS:
            (folder / name.lower()).mkdir(mode=0o700)
            environment.setenv(name, str(folder / name.lower()))
        with (
            simulator(folder, "--plain", "--seed", "7") as sim,
            started(install, sim, folder) as world,
        ):
            yield world


@pytest.fixture
def world(shared: World, own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The gateway is adopted by its run folder; auth data is the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(shared.state))
    return shared


@contextlib.asynccontextmanager
async def app_at(world: World, user: dict[str, Any], *lines: str) -> AsyncIterator[Pilot[Any]]:
    """The app on the gateway, with the profile of `user`; logged out at the end."""
    world.settings(f'username = "{user["username"]}"', *lines)
    settings = load(world.config, env={})

    async def make() -> Runtime:
        return LocalRuntime(settings)

    app = IbtuiApp(settings, make)
    try:
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, lambda: app.runtime is not None and app.busy is None, WAIT_S)
            yield pilot
    finally:
        # The next test starts from a gateway where nobody is logged in.
        await asyncio.to_thread(world.run, "logout")


async def log_in(pilot: Pilot[Any], user: dict[str, Any]) -> None:
    """Open the wizard and give the password."""
    await pilot.press("l")
    await shows(pilot, "Password", user["username"])
    await paste(pilot, user["password"])
    await pilot.press("enter")


async def paste(pilot: Pilot[Any], words: str) -> None:
    """As a password manager's user does it."""
    pilot.app.post_message(Paste(words))
    await pilot.pause()


async def ready(pilot: Pilot[Any]) -> None:
    """The lamps say that all is there, as do the gateway and IBKR behind it."""
    runtime: Any = pilot.app.runtime  # type: ignore[attr-defined]
    await until(pilot, lambda: runtime.status.ready, WAIT_S)
    assert (await runtime.refresh()).ready


def message(world: World) -> str:
    """The code of the last text message."""
    return re.findall(r"\b\d{6}\b", world.sim.control("sms")[-1]["body"])[0]


async def test_no_second_factor(world: World) -> None:
    user = world.sim.user()
    async with app_at(world, user) as pilot:
        await log_in(pilot, user)
        await ready(pilot)
        lamps = ("● Gateway", "● Login", "● Brokerage", "Attempts  0 of 4 used", "Keep-alive")
        await until(pilot, lambda: all(word in text(pilot.app) for word in lamps), WAIT_S)
        assert len(pilot.app.runtime.store.positions) > 0  # type: ignore[attr-defined]


async def test_a_text_message_is_typed(world: World) -> None:
    user = world.sim.user("4.2")
    async with app_at(world, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "IBKR sent a text message", "attempt 1 of 4")
        await pilot.press(*message(world), "enter")
        await ready(pilot)
    assert world.answered() == (user["username"], "login")
    assert world.kept(user)["attempts"] == 0


async def test_twilio_reads_the_message(world: World) -> None:
    user = world.sim.user("4.2")
    async with app_at(world, user, *world.twilio) as pilot:
        await log_in(pilot, user)
        await ready(pilot)
    assert world.answered() == (user["username"], "login")
    assert any(row["path"].startswith("/2010-04-01/") for row in world.sim.journal())


async def test_totp_is_typed(world: World) -> None:
    user = world.sim.user("4")
    async with app_at(world, user) as pilot:
        await log_in(pilot, user)
        await shows(pilot, "code of the authenticator app")
        if time.time() % 30 > 27:
            await asyncio.sleep(3.5)
        await pilot.press(*code_at(user["totp_secret"], time.time()), "enter")
        await ready(pilot)
    assert world.answered() == (user["username"], "login")


async def test_the_imported_key_answers_by_itself(world: World) -> None:
    user = world.sim.user("5.2a")
    Vault(user["username"]).import_secret(Secret(user["ocra"]), Secret(user["pin"]), user["counter"])
    async with app_at(world, user) as pilot:
        await log_in(pilot, user)
        await ready(pilot)
        left = f"IB Key  {94 - user['counter']} logins left"
        await until(pilot, lambda: left in text(pilot.app), WAIT_S)
    assert world.answered() == (user["username"], "login")
    assert world.kept(user)["counter"] == user["counter"] + 1


async def test_enrolment_and_a_login_with_the_new_key(world: World) -> None:
    user = next(
        one for one in world.sim.ready["users"] if "4.2" in one["factors"] and len(one["factors"]) > 1
    )
    async with app_at(world, user) as pilot:
        await pilot.press("e")
        await shows(pilot, "This replaces the IB Key")
        await pilot.press("y")
        await shows(pilot, "4 to 6 digits")
        await pilot.press(*"4711", "enter", *"4711", "enter")
        await shows(pilot, "Password", "login host")
        await paste(pilot, user["password"])
        await pilot.press("enter")
        await shows(pilot, "IBKR sent a text message")
        await pilot.press(*message(world), "enter")
        await shows(pilot, "is enrolled here; 93 logins left.")
        await pilot.press("enter")
        await until(pilot, lambda: "IB Key works" in text(pilot.app), WAIT_S)
        await ready(pilot)
    assert world.kept(user)["counter"] == 3
    # The enrollment goes to the login host itself, the login through the gateway.
    direct = {row["via"] for row in world.sim.journal() if row["path"].startswith("/sso/AuthenticatorMgr")}
    via = {row["via"] for row in world.sim.journal() if row["path"].startswith("/sso/Authenticator?")}
    assert direct and "gateway" not in direct and via <= {"gateway"}


async def test_seconds_from_the_credentials_to_ready(world: World) -> None:
    user = world.sim.user()
    world.settings()
    runtime = LocalRuntime(load(world.config, env={}))
    try:
        await runtime.start_gateway(actions.silent)
        began = time.monotonic()
        await runtime.login(FixedAnswers(user["username"], Secret(user["password"])))
        seconds = time.monotonic() - began
        assert runtime.status.ready
        await actions.logout(runtime)
    finally:
        await runtime.close()
    print(f"\ncredentials to ready: {seconds:.2f} s, beyond authDelay {seconds - AUTH_DELAY_S:.2f} s")
    assert 0 < seconds - AUTH_DELAY_S < 1.5  # 0.5 s on a quiet machine
