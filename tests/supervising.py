"""Supervisors that tests left behind, and how a test looks at one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ibtui.config import Settings
    from ibtui.service.attached import AttachedRuntime
    from ibtui.service.local import LocalRuntime
    from ibtui.service.supervisor import Supervisor
    from tests.conftest import Sim


class Mark(msgspec.Struct):
    """What stands in the lock file."""

    pid: int
    socket: str


def marks(state: Path) -> list[Mark]:
    """Who keeps profiles below a state folder, or died doing so."""
    found = []
    for lock in (state / "ibtui" / "keep").glob("*.lock"):
        try:
            found.append(msgspec.json.decode(lock.read_bytes(), type=Mark))
        except (OSError, msgspec.DecodeError):
            continue
    return found


def is_supervisor(pid: int) -> bool:
    """Whether a pid is (still) a supervisor's."""
    try:
        return b"supervise" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def end_all(state: Path) -> None:
    """Kill what still keeps a profile below `state`, and wait until it is gone."""
    for mark in marks(state):
        if not is_supervisor(mark.pid):
            continue
        os.kill(mark.pid, signal.SIGKILL)
        end = time.monotonic() + 5
        while is_supervisor(mark.pid) and time.monotonic() < end:
            time.sleep(0.01)


def settings_at(sim: Sim, **more: Any) -> Settings:
    """A profile `default` that points at a simulator."""
    from ibtui.config import Profile, Settings

    values: dict[str, Any] = {"gateway_url": sim.url, "ca_file": sim.cert or "", **more}
    return Settings(profiles={"default": Profile(**values)})


@contextlib.asynccontextmanager
async def supervisor_at(settings: Settings, **more: Any) -> AsyncIterator[Supervisor]:
    """A supervisor in this process, ended with the context."""
    from ibtui.service.supervisor import Supervisor

    supervisor = Supervisor(lambda: settings, **more)
    listens = asyncio.Event()
    running = asyncio.get_running_loop().create_task(supervisor.run(listens.set))
    waiting = asyncio.get_running_loop().create_task(listens.wait())
    try:
        await asyncio.wait({running, waiting}, timeout=15, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        assert listens.is_set(), "it does not listen"
        yield supervisor
    finally:
        waiting.cancel()
        supervisor.end("the test is over")
        async with asyncio.timeout(15):
            await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def terminal(settings: Settings, **more: Any) -> AsyncIterator[AttachedRuntime]:
    """A terminal's runtime."""
    from ibtui.service.runtimes import open_runtime

    runtime = await open_runtime(settings, **more)
    try:
        yield runtime
    finally:
        async with asyncio.timeout(15):
            await runtime.close()


async def until(wanted: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait until it is so."""
    end = asyncio.get_running_loop().time() + timeout
    while not wanted():
        assert asyncio.get_running_loop().time() < end, "it never came"
        await asyncio.sleep(0.02)


def texts(runtime: LocalRuntime) -> list[str]:
    """What the time line says."""
    return [event.text for event in runtime.events]
