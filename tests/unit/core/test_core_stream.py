"""Stream: what it reads and sends, its words for debugging, and what it refuses to send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from ibtui.core.stream import Stream
from ibtui.core.trust import Trust
from ibtui.core.wire import decode as wire
from ibtui.errors import (
    TradingLocked,
    UsageError,
)
from tests.unit.core.stream_tools import TOKEN, Clock, Socket, give, scripted, stream_to, until


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Socket]:
    async with scripted(monkeypatch) as socket:
        yield socket


@pytest.mark.parametrize(
    ("cookie", "header"),
    [("json", f'api={{"session":"{TOKEN}"}}'), ("plain", f"api={TOKEN}"), ("message", None)],
)
async def test_the_session_is_presented(server: Socket, cookie: str, header: str | None) -> None:
    if cookie == "message":
        server.greeting.insert(0, '{"message":"waiting for session"}')
    async with stream_to(server, cookie=cookie) as stream:
        assert stream.is_open
        if cookie == "message":
            await until(lambda: server.told)
    assert server.cookies == [header]
    assert server.frames(1) == ([f'{{"session":"{TOKEN}"}}'] if cookie == "message" else [])


async def test_events_of_text_binary_and_fragments(server: Socket) -> None:
    events: list[wire.Event] = []
    async with stream_to(server, on_event=events.append):
        await server.sockets[0].send('{"topic":"system","hb":1777041130123}')
        await server.sockets[0].send([b'{"topic":"smd+1","co', b'nid":1,', b'"31":"5"}'])
        await server.sockets[0].send(b"\xff\x00")
        await until(lambda: len(events) >= 5)
    assert events[0] == wire.Welcome("demo123")
    assert events[2:4] == [wire.Heartbeat(1777041130123), wire.MarketData(1, {"31": "5"}, 0)]
    assert isinstance(events[4], wire.Garbage)


async def test_multiplex_shares_and_ends(server: Socket) -> None:
    stream = stream_to(server)
    first, second = stream.pnl(), stream.pnl()
    async with asyncio.timeout(10), first, second:
        await until(lambda: server.frames(1) == ["spl+{}"])
        await server.sockets[0].send('{"topic":"sor","args":[]}')
        await server.sockets[0].send('{"topic":"spl","args":{"DU1.Core":{"dpl":1.50}}}')
        expected = {"topic": "spl", "args": {"DU1.Core": {"dpl": "1.50"}}}
        assert await anext(first) == expected and await anext(second) == expected
        await first.aclose()
        assert server.frames(1) == ["spl+{}"]
        await second.aclose()
        await until(lambda: server.frames(1) == ["spl+{}", "upl+{}"])
        with pytest.raises(StopAsyncIteration):
            await anext(second)
    await stream.close()


async def test_named_topics(server: Socket) -> None:
    stream = stream_to(server)
    topics = [
        stream.market_data(265598, ["31"]),
        stream.orders(),
        stream.trades(2),
        stream.summary("DU1"),
        stream.ledger("DU1"),
        stream.notices(),
    ]
    for topic in topics:
        await topic._begin()
    wanted = stream.wanted()
    assert wanted[:2] == ['smd+265598+{"fields":["31"]}', "sor+{}"]
    assert wanted[2:] == ['str+{"realtimeUpdatesOnly":false,"days":2}', "ssd+DU1+{}", "sld+DU1+{}"]
    await stream.open()
    await until(lambda: len(server.frames(1)) >= 5)
    assert server.frames(1) == wanted
    await server.sockets[0].send('{"topic":"ntf","args":[{"id":"1","text":"x"}]}')
    async with asyncio.timeout(5):
        assert (await anext(topics[-1]))["topic"] == "ntf"
    await stream.close()
    for topic in topics:
        with pytest.raises(StopAsyncIteration):
            await anext(topic)


async def test_multiplex_with_functions_and_a_bounded_queue(server: Socket) -> None:
    stream = stream_to(server)
    reader = stream.multiplex(lambda: "sor+{}", lambda: "uor+{}", lambda message: "n" in message, limit=3)
    async with reader:
        await until(lambda: server.frames(1))
        for number in range(5):
            await server.sockets[0].send(json.dumps({"topic": "x", "n": number}))
        await until(lambda: reader.dropped == 2)
        async with asyncio.timeout(5):
            assert [(await anext(reader))["n"] for _ in range(3)] == [2, 3, 4]
    await stream.close()


async def test_a_broken_predicate_hurts_its_own_reader_only(server: Socket) -> None:
    stream = stream_to(server)
    bad = stream.multiplex(None, None, lambda message: message["missing"])
    good = stream.multiplex(None, None, lambda message: message.get("topic") == "sor")
    async with asyncio.timeout(10), stream, bad, good:
        await server.sockets[0].send('{"topic":"sor","args":[]}')
        assert (await anext(good))["topic"] == "sor"
        with pytest.raises(KeyError):
            await anext(bad)


async def test_reading_without_subscribing_opens_the_socket(server: Socket) -> None:
    stream = stream_to(server)
    async with asyncio.timeout(10):
        message = await anext(stream.multiplex(None, None, lambda message: True))
    assert message["topic"] in ("system", "sts")
    await stream.close()


async def test_debug_words_are_written_without_secrets(server: Socket) -> None:
    lines: list[str] = []
    words = ["open", "close", "send", "receive", "error"]
    server.greeting.insert(0, '{"message":"waiting for session"}')
    server.greeting.append(f'{{"topic":"tic","alive":true,"id":"{TOKEN}"}}')
    server.greeting.append('{"error":"bad","topic":"sor"}')
    async with (
        stream_to(server, debug=words, write=lines.append, cookie="message") as stream,
        stream.orders(),
    ):
        await until(lambda: any('send: {"session' in line for line in lines))
        await until(lambda: any("error: sor bad" in line for line in lines))
    assert {line.split(":")[0] for line in lines} >= {"open", "send", "receive", "error"}
    assert TOKEN not in "".join(lines)


async def test_only_the_words_asked_for(server: Socket) -> None:
    lines: list[str] = []
    async with stream_to(server, debug=["open"], write=lines.append) as stream, stream.orders():
        await until(lambda: server.told)
    assert [line.split(":")[0] for line in lines] == ["open"]


def test_unknown_words_are_refused() -> None:
    for more in ({"debug": ["opne"]}, {"debug": "everything"}, {"cookie": "sugar"}):
        with pytest.raises(UsageError):
            Stream("ws://127.0.0.1:1/ws", Trust.system(), give, **more)  # type: ignore[arg-type]


async def test_read_only_sends_no_exercise(server: Socket) -> None:
    async with stream_to(server) as stream:
        with pytest.raises(TradingLocked):
            await stream.send('shs+exercise+{"CEX":"1"}')
        await stream.send("sor+{}")
        await until(lambda: server.told)
    assert server.frames(1) == ["sor+{}"]


async def test_pauses_grow_and_stay_below_half_a_minute(closed_port: int) -> None:
    class Counting(Clock):
        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)

    clock = Counting()
    stream = Stream(f"ws://127.0.0.1:{closed_port}/ws", Trust.system(), give, clock=clock)
    stream.start()
    await until(lambda: len(clock.slept) >= 12)
    await stream.close()
    assert clock.slept[0] <= 0.5 < clock.slept[4] and 15 <= clock.slept[11] <= 30
