"""One upstream WebSocket for many readers: counting, latecomers, gaps, slow readers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from ibtui import errors
from ibtui.auth.effects import Send
from ibtui.clock import FakeClock
from ibtui.service import fan as fans
from ibtui.service import fan_reader
from tests.unit.core.core_servers import Gateway
from tests.unit.service.relay_tools import Upstream, between, listening, until

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

PRICES = 'smd+1+{"fields":["31","84"]}'


def news(up: Upstream) -> list[str]:
    found, up.heard = [one for one in up.heard if one != "tic"], []
    return found


async def test_a_topic_is_asked_for_once_and_ended_with_its_last_reader(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path) as one:
        async with listening(path) as two, listening(path) as three:
            for reader in (one, two, three):
                await until(
                    lambda reader=reader: reader.of("system") and reader.of("act") and reader.of("sts")
                )
            for reader in (one, two, three):
                await reader.say("sor+{}", "spl", "ssd+DU1+{}", PRICES)
            await until(lambda: len(up.heard) == 4)
            await asyncio.sleep(0.2)
            assert up.opened == 1
            assert sorted(news(up)) == [PRICES, "sor+{}", "spl+{}", "ssd+DU1+{}"]
            await two.say("uor+{}", "umd+1+{}")
            await asyncio.sleep(0.1)
            assert news(up) == []
            await up.say({"topic": "sor", "args": [{"orderId": 1, "status": "Filled"}]})
            await up.say({"topic": "smd+1", "conid": 1, "31": "2.0"})
            await up.say({"topic": "spl", "args": {"DU1.Core": {"dpl": 1.5}}})
            await up.say({"topic": "ntf", "args": [{"id": "1"}]})
            for reader in (one, three):
                await until(lambda reader=reader: reader.of("ntf"))
                assert reader.of("sor") and reader.of("smd+1") and reader.of("spl")
            await until(lambda: two.of("ntf"))
            assert two.of("spl") and not two.of("sor") and not two.of("smd+1")
            await one.say("upl", "usd+DU1+{}")
        # Two and three went without a word; one still wants orders and prices.
        await until(lambda: len(up.heard) == 2)
        assert sorted(news(up)) == ["upl+{}", "usd+DU1+{}"]
        await one.say("uor+{}", "umd+1+{}")
        await until(lambda: len(up.heard) == 2)
        assert sorted(news(up)) == ["umd+1+{}", "uor+{}"]


async def test_frames_pass_as_they_were_written_and_in_order(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path) as one:
        await one.say(PRICES, "sor+{}")
        await until(lambda: len(up.heard) == 2)
        sent = [
            b'{"topic":"smd+1","conid":1,"83":-0.730,"31":"C1.50"}',
            b'{"topic": "sor", "args": [{"orderId": 1, "price": 1.0E5}]}',
            json.dumps({"topic": "smd+1", "7": "x" * 70_000}).encode(),
            b'{"message":"Unsubscribed 12"}',
            b'{"topic":"system","hb":1777041130123}',
            b"no json at all",
            b'{"topic":"sts","args":{"competing":true}}',
            b'{"topic":"smd+1","conid":1,"31":"' + b"9" * 200 + b'"}',
        ]
        one.raw.clear()
        for message in sent:
            await up.say(message)
        await until(lambda: len(one.raw) == len(sent))
        assert one.raw == sent


async def test_a_latecomer_is_told_the_sum_of_what_was_said(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path) as one:
        frames = ["sor+{}", "str+{}", "spl+{}", "ssd+DU1+{}", "sld+DU1+{}", "sbd+DU1+1", PRICES]
        await one.say(*frames)
        await until(lambda: len(up.heard) == 7)
        for message in (
            {"topic": "smd+1", "conid": 1, "31": "1.50", "84": "1.4", "_updated": 1},
            {"topic": "smd+1", "conid": 1, "31": "1.60", "_updated": 2},
            {"topic": "sor", "args": [{"orderId": 7, "status": "Submitted", "price": "1.00"}]},
            {"topic": "sor", "args": [{"orderId": 8, "status": "Submitted"}, {"orderId": 7, "x": 1}]},
            {"topic": "sor", "args": [{"orderId": 7, "status": "Filled"}, {"none": 1}]},
            {"topic": "str", "args": []},
            {"topic": "str", "args": [{"execution_id": "a", "size": 2.0}]},
            {"topic": "str", "args": [{"execution_id": "a", "commission": "1.0"}]},
            {"topic": "spl", "args": {"DU1.Core": {"dpl": 1.5}}},
            {"topic": "spl", "args": {"DU2.Core": {"dpl": 2.5}}},
            {"topic": "ssd+DU1", "result": [{"key": "A", "v": 1, "timestamp": 1}, {"key": "B", "v": 2}]},
            {"topic": "ssd+DU1", "result": [{"key": "A", "timestamp": 2}]},
            {"topic": "sld+DU1", "result": {"key": "LedgerListUSD", "cashbalance": 9.5}},
            {"topic": "sbd+DU1+1", "data": [{"row": 0, "ask": "1"}, {"row": 1, "bid": "2"}]},
            {"topic": "sbd+DU1+1", "data": [{"row": 1, "bid": "3"}]},
            {"topic": "sts", "args": {"competing": True}},
        ):
            await up.say(message)
        await until(lambda: one.of("sts")[-1]["args"] == {"competing": True})
        async with listening(path) as late:
            await late.say(*frames)
            await until(lambda: late.of("smd+1"))
            assert late.of("sts") == [
                {"topic": "sts", "args": {"connected": True, "authenticated": True, "competing": True}}
            ]
            assert late.of("smd+1") == [
                {"topic": "smd+1", "conid": 1, "31": "1.60", "84": "1.4", "_updated": 2}
            ]
            assert [one["args"] for one in late.of("sor")] == [
                [{"orderId": 7, "status": "Filled", "price": "1.00", "x": 1}],
                [{"orderId": 8, "status": "Submitted"}],
            ]
            assert [one["args"] for one in late.of("str")] == [
                [],
                [{"execution_id": "a", "size": 2.0, "commission": "1.0"}],
            ]
            assert late.of("spl")[0]["args"] == {"DU1.Core": {"dpl": 1.5}, "DU2.Core": {"dpl": 2.5}}
            assert late.of("ssd+DU1")[0]["result"] == [
                {"key": "A", "v": 1, "timestamp": 2},
                {"key": "B", "v": 2},
            ]
            assert late.of("sld+DU1")[0]["result"] == [{"key": "LedgerListUSD", "cashbalance": 9.5}]
            assert late.of("sbd+DU1+1")[0]["data"] == [{"row": 0, "ask": "1"}, {"row": 1, "bid": "3"}]
        assert len(news(up)) == 7


async def test_options_grow_to_serve_everybody(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path) as one, listening(path) as two:
        await one.say(PRICES, "str+{}", 'ssd+DU1+{"keys":["A"]}', 'sor+{"filters":["Filled"]}')
        await until(lambda: len(up.heard) == 4)
        assert json.loads(news(up)[1].split("+", 1)[1]) == {"realtimeUpdatesOnly": False, "days": 1}
        await two.say("sor+{}", 'smd+1+{"fields":["84","86"]}', 'str+{"days":7}', 'ssd+DU1+{"keys":["B"]}')
        await until(lambda: len(up.heard) == 3)
        assert news(up) == [
            'smd+1+{"fields":["31","84","86"]}',
            'str+{"realtimeUpdatesOnly":false,"days":7}',
            'ssd+DU1+{"keys":["A","B"]}',
        ]
        # A filter is no business of the others.
        await up.say({"topic": "sor", "args": [{"orderId": 1, "status": "Submitted"}]})
        await up.say({"topic": "sor", "args": [{"orderId": 2, "status": "Filled"}]})
        await up.say({"topic": "sor", "args": [{"orderId": 2, "fgColor": "#fff"}]})
        await until(lambda: len(two.of("sor")) == 3)
        assert [one_["args"][0]["orderId"] for one_ in one.of("sor")] == [2, 2]
        await one.say("usd+DU1+{}", "umd+1+{}", "umd+99")
        await two.say("usd+DU1+{}", "umd+1+{}")
        await until(lambda: len(up.heard) == 2)
        assert news(up) == ["usd+DU1+{}", "umd+1+{}"]


async def test_whoever_comes_while_it_is_being_ended_gets_it_again(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path) as one:
        topics = [f'smd+{n}+{{"fields":["31"]}}' for n in range(6)]
        async with listening(path) as two:
            await two.say(*topics)
            await until(lambda: len(up.heard) == 6)
            news(up)
        # Six farewells take half a second; the last of them is not said any more.
        await one.say(topics[5])
        await until(lambda: len(up.heard) == 6)
        await asyncio.sleep(0.3)
        found = news(up)
        assert topics[5] in found and "umd+5+{}" not in found and "umd+4+{}" in found


async def test_refused_topics_are_asked_for_again(gateway: Gateway) -> None:
    up = Upstream(gateway)
    up.replies["sor+{}"] = [{"error": "unable to subscribe", "code": 500, "topic": "sor"}]
    async with between(gateway) as (_, path, _), listening(path) as one, listening(path) as two:
        await one.say("sor+{}")
        await until(lambda: one.of("sor"))
        assert not two.of("sor")
        up.replies.clear()
        await two.say("sor+{}")
        await until(lambda: len(up.heard) == 2)
        await one.say("sor+{}")
        await asyncio.sleep(0.2)
        assert news(up) == ["sor+{}", "sor+{}"]


async def test_questions_of_one_reader_are_answered_to_it_alone(gateway: Gateway) -> None:
    up = Upstream(gateway)
    ask = 'smh+1+{"period":"1d"}'
    up.replies[ask] = [{"topic": "smh+1", "serverId": "20477", "data": []}]
    up.replies["xyz+1"] = [{"topic": "error", "error": "Topic unknown 'xyz'", "code": 500}]
    up.replies['smh+2+{"bar":"x"}'] = [{"error": "unable to subscribe", "code": 500, "topic": "smh"}]
    async with between(gateway) as (_, path, _), listening(path) as one:
        async with listening(path) as two:
            await two.say(ask)
            await until(lambda: two.of("smh+1"))
            await two.say("xyz+1", 'smh+2+{"bar":"x"}')
            await until(lambda: two.of("error") and two.of("smh"))
            await two.say('{"session":"abc"}', "ech+hb", "tic", "tic")
            await until(lambda: b"ech+hb" in two.raw)
            assert not one.of("smh+1") and not one.of("error") and not one.of("smh")
        # Nobody said `umh`, and there are but five of these.
        await until(lambda: "umh+20477" in up.heard)
        assert up.heard.count("tic") == 1
        assert not [one_ for one_ in up.heard if "session" in one_]


async def test_a_frame_that_trades_is_refused_here(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path, read_only=False) as one:
        await one.say('shs+exercise+{"CEX":"1"}')
        await until(lambda: one.of("shs"))
        assert "trading is locked" in one.of("shs")[0]["error"]
        assert news(up) == []


async def test_prices_by_exchange_and_prices_of_nobody(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path) as one, listening(path) as two:
        await one.say('smd+1@NYSE+{"fields":["31"]}')
        await two.say('smd+2+{"fields":["31"]}')
        await until(lambda: len(up.heard) == 2)
        await up.say({"topic": "smd+1", "conid": 1, "31": "1"})
        await up.say({"topic": "smd+3", "conid": 3, "31": "1"})
        await up.say({"topic": "smd", "error": "No accounts", "code": 500})
        await until(lambda: one.of("smd") and two.of("smd"))
        assert one.of("smd+1") and not two.of("smd+1") and not one.of("smd+3")


async def test_a_ladder_ends_with_the_account(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (_, path, _), listening(path) as one, listening(path) as two:
        await one.say("sbd+DU1+1")
        await two.say("sbd+DU1+2+NYSE")
        await until(lambda: len(up.heard) == 2)
        assert sorted(news(up)) == ["sbd+DU1+1", "sbd+DU1+2+NYSE"]
        await one.say("ubd+DU1")
        await asyncio.sleep(0.2)
        assert news(up) == []
        await two.say("ubd+DU1")
        await until(lambda: len(up.heard) == 1)
        assert news(up) == ["ubd+DU1"]


async def test_a_lost_upstream_sends_everybody_back(gateway: Gateway) -> None:
    up = Upstream(gateway)
    async with between(gateway) as (relay, path, _), listening(path) as one, listening(path) as two:
        for reader in (one, two):
            await reader.stream._wish_nothing()
            await reader.say("sor+{}")
        await until(lambda: up.heard == ["sor+{}"])
        await up.say({"topic": "sor", "args": [{"orderId": 1, "status": "Submitted"}]})
        await until(lambda: one.of("sor") and two.of("sor"))
        for ws in list(up.open):
            await ws.close()
        await until(lambda: one.states.count("open") == 2 and two.states.count("open") == 2)
        assert one.states == ["open", "closed", "open"] and up.opened == 2
        await one.say("sor+{}")
        await until(lambda: up.heard == ["sor+{}", "sor+{}"])
        # What was known of the old socket is not told again.
        assert len(one.of("sor")) == 1
        assert len(relay.fan.readers) == 2


async def test_the_reason_why_there_is_no_socket(gateway: Gateway) -> None:
    up = Upstream(gateway)
    gateway.on("POST /tickle", text="", status=401)
    async with between(gateway) as (_, path, _):
        with pytest.raises(errors.NotLoggedIn):
            async with listening(path):
                pass
        gateway.on("POST /tickle", up.tickle)
        async with listening(path) as one:
            await until(lambda: one.of("sts"))
            gateway.on("GET /ws", text="", status=401)
            for ws in list(up.open):
                await ws.close()
            # It waits longer and longer by itself; whoever asks is told at once why.
            await until(lambda: isinstance(one.stream.state.error, errors.NotLoggedIn))
            with pytest.raises(errors.NotLoggedIn):
                await one.client.socket().open(3)


async def test_tokens_and_cookies_are_in_no_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    up = Upstream(gateway)
    up.token = "deadbeefdeadbeef"
    caplog.set_level("DEBUG")
    gateway.on("POST /sso/Authenticator", {"ok": True})
    async with between(gateway) as (_, path, _), listening(path) as one:
        await one.say("spl+{}", "tic")
        step = Send(
            "POST", "/sso/Authenticator", (("A", "formsecret"),), cookies=(("XYZAB", "cookiesecret"),)
        )
        await one.client.rest.send(step)
        for ws in list(up.open):
            await ws.close()
        await until(lambda: "closed" in one.states)
    assert "deadbeef" not in caplog.text and "secret" not in caplog.text


async def test_the_upstream_socket_is_closed_when_nobody_reads(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fans, "LINGER_S", 0.4)
    up = Upstream(gateway)
    async with between(gateway) as (relay, path, client):
        async with listening(path):
            pass
        async with listening(path) as one:
            await asyncio.sleep(0.6)
            assert up.opened == 1 and one.states == ["open"]
        await until(lambda: not up.open)
        assert not client._streams
        async with listening(path):
            assert up.opened == 2
        # Nor does it try for ever when it cannot be opened and nobody waits.
        gateway.on("GET /ws", text="", status=401)
        await until(lambda: not up.open)
        with pytest.raises(errors.NotLoggedIn):
            async with listening(path):
                pass
        await until(lambda: not client._streams)
    assert relay.fan.readers == []


async def test_closing_the_relay_tells_the_readers(gateway: Gateway) -> None:
    Upstream(gateway)
    async with between(gateway) as (relay, path, _), listening(path) as one:
        await relay.close()
        await until(lambda: "closed" in one.states)
        assert "closed" in one.stream.state.reason


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

    async def add(self, subscription: Any) -> None:
        self.said.append(subscription.subscribe)

    async def send(self, frame: str) -> None:
        self.said.append(frame)

    def let_go(self, subscription: Any) -> str | None:
        return None


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
