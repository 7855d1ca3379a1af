"""Every second factor through the real Java gateway, by the command: typed at a terminal, and by itself.

The simulator is IBKR behind the gateway, IBKR's login host for the enrollment, and Twilio.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ibtui import paths
from ibtui.sim import ocra, totp
from tests.conftest import Sim
from tests.interop.java_tools import free_port, leaks, processes
from tests.interop.peers import Peers

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("interop-java")]


class World:
    """A running gateway with a simulator behind it, and settings that name both."""

    def __init__(self, install: Path, sim: Sim, folder: Path) -> None:
        self.sim, self._folder = sim, folder
        self.state = Path(os.environ["XDG_STATE_HOME"])
        self.config = folder / "config.toml"
        self._head = (
            f'[addresses]\nlogin_host = "{sim.url}"\ntwilio = "{sim.url}"\n[profiles.default]\n'
            f'gateway_url = "https://localhost:{free_port()}"\ngateway_dir = "{install}"\n'
            f'upstream = "{sim.url}"\n'
        )
        self.said = ""
        self.settings()

    def settings(self, *lines: str) -> None:
        """Write the settings file: the addresses and these lines."""
        self.config.write_text(self._head + "\n".join(lines) + "\n")
        self.config.chmod(0o600)

    def private(self, name: str, text: str) -> Path:
        """A file only its owner may read."""
        path = self._folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    @property
    def twilio(self) -> tuple[str, ...]:
        """Lines of the settings."""
        account = self.sim.ready["twilio"]
        token = self.private("token", account["token"])
        return f'twilio_sid = "{account["sid"]}"', f'twilio_token.file = "{token}"'

    def run(self, *words: str, stdin: str = "", status: int = 0) -> str:
        """A command without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "ibtui", *words],
            env=os.environ | {"IBTUI_CONFIG": str(self.config)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=45,
        )
        self.said += done.stdout + done.stderr
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def terminal(self, *words: str) -> Any:
        """A command at a terminal."""
        return pexpect.spawn(
            sys.executable,
            ["-m", "ibtui", *words],
            encoding="utf-8",
            timeout=40,
            env=os.environ | {"IBTUI_CONFIG": str(self.config)},
        )

    def finish(self, child: Any) -> None:
        """Wait for the end of a login at a terminal."""
        child.expect("brokerage +on")
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0

    def at_the_prompt(self, user: dict[str, Any]) -> Any:
        """A login at a terminal whose password was typed."""
        child = self.terminal("login", "--user", user["username"])
        child.expect("Password of ")
        child.sendline(user["password"])
        return child

    def piped(self, user: dict[str, Any], *more: str) -> None:
        """A login without a terminal."""
        words = ("login", "--user", user["username"], "--password-stdin", "--json", *more)
        assert json.loads(self.run(*words, stdin=user["password"] + "\n"))["ready"] is True

    def answered(self) -> tuple[str, str]:
        """Who answered which factor last, as the simulator saw it."""
        last = [row for row in self.sim.control("logins") if row["action"] == "COMPLETETWOFACT"][-1]
        assert last["accepted"] is True
        return str(last["user"]), str(last["where"])

    def idle(self) -> float:
        """Seconds between the gateway's brokerage session and our noticing it, at the last login."""
        rows = self.sim.journal()
        last = max(at for at, row in enumerate(rows) if row["path"] == "/sso/Dispatcher")
        opened = [row["t"] for row in rows[last:] if row["path"].endswith("/ssodh/response")]
        noticed = [row["t"] for row in rows[last:] if row["path"] == "/v1/api/tickle"]
        return float(min(noticed) - max(opened))

    def kept(self, user: dict[str, Any]) -> dict[str, Any]:
        """The auth data of a user."""
        path = paths.data_dir() / "auth" / f"{user['username']}.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def world(peers: Peers, start_sim: Any, tmp_path: Path) -> Iterator[World]:
    """A world whose gateway has been started by the command."""
    install = peers.gateway()
    world = World(install, start_sim("--plain", "--seed", "7"), tmp_path)
    world.run("gateway", "start")
    try:
        yield world
    finally:
        world.run("gateway", "stop")
    assert processes(world.state) == []
    secrets = [user["password"] for user in world.sim.ready["users"]]
    assert leaks(world.state, secrets) == []
    assert not any(secret in world.said for secret in secrets)


def test_typed_at_a_terminal(world: World) -> None:
    by_sms = world.sim.user("4.2")
    child = world.at_the_prompt(by_sms)
    child.expect("Code .*: ")
    child.sendline(world.sim.control("sms")[-1]["body"][-6:])
    world.finish(child)
    assert world.answered() == (by_sms["username"], "login")

    by_totp = world.sim.user("4")
    child = world.at_the_prompt(by_totp)
    child.expect("Code .*: ")
    if time.time() % 30 > 27:
        time.sleep(3.5)
    child.sendline(totp.code_at(by_totp["totp_secret"], time.time()))
    world.finish(child)
    assert world.answered() == (by_totp["username"], "login")

    by_phone = world.sim.user("5.2a")
    child = world.at_the_prompt(by_phone)
    child.expect(r"Enter (\d+) in the IBKR Mobile app")
    value = ocra.value_of(by_phone["counter"], rfc=False)
    answer = ocra.answer(bytes.fromhex(by_phone["ocra"]), value, child.match[1], by_phone["pin"])
    child.expect("Code .*: ")
    child.sendline(answer)
    world.finish(child)
    assert world.answered() == (by_phone["username"], "login")
    assert all(world.kept(user)["attempts"] == 0 for user in (by_sms, by_totp, by_phone))


def test_by_itself(world: World) -> None:
    by_totp = world.sim.user("4")
    secret = world.private("totp", by_totp["totp_secret"])
    world.settings(f'totp_secret.file = "{secret}"')
    world.piped(by_totp)
    assert world.answered() == (by_totp["username"], "login")
    assert world.idle() < 1.0  # 0.5 s on a quiet machine

    user = world.sim.user("4.2")
    world.settings(*world.twilio)
    world.piped(user)
    assert world.answered() == (user["username"], "login")

    words = (
        "ibkey",
        "enroll",
        "--user",
        user["username"],
        "--password-stdin",
        "--yes",
        "--make-pin",
        "--json",
    )
    told = json.loads(world.run(*words, stdin=user["password"] + "\n"))
    assert told["login"] == "ready" and told["logins_left"] == 93
    assert world.kept(user)["counter"] == 3
    setups = [row for row in world.sim.control("logins") if row["action"] == "COMPLETE_SETUP"]
    assert [(row["user"], row["accepted"]) for row in setups] == [(user["username"], True)]

    code_at = len(world.sim.control("sms"))
    world.piped(user)
    assert world.kept(user)["counter"] == 4 and len(world.sim.control("sms")) == code_at
    used = [row["counter"] for row in world.sim.control("logins") if row["counter"] is not None]
    assert used[-2:] == [2, 3]
    via = {row["via"] for row in world.sim.journal() if row["path"].startswith("/sso/Authenticator?")}
    direct = {row["via"] for row in world.sim.journal() if row["path"].startswith("/sso/AuthenticatorMgr")}
    assert "gateway" not in direct and via <= {"gateway"}
    assert world.kept(user)["ocra"] not in world.said
