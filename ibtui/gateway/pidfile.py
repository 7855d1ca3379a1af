"""Which process is ours, on disk; and the lock that lets one of us at a time start or stop it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from ibtui.clock import Clock
from ibtui.errors import GatewayFault
from ibtui.gateway.diagnose import unwritable
from ibtui.paths import private, write_private

_POLL = 0.1


class Record(msgspec.Struct, frozen=True):
    """The pid file (JSON, 0600)."""

    pid: int
    """Process, process group and session at once."""
    born: str
    """`procs.birth` of it: tells it from a later process with the same number."""
    digest: str
    """Of its command line, to see that the settings have changed since."""
    url: str
    cert: str
    """Certificate to trust (PEM path), empty when it is not known as a file."""
    cwd: str
    since: datetime
    tied: bool
    stopping: bool = False
    """One of us is ending it; whoever watches it need not wonder."""


def read(path: Path) -> Record | None:
    """The pid file; None when missing or not one of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None


def write(path: Path, record: Record) -> None:
    """Replace the pid file, 0600."""
    write_private(path, msgspec.json.encode(record))


@asynccontextmanager
async def locked(path: Path, clock: Clock, timeout: float) -> AsyncIterator[None]:
    """Hold the run folder's lock; the system lets it go when we die.

    Raises:
        GatewayFault: another process held it for `timeout` seconds, or the folder cannot be used.
    """
    try:
        private(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    try:
        deadline = clock.monotonic() + timeout
        while not _try(handle):
            if clock.monotonic() >= deadline:
                raise GatewayFault(
                    "Another ibtui has been starting or stopping this gateway for too long.",
                    "Look for it: ibtui gateway status",
                )
            await clock.sleep(_POLL)
        yield
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
