"""Start and keys: how long until something can be seen."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.bench_report import Figure, Section, environment, script
from tools.terminal import Terminal, family

HELLO = [sys.executable, str(Path(__file__).with_name("bench_hello.py"))]
_SETTLE_S = 0.02
"""After the frame was read and before CPU is: what a program does right behind its frame counts too."""


def _cpu_ns(pid: int) -> int:
    folder = Path(f"/proc/{pid}/task")
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in folder.iterdir())
    except (OSError, IndexError, ValueError):
        return 0


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def first_paint(argv: Sequence[str], marker: bytes, env: Mapping[str, str]) -> tuple[float, float, float]:
    """Wall ms from exec to the bytes of `marker`, CPU ms and peak MiB of the process tree just after."""
    began = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execvpe(argv[0], list(argv), {**env, **_TERMINAL})
        finally:
            os._exit(127)
    try:
        seen = b""
        while marker not in seen:
            if time.monotonic() - began > 30 or not select.select([terminal], [], [], 5)[0]:
                raise RuntimeError(f"{argv[0]} never showed {marker!r}")
            data = os.read(terminal, 65536)
            seen += data
            _answer(terminal, data)
        wall = time.monotonic() - began
        time.sleep(_SETTLE_S)
        members = family(pid)
        return wall * 1e3, sum(map(_cpu_ns, members)) / 1e6, sum(map(_peak_mib, members))
    finally:
        _end(pid, terminal)


_TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "80", "LINES": "24"}


def _answer(terminal: int, data: bytes) -> None:
    if b"\x1b[c" in data:
        os.write(terminal, b"\x1b[?62;22c")
    for mode in re.finditer(rb"\x1b\[\?([0-9]+)\$p", data):
        os.write(terminal, b"\x1b[?%s;%d$y" % (mode[1], 2 if mode[1] == b"2026" else 0))


def _end(pid: int, terminal: int) -> None:
    members = family(pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for member in members:
            try:
                os.kill(member, number)
            except OSError:
                continue
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            try:
                if select.select([terminal], [], [], 0.01)[0]:
                    os.read(terminal, 65536)
            except OSError:
                time.sleep(0.01)
            if os.waitpid(pid, os.WNOHANG)[0]:
                os.close(terminal)
                return


def paint_section(home: Path, pairs: int) -> Section:
    """`ibtui demo` beside the smallest Textual app, in turn."""
    env = environment(home)
    ours, theirs = [], []
    for number in range(pairs + 1):
        mine = first_paint([script("ibtui"), "demo"], b"Session", env)
        other = first_paint(HELLO, b"first frame", env)
        if number:  # the first pair only warms the file cache
            ours.append(mine)
            theirs.append(other)
    peer = "minimal Textual app"
    figures = [
        Figure(what, unit, [it[at] for it in ours], [it[at] for it in theirs], peer, goal)
        for at, (what, unit, goal) in enumerate(
            (
                ("first frame of ibtui demo, wall", "ms", 1.5),
                ("first frame of ibtui demo, CPU", "ms", 1.5),
                ("first frame of ibtui demo, peak memory", "MiB", 1.25),
            )
        )
    ]
    return Section(
        "Start",
        "From exec to the first frame with the word Session on a pseudo-terminal of 80x24; CPU and memory\n"
        f"are those of the process tree {_SETTLE_S * 1e3:.0f} ms later. "
        f"Medians of {pairs} pairs, ratio pair by pair.",
        [*figures, *_status(home, pairs)],
    )


def _run(argv: Sequence[str], env: Mapping[str, str], status: int) -> tuple[float, float]:
    began = time.monotonic()
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as process:
        _, ended, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode != status:
        raise RuntimeError(f"{argv} ended with {process.returncode}")
    return (time.monotonic() - began) * 1e3, (used.ru_utime + used.ru_stime) * 1e3


def _status(home: Path, pairs: int) -> list[Figure]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = home / "bench.toml"
    config.write_text(f'[profiles.default]\ngateway_url = "https://127.0.0.1:{port}"\n')
    config.chmod(0o600)
    env = environment(home)
    ours, theirs = [], []
    for number in range(pairs + 1):
        mine = _run([script("ibtui"), "status", "--config", str(config)], env, 3)
        other = _run([sys.executable, "-c", "import httpx"], env, 0)
        if number:
            ours.append(mine)
            theirs.append(other)
    peer = "python -c 'import httpx'"
    return [
        Figure(f"ibtui status, no gateway, {what}", "ms", [it[at] for it in ours], [it[at] for it in theirs],
               peer)
        for at, what in enumerate(("wall", "CPU"))
    ]  # fmt: skip


def _key(screen: Terminal, keys: str, wanted: str) -> float:
    screen.settle(0.25, 2)
    before = time.monotonic() - screen.began
    screen.send(keys)
    return (screen.wait(wanted, 10) - before) * 1e3


def key_section(home: Path, rounds: int) -> Section:
    """From a key to what it opens, on the running demo and on the minimal app."""
    env = environment(home)
    ours, theirs, first, again = [], [], [], []
    for _ in range(rounds):
        with Terminal([script("ibtui"), "demo"], env=env) as demo, Terminal(HELLO, env=env) as hello:
            hello.wait("first frame")
            demo.wait("● ● ●", 40)
            first.append(_key(demo, "2", "Symbol"))
            _key(demo, "1", "Keep-alive")
            again.append(_key(demo, "2", "Symbol"))
            _key(demo, "1", "Keep-alive")
            # A palette is made anew each time; the first is slower, so each side is asked twice.
            for _ in range(2):
                ours.append(_key(demo, "\x10", "Search for commands"))
                demo.send("\x1b")
                theirs.append(_key(hello, "\x10", "Search for commands"))
                hello.send("\x1b")
    return Section(
        "Keys",
        "From the key to the read that completes what it opens, on the interpreted screen; demo logged in,\n"
        "values streaming.",
        [
            Figure("key to command palette, wall", "ms", ours, theirs, "minimal Textual app"),
            Figure("key to Positions, first visit, wall", "ms", first),
            Figure("key to Positions, again, wall", "ms", again),
        ],
    )
