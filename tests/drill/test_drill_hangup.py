"""The line breaks while everything is live: gateway, keep-alive and session go on, and nothing spins."""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ibtui.service.link import find
from tests.flows.test_fan_out import check_budget
from tests.headless.conftest import write_profile
from tests.interop.java_tools import free_port
from tests.supervising import is_supervisor
from tools.terminal import Terminal, usage

IBTUI = [sys.executable, "-m", "ibtui"]


def until(wanted: Callable[[], Any], timeout: float = 20.0) -> Any:
    end = time.monotonic() + timeout
    while not (found := wanted()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


class World:
    """A profile whose gateway is the simulator, started by ibtui itself."""

    def __init__(self, folder: Path) -> None:
        self.url = f"https://127.0.0.1:{free_port()}"
        self._ready = folder / "ready.json"
        port = self.url.rpartition(":")[2]
        command = [*IBTUI, "sim", "--port", port, "--ready", str(self._ready), "--logged-in", "demo123"]
        write_profile(self.url, gateway_command=command, keep_alive=True)

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        context = ssl.create_default_context(cafile=json.loads(self._ready.read_text())["cert"])
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}/sim/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, context=context, timeout=10) as reply:
            return json.loads(reply.read() or b"null")

    def tickles(self) -> int:
        return sum(row["path"] == "/v1/api/tickle" for row in self.control("journal"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    yield World(tmp_path)
    with Terminal([*IBTUI, "gateway", "stop"]) as stopping:
        stopping.exit(20)


def pid_of() -> int:
    link = find("default")
    assert link is not None
    return link.pid


def cpu(pid: int) -> float:
    """Seconds a process has used, its children left out (the gateway is the keeper's)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def opened() -> Terminal:
    return Terminal(IBTUI, 100, 30)


def start(screen: Terminal) -> None:
    """Start the gateway, once the first look is over."""
    screen.wait(lambda text: "nothing answers" in text.lower() and "looking at" not in text)
    screen.send("s")
    screen.wait("authenticated", 30)


def live(screen: Terminal) -> None:
    screen.wait("ready", 30)
    screen.send("2")
    screen.wait("AAPL", 20)


def gateway_pid(screen: Terminal) -> int:
    return int(screen.text.split("pid ")[1].split()[0])


def test_the_line_breaks_and_everything_lives_on(world: World) -> None:
    with opened() as first:
        start(first)
        gateway = gateway_pid(first)
        live(first)
        keeper = pid_of()
        first.hang_up()
        began = time.monotonic()
        first.exit(5)
        assert time.monotonic() - began < 3
    assert is_supervisor(keeper) and Path(f"/proc/{gateway}").exists()
    began, before = time.monotonic(), (cpu(keeper), cpu(gateway), world.tickles())
    world.control("session", {"action": "compete"})
    time.sleep(10)
    until(lambda: world.tickles() > before[2], 60)
    share = [
        (cpu(pid) - old) / (time.monotonic() - began)
        for pid, old in zip((keeper, gateway), before, strict=False)
    ]
    assert share[0] < 0.02 and share[1] < 0.1, share
    with opened() as second:
        stamp = second.wait("another program", 10)
        assert stamp < 1.5, "attached, and what was missed is there"
        assert pid_of() == keeper and gateway_pid(second) == gateway
        began_cpu = usage(second.pid).cpu
        second.settle(0.2, 5)
        assert usage(second.pid).cpu - began_cpu < 3
        os.kill(second.pid, signal.SIGKILL)
        second.exit(5)
    assert is_supervisor(keeper) and Path(f"/proc/{gateway}").exists()


def test_the_keep_alive_dies_under_a_terminal(world: World) -> None:
    with opened() as screen:
        start(screen)
        first = until(lambda: find("default")).pid
        os.kill(first, signal.SIGKILL)
        screen.wait("had died", 15)
        second = until(lambda: find("default")).pid
        assert second != first
        live(screen)
        before = usage(screen.pid).cpu
        screen.settle(5, 5)
        assert usage(screen.pid).cpu - before < 2.5, "it does not spin"
        # A person ends it: the terminal goes on without one, and starts none.
        with Terminal([*IBTUI, "keep", "stop"]) as stopping:
            assert stopping.exit(20) == 0
        screen.send("1")
        screen.wait("has ended", 10)
        screen.settle(3, 4)
        assert find("default") is None


def test_three_terminals_and_a_command_are_one_client(world: World) -> None:
    with opened() as one:
        start(one)
        with opened() as two, opened() as three, Terminal([*IBTUI, "orders", "--watch"]) as four:
            screens = (one, two, three)
            for screen in screens:
                live(screen)
            four.wait("AAPL", 30)
            began, used = time.monotonic(), cpu(pid_of())
            while time.monotonic() < began + 10:
                for screen in (*screens, four):
                    screen.read(0.05)
            share = (cpu(pid_of()) - used) / (time.monotonic() - began)
            assert share < 0.1, share
            rows = world.control("journal")
            sockets = [row for row in rows if (row["method"], row["path"]) == ("GET", "/v1/api/ws")]
            assert len(sockets) == 1
            frames = Counter(row["body_redacted"] for row in rows if row["method"] == "WS")
            asked = {text: count for text, count in frames.items() if text[:1] == "s" and "+" in text}
            assert asked and set(asked.values()) == {1}
            check_budget([row for row in rows if row["path"].startswith("/v1/")])
            for screen in screens:
                screen.send("1")
                screen.wait("authenticated")
            # What one does the others see.
            with Terminal([*IBTUI, "logout"]) as leaving:
                assert leaving.exit(20) == 0
            for screen in screens:
                screen.wait("logged out", 10)
