"""A caller at the supervisor's socket: plain asyncio, for `ibtui status` must not wait for libraries."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec

from ibtui.errors import IbtuiError, Stalled, Unreachable
from ibtui.service import wire
from ibtui.service.place import Place, peer_uid
from ibtui.service.runtime import Progress

CALL_S = 10.0
"""Seconds for an answer that needs no work."""
FORGO_S = 2.0
"""A command that has failed waits no longer for the answer to `forgo`."""
SILENCE_S = 60.0
"""The change stream has a heart-beat; after so long without one its other end hangs."""
_POLITE_S = 0.3
LINE = 16 * 1024 * 1024
"""Bytes of the longest line: all events and the log's end."""

T = TypeVar("T")


class Lost(Unreachable):
    """The supervisor went away, or does not answer."""

    title = "The keep-alive is gone"


class Link:
    """A supervisor that was found. Each call is a connection of its own."""

    def __init__(self, path: str, pid: int) -> None:
        self.path = path
        self.pid = pid

    def __repr__(self) -> str:
        return f"Link(pid {self.pid})"

    async def truth(self, *, look: bool = False, brief: bool = False) -> wire.Truth:
        """All it knows; `look`: after a look at the three things; `brief`: without time line and log.

        Raises:
            Lost: it went away, or did not answer in ten seconds.
        """
        words = "&".join(word for word, wanted in (("look=1", look), ("brief=1", brief)) if wanted)
        async with self._patience(CALL_S), self._ask("GET", f"/state?{words}") as lines:
            return _decode(await anext(lines, b""), wire.Truth)
        raise AssertionError

    async def changes(self) -> AsyncIterator[wire.News]:
        """What changes, everything first.

        Raises:
            Lost: it went away without saying so.
        """
        async with self._ask("GET", "/changes") as lines:
            while True:
                async with self._patience(SILENCE_S):
                    line = await anext(lines, b"")
                news = _decode(line, wire.News)
                yield news
                if news.ended:
                    return

    async def do(self, verb: str, progress: Progress | None = None, **wish: Any) -> wire.Truth:
        """Have a verb done; returns what is known after it. Cancelled, the verb is cancelled too.

        Raises:
            IbtuiError: what the verb raised. Lost: the supervisor went away.
        """
        name = os.urandom(8).hex()
        body = msgspec.json.encode(wire.Wish(id=name, **wish))
        try:
            async with self._ask("POST", f"/do/{verb}", body) as lines:
                while True:
                    async with self._patience(SILENCE_S):
                        line = await anext(lines, b"")
                    if not line:
                        break
                    step = _decode(line, wire.Step)
                    if step.trouble is not None:
                        raise step.trouble.error()
                    if step.truth is not None:
                        return step.truth
                    if progress is not None and step.progress:
                        progress(step.progress)
        except asyncio.CancelledError:
            await asyncio.shield(self._cancel(name))
            raise
        raise Lost("The keep-alive went away in the middle of it.", "Look how things are: ibtui status")

    async def _cancel(self, name: str) -> None:
        try:
            async with asyncio.timeout(1.0), self._ask("DELETE", f"/do/{name}"):
                return
        except (IbtuiError, TimeoutError):
            return  # then it goes on, which a look will show

    async def forgo(self) -> None:
        """What it was started for did not come about; with nothing to keep it ends. Raises nothing."""
        with contextlib.suppress(IbtuiError, TimeoutError):
            async with asyncio.timeout(FORGO_S):
                await self.do("forgo")

    async def hold(self, username: str, password: str) -> None:
        """Hand over a password to keep in memory; raises Lost."""
        body = msgspec.json.encode(wire.Held(username, password))
        async with self._patience(CALL_S), self._ask("POST", "/hold", body):
            return

    @contextlib.asynccontextmanager
    async def conversation(self) -> AsyncIterator[Callable[[msgspec.Struct], None]]:
        """A way to tell what happens here while somebody logs in; what is still open ends with it.

        Raises:
            Lost: there is nobody to tell. Later losses are passed over: the login goes on.
        """
        reader, writer = await self._connect()
        writer.write(_head("POST", "/told", "Transfer-Encoding: chunked\r\n", "1.1"))

        def tell(what: msgspec.Struct) -> None:
            if not writer.is_closing():
                line = msgspec.json.encode(what) + b"\n"
                writer.write(b"%x\r\n%b\r\n" % (len(line), line))

        patience = CALL_S
        try:
            yield tell
        except asyncio.CancelledError:
            patience = _POLITE_S
            raise
        finally:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(patience):
                    writer.write(b"0\r\n\r\n")
                    await writer.drain()
                    await reader.readline()  # it has heard everything, and looked how things are
            writer.close()

    # Below -------------------------------------------------------------------------

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(CALL_S):
                reader, writer = await asyncio.open_unix_connection(self.path, limit=LINE)
        except (OSError, TimeoutError) as error:
            raise Lost("The keep-alive does not answer.", "Try again.") from error
        peer: socket.socket = writer.get_extra_info("socket")
        if peer_uid(peer) not in (None, os.getuid()):
            writer.close()
            raise Lost("The keep-alive's socket belongs to another user.", "Remove its folder.")
        return reader, writer

    @contextlib.asynccontextmanager
    async def _ask(self, method: str, path: str, body: bytes = b"") -> AsyncIterator[AsyncIterator[bytes]]:
        """Send one request (HTTP/1.0: the answer ends with the connection); gives the answer's lines."""
        reader, writer = await self._connect()
        try:
            writer.write(_head(method, path, f"Content-Length: {len(body)}\r\n", "1.0") + body)
            async with self._patience(CALL_S):
                status = await _status(reader)
            if status >= 300:
                raise Lost(
                    f"The keep-alive did not understand {path.partition('?')[0]} (status {status}).",
                    "It may be of another version: ibtui keep stop, then start again.",
                )
            yield _lines(reader)
        except OSError as error:
            raise _gone() from error
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def _patience(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Stalled(
                f"The keep-alive (pid {self.pid}) does not answer.", f"End it: kill -9 {self.pid}"
            ) from None


def _head(method: str, path: str, more: str, version: str) -> bytes:
    return f"{method} {wire.ROOT}{path} HTTP/{version}\r\nHost: ibtui\r\n{more}\r\n".encode()


async def _status(reader: asyncio.StreamReader) -> int:
    first = (await reader.readline()).split()
    while (await reader.readline()).strip():
        continue
    if len(first) < 2 or not first[1].isdigit():
        raise _gone()
    return int(first[1])


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while line := await reader.readline():
        if line.strip():
            yield line


def _decode(line: bytes, shape: type[T]) -> T:
    if not line.endswith(b"\n"):
        raise _gone()
    try:
        return msgspec.json.decode(line, type=shape)
    except msgspec.DecodeError:
        raise Lost("The keep-alive answered in words this version does not know.", OTHER) from None


OTHER = "It may be of another version: ibtui keep stop, then start again."


def _gone() -> Lost:
    return Lost("The keep-alive went away.", "Try again.")


def find(profile: str) -> Link | None:
    """The supervisor that keeps a profile; None where there is none, or it has died.

    One connection is tried; nothing is sent on it.
    """
    mark = Place.of(profile).mark()
    if mark is None:
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(mark.socket)
            if peer_uid(probe) not in (None, os.getuid()):
                return None
    except OSError:
        return None
    return Link(mark.socket, mark.pid)
