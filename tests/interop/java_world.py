"""Settings, commands and what IBKR saw of a login through the real Java gateway, simulator behind it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect

from ibtui import paths
from tests.conftest import Sim
from tests.interop.java_tools import free_port, leaks, processes


class World:
    """A running gateway with a simulator behind it, and settings that name both."""

    def __init__(self, install: Path, sim: Sim, folder: Path, auth_delay_ms: int = 3000) -> None:
        self.sim, self._folder = sim, folder
        self.state = Path(os.environ["XDG_STATE_HOME"])
        self.config = folder / "config.toml"
        self._head = (
            f'[addresses]\nlogin_host = "{sim.url}"\ntwilio = "{sim.url}"\n'
            f"[profiles.default]\nkeep_alive = false\n"
            f'gateway_url = "https://localhost:{free_port()}"\ngateway_dir = "{install}"\n'
            f'upstream = "{sim.url}"\nauth_delay_ms = {auth_delay_ms}\n'
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


@contextlib.contextmanager
def simulator(folder: Path, *words: str) -> Iterator[Sim]:
    """A simulator for longer than one test; the shared fixture's ends with the test."""
    ready = folder / "sim.json"
    argv = [sys.executable, "-m", "ibtui", "sim", "--ready", str(ready), *words]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20
            while not ready.exists():
                assert process.poll() is None and time.monotonic() < end, "the simulator did not start"
                time.sleep(0.02)
            yield Sim(process, json.loads(ready.read_text()))
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def started(install: Path, sim: Sim, folder: Path, auth_delay_ms: int = 3000) -> Iterator[World]:
    """A world whose gateway has been started by the command; nothing of it is left at the end."""
    world = World(install, sim, folder, auth_delay_ms)
    world.run("gateway", "start")
    try:
        yield world
    finally:
        world.settings()
        world.run("gateway", "stop")
    assert processes(world.state) == []
    secrets = [user["password"] for user in sim.ready["users"]]
    assert leaks(world.state, secrets) == []
    assert not any(secret in world.said for secret in secrets)
