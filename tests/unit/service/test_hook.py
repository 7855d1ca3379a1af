"""The person's own program: what it is told, what it may not know, and that it can break nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from ibtui.clock import Tasks
from ibtui.core.models import Event, Lamp, Status
from ibtui.service.hook import QUEUE, SOURCE, Hook

AT = datetime(2026, 4, 24, 14, 0, tzinfo=UTC)
STATUS = Status(gateway=Lamp(state="on"), sso=Lamp(state="off"), brokerage=Lamp(state="unknown"))
ENV = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "IBTUI_SECRET": "hunter22", "IB_AUTH_PASSWORD": "x"}


def event(text: str, source: str = "keep-alive") -> Event:
    return Event(at=AT, source=source, text=text, level="warn")


def now() -> tuple[Status, str]:
    return STATUS, "waiting"


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str, level: str) -> None:
        assert level == "warn"
        self.lines.append(text)


@asynccontextmanager
async def running(hook: Hook) -> AsyncIterator[None]:
    tasks = Tasks()
    tasks.start(hook.run(), "hook")
    try:
        yield
    finally:
        async with asyncio.timeout(5):
            await tasks.close()


async def until(wanted: Callable[[], bool], seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not wanted():
            await asyncio.sleep(0.02)


def script(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "hook.py"
    path.write_text(text)
    return (sys.executable, "-I", str(path), str(folder))


COPY = """
import json, os, sys, time
row = {"event": json.load(sys.stdin), "env": dict(os.environ), "argv": sys.argv[2:]}
with open(sys.argv[1] + "/told", "a") as file:
    file.write(json.dumps(row) + "\\n")
"""


async def test_what_it_is_told_and_what_it_sees(tmp_path: Path) -> None:
    told = Told()
    hook = Hook((*script(tmp_path, COPY), "$HOME; echo"), "paper", ENV, now, told)
    async with running(hook):
        hook.put(event("the login has ended"))
        hook.put(event("the session is ready"))
        await until(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text().count("\n") == 2)
    first, second = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    assert first["event"] == {
        "profile": "paper",
        "at": "2026-04-24T14:00:00Z",
        "source": "keep-alive",
        "level": "warn",
        "text": "the login has ended",
        "ready": False,
        "gateway": "on",
        "sso": "off",
        "brokerage": "unknown",
        "keep_alive": "waiting",
    }
    assert second["event"]["text"] == "the session is ready"
    assert first["argv"] == ["$HOME; echo"], "no shell in between"
    assert "hunter22" not in json.dumps(first["env"]) and "IB_AUTH_PASSWORD" not in first["env"]
    assert told.lines == []


async def test_a_failure_is_said_once_and_does_not_call_it_again(tmp_path: Path) -> None:
    told = Told()
    hook = Hook((sys.executable, "-c", "raise SystemExit(3)"), "p", ENV, now, told)
    async with running(hook):
        for number in range(3):
            hook.put(event(f"event {number}"))
        await until(lambda: not hook._waiting)
        await asyncio.sleep(0.3)
        hook.put(event("it failed", SOURCE))
        assert not hook._waiting
    assert len(told.lines) == 1 and "exit status 3" in told.lines[0]


async def test_a_program_that_is_not_there() -> None:
    told = Told()
    hook = Hook(("/nowhere/notify",), "p", ENV, now, told)
    async with running(hook):
        hook.put(event("x"))
        await until(lambda: bool(told.lines))
    assert "cannot be started: No such file" in told.lines[0]


HANG = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "60"])
open(sys.argv[1] + "/pids", "w").write(f"{os.getpid()} {child.pid} ")
time.sleep(60)
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    told = Told()
    hook = Hook(script(tmp_path, HANG), "p", ENV, now, told, timeout=1.0)
    async with running(hook):
        hook.put(event("x"))
        await until(lambda: bool(told.lines))
    assert "took longer than 1 s and was ended" in told.lines[0]
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    await until(lambda: len(pids) == 2 and all(gone(pid) for pid in pids))


async def test_one_at_work_ends_with_the_keeper(tmp_path: Path) -> None:
    hook = Hook(script(tmp_path, HANG), "p", ENV, now, Told())
    async with running(hook):
        hook.put(event("x"))
        await until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith(" "))
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    await until(lambda: all(gone(pid) for pid in pids))


async def test_the_queue_is_bounded_and_says_so_once() -> None:
    told = Told()
    hook = Hook(("/bin/true",), "p", ENV, now, told)
    for number in range(3 * QUEUE):
        hook.put(event(f"event {number}"))
    assert len(hook._waiting) == QUEUE and hook._waiting[-1].text == "event 149"
    assert told.lines == ["it is too slow: the oldest changes are not told to it"]
