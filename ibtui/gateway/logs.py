"""The gateway's output: bounded tails, a live view, rotation. Every line is redacted."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ibtui.clock import Clock, SystemClock
from ibtui.log import redact

POLL = 0.5
"""Seconds between two looks at a file's size."""
ROTATE_AT = 1_000_000
"""Bytes at which an output file is moved aside."""
KEPT = 3
"""Old files kept."""
_BLOCK = 262_144
"""Bytes read at once at most: the tail of a huge file costs no more than this."""
_LONGEST = 2_000
"""Characters of a line that are shown."""


def clean(raw: bytes) -> str:
    """One line as it may be shown: redacted, shortened, without control characters (a log must
    not be able to move the cursor or colour the terminal)."""
    text = raw.decode("utf-8", "replace").rstrip("\r\n")[:_LONGEST].expandtabs(4)
    return redact("".join(c if c.isprintable() else "·" for c in text))


def tail(path: Path, lines: int = 200) -> list[str]:
    """The last `lines` lines, oldest first; empty when there is no such file."""
    return [clean(line) for line in _raw_tail(path, lines)[0]]


def added(path: Path, offset: int) -> list[str]:
    """The lines that came behind `offset`; all of them when the file was cut since."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(offset, size - _BLOCK) if size >= offset else 0)
            return [clean(line) for line in file.read(_BLOCK).splitlines()]
    except OSError:
        return []


def size_of(path: Path) -> int:
    """Bytes in the file; 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _raw_tail(path: Path, lines: int) -> tuple[list[bytes], int]:
    """The last complete lines and the offset behind them."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _BLOCK)
            file.seek(start)
            block = file.read(_BLOCK)
    except OSError:
        return [], 0
    if start:  # the first line of the block is most likely cut
        block = block.partition(b"\n")[2]
    rows = block.splitlines()
    return (rows[-lines:] if lines > 0 else []), size


@dataclass(slots=True)
class _Follower:
    """One file: where we are in it, which file it was, and a line that is not complete yet."""

    path: Path
    offset: int = 0
    inode: int = 0
    rest: bytes = b""

    def begin(self, lines: int) -> list[bytes]:
        """The last `lines` lines; what comes later is new."""
        rows, self.offset = _raw_tail(self.path, lines)
        self.inode = self._stat()[0]
        return rows

    def _stat(self) -> tuple[int, int]:
        try:
            stat = self.path.stat()
        except OSError:
            return 0, 0
        return stat.st_ino, stat.st_size

    def read(self) -> list[bytes]:
        """Complete lines added since the last look; a new or shortened file is read from its start."""
        inode, size = self._stat()
        if inode != self.inode or size < self.offset:
            self.inode, self.offset, self.rest = inode, 0, b""
        if not inode or size == self.offset:
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            block = file.read(_BLOCK)
        self.offset += len(block)
        *rows, self.rest = (self.rest + block).split(b"\n")
        if len(self.rest) > _BLOCK:  # no line end in sight: show what there is
            rows, self.rest = [*rows, self.rest], b""
        return rows


async def follow(
    paths: Sequence[Path], lines: int = 200, *, clock: Clock | None = None, poll: float = POLL
) -> AsyncIterator[str]:
    """The last `lines` lines of each file, then each new line as it comes, for ever.

    Files may be missing, appear later, be rotated or truncated. Lines of several files come
    in the order in which they are seen. Ends only with its consumer.
    """
    clock = clock or SystemClock()
    followers = [_Follower(path) for path in paths]
    for follower in followers:
        for row in follower.begin(lines):
            yield clean(row)
    while True:
        fresh = False
        for follower in followers:
            for row in follower.read():
                fresh = True
                yield clean(row)
        if not fresh:
            await clock.sleep(poll)


def rotate(path: Path, limit: int = ROTATE_AT, keep: int = KEPT) -> bool:
    """Move a file of `limit` bytes or more aside (`NAME.1` is the youngest); True when it did.

    It is copied and cut, not renamed, because a detached gateway goes on writing into the
    file it was given (opened for appending).
    """
    try:
        if path.stat().st_size < limit:
            return False
    except OSError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    if keep > 0:
        copy = path.with_name(f"{path.name}.1")
        copy.touch(mode=0o600)
        shutil.copyfile(path, copy)
        copy.chmod(0o600)
    os.truncate(path, 0)
    return True
