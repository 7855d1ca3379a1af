"""Supervisors that tests left behind, and how a test looks at one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec

from ibtui.service.place import Mark


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
