"""What the fan does with readers that are slow, and with frames that are odd."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from ibtui.clock import FakeClock
from ibtui.service import fan as fans
from ibtui.service import fan_reader
from tests.unit.core.core_servers import Gateway
from tests.unit.service.relay_tools import Upstream, between, listening, until

PRICES = 'smd+1+{"fields":["31","84"]}'
ODD: list[Any] = [
    {"topic": 1},
    {"topic": None},
    {"topic": "sor", "args": None},
    {"topic": "sor", "args": {"orderId": 1}},
    {"topic": "sor", "args": [1, None, {"orderId": {"a": 1}, "status": 7}]},
    {"topic": "str", "args": [{"execution_id": None, "trade_time_r": "x"}]},
    {"topic": "ssd+DU1", "result": "unsubscribed"},
    {"topic": "ssd+DU1"},
    {"topic": "spl", "args": []},
    {"topic": "spl", "error": None},
    {"topic": "smd+1"},
    {"topic": "smd"},
    {"topic": "sts", "args": 5},
    {"topic": "smh+1", "serverId": None},
    {"topic": "sbd+DU1+1", "data": [{}]},
    {"error": "x"},
    {"topic": "", "error": True},
    [1, 2],
    "ech+hb",
    None,
]


class Pipe:
    """A transport that takes as much as it is told to."""

    def __init__(self) -> None:
        self.full = True
        self.written: list[bytes] = []
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return 1 << 20 if self.full else 0

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True


async def writing(reader: fan_reader.Reader, seconds: float = 0.1) -> None:
    task = asyncio.create_task(reader.write(asyncio.sleep))
    await asyncio.wait({task}, timeout=seconds)
    task.cancel()


class Nobody:
    """An upstream socket that says nothing."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def add(self, subscription: Any) -> None:
        self.said.append(subscription.subscribe)

    async def send(self, frame: str) -> None:
        await self.gate.wait()
        self.said.append(frame)

    def let_go(self, subscription: Any) -> str | None:
        found: str | None = subscription.unsubscribe
        return found


def fan_without_upstream() -> fans.Fan:
    fan = fans.Fan(FakeClock())
    nobody: Any = Nobody()
    fan._stream = nobody
    return fan


@given(st.binary(max_size=200) | st.sampled_from(ODD).map(lambda one: json.dumps(one).encode()))
def test_nothing_that_is_sent_breaks_the_fan(data: bytes) -> None:
    pipe: Any = Pipe()

    async def play() -> None:
        reader, fan = fan_reader.Reader(None, pipe), fan_without_upstream()
        fan.join(reader)
        for frame in (
            "sor+{}",
            'sor+{"filters":["Filled"]}',
            "str+{}",
            "ssd+DU1",
            "spl",
            PRICES,
            "sbd+DU1+1",
        ):
            await fan.receive(reader, frame)
        fan._on_frame(data)
        fan._on_frame(memoryview(data))
        late = fan_reader.Reader(None, pipe)
        fan.join(late)
        for frame in (
            "sor+{}",
            'str+{"days":"x"}',
            "ssd+DU1",
            "spl",
            PRICES,
            "sbd+DU1+1",
            data.decode("latin1"),
        ):
            await fan.receive(late, frame)
        assert not reader.gone and not late.gone

    asyncio.run(play())


async def test_whoever_comes_while_it_is_being_ended_gets_it_again() -> None:
    pipe: Any = Pipe()
    one, two = fan_reader.Reader(None, pipe), fan_reader.Reader(None, pipe)
    fan = fan_without_upstream()
    nobody: Any = fan._stream
    for reader in (one, two):
        fan.join(reader)
    for n in range(3):
        await fan.receive(one, f"smd+{n}")
    nobody.gate.clear()
    fan.leave(one)
    await asyncio.sleep(0.01)
    # A hundred farewells take eleven seconds; this one is not said any more.
    await fan.receive(two, "smd+2")
    nobody.gate.set()
    await asyncio.sleep(0.01)
    assert nobody.said[3:] == ["smd+2+{}", "umd+0+{}", "umd+1+{}"]
    await fan.close()


async def test_old_executions_are_for_those_who_asked_for_them() -> None:
    pipe: Any = Pipe()
    one, two, new = (fan_reader.Reader(None, pipe) for _ in range(3))
    fan = fan_without_upstream()
    for reader, frame in (
        (one, "str+{}"),
        (two, 'str+{"days":7}'),
        (new, 'str+{"realtimeUpdatesOnly":true}'),
    ):
        fan.join(reader)
        await fan.receive(reader, frame)
    queued = [len(reader._queue) for reader in (one, two, new)]
    now = int(fan._clock.now().timestamp() * 1000)
    for number, age in enumerate((0, 3 * 86_400_000)):
        row = {"execution_id": str(number), "trade_time_r": now - age}
        fan._on_frame(json.dumps({"topic": "str", "args": [row]}).encode())
    assert [len(reader._queue) - then for reader, then in zip((one, two, new), queued, strict=True)] == [
        1,
        2,
        1,
    ]
    late = fan_reader.Reader(None, pipe)
    fan.join(late)
    await fan.receive(late, 'str+{"realtimeUpdatesOnly":true}')
    assert not late._queue


async def test_a_slow_reader_gets_the_latest_values_and_every_order() -> None:
    pipe: Any = Pipe()
    reader, fan = fan_reader.Reader(None, pipe), fan_without_upstream()
    fan.join(reader)
    await fan.receive(reader, PRICES)
    await fan.receive(reader, "sor+{}")
    for n in range(20_000):
        fan._on_frame(b'{"topic":"smd+1","conid":1,"31":"%d","84":"5"}' % n)
        if n % 1000 == 0:
            fan._on_frame(b'{"topic":"sor","args":[{"orderId":%d}]}' % n)
    assert reader.behind > 10_000 and reader._bytes < fan_reader.SOFT + 5_000
    pipe.full = False
    await writing(reader)
    sent = b"".join(pipe.written)
    assert sent.count(b'"orderId"') == 20
    assert sent.rstrip().endswith(b'{"topic":"smd+1","conid":1,"31":"19999","84":"5"}')
    fan._on_frame(b'{"topic":"smd+1","31":"x"}')
    await writing(reader)
    assert pipe.written[-1] == fan_reader.frame(b'{"topic":"smd+1","31":"x"}')


async def test_who_does_not_read_holds_nobody_up(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (relay, path, _), listening(path) as quick:
        await quick.say(PRICES)
        reader, writer = await asyncio.open_unix_connection(path, limit=1024)
        key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        key += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        writer.write(f"GET /v1/api/ws HTTP/1.1\r\nHost: x\r\n{key}\r\n".encode())
        writer.write(Frame(Opcode.TEXT, PRICES.encode()).serialize(mask=True))
        await until(lambda: len(relay.fan.readers) == 2 and relay.fan.readers[1].topics)
        padding = "x" * 200
        for n in range(8_000):
            await up.say({"topic": "smd+1", "conid": 1, "31": str(n), "7": padding})
        await until(lambda: quick.messages[-1].get("31") == "7999")
        slow = relay.fan.readers[1]
        assert len(quick.messages) > 1_000
        assert slow.behind > 1_000 and slow._bytes < fan_reader.SOFT + 1_000
        # When it reads again, it has the latest.
        found = b""
        async with asyncio.timeout(5):
            while b'"31":"7999"' not in found:
                found = found[-2_000:] + await reader.read(65_536)
        writer.close()
        await until(lambda: len(relay.fan.readers) == 1)


async def test_a_reader_that_does_not_read_at_all_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_reader, "HARD", 20_000)
    pipe: Any = Pipe()
    reader, fan = fan_reader.Reader(None, pipe), fan_without_upstream()
    reader.give_all([b"x" * 50_000])
    assert not reader.gone
    fan.join(reader)
    await fan.receive(reader, "sor+{}")
    for n in range(1000):
        fan._on_frame(b'{"topic":"sor","args":[{"orderId":%d}]}' % n)
    assert reader.gone and reader._bytes == 0
    await writing(reader)
    assert pipe.aborted and pipe.written == []
    fan.leave(reader)
    assert fan.readers == []
    await fan.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_frames_are_those_of_the_protocol(size: int) -> None:
    data = b"x" * size
    assert fan_reader.frame(data) == Frame(Opcode.BINARY, data).serialize(mask=False)
