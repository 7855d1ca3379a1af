"""Start a program as leader of its own session, and end its whole group."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ibtui.clock import Clock
from ibtui.errors import GatewayFault
from ibtui.gateway import procs
from ibtui.gateway.spec import Spec

_TETHER = Path(__file__).with_name("tether.py")
_KILL_WAIT = 5.0
_POLL = 0.05


_left: list[subprocess.Popen[bytes]] = []
"""Detached children whose owner closed."""


def leave(child: subprocess.Popen[bytes]) -> None:
    """Let a detached child live on; should it end before us, the next `reap` waits for it."""
    _left.append(child)
    reap()


def reap() -> None:
    """Wait for children that were left and have ended; else they stay zombies."""
    _left[:] = [child for child in _left if child.poll() is None]


@atexit.register
def _part() -> None:
    """At our end: else `subprocess` complains that they still run."""
    for child in _left:
        child.returncode = child.returncode or 0


class Told(msgspec.Struct, frozen=True):
    """What a program that chooses its own port writes when it listens."""

    url: str
    cert: str | None = None


def told(ready_file: Path) -> Told | None:
    """The ready file; None while it is missing or not complete."""
    try:
        found = msgspec.json.decode(ready_file.read_bytes(), type=Told)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.url else None


def spawn(spec: Spec) -> subprocess.Popen[bytes]:
    """Start the program; about a millisecond. Nothing of the terminal is kept.

    Not asyncio's subprocess: that one kills its child when the loop closes, and a detached
    gateway has to outlive us. A tied one gets a pipe on standard input that we hold.

    Raises:
        GatewayFault: it cannot be run.
    """
    argv: Sequence[str] = spec.argv
    if spec.tied and not spec.ends_at_eof:
        argv = (sys.executable, "-I", "-S", str(_TETHER), *spec.argv)
    out = os.open(spec.folder.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if spec.tied else subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=spec.cwd,
            env=dict(spec.env),
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise GatewayFault(
            f"{spec.argv[0]} cannot be run in {spec.cwd}: {error.strerror}.",
            "Correct `java` or `gateway_command` in the profile.",
        ) from None
    finally:
        os.close(out)


async def end_group(group: int, child: subprocess.Popen[bytes] | None, grace: float, clock: Clock) -> None:
    """Ask a process group to end, kill it after `grace` seconds, return when nobody is left in it.

    The caller has made sure that the group is ours. `child`: its leader, if it is our child.

    Raises:
        GatewayFault: it does not end, or belongs to another user.
    """
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, _KILL_WAIT)):
        if await _signal(group, number, child, seconds, clock):
            return
    raise GatewayFault(f"The gateway (pid {group}) does not end.", f"Try: kill -9 -{group}")


async def _signal(
    group: int, number: signal.Signals, child: subprocess.Popen[bytes] | None, seconds: float, clock: Clock
) -> bool:
    """Signal the group and wait; True when nobody is left in it."""
    try:
        os.killpg(group, number)
        os.killpg(group, signal.SIGCONT)  # a stopped process would not hear the other one
    except ProcessLookupError:
        return True
    except PermissionError:
        # macOS says this of a group of zombies, too.
        if not await asyncio.to_thread(procs.group_members, group):
            return True
        raise GatewayFault(
            f"The gateway (pid {group}) belongs to another user.", "Stop it as that user."
        ) from None
    deadline = clock.monotonic() + seconds
    while True:
        if child is not None:
            child.poll()  # a child that is not waited for stays a zombie
        if not await asyncio.to_thread(procs.group_members, group):
            return True
        if clock.monotonic() >= deadline:
            return False
        await clock.sleep(_POLL)
