"""The time line on disk: what the keep-alive of a profile saw and did, also before this process.

A bounded file of JSON lines (0600) in the state folder. Lines are appended; past the bound the
file is replaced by its newest part in one step. Whatever byte a crash stops at, the rest can be read.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ibtui import paths
from ibtui.core.models import Event
from ibtui.log import redact

BOUND = 500
"""Most lines in the file, give or take those written at once."""
KEPT = 400
"""Lines that are left when it has passed the bound."""
_LONGEST = 4_000_000
_log = logging.getLogger("ibtui.timeline")
_decoder = msgspec.json.Decoder(Event)


def path_of(profile: str) -> Path:
    """Where a profile's time line lies; `config` has checked that its name can be a file's."""
    return paths.state_dir() / "timeline" / f"{profile}.jsonl"


class Timeline:
    """One profile's file; only its keeper writes. Everything here touches the disk: use threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: int | None = None
        """In the file; None before the first look."""

    def read(self) -> list[Event]:
        """The events of before, oldest first; what cannot be read is left out."""
        found = []
        for line in self._raw():
            try:
                found.append(_decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn by a crash, or of another version
        return found[-BOUND:]

    def add(self, events: Iterable[Event]) -> None:
        """Append events, redacted.

        Raises:
            OSError: the file cannot be written.
        """
        lines = [_line(event) for event in events]
        if self._lines is None:
            paths.private(self._path.parent)
            self._lines = len(self._raw())
        if self._lines + len(lines) > BOUND:
            kept = [*self._raw(), *lines][-KEPT:]
            paths.write_private(self._path, b"".join(line + b"\n" for line in kept))
            self._lines = len(kept)
            return
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            text = b"".join(line + b"\n" for line in lines)
            file.write(text if _whole(file.fileno()) else b"\n" + text)
        self._lines += len(lines)

    def _raw(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                content = file.read(_LONGEST)
        except OSError:
            return []
        return [line for line in content.split(b"\n") if line]


def _line(event: Event) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(event, text=redact(event.text)))


def _whole(handle: int) -> bool:
    """Whether the file is empty or ends with a whole line."""
    size = os.fstat(handle).st_size
    return size == 0 or os.pread(handle, 1, size - 1) == b"\n"


class Scribe:
    """Writes events to a time line in the background; a disk that fails is no reason to stop."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._waiting: list[Event] = []
        self._wake = asyncio.Event()
        self._failed = False
        self._writing: asyncio.Future[None] | None = None

    def put(self, event: Event) -> None:
        """Write an event soon."""
        self._waiting.append(event)
        del self._waiting[:-BOUND]  # a disk that hangs must not fill the memory
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; what a cancelled one had begun is finished first."""
        self._wake.clear()
        if self._writing is not None:
            await asyncio.shield(self._writing)
        batch, self._waiting = self._waiting, []
        if batch:
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, batch)
            await asyncio.shield(self._writing)

    def _write(self, batch: list[Event]) -> None:
        try:
            self._timeline.add(batch)
        except OSError as error:
            if not self._failed:
                _log.warning("the time line cannot be written: %s", error.strerror)
            self._failed = True
        else:
            self._failed = False
