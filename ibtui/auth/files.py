"""The vault's files: names, modes, whole replacement. One writer at a time (`auth.lock`)."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from ibtui import given
from ibtui.errors import IbtuiError, UsageError
from ibtui.paths import make, write_private

_LONGEST = 100
DEFAULT = "data.json"
"""The node service's file name."""


def safe_name(username: str) -> str:
    """A user name as part of a file name: no two give the same, none leaves the folder or is hidden.

    Raises:
        UsageError: the name is empty.
    """
    name = username.strip().lower()
    if not name:
        raise UsageError("A user name is needed to find its auth data.", "Set username in the profile.")
    text = quote(name, safe="").replace("~", "%7E")
    if text.startswith("."):
        text = "%2E" + text[1:]
    if len(text) <= _LONGEST:
        return text
    return f"{text[:60]}~{hashlib.sha256(name.encode()).hexdigest()[:20]}"


def make_folder(folder: Path) -> None:
    """Make a folder, and what is missing above it, 0700.

    Raises:
        IbtuiError: it cannot be made.
    """
    try:
        make(folder)
    except OSError as error:
        raise IbtuiError(
            f"{folder} cannot be made: {error.strerror}.", "Look at the folder above it."
        ) from error


def check_folder(folder: Path, *, strict: bool) -> None:
    """Refuse a folder that others may write to, or (`strict`) look into.

    Raises:
        UsageError: with the command that mends it.
    """
    try:
        found = folder.stat()
    except FileNotFoundError:
        return
    _refuse(folder, found, 0o077 if strict else 0o022, "700")


def read(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if there is no file.

    Raises:
        UsageError: others may read it, or it does not hold a JSON object; never repaired by itself,
            because a guessed counter or attempt could lock the account.
        IbtuiError: it cannot be read.
    """
    content = read_private(path)
    return None if content is None else parse(content, str(path))


def read_private(path: Path) -> bytes | None:
    """The content of a file that only its owner may read; None if there is no file.

    Raises:
        UsageError: others may read it, with the command that mends it; it is no file.
        IbtuiError: it cannot be read.
    """
    given.check(path)
    try:
        with path.open("rb") as file:
            _refuse(path, os.fstat(file.fileno()), 0o077, "600")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IbtuiError(f"{path} cannot be read: {error.strerror}.", "Look at its owner.") from error


def parse(content: bytes, name: str) -> dict[str, Any]:
    """The object in the bytes of a file called `name`.

    Raises:
        UsageError: it is none.
    """
    try:
        found = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            f"{name} is not a JSON object; it was left as it is.",
            "Correct it, or restore it from a backup. Without it, IB Key has to be enrolled again.",
        )
    return found


def dump(data: dict[str, Any]) -> bytes:
    """As text that a person can edit."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def replace(path: Path, data: dict[str, Any]) -> None:
    """Write the object in one step, synced; afterwards the old or the new is there, never half of it.

    Raises:
        IbtuiError: it could not be written; what was there is still there.
    """
    try:
        write_private(path, dump(data))
    except OSError as error:
        raise IbtuiError(
            f"{path} could not be written: {error.strerror}; what was there is unchanged.",
            "Make room on the disk, or look at the folder's owner.",
        ) from error


def sweep(path: Path) -> None:
    """Remove what a killed writer left behind; only while holding the lock."""
    left = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}")
    try:
        for entry in os.scandir(path.parent):
            if left.fullmatch(entry.name):
                os.unlink(entry.path)
    except OSError:
        return  # rubbish that stays does no harm


def _refuse(path: Path, found: os.stat_result, bits: int, mode: str) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise UsageError(f"{path} belongs to another user.", "Move it away, or set another folder.")
    if stat.S_IMODE(found.st_mode) & bits:
        raise UsageError(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):o}); it was not used.",
            f"chmod {mode} '{path}'",
        )
