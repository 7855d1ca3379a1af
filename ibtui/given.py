"""Files that a person names: read without waiting for what never comes, and never without end.

Synchronous, for callers in threads; nothing here takes longer than `PIPE_S` on a local disk.
"""

from __future__ import annotations

import os
import select
import stat
import time
from pathlib import Path

from ibtui.errors import UsageError

PIPE_S = 0.8
"""Seconds in which a pipe must have said everything."""
LONGEST = 4 * 1024 * 1024
"""Bytes of the largest file of settings."""
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


NAME_ONE = "Name a file."


def check(path: Path, fix: str = NAME_ONE) -> None:
    """Refuse what is there and is no file, for those who open it by its name; what is missing they tell.

    `fix`: what a person may do then.

    Raises:
        UsageError: it is a folder, a pipe or a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    _refuse(path, mode, fix)


def _refuse(path: Path, mode: int, fix: str) -> None:
    if not stat.S_ISREG(mode):
        what = next((name for is_one, name in _KINDS if is_one(mode)), "something else")
        raise UsageError(f"{path} is {what}, not a file.", fix)


def read(path: Path, longest: int, *, pipe: bool = False, fix: str = NAME_ONE) -> tuple[bytes, int]:
    """The first `longest` bytes of a file, and its mode.

    Args:
        fix: as of `check`.
        pipe: a pipe will do, too, as a shell's `<(…)` makes one.

    Raises:
        UsageError: it is no file, or a pipe that says nothing. OSError: it cannot be read.
    """
    # A pipe that nobody writes to would hold up the opening alone for ever.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
        if pipe and stat.S_ISFIFO(mode):
            return _piped(path, handle, longest), mode
        _refuse(path, mode, fix)
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(longest), mode
    finally:
        os.close(handle)


def _piped(path: Path, handle: int, longest: int) -> bytes:
    said = b""
    end = time.monotonic() + PIPE_S
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    while len(said) < longest and poll.poll(max(0.0, end - time.monotonic()) * 1000):
        more = os.read(handle, longest - len(said))
        if not more:
            break
        said += more
    if not said:
        raise UsageError(f"Nothing came out of the pipe {path}.", "Name a file, or a program as its source.")
    return said
