"""The supervisor with the real Java gateway: it outlives commands, and the gateway outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ibtui.service.link import find
from tests.conftest import Sim
from tests.interop.java_tools import free_port, leaks, processes
from tests.interop.peers import Peers
from tests.supervising import is_supervisor

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("java-two")]


@pytest.fixture
def install(peers: Peers) -> Path:
    return peers.gateway()


class World:
    """Settings with a password's source, and commands on them."""

    def __init__(self, install: Path, sim: Sim, folder: Path) -> None:
        self.sim, self.user = sim, sim.user()
        password = folder / "password"
        password.write_text(self.user["password"] + "\n")
        password.chmod(0o600)
        self.config = folder / "config.toml"
        self.config.write_text(
            f'[profiles.default]\ngateway_url = "https://localhost:{free_port()}"\n'
            f'gateway_dir = "{install}"\nupstream = "{sim.url}"\nusername = "{self.user["username"]}"\n'
            f'password.file = "{password}"\nauth_delay_ms = 500\n'
        )
        self.config.chmod(0o600)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ibtui", *words],
            env=os.environ | {"IBTUI_CONFIG": str(self.config)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json").stdout)


@pytest.fixture
def world(install: Path, start_sim: Callable[..., Sim], tmp_path: Path) -> Iterator[World]:
    made = World(install, start_sim("--plain", "--seed", "7"), tmp_path)
    yield made
    made.run("keep", "stop")
    made.run("gateway", "stop")
    assert processes(Path(os.environ["XDG_STATE_HOME"])) == []


def until(wanted: Callable[[], Any], timeout: float) -> Any:
    end = time.monotonic() + timeout
    while not (found := wanted()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.2)
    return found


def java(world: World) -> int:
    return int(world.status["gateway"]["reason"].split("pid ")[1].split()[0])


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_each_dies_and_the_session_is_there_again(world: World) -> None:
    done = world.run("gateway", "start")
    assert done.returncode == 0, done
    link = find("default")
    assert link is not None
    # It has the password's source: nobody has to log in at all, or somebody is a moment sooner.
    done = world.run("login", "--if-needed")
    assert done.returncode == 0, done
    until(lambda: world.status["ready"], 30)
    first = java(world)
    assert os.getsid(first) != os.getsid(link.pid)
    # The gateway dies: the supervisor brings everything back.
    os.kill(first, signal.SIGKILL)
    world.sim.control("session", {"action": "logout"})
    until(lambda: not world.status["ready"], 20)
    until(lambda: world.status["ready"], 40)
    second = java(world)
    assert second != first
    # The supervisor dies: the gateway does not notice, and the next one finds it.
    os.kill(link.pid, signal.SIGKILL)
    until(lambda: find("default") is None, 5)
    assert world.status["ready"] and java(world) == second
    assert world.run("gateway", "start").returncode == 0
    again = find("default")
    assert again is not None and again.pid != link.pid and is_supervisor(again.pid)
    until(lambda: world.status["ready"], 20)
    assert java(world) == second
    began, used = time.monotonic(), cpu(again.pid)
    time.sleep(5)
    share = (cpu(again.pid) - used) / (time.monotonic() - began)
    rss = next(
        int(line.split()[1])
        for line in Path(f"/proc/{again.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    assert share < 0.05 and rss < 80_000, (share, rss)
    assert leaks(Path(os.environ["XDG_STATE_HOME"]), [world.user["password"]]) == []
    assert world.run("positions").stdout.count("\n") > 3
