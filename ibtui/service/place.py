"""Where a profile's supervisor lies on disk: its lock with its pid, and its socket."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import struct
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs

from ibtui import paths
from ibtui.auth import lock
from ibtui.errors import IbtuiError

LONGEST = 100
"""Bytes of a socket's path: Linux takes 107, macOS 103."""
KEEPING = "keeping this profile's session alive"


class Mark(msgspec.Struct, frozen=True):
    """What stands in the lock file while its holder lives; a clean end empties it."""

    pid: int
    socket: str


@dataclass(frozen=True, slots=True)
class Place:
    """Of one profile."""

    lock: Path

    @classmethod
    def of(cls, profile: str) -> Place:
        """The place in the state folder; nothing is made."""
        return cls(paths.state_dir() / "keep" / f"{profile}.lock")

    def new_socket(self) -> Path:
        """Where a new supervisor shall listen; its folder is made, ours and private.

        Beside the lock, unless that path is too long for a socket.

        Raises:
            IbtuiError: no folder can be had.
        """
        beside = self.lock.with_suffix(".sock")
        for path in _places(beside):
            if len(os.fsencode(path)) <= LONGEST and _ours(path.parent):
                return path
        raise IbtuiError(
            f"There is no place for the keep-alive's socket ({beside} is too long, or not private).",
            "Set XDG_STATE_HOME to a shorter folder of your own.",
        )

    def mark(self) -> Mark | None:
        """Who keeps the profile, or died doing so; None when nobody does."""
        try:
            return msgspec.json.decode(self.lock.read_bytes(), type=Mark)
        except (OSError, msgspec.DecodeError):
            return None

    def taken(self) -> bool:
        """Whether somebody holds the lock now."""
        try:
            with lock.held(self.lock, KEEPING, timeout=0):
                return False
        except IbtuiError:
            return self.lock.exists()

    def write(self, mark: Mark | None) -> None:
        """Put the mark into the lock file in place, for the lock hangs on the file; None empties it."""
        handle = os.open(self.lock, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(handle, 0)
            if mark is not None:
                os.write(handle, msgspec.json.encode(mark))
        finally:
            os.close(handle)


def _places(beside: Path) -> Iterator[Path]:
    """Where a socket may lie; each is looked for only when the one before will not do."""
    yield beside
    short = f"{hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]}.sock"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has a place of its own choice where none is set
        runtime = Path(platformdirs.user_runtime_dir(paths.APP))
    yield runtime / short
    with contextlib.suppress(OSError):  # none that can be written to
        yield Path(tempfile.gettempdir()) / f"ibtui-{os.getuid()}" / short
    yield Path(f"/tmp/ibtui-{os.getuid()}") / short


def _ours(folder: Path) -> bool:
    """Whether a folder is, or can be made, one that only we may enter."""
    try:
        paths.make(folder)
        found = folder.lstat()
        if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
            return False
        if found.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError:
        return False
    return True


def peer_uid(peer: socket.socket) -> int | None:
    """The user at the other end of a Unix socket; None where the system does not tell."""
    try:
        if hasattr(socket, "SO_PEERCRED"):
            size = struct.calcsize("3i")
            found = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
            return int(found[1])
        if sys.platform == "darwin":
            # SOL_LOCAL 0, LOCAL_PEERCRED 1: struct xucred begins with version and uid.
            raw = peer.getsockopt(0, 1, 76)
            return int(struct.unpack("iI", raw[:8])[1])
    except (OSError, struct.error):
        return None
    return None
