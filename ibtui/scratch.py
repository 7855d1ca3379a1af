"""Private folders in the temp folder that do not outlive their process, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIXES = ("ibtui-demo-", "ibtui-sim-")
"""How the folders begin that `sweep` looks at."""
_LOCK = "owner.lock"


class Scratch:
    """A new folder, 0700, named PREFIX and some letters; the files in it are the caller's.

    Its owner holds a lock that the system lets go with the process, so that `sweep` knows a folder
    that was left behind even where a process number was given out again. Blocking; raises OSError.
    """

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        draft = self.path / f".{_LOCK}"
        self._lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # Under its name only when it is held: nobody may find it free.
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Remove the folder and what is in it; harmless when that is done."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep(folder: Path | None = None) -> int:
    """Remove the folders in `folder` (default: the temp folder) whose owner has gone; says how many.

    Others may write there too: links are never followed, nothing of another user is touched, nor
    a folder that others may enter or that has no lock. Blocking; raises nothing.
    """
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder or tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIXES):
                with contextlib.suppress(OSError):
                    removed += _remove_left(Path(entry.path))
    return removed


def _remove_left(path: Path) -> bool:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    with _opened(os.open(path, flags)) as folder:
        about = os.fstat(folder)
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
            return False
        with _opened(os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Still the folder that was looked at; `rmtree` itself follows no links.
            if not os.path.samestat(about, path.lstat()):
                return False
            shutil.rmtree(path, ignore_errors=True)
            return not path.exists()


@contextlib.contextmanager
def _opened(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)
