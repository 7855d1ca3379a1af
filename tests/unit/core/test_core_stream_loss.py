"""Stream: a server that drops, falls silent, forgets, refuses, or is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection

from ibtui.core.link import StreamState
from ibtui.core.stream import Stream
from ibtui.core.trust import Trust
from ibtui.errors import (
    CertificateMismatch,
    GatewayDown,
    NotLoggedIn,
    Stalled,
    Unreachable,
    UsageError,
)
from ibtui.secret import Secret
from tests.unit.core.core_servers import Certificate
from tests.unit.core.stream_tools import TOKEN, Clock, Socket, give, listening, scripted, stream_to, until


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Socket]:
    async with scripted(monkeypatch) as socket:
        yield socket


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
