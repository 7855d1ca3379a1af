"""One upstream WebSocket for many readers: counting, latecomers, gaps, slow readers."""

from __future__ import annotations

import asyncio
import json

import pytest

from ibtui import errors
from ibtui.auth.effects import Send
from ibtui.service import fan as fans
from tests.unit.core.core_servers import Gateway
from tests.unit.service.relay_tools import Upstream, between, listening, until

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


async def test_another_account_is_another_list_of_orders(gateway: Gateway) -> None:
    up = Upstream(gateway)
    gateway.on("POST /iserver/account", {"set": True, "acctId": "DU2"})
    async with between(gateway) as (_, path, _), listening(path) as one:
        await one.say("sor+{}", "spl+{}")
        await until(lambda: len(up.heard) == 2)
        await up.say({"topic": "sor", "args": [{"orderId": 1, "acct": "DU1"}]})
        await until(lambda: one.of("sor"))
        news(up)
        up.replies["sor+{}"] = [{"topic": "sor", "args": [{"orderId": 2, "acct": "DU2"}]}]
        await one.client.select("DU2")
        await until(lambda: len(one.of("sor")) == 2)
        assert news(up) == ["sor+{}"]
        async with listening(path) as late:
            await late.say("sor+{}")
            await until(lambda: late.of("sor"))
            assert [message["args"][0]["orderId"] for message in late.of("sor")] == [2]


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
        async with listening(path) as one:
            async with listening(path):
                pass
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
