"""Gateways installed by us: one folder a version, which of them is used, and the way back.

    ROOT/2023-04-24-1f0c9d2e/     an unpacked gateway, named after its build date and its programs
    ROOT/current.json             the one in use and the one before it
    ROOT/.download                a download that is not complete
    ROOT/.new-…, .old-…           what a crash left; removed by the next installation

A version appears by one rename, after all of it is on the disk; `current.json` changes after
that. So at any moment there is the old gateway or the new one, whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec

from ibtui import given
from ibtui.errors import GatewayFault, UsageError
from ibtui.gateway import archive, procs
from ibtui.gateway.archive import Unpacked
from ibtui.gateway.spec import JAR, check_install
from ibtui.paths import data_dir, private, write_private

MAX_ZIP = 256 * 1024 * 1024
"""Bytes; the real one has 11 MB."""
OLD_DAYS = 365
_VERSION = re.compile(r"(\d{4}-\d\d-\d\d|undated)-[0-9a-f]{8}")
_WHEN = re.compile(r"(?m)^When-Built: *(\d{4}-\d\d-\d\d)")
_STAMP = re.compile(r"(?m)^Implementation-Version: .*-(\d{8})\d{6}")
_STAND_IN = re.compile(r"(?m)^Stand-In: *bin/run\.sh")
_MANIFEST = "META-INF/MANIFEST.MF"
_LEFT_FILES = (".current.json.", "..download.json.")
"""Drafts of `write_private`."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Installed(msgspec.Struct, frozen=True):
    """A gateway on this machine."""

    version: str
    path: str
    built: date | None
    """When IBKR built it; None when it does not say."""
    adopted: bool = False
    """A folder of somebody else's, which is only read."""

    @property
    def folder(self) -> Path:
        """Its folder, absolute."""
        return Path(self.path)

    def old(self, today: date) -> bool:
        """Whether it was built more than a year ago."""
        return self.built is not None and (today - self.built).days > OLD_DAYS


class _Record(msgspec.Struct, frozen=True):
    current: Installed | None = None
    previous: Installed | None = None


class Shelf:
    """The installed gateways under one folder.

    Whatever changes it belongs inside `alone()`. Methods are blocking and raise GatewayFault
    for what the disk says.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or data_dir() / "gateway"

    @property
    def current(self) -> Installed | None:
        """The one in use."""
        return self._read().current

    @property
    def previous(self) -> Installed | None:
        """The one to go back to."""
        return self._read().previous

    @property
    def part(self) -> Path:
        """Where a download grows."""
        return self.root / ".download"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else installs meanwhile; the system lets the lock go when we die.

        Raises:
            GatewayFault: somebody does, or the folder cannot be used.
        """
        with on_disk(self.root):
            private(self.root)
            handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise GatewayFault(
                    "Another ibtui is installing a gateway now.", "Wait until it is done."
                ) from None
            yield
        finally:
            os.close(handle)

    def add(self, zip_file: Path, told: Unpacked = lambda done, total: None) -> Installed:
        """Unpack a zip and make it the one in use; the same version again is only checked.

        Raises:
            UsageError: it is no file.
            GatewayFault: refused (see `archive`), or the disk; nothing has changed then.
        """
        given.check(zip_file)
        with on_disk(self.root, reading=zip_file):
            size = zip_file.stat().st_size
        if size > MAX_ZIP:
            raise GatewayFault(
                f"{zip_file} is too large for a gateway ({size >> 20} MB).", "Get IBKR's clientportal.gw.zip."
            )
        with on_disk(self.root):
            self._sweep()
            temp = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
            try:
                found = _complete(archive.unpack(zip_file, temp, told))
                placed = self._place(found)
                self._use(placed)
            finally:
                shutil.rmtree(temp, ignore_errors=True)
            return placed

    def adopt(self, folder: Path) -> Installed:
        """Use a gateway that lies somewhere else; nothing is written there.

        Raises:
            UsageError: no gateway in that folder.
            GatewayFault: its program is damaged, or the disk.
        """
        found = look(check_install(folder))
        adopted = msgspec.structs.replace(found, adopted=True)
        with on_disk(self.root):
            self._use(adopted)
        return adopted

    def rollback(self) -> Installed:
        """Use the one before; the one in use becomes the one to go back to.

        Raises:
            GatewayFault: there is none, or it is not complete any more.
        """
        record = self._read()
        if record.previous is None or record.previous == record.current:
            raise GatewayFault("There is no earlier gateway to go back to.", "Install one: --from FILE")
        try:
            check_install(record.previous.folder)
        except UsageError as error:
            raise GatewayFault(error.what, "Install it again: --from FILE") from None
        with on_disk(self.root):
            self._write(_Record(record.previous, record.current))
        return record.previous

    def _read(self) -> _Record:
        try:
            return msgspec.json.decode((self.root / "current.json").read_bytes(), type=_Record)
        except (OSError, msgspec.DecodeError):
            return _Record()

    def _write(self, record: _Record) -> None:
        write_private(self.root / "current.json", msgspec.json.encode(record))

    def _place(self, found: Installed) -> Installed:
        """Give an unpacked folder its name, by one rename."""
        target = self.root / found.version
        placed = msgspec.structs.replace(found, path=str(target))
        if target.exists():
            if _same(target, found):
                return placed
            # Somebody changed it: the new one takes its place.
            target.rename(Path(tempfile.mkdtemp(prefix=".old-", dir=self.root)) / "gateway")
        found.folder.rename(target)
        archive.sync(self.root)
        return placed

    def _use(self, installed: Installed) -> None:
        record = self._read()
        if record.current is None or record.current.version != installed.version:
            record = _Record(installed, record.current)
        else:
            record = _Record(installed, record.previous)
        self._write(record)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what a crash left, and versions before the last two that no gateway runs from.

        A java loads its classes as it needs them: without its folder it would break hours later.
        One that is still used is removed at an installation after its end.
        """
        record = self._read()
        kept = {one.version for one in (record.current, record.previous) if one is not None}
        there = {path.name for path in self.root.iterdir()}
        # A record that got lost says nothing of what may go.
        old = {name for name in there - kept if _VERSION.fullmatch(name)} if kept else set()
        # As `check_install` hands it to java.
        paths = {f"{(self.root / name).absolute()}/" for name in old}
        used = procs.mentioned(paths) if paths else set()
        for name in there:
            path = self.root / name
            if name.startswith(_LEFT_FILES):
                path.unlink(missing_ok=True)
            elif name.startswith((".new-", ".old-")) or (name in old and f"{path.absolute()}/" not in used):
                shutil.rmtree(path, ignore_errors=True)


def _same(folder: Path, found: Installed) -> bool:
    try:
        return look(check_install(folder)).version == found.version
    except (UsageError, GatewayFault):
        return False


def _complete(folder: Path) -> Installed:
    try:
        return look(check_install(folder))
    except UsageError as error:
        what = error.what.replace(str(folder), "the zip")
        raise GatewayFault(what[:1].upper() + what[1:], "Get IBKR's clientportal.gw.zip.") from None


def look(folder: Path) -> Installed:
    """What an unpacked gateway is, from its programs: build date and a short hash over all of them.

    Raises:
        GatewayFault: its program is damaged, or a file cannot be read.
    """
    folder = folder.absolute()
    built = built_of(folder)
    digest = hashlib.sha256()
    try:
        for jar in sorted([folder / JAR, *(folder / "build/lib/runtime").glob("*.jar")]):
            digest.update(f"{jar.relative_to(folder).as_posix()}\0".encode())
            with jar.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise _unreadable(folder, error) from None
    return Installed(f"{built or 'undated'}-{digest.hexdigest()[:8]}", str(folder), built)


def built_of(folder: Path) -> date | None:
    """When IBKR built the gateway in this folder, by the manifest of its program.

    Raises:
        GatewayFault: the program is damaged, or cannot be read.
    """
    text = _manifest(folder)
    if found := _WHEN.search(text):
        return _day(found[1])
    found = _STAMP.search(text)
    return _day(found[1]) if found else None


def is_stand_in(folder: Path) -> bool:
    """Whether the gateway is the simulator's, whose program is `bin/run.sh CONF [WORD...]`."""
    try:
        return bool(_STAND_IN.search(_manifest(folder)))
    except GatewayFault:
        return False


def _manifest(folder: Path) -> str:
    try:
        with zipfile.ZipFile(folder / JAR) as jar:
            info = jar.getinfo(_MANIFEST)
            text = jar.read(info).decode("utf-8", "replace") if info.file_size < 1 << 20 else ""
    except KeyError:
        return ""
    except zipfile.BadZipFile:
        raise GatewayFault(
            f"The gateway in {folder} is damaged: {JAR.name} is no program.",
            "Install it again: ibtui gateway install",
        ) from None
    except OSError as error:
        raise _unreadable(folder, error) from None
    # A line longer than 72 bytes goes on in the next one, behind a blank.
    return text.replace("\r\n", "\n").replace("\n ", "")


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _unreadable(folder: Path, error: OSError) -> GatewayFault:
    return GatewayFault(f"The gateway in {folder} cannot be read: {error.strerror}.", "Make it readable.")


@contextlib.contextmanager
def on_disk(folder: Path, *, reading: Path | None = None) -> Iterator[None]:
    """What the disk says, as a sentence with the way out. `reading`: a file that is only read.

    Raises:
        GatewayFault: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise GatewayFault(
                f"There is no space left for the gateway in {folder}.",
                "Free 50 MB there and install again; what was there before is unharmed.",
            ) from None
        if reading is not None:
            raise GatewayFault(
                f"{reading} cannot be read: {error.strerror}.", "Name the zip or the folder of a gateway."
            ) from None
        fix = "Make it yours and writable" if error.errno in _CLOSED else "Look at that folder"
        raise GatewayFault(
            f"The folder {folder} cannot be written: {error.strerror}.", f"{fix}, and install again."
        ) from None
