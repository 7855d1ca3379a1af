"""Frames cut out of the byte stream: every kind, split at every place, beside those the library handles."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from ibtui.core.stream import MAX_SIZE, Stream
from ibtui.core.trust import Trust
from ibtui.core.wire import decode as wire

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WELCOME = b'{"topic":"system","success":"me"}'
END = b'{"topic":"end"}'


def frame(payload: bytes, first: int = 0x81) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes([size])
    elif size < 65536:
        head = b"\x7e" + size.to_bytes(2, "big")
    else:
        head = b"\x7f" + size.to_bytes(8, "big")
    return bytes([first]) + head + payload


def note(words: str, size: int = 0) -> bytes:
    return b'{"topic":"x","words":"%s%s"}' % (words.encode(), b"." * size)


@asynccontextmanager
async def sending(
    write: Callable[[asyncio.StreamWriter], AsyncIterator[None]],
) -> AsyncIterator[tuple[str, bytearray]]:
    """A server that shakes hands, lets `write` send, and keeps what the client sends."""
    heard = bytearray()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b":")[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        async for _ in write(writer):
            await writer.drain()
        while data := await reader.read(65536):
            heard.extend(data)
            if data[0] & 15 == 8:
                writer.write(b"\x88\x00")
                break
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heard


async def collect(url: str, enough: Callable[[list[str]], bool]) -> list[str]:
    seen: list[str] = []
    done = asyncio.Event()

    def on_event(event: wire.Event) -> None:
        if isinstance(event, wire.Unknown):
            seen.append(event.body.get("words", event.topic))
        if enough(seen):
            done.set()

    async def no_session() -> None:
        return None

    async with asyncio.timeout(10):
        async with Stream(url, Trust.system(), no_session, on_event=on_event):
            await done.wait()
    return seen


EVERYTHING = b"".join(
    (
        frame(WELCOME),
        frame(note("one")),
        frame(note("two"), 0x82),
        frame(note("long", 300)),
        frame(b"beat", 0x89),
        frame(note("very long", 70_000)),
        frame(b'{"topic":"x",', 0x01),
        frame(b"between", 0x89),
        frame(b'"words":"part', 0x00),
        frame(b's"}', 0x80),
        frame(b"", 0x01),
        frame(note("empty first"), 0x80),
        frame(b"not json at all"),
        frame(END),
    )
)
EXPECTED = ["one", "two", "long" + "." * 300, "very long" + "." * 70_000, "parts", "empty first", "end"]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 1 << 20])
async def test_every_kind_of_frame_split_anywhere(step: int) -> None:
    async def write(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        # Byte by byte where frames begin and end; the middle of the long one in larger pieces.
        at = 0
        while at < len(EVERYTHING):
            inside = EVERYTHING[at : at + 4096] == b"." * 4096
            size = max(step, 4096) if inside else step
            writer.write(EVERYTHING[at : at + size])
            at += size
            yield
            if step < 1000:
                await asyncio.sleep(0)

    async with sending(write) as (url, heard):
        assert await collect(url, lambda seen: "end" in seen) == EXPECTED
    # Both pings were answered by the library: masked pongs of their lengths.
    assert heard.count(b"\x8a\x84") == 1 and heard.count(b"\x8a\x87") == 1


@pytest.mark.parametrize(
    "bad",
    [
        b"\x81\x83" + b"\0\0\0\0" + b"abc",
        frame(note("x"), 0xC1),
        b"\x82\x7f" + (MAX_SIZE + 1).to_bytes(8, "big"),
    ],
    ids=["masked", "reserved bit", "too long"],
)
async def test_a_frame_against_the_rules_ends_the_socket_and_the_next_goes_on(bad: bytes) -> None:
    visits = 0

    async def write(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        nonlocal visits
        visits += 1
        writer.write(frame(WELCOME) + frame(note(f"visit {visits}")) + (bad if visits == 1 else frame(END)))
        yield

    async with sending(write) as (url, _):
        assert await collect(url, lambda seen: "end" in seen) == ["visit 1", "visit 2", "end"]
