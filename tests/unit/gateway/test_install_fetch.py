"""A download that breaks, goes on, starts anew, lies about its size, fills the disk."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ibtui.clock import FakeClock
from ibtui.errors import GatewayFault, Unreachable
from ibtui.gateway import fetch, install
from ibtui.gateway.fetch import Reply, download

URL = "https://example.com/gw.zip"
BODY = bytes(range(256)) * 40


class Server:
    """A file and its troubles: `cuts` are the bytes sent before each break, None for none."""

    def __init__(self, body: bytes = BODY, *cuts: int | None) -> None:
        self.body = body
        self.cuts = list(cuts)
        self.tag = '"one"'
        self.ranges = True
        self.total: int | None = len(body)
        self.asked: list[tuple[int, str]] = []

    @asynccontextmanager
    async def __call__(self, url: str, offset: int, tag: str) -> AsyncIterator[Reply]:
        self.asked.append((offset, tag))
        cut = self.cuts.pop(0) if self.cuts else None
        if cut == 0:
            raise Unreachable("example.com cannot be reached.", "Wait.")
        resumed = bool(offset) and self.ranges and tag == self.tag
        yield Reply(self.total, self._send(offset if resumed else 0, cut), resumed, self.tag)

    async def _send(self, start: int, cut: int | None) -> AsyncIterator[bytes]:
        end = len(self.body) if cut is None else start + cut
        for at in range(start, end, 1000):
            yield self.body[at : min(at + 1000, end)]
            await asyncio.sleep(0)
        if cut is not None:
            raise Unreachable("The connection broke.")


async def get(server: Server, part: Path) -> list[int]:
    told: list[int] = []
    await download(URL, part, server, lambda done, total: told.append(done), FakeClock())
    return told


@pytest.fixture
def part(tmp_path: Path) -> Path:
    (tmp_path / "gateway").mkdir()
    return tmp_path / "gateway" / ".download"


async def test_in_one_go(part: Path) -> None:
    told = await get(Server(), part)
    assert part.read_bytes() == BODY and told[0] == 0 and told[-1] == len(BODY)
    assert part.stat().st_mode & 0o777 == 0o600


async def test_a_cut_connection_is_taken_up_again(part: Path) -> None:
    server = Server(BODY, 2500, 0, 3000)
    told = await get(server, part)
    assert part.read_bytes() == BODY
    assert server.asked == [(0, ""), (2500, '"one"'), (2500, '"one"'), (5500, '"one"')]
    assert told == sorted(told)


async def test_the_next_run_goes_on(part: Path) -> None:
    with pytest.raises(Unreachable, match="it goes on where it stopped"):
        await get(Server(BODY, 4000, *[0] * 20), part)
    server = Server()
    await get(server, part)
    assert part.read_bytes() == BODY and server.asked == [(4000, '"one"')]


async def test_a_complete_one_is_asked_for_its_last_byte(part: Path) -> None:
    await get(Server(), part)
    server = Server()
    await get(server, part)
    assert part.read_bytes() == BODY and server.asked == [(len(BODY) - 1, '"one"')]


async def test_another_file_since_starts_anew(part: Path) -> None:
    with pytest.raises(Unreachable):
        await get(Server(BODY, 4000, *[0] * 20), part)
    server = Server(b"new" * 500)
    server.tag = '"two"'
    await get(server, part)
    assert part.read_bytes() == b"new" * 500


@pytest.mark.parametrize("without", ["tag", "ranges"])
async def test_a_server_that_cannot_go_on(part: Path, without: str) -> None:
    server = Server(BODY, 9000, 2500)
    setattr(server, without, "" if without == "tag" else False)
    await get(server, part)
    assert part.read_bytes() == BODY


async def test_another_address_starts_anew(part: Path) -> None:
    with pytest.raises(Unreachable):
        await get(Server(BODY, 4000, *[0] * 20), part)
    server = Server()
    await download(URL + "?x", part, server, lambda *_: None, FakeClock())
    assert server.asked == [(0, "")] and part.read_bytes() == BODY


async def test_nobody_there_is_said_as_it_is(part: Path) -> None:
    server = Server(BODY, *[0] * 20)
    with pytest.raises(Unreachable, match="cannot be reached"):
        await get(server, part)
    assert len(server.asked) == fetch.TRIES


async def test_a_server_that_ends_too_soon_without_a_word(part: Path) -> None:
    server = Server(BODY[:-10])
    server.total = len(BODY)
    with pytest.raises(Unreachable, match="did not come in whole"):
        await get(server, part)


async def test_a_connection_that_brings_a_byte_each_time_has_an_end(part: Path) -> None:
    server = Server(BODY, *[1] * 10_000)
    with pytest.raises(Unreachable):
        await get(server, part)
    assert len(server.asked) <= 50


async def test_more_than_announced(part: Path) -> None:
    server = Server()
    server.total = 5000
    with pytest.raises(GatewayFault, match="more than it had announced"):
        await get(server, part)
    assert not part.exists()


async def test_no_size_announced(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    server.total = None
    await get(server, part)
    assert part.read_bytes() == BODY
    fetch.forget(part)
    monkeypatch.setattr(fetch, "MAX_ZIP", 5000)
    with pytest.raises(GatewayFault):
        await get(server, part)


async def test_too_large_is_refused_before_a_byte(part: Path) -> None:
    server = Server()
    server.total = install.MAX_ZIP + 1
    with pytest.raises(GatewayFault, match="too large"):
        await get(server, part)
    assert not part.exists()


async def test_too_little_space_is_said_before_a_byte(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10_000

    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(GatewayFault, match="too little space"):
        await get(Server(), part)
    assert not part.exists()


async def test_a_disk_that_fills_up_gets_its_space_back(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        if os.fstat(handle).st_size > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GatewayFault, match="no space left"):
        await get(Server(), part)
    assert list(part.parent.iterdir()) == []


async def test_cancelled_in_its_middle_goes_on_later(part: Path) -> None:
    server, here = Server(), asyncio.Event()

    def told(done: int, total: int | None) -> None:
        if done >= 3000:
            here.set()

    class Slow(Server):
        async def _send(self, start: int, cut: int | None) -> AsyncIterator[bytes]:
            yield self.body[:3000]
            await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(download(URL, part, Slow(), told, FakeClock()))
    await asyncio.wait_for(here.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await get(server, part)
    assert part.read_bytes() == BODY and server.asked == [(3000, '"one"')]
