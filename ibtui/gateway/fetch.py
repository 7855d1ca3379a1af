"""Download a gateway's zip into one growing file: goes on where it stopped, checks the size.

Knows no HTTP library: `Fetch` is handed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from ibtui.clock import Clock
from ibtui.errors import GatewayFault, Unreachable
from ibtui.gateway.install import MAX_ZIP, on_disk
from ibtui.paths import write_private

TRIES = 5
"""So many broken connections in a row that brought nothing, and we give up."""
_MOST = 50
"""So many connections at all."""
_ROOM = 3
"""Times the zip's size that must be free: itself and what is in it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's answer to a request for the file from an offset on."""

    total: int | None
    """Bytes of the whole file, None when the server does not say."""
    chunks: AsyncIterator[bytes]
    """The bytes; raises Unreachable when the connection breaks."""
    resumed: bool
    """They begin at the offset; else at 0."""
    tag: str = ""
    """Names this very file, for the next request; empty when the server gives none."""


Fetch = Callable[[str, int, str], AbstractAsyncContextManager[Reply]]
"""`fetch(url, offset, tag)`: the file from `offset` on if it is still the one of `tag`, else all of it."""
Downloaded = Callable[[int, int | None], None]
"""Hears bytes that are here and bytes in all."""


class _Origin(msgspec.Struct, frozen=True):
    """Whose bytes the part file holds; lies beside it."""

    url: str
    tag: str
    total: int | None


async def download(url: str, part: Path, fetch: Fetch, told: Downloaded, clock: Clock) -> None:
    """Bring the whole file to `part`; a connection that breaks is taken up again.

    What has come stays when it fails, and the next call goes on from there if the server
    still has the same file. Its folder must exist.

    Raises:
        Unreachable: it did not come in whole; what came is kept.
        GatewayFault: too large, or the disk; nothing is kept when there is no space.
        IbtuiError: what `fetch` raises otherwise.
    """
    failed = 0
    for _ in range(_MOST):
        before = _size(part)
        try:
            if await _once(url, part, fetch, told):
                return
            why = "the connection ended too soon"
        except Unreachable as error:
            why = error.what
            if failed >= TRIES - 1 and _size(part) == 0:
                raise
        failed = 0 if _size(part) > before else failed + 1
        if failed >= TRIES:
            break
        await clock.sleep(0.5 * 2.0 ** max(0, failed - 1))
    raise Unreachable(
        f"The download did not come in whole: {why.rstrip('.')}.",
        "Run it again: it goes on where it stopped.",
    )


def forget(part: Path) -> None:
    """Remove a download. Raises nothing."""
    for path in (part, _beside(part)):
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue  # it would be written over the next time


async def _once(url: str, part: Path, fetch: Fetch, told: Downloaded) -> bool:
    """One connection; True when the file is complete."""
    origin = _origin(part)
    offset = 0
    if origin is not None and origin.url == url and origin.tag:
        offset = _size(part)
        if origin.total is not None:
            # Never all of it: one byte is asked for, to hear that the file is still the same.
            offset = max(0, min(offset, origin.total - 1))
    async with fetch(url, offset, origin.tag if offset and origin else "") as reply:
        _check_room(part.parent, reply.total)
        start = offset if reply.resumed else 0
        try:
            file = _open(part, start, _Origin(url, reply.tag, reply.total))
            try:
                done = await _receive(reply, file, start, told, part)
            finally:
                with contextlib.suppress(OSError):  # a full disk was told already; closed it is all the same
                    file.close()
        except OSError:
            # A full disk helps nobody: give the space back.
            forget(part)
            with on_disk(part.parent):
                raise
    return done == reply.total if reply.total is not None else done > 0


def _open(part: Path, start: int, origin: _Origin) -> BinaryIO:
    """The part file at `start`, with nothing behind it; cut first, so that its label never lies."""
    file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+b")
    try:
        file.truncate(start)
        file.seek(start)
        write_private(_beside(part), msgspec.json.encode(origin))
    except BaseException:
        file.close()
        raise
    return file


async def _receive(reply: Reply, file: BinaryIO, start: int, told: Downloaded, part: Path) -> int:
    limit = MAX_ZIP if reply.total is None else min(MAX_ZIP, reply.total)
    done = start
    told(done, reply.total)
    async for chunk in reply.chunks:
        done += len(chunk)
        if done > limit:
            forget(part)
            raise GatewayFault(
                "The server sent more than it had announced.", "Check addresses.gateway_download."
            )
        await asyncio.to_thread(file.write, chunk)
        told(done, reply.total)
    await asyncio.to_thread(_flush, file)
    return done


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _check_room(folder: Path, total: int | None) -> None:
    if total is None:
        return
    if total > MAX_ZIP:
        raise GatewayFault(
            f"The file is too large for a gateway ({total >> 20} MB).", "Check addresses.gateway_download."
        )
    with on_disk(folder):
        free = shutil.disk_usage(folder).free
    if free < total * _ROOM:
        raise GatewayFault(
            f"There is too little space in {folder}: {free >> 20} MB, "
            f"and the gateway needs {(total * _ROOM >> 20) + 1} MB.",
            "Free some and install again.",
        )


def _origin(part: Path) -> _Origin | None:
    try:
        return msgspec.json.decode(_beside(part).read_bytes(), type=_Origin)
    except (OSError, msgspec.DecodeError):
        return None


def _beside(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except OSError:
        return 0
