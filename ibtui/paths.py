"""Where things lie on disk, by the platform's convention; folders are made private (0700)."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import platformdirs

APP = "ibtui"


def config_dir() -> Path:
    """Settings and the user's own themes."""
    return Path(platformdirs.user_config_dir(APP))


def data_dir() -> Path:
    """What must not be lost: auth data, gateway installations."""
    return Path(platformdirs.user_data_dir(APP))


def state_dir() -> Path:
    """What may be lost: pins, run folders, pid files, time lines."""
    return Path(platformdirs.user_state_dir(APP))


def log_dir() -> Path:
    """Our own log."""
    return Path(platformdirs.user_log_dir(APP))


def run_dir(profile: str) -> Path:
    """The gateway's private working folder of a profile."""
    return state_dir() / "run" / profile


def oauth_dir(profile: str) -> Path:
    """Keys and `oauth1.json` of a profile."""
    return data_dir() / "oauth" / profile


def make(folder: Path) -> None:
    """Make a folder, and what is missing above it, 0700; one that exists is left as it is."""
    # With `parents` the mode would hold for the last one alone.
    for missing in reversed([it for it in folder.parents if not it.exists()]):
        missing.mkdir(exist_ok=True, mode=0o700)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.mkdir(exist_ok=True, mode=0o700)


def private(folder: Path) -> Path:
    """Make a folder of ours (and what is missing above it) readable by its owner alone."""
    make(folder)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, 0600: temp file beside it, fsync, rename, fsync of the folder.

    A missing folder is made private; one that exists is the person's own and left as it is.
    """
    if not path.parent.exists():
        private(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
