"""A lock between processes and threads: `flock` on a file that is never removed.

Synchronous, for callers in threads. The system frees it when its holder dies, however it dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ibtui.errors import IbtuiError

POLL_S = 0.02


class Busy(IbtuiError):
    """Another holds it."""


@contextmanager
def held(path: Path, what: str, timeout: float = 5.0, stop: threading.Event | None = None) -> Iterator[None]:
    """Hold the lock at `path` (made 0600 if missing); waits up to `timeout` seconds for it.

    Args:
        what: what the other one is doing, for the error: `writing the auth data`.
        stop: when set, the wait ends at once.

    Raises:
        Busy: not free within the time-out, or the wait was stopped. IbtuiError: the file cannot be made.
    """
    handle = _acquire(path, what, timeout, stop or threading.Event())
    try:
        yield
    finally:
        os.close(handle)


def _acquire(path: Path, what: str, timeout: float, stop: threading.Event) -> int:
    deadline = time.monotonic() + timeout
    while True:
        handle = _try(path)
        if handle is not None:
            return handle
        if stop.is_set():
            raise Busy(f"Stopped waiting while another program is {what}.")
        left = deadline - time.monotonic()
        if left <= 0:
            raise Busy(
                f"Another program has been {what} for more than {timeout:g} s.",
                "Wait for it, or end it, then try again.",
            )
        stop.wait(min(POLL_S, left))


def _try(path: Path) -> int | None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise IbtuiError(
            f"The lock {path} cannot be opened: {error.strerror}.", "Look at its folder."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have removed the file meanwhile: then this is a lock on nothing.
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return handle
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.ENOENT, errno.EINTR):
            os.close(handle)
            raise IbtuiError(f"The lock {path} cannot be taken: {error.strerror}.") from error
    os.close(handle)
    return None
