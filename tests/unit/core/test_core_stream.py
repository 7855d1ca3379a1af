"""Stream: a real WebSocket server that beats, drops, falls silent and forgets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from ibtui.clock import FakeClock
from ibtui.core import live
from ibtui.core.link import StreamState
from ibtui.core.stream import Stream
from ibtui.core.trust import Trust
from ibtui.core.wire import decode as wire
from ibtui.errors import (
    CertificateMismatch,
    GatewayDown,
    NotLoggedIn,
    Stalled,
    TradingLocked,
    Unreachable,
    UsageError,
)
from ibtui.secret import Secret
from tests.unit.core.core_servers import Certificate

TOKEN = "4be07c51d9a2463f8e1b6f0a97c3d25e"


class Clock(FakeClock):
    """Time stands still but for `advance`; sleeping gives way and costs nothing."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0.002)


@dataclass
class Socket:
    """A scripted server; `told` are the frames of all connections, `sockets` the connections."""

    url: str = ""
    sockets: list[ServerConnection] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    told: list[tuple[int, str]] = field(default_factory=list)
    greeting: list[str] = field(
        default_factory=lambda: [
            '{"topic":"system","success":"demo123"}',
            '{"topic":"sts","args":{"authenticated":true}}',
        ]
    )
    on_frame: Callable[[ServerConnection, str], Any] | None = None
    refuse: int = 0

    async def handle(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self.cookies.append(socket.request.headers.get("Cookie") if socket.request else None)
        number = len(self.sockets)
        for text in self.greeting:
            await socket.send(text.encode())
        with contextlib.suppress(Exception):
            async for frame in socket:
                self.told.append((number, str(frame)))
                if self.on_frame is not None:
                    await self.on_frame(socket, str(frame))

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        if self.refuse:
            response = connection.respond(HTTPStatus(self.refuse), "no")
            if self.refuse == 302:
                response.headers["Location"] = "/sso/Login"
            return response
        return None

    def frames(self, number: int) -> list[str]:
        return [frame for socket, frame in self.told if socket == number]


@contextlib.asynccontextmanager
async def listening(socket: Socket, **more: Any) -> AsyncIterator[Server]:
    async with serve(socket.handle, "127.0.0.1", 0, process_request=socket.check, **more) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        socket.url = f"{'wss' if more.get('ssl') else 'ws'}://127.0.0.1:{port}/v1/api/ws"
        yield server


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Socket]:
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    monkeypatch.setattr(live, "WELCOME_S", 0.5)
    socket = Socket()
    async with listening(socket):
        yield socket


async def give() -> Secret | None:
    return Secret(TOKEN)


def stream_to(socket: Socket, **more: Any) -> Stream:
    more.setdefault("clock", Clock())
    more.setdefault("session", give)
    session = more.pop("session")
    return Stream(socket.url, more.pop("trust", Trust.system()), session, **more)


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


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


async def test_a_dropped_socket_comes_back_with_its_subscriptions(server: Socket) -> None:
    gaps: list[int] = []
    states: list[str] = []
    stream = stream_to(
        server, on_gap=lambda: gaps.append(1), on_state=lambda state: states.append(state.state)
    )
    async with stream, stream.orders(), stream.market_data(1):
        await until(lambda: len(server.frames(1)) == 2)
        assert gaps == []
        server.sockets[0].transport.abort()
        await until(lambda: len(server.frames(2)) == 2 and gaps)
        assert server.frames(2) == server.frames(1)
    assert states == ["open", "closed", "open", "ended"]


async def test_a_silent_socket_is_left(server: Socket) -> None:
    clock = Clock()
    async with stream_to(server, clock=clock) as stream:
        await asyncio.sleep(0.05)
        clock.advance(20)
        await asyncio.sleep(0.05)
        await server.sockets[0].send('{"topic":"system","hb":1}')
        await asyncio.sleep(0.05)
        clock.advance(20)
        await asyncio.sleep(0.05)
        assert len(server.sockets) == 1
        clock.advance(31)
        await until(lambda: len(server.sockets) == 2)
        await until(lambda: stream.is_open)


async def test_tic_and_renewal(server: Socket) -> None:
    clock = Clock()

    async def answer(socket: ServerConnection, frame: str) -> None:
        if frame == "tic":
            await socket.send('{"topic":"tic","alive":true,"id":"x"}')

    server.on_frame = answer
    async with stream_to(server, clock=clock) as stream, stream.market_data(1), stream.orders():
        await until(lambda: len(server.frames(1)) == 2)
        for _ in range(21):
            clock.advance(28)
            await server.sockets[0].send('{"topic":"system","hb":1}')
            await asyncio.sleep(0.04)
        frames = server.frames(1)
        assert 8 <= frames.count("tic") <= 11
        assert frames.count('smd+1+{"fields":["31","84","86"]}') == 2
        assert frames.count("sor+{}") == 1
        assert len(server.sockets) == 1


async def test_another_session_means_another_socket(server: Socket) -> None:
    async with stream_to(server) as stream:
        stream.token_changed(Secret(TOKEN))
        await asyncio.sleep(0.05)
        assert len(server.sockets) == 1
        stream.token_changed(Secret("f" * 32))
        await until(lambda: len(server.sockets) == 2)


async def test_a_brokerage_session_that_comes_back_means_another_socket(server: Socket) -> None:
    server.greeting[1] = '{"topic":"sts","args":{"authenticated":false}}'
    async with stream_to(server):
        server.greeting[1] = '{"topic":"sts","args":{"authenticated":true}}'
        await server.sockets[0].send('{"topic":"sts","args":{"authenticated":"true"}}')
        await until(lambda: len(server.sockets) == 2)
        await asyncio.sleep(0.05)
        assert len(server.sockets) == 2


@pytest.mark.parametrize(("status", "kind"), [(401, NotLoggedIn), (302, NotLoggedIn), (503, Unreachable)])
async def test_refusals(server: Socket, status: int, kind: type[Exception]) -> None:
    server.refuse = status
    stream = stream_to(server)
    with pytest.raises(kind):
        await stream.open()
    server.refuse = 0
    await until(lambda: stream.is_open)
    await stream.close()


async def test_nobody_there(closed_port: int) -> None:
    stream = Stream(f"ws://127.0.0.1:{closed_port}/ws", Trust.system(), give, clock=Clock())
    with pytest.raises(GatewayDown):
        await stream.open()
    assert isinstance(stream.state.error, GatewayDown)
    with pytest.raises(Unreachable):
        await stream.send("tic")
    await stream.close()
    with pytest.raises(UsageError):
        stream.start()


async def test_wrong_certificate(certificate: Certificate) -> None:
    socket = Socket()
    async with listening(socket, ssl=certificate.context()):
        stream = stream_to(socket, trust=Trust.pin("ab" * 32))
        with pytest.raises(CertificateMismatch):
            await stream.open()
        await stream.close()
        assert not socket.sockets
        async with stream_to(socket, trust=Trust.pin(certificate.fingerprint)):
            assert len(socket.sockets) == 1


async def test_no_session_yet(server: Socket) -> None:
    async def refuse() -> Secret | None:
        raise NotLoggedIn("not logged in")

    stream = stream_to(server, session=refuse)
    with pytest.raises(NotLoggedIn):
        await stream.open()
    with pytest.raises(NotLoggedIn):
        await anext(stream.pnl())
    assert stream.wanted() == []
    await stream.close()
    assert not server.sockets


async def test_a_slow_opening_is_stalled(server: Socket) -> None:
    async def never() -> Secret | None:
        await asyncio.Event().wait()
        return None

    stream = stream_to(server, session=never)
    with pytest.raises(Stalled):
        await stream.open(timeout=0.1)
    await stream.close()


async def test_a_bug_in_the_session_ends_the_stream_with_a_word(server: Socket) -> None:
    async def broken() -> Secret | None:
        raise ZeroDivisionError("bug")

    states: list[StreamState] = []
    stream = stream_to(server, session=broken, on_state=states.append)
    reader = stream.orders()
    stream.start()
    await until(lambda: states)
    assert states[0].state == "ended" and "bug" in states[0].reason
    await reader.aclose()
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
