"""A gateway's zip: every name, size and kind is checked before anything is unpacked.

What is in it becomes a program that sees passwords, and the zip may come from anywhere: nothing
may land outside the folder, be a link, or fill the disk.
"""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from ibtui.errors import GatewayFault
from ibtui.gateway.spec import JAR

MAX_ENTRIES = 5_000
"""The real one has 42."""
MAX_BYTES = 512 * 1024 * 1024
"""All files unpacked; the real one has 12 MB."""
MAX_RATIO = 200
"""Unpacked to packed, of files over a megabyte; what is honest stays far below."""
_ENCRYPTED = 0x1
_CHUNK = 1 << 20

Unpacked = Callable[[int, int], None]
"""Hears bytes done and bytes in all."""


def unpack(zip_file: Path, folder: Path, told: Unpacked = lambda done, total: None) -> Path:
    """Unpack into `folder`, which is empty and private; everything is on the disk when it returns.

    Files become 0600 (0700 what may be run). Blocking.

    Returns:
        The gateway's folder: `folder`, or the one folder in it when the zip has everything in one.

    Raises:
        GatewayFault: not a zip, not a gateway, or one with a name, kind or size that is refused.
        OSError: the disk.
    """
    try:
        with zipfile.ZipFile(zip_file) as archive:
            entries = archive.infolist()
            check(entries)
            top = _top(entries)
            total, done = sum(entry.file_size for entry in entries), 0
            for entry in entries:
                _write(archive, entry, folder)
                done += entry.file_size
                told(done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise GatewayFault(
            f"{zip_file.name} is damaged or no zip file ({error}).", "Download it again."
        ) from None
    _settle(folder)
    return folder / top


def check(entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a zip by its directory.

    Raises:
        GatewayFault: says which entry and why.
    """
    if len(entries) > MAX_ENTRIES:
        raise _refused(f"it holds {len(entries)} files")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise _refused(f"unpacked it would be larger than {MAX_BYTES >> 20} MB")
    seen: dict[str, bool] = {}
    for entry in entries:
        why = _objection(entry)
        if why:
            raise _refused(f"{entry.orig_filename!r} {why}")
        # Some file systems take letters of either case, and either spelling of accents, for the same.
        name = unicodedata.normalize("NFC", entry.filename.rstrip("/")).casefold()
        if name in seen:
            raise _refused(f"{entry.filename!r} is in it twice")
        seen[name] = entry.is_dir()
    for name in seen:
        above = next((str(p) for p in PurePosixPath(name).parents if seen.get(str(p)) is False), None)
        if above is not None:
            raise _refused(f"{above!r} is a file and a folder")


def _objection(entry: zipfile.ZipInfo) -> str:
    name = entry.orig_filename
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or ":" in name:
        return "is not a plain path inside the zip"
    if any(part in ("", ".", "..") for part in parts):
        return "leads out of the folder"
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return "has control characters in its name"
    if len(name) > 400 or any(len(part.encode()) > 200 for part in parts):
        return "has too long a name"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if kind and (kind == stat.S_IFDIR) != entry.is_dir():
        return "is a file and a folder at once"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in an unusual way"
    if entry.file_size > _CHUNK and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        return "would grow too much when unpacked"
    return ""


def _top(entries: Sequence[zipfile.ZipInfo]) -> str:
    """The folder in the zip that holds the gateway: `` or one name."""
    jar = JAR.as_posix()
    names = {entry.filename for entry in entries}
    if jar in names:
        return ""
    tops = {name.split("/", 1)[0] for name in names}
    top = tops.pop() if len(tops) == 1 else ""
    if f"{top}/{jar}" not in names:
        raise GatewayFault(
            f"The zip is not a Client Portal Gateway: {jar} is missing.",
            "Get IBKR's clientportal.gw.zip.",
        )
    return top


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / entry.filename
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    may_run = bool((entry.external_attr >> 16) & stat.S_IXUSR) or entry.filename.endswith(".sh")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        os.fdopen(os.open(target, flags, 0o700 if may_run else 0o600), "wb") as file,
        archive.open(entry) as source,
    ):
        # zipfile gives no more than the size that was checked, and compares the checksum at the end.
        while chunk := source.read(_CHUNK):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Folders private and on the disk; `mkdir` gives its mode to the last of them alone."""
    for name, _, _ in os.walk(folder):
        Path(name).chmod(0o700)
        sync(Path(name))


def sync(folder: Path) -> None:
    """What was made, renamed or removed in this folder is on the disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(why: str) -> GatewayFault:
    return GatewayFault(
        f"The zip is refused: {why}. Nothing was unpacked.", "Get IBKR's own: ibtui gateway install"
    )
