"""Shared by all tests: folders of their own, and a real simulator in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.supervising import end_all

FOLDERS = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
PEERS = Path(
    os.environ.get("IBTUI_PEERS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ibtui-peers"
)
"""Read before the folders are redirected: where `make peers` puts what the interop tests talk to."""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No test reads or writes the settings, data or logs of the person who runs it.

    A supervisor that was started is ended with the test.
    """
    home = tmp_path / "home"
    home.mkdir()
    for name in FOLDERS:
        folder = home / name.lower()
        folder.mkdir(mode=0o700)
        monkeypatch.setenv(name, str(folder))
    for name in list(os.environ):
        if name.startswith(("IBTUI_", "IB_GATEWAY", "IB_AUTH", "TWILIO_")):
            monkeypatch.delenv(name)
    yield home
    end_all(home / "xdg_state_home")


class Sim:
    """A running simulator: its ready object, and its control API."""

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready
        self.url: str = ready["url"]
        self.cert: str | None = ready["cert"]

    def user(self, *factors: str) -> dict[str, Any]:
        """The first user with exactly these second factors."""
        return next(user for user in self.ready["users"] if user["factors"] == list(factors))

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET `/sim/PATH`, or POST it with a body."""
        import ssl

        context = ssl.create_default_context(cafile=self.cert) if self.cert else None
        request = urllib.request.Request(
            f"{self.url}/sim/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "User-Agent": "tests"},
        )
        with urllib.request.urlopen(request, context=context, timeout=10) as reply:
            return json.loads(reply.read() or b"null")

    def journal(self) -> list[dict[str, Any]]:
        """Every request it saw, oldest first."""
        entries: list[dict[str, Any]] = self.control("journal")
        return entries

    def stop(self) -> None:
        """End it, as a crash would."""
        self.process.kill()
        self.process.wait(10)


StartSim = Callable[..., Sim]


@pytest.fixture
def start_sim(tmp_path: Path) -> Iterator[StartSim]:
    """Start simulators with command-line words; all are ended with the test."""
    running: list[Sim] = []
    # Its certificate lies in its temporary folder, and other simulators sweep those of killed ones.
    temp = tmp_path / "sim-temp"
    temp.mkdir()

    def start(*words: str) -> Sim:
        ready = tmp_path / f"ready-{len(running)}.json"
        process = subprocess.Popen(
            [sys.executable, "-m", "ibtui", "sim", "--ready", str(ready), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(temp)},
        )
        end = time.monotonic() + 20
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                said = process.stderr.read().decode() if process.stderr else ""
                raise AssertionError(f"the simulator did not start: {said}")
            time.sleep(0.02)
        sim = Sim(process, json.loads(ready.read_text()))
        running.append(sim)
        return sim

    yield start
    for sim in running:
        sim.process.terminate()
        try:
            sim.process.wait(5)
        except subprocess.TimeoutExpired:
            sim.stop()
        if sim.process.stderr:
            sim.process.stderr.close()


@pytest.fixture
def sim(start_sim: StartSim) -> Sim:
    """A simulator nobody is logged in at."""
    return start_sim()


@pytest.fixture
def live_sim(start_sim: StartSim) -> Sim:
    """A simulator with the plain user's sessions open."""
    return start_sim("--logged-in", "demo123")
