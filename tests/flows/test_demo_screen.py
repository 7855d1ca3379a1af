"""`ibtui demo` on a real pseudo-terminal: killed, hung up, told to end, on poor terminals."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.terminal import Terminal, family

DEMO = (sys.executable, "-m", "ibtui", "demo")
READY = "DU1234567"


def ready(screen: str) -> bool:
    """The Session screen says that all three are there."""
    return screen.count("●") >= 3 and "JifX" in screen


def simulator_of(pid: int) -> int:
    """The simulator that the demo has started."""
    for one in family(pid):
        words = Path(f"/proc/{one}/cmdline").read_bytes()
        if b"\0sim\0" in words and one != pid:
            return one
    raise AssertionError("no simulator")


def running(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
        except OSError:
            continue
    return found


def ended_within(seconds: float, pids: list[int], look: Callable[[], Any] = lambda: None) -> bool:
    end = time.monotonic() + seconds
    while running(pids):
        if time.monotonic() > end:
            return False
        look()
        time.sleep(0.05)
    return True


def started(terminal: Terminal) -> list[int]:
    terminal.wait(ready, 30)
    return family(terminal.pid)


def reap(terminal: Terminal) -> None:
    try:
        pid, status = os.waitpid(terminal.pid, os.WNOHANG)
    except ChildProcessError:
        return
    if pid:
        terminal.status = os.waitstatus_to_exitcode(status)


def test_q_quits_and_leaves_nothing() -> None:
    with Terminal(DEMO) as terminal:
        pids = started(terminal)
        assert len(pids) >= 2
        terminal.send("q")
        assert terminal.exit(10) == 0
        assert ended_within(5, pids)


def test_the_simulator_killed_under_the_open_screen() -> None:
    with Terminal(DEMO) as terminal:
        started(terminal)
        terminal.send("3")
        terminal.wait("MSFT", 15)
        terminal.send("1")
        terminal.wait(ready, 5)
        first = simulator_of(terminal.pid)
        os.kill(first, signal.SIGKILL)
        terminal.wait(lambda screen: "ended" in screen and "s start" in screen.lower(), 8)
        assert "Start it again: s" in terminal.text and "SIGKILL" in terminal.text
        terminal.settle(1.0, 6)
        terminal.send("s")
        terminal.wait(ready, 30)
        assert simulator_of(terminal.pid) != first
        terminal.send("2")
        terminal.wait("AAPL", 15)
        terminal.send("q")
        assert terminal.exit(10) == 0


def test_a_hang_up_ends_everything() -> None:
    with Terminal(DEMO) as terminal:
        pids = started(terminal)
        terminal.hang_up()
        assert ended_within(5, pids, lambda: reap(terminal)), running(pids)


def test_told_to_end() -> None:
    with Terminal(DEMO) as terminal:
        pids = started(terminal)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.exit(10) == 143
        assert ended_within(5, pids)
        assert "Traceback" not in terminal.text


def readable(terminal: Terminal) -> float:
    """The share of letters whose colour differs from what they stand on."""
    good = total = 0
    for row in terminal.display.buffer.values():
        for cell in row.values():
            if cell.data.strip():
                total += 1
                fg, bg = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
                same = fg == bg and fg != "default"
                dark = (fg, bg) in (("black", "default"), ("default", "black"))
                good += not (same or (fg == "black" and bg == "default") or (dark and fg == "black"))
    assert total > 100
    return good / total


@pytest.mark.parametrize("how", ["xterm", "NO_COLOR", "linux"])
def test_poor_terminals_can_be_read(how: str) -> None:
    env = dict(os.environ)
    env.pop("COLORTERM", None)
    env.pop("NO_COLOR", None)
    if how == "NO_COLOR":
        env["NO_COLOR"] = "1"
    with Terminal(DEMO, env=env, term="xterm-256color" if how == "NO_COLOR" else how) as terminal:
        started(terminal)
        for key, word in (("1", "Session"), ("2", "AAPL"), ("3", "MSFT"), ("4", "DU1234567")):
            terminal.send(key)
            terminal.wait(word, 15)
            terminal.settle(0.3, 2)
            assert readable(terminal) > 0.99, terminal.text
        terminal.send("q")
        assert terminal.exit(10) == 0


def test_too_small_and_large_enough_again() -> None:
    with Terminal(DEMO, cols=79, rows=23) as terminal:
        terminal.wait(lambda screen: "80" in screen and "24" in screen, 15)
        terminal.resize(80, 24)
        terminal.wait(ready, 30)
        terminal.resize(60, 10)
        terminal.wait(lambda screen: "80" in screen and "24" in screen, 10)
        terminal.resize(120, 40)
        terminal.wait(ready, 10)
        terminal.send("q")
        assert terminal.exit(10) == 0
