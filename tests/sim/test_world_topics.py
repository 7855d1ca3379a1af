"""Topics of a websocket: grammar, first frames, rates, silence (web-api.md §7.2, §7.7)."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest

from tests.sim.world_tools import AAPL, ACCOUNT, SPY, Wire, make_world, new_order, pass_time, session_of


def test_smd_comes_twice_then_as_deltas() -> None:
    world = make_world()
    wire = Wire(world)
    frames = wire.say('smd+265598+{"fields":["31","84","86","83","7762"]}')
    assert len(frames) == 2
    assert frames[0] == frames[1]
    first = frames[0]
    assert list(first)[:5] == ["server_id", "conidEx", "conid", "_updated", "6119"]
    assert list(first)[-3:] == ["6509", "6508", "topic"]
    assert type(first["83"]) is float
    assert all(type(first[field]) is str for field in ("31", "84", "86", "7762"))
    pass_time(world, 10)
    deltas = wire.take("smd")
    assert 5 <= len(deltas) <= 20
    gaps = [b["_updated"] - a["_updated"] for a, b in zip(deltas, deltas[1:], strict=False)]
    assert min(gaps) >= 500
    assert all(delta["topic"] == "smd+265598" and delta["conid"] == AAPL for delta in deltas)
    known = dict(first)
    for delta in deltas:
        changed = {key for key in delta if key.isdigit() and key != "6119"}
        assert changed
        assert all(known[key] != delta[key] for key in changed)
        known |= delta
    world.pause(True)
    pass_time(world, 1)
    known |= {} if not (late := wire.take("smd")) else late[-1]
    assert known["31"] == world.books()["prices"][str(AAPL)]["last"]


def test_smd_widens_directs_and_ends() -> None:
    world = make_world()
    wire = Wire(world)
    wire.say('smd+265598+{"fields":["31"]}')
    wide = wire.say('smd+265598+{"fields":["55"]}')[0]
    assert wide["55"] == "AAPL" and "31" in wide
    assert wire.say('smd+265598@NASDAQ+{"fields":["31"]}')[0]["topic"] == "smd+265598@NASDAQ"
    assert wire.say("umd+265598+{}") == []
    assert wire.say("umd+265598@NASDAQ+{}") == []
    pass_time(world, 5)
    assert wire.take("smd") == []
    unknown = wire.say('smd+999+{"fields":["31"]}')[0]
    assert unknown == {"conid": 999, "conidEx": "999", "55": "-", "31": "N/A", "topic": "smd+999"}


def test_smd_falls_silent_after_its_time() -> None:
    world = make_world(stream_expiry_s=60)
    wire = Wire(world)
    wire.say('smd+265598+{"fields":["31"]}')
    pass_time(world, 50)
    assert wire.take("smd")
    wire.say('smd+265598+{"fields":["31"]}')
    pass_time(world, 50)
    assert wire.take("smd")
    pass_time(world, 11)
    wire.take()
    pass_time(world, 20)
    assert wire.take("smd") == []


def test_position_fields_follow_a_fill() -> None:
    world = make_world()
    world.pause(True)
    wire = Wire(world)
    first = wire.say('smd+265598+{"fields":["76","74","73"]}')[0]
    assert (first["76"], first["74"]) == ("250", "171.38")
    order = new_order(world, AAPL, "BUY", "10")
    world.matcher.submit(order)
    pass_time(world, 2)
    assert wire.take("smd")[-1]["76"] == "260"


@pytest.mark.parametrize(("mode", "count"), [("full", 16), ("identity", 16), ("none", 0), ("refuse", 1)])
def test_sor_snapshot_modes(mode: str, count: int) -> None:
    wire = Wire(make_world(sor_snapshot=mode))
    frames = wire.say("sor+{}")
    assert len(frames) == count
    if mode == "refuse":
        assert frames == [{"error": "unable to subscribe", "code": 500, "topic": "sor"}]
    for frame in frames if count == 16 else []:
        (row,) = frame["args"]
        assert (len(row) > 20) is (mode == "full")


def test_sor_filters() -> None:
    world = make_world()
    wire = Wire(world)
    frames = wire.say('sor+{"filters":["Filled"]}')
    assert {frame["args"][0]["status"] for frame in frames} == {"Filled"}
    wire.say("uor+{}")
    wire.session.order_filter = {"Cancelled"}
    frames = wire.say("sor+{}")
    assert {frame["args"][0]["status"] for frame in frames} == {"Cancelled"}


def test_str_twice_then_with_commission() -> None:
    world = make_world(commission_delay_s=2.0)
    wire = Wire(world)
    frames = wire.say('str+{"realtimeUpdatesOnly":false,"days":1}')
    assert frames[0] == {"topic": "str", "args": []}
    assert len(frames) == 6
    assert all("commission" in frame["args"][0] for frame in frames[1:])
    assert wire.say('str+{"realtimeUpdatesOnly":true}') == [{"topic": "str", "args": []}]
    world.matcher.submit(new_order(world, SPY, "SELL", "4", ref="mine"))
    pass_time(world, 1)
    (early,) = wire.take("str")
    pass_time(world, 3)
    (late,) = wire.take("str")
    assert "commission" not in early["args"][0]
    assert late["args"][0] == early["args"][0] | {"commission": "1.0"}
    assert list(late["args"][0]).index("commission") == list(late["args"][0]).index("exchange") + 1
    assert late["args"][0]["order_ref"] == "mine"


def test_spl_at_most_once_a_second_rounded() -> None:
    world = make_world()
    wire = Wire(world)
    frames = wire.say("spl")
    assert frames[0] == {"topic": "spl", "args": {}}
    row = frames[1]["args"]["DU1234567.Core"]
    assert list(row) == ["rowType", "dpl", "nl", "upl", "el", "uel", "mv"]
    net = float(world.book(ACCOUNT).totals().net_liquidation)
    assert row["nl"] == float(f"{net:.4g}") and row["nl"] != net
    pass_time(world, 10)
    assert 3 <= len(wire.take("spl")) <= 11
    for bare in ("upl{}", "upl", "upl+{}"):
        wire.say("spl+{}")
        assert wire.say(bare) == []
        pass_time(world, 3)
        assert wire.take("spl") == []


@pytest.mark.parametrize(("topic", "end", "word"), [("ssd", "usd", "summary"), ("sld", "uld", "ledger")])
def test_reports_every_ten_seconds_with_blank_rows(topic: str, end: str, word: str) -> None:
    world = make_world()
    wire = Wire(world)
    world.pause(True)
    (first,) = wire.say(f"{topic}+{ACCOUNT}+{{}}")
    world.set_price(AAPL, 201)
    assert first["topic"] == f"{topic}+{ACCOUNT}"
    assert all(len(row) > 2 for row in first["result"])
    pass_time(world, 9.6)
    assert wire.take(topic) == []
    pass_time(world, 0.8)
    (second,) = wire.take(topic)
    assert len(second["result"]) == len(first["result"])
    assert any(set(row) == {"key", "timestamp"} for row in second["result"])
    assert any(len(row) > 2 for row in second["result"])
    assert wire.say(f"{end}+{ACCOUNT}+{{}}") == [{"result": f"unsubscribed from {word}"}]


def test_reports_with_keys_and_fields() -> None:
    wire = Wire(make_world())
    (frame,) = wire.say(
        f'ssd+{ACCOUNT}+{{"keys":["ExcessLiquidity-S","Cushion"],"fields":["currency","monetaryValue"]}}'
    )
    assert [row["key"] for row in frame["result"]] == ["ExcessLiquidity-S", "Cushion"]
    assert set(frame["result"][0]) == {"key", "currency", "monetaryValue", "timestamp"}


def test_ladder_and_history() -> None:
    world = make_world()
    wire = Wire(world)
    (ladder,) = wire.say(f"sbd+{ACCOUNT}+265598+NASDAQ")
    assert ladder["topic"] == f"sbd+{ACCOUNT}+265598+NASDAQ"
    assert [row["row"] for row in ladder["data"]] == list(range(11))
    assert all(type(row["price"]) is str for row in ladder["data"])
    pass_time(world, 5)
    assert wire.take("sbd")
    assert wire.say(f"ubd+{ACCOUNT}") == []
    (bars,) = wire.say('smh+265598+{"period":"1d","bar":"5min","format":"%o"}')
    assert bars["topic"] == "smh+265598" and bars["points"] == len(bars["data"]) - 1
    assert wire.say(f"umh+{bars['serverId']}") == [{"message": f"Unsubscribed {bars['serverId']}"}]
    assert wire.say("umh+1") == []


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ("abc+{}", {"error": "Topic unknown 'abc'", "code": 500, "topic": "error"}),
        ("smd265598", {"error": "Topic unknown 'smd'", "code": 500, "topic": "error"}),
        ("smd+265598+{bad", {"error": "unable to subscribe", "code": 500, "topic": "smd"}),
        ("smd", {"error": "unable to subscribe", "code": 500, "topic": "smd"}),
        ("ssd+DU9999999+{}", {"error": "unable to subscribe", "code": 500, "topic": "ssd"}),
        ('smd+265598+{"fields":5}', {"error": "unable to subscribe", "code": 500, "topic": "smd"}),
    ],
)
def test_errors(frame: str, answer: dict[str, Any]) -> None:
    assert Wire(make_world()).say(frame) == [answer]


def test_other_peoples_orders_are_not_shown() -> None:
    world = make_world()
    wire = Wire(world, session_of(world, 1))
    wire.say("sor+{}")
    world.add_order({"account": ACCOUNT, "symbol": "KO", "price": 60})
    world.add_order({"account": "DU7654322", "symbol": "KO", "price": 60})
    assert wire.take("sor") == []
    world.add_order({"account": "DU7654321", "symbol": "KO", "price": 60})
    assert len(wire.take("sor")) == 1
    wire.session.selected_account = "All"
    world.add_order({"account": "DU7654322", "symbol": "KO", "price": 60})
    assert len(wire.take("sor")) == 1


def test_closed_sockets_hear_nothing() -> None:
    world = make_world()
    wire = Wire(world)
    wire.say("sor+{}")
    wire.topics.close()
    wire.topics.close()
    world.add_order({"symbol": "KO", "price": 60})
    assert wire.take() == []
    assert world.listeners == []


async def test_rate_is_exact_and_ends_in_the_truth() -> None:
    """5,000 deltas a second over forty contracts, with less than 60 % of a core."""
    world = make_world()
    wire = Wire(world)
    for index in range(40):
        conid = world.catalogue.synthetic(index).conid
        wire.say(f'smd+{conid}+{{"fields":["31","83","84","86"]}}')
    world.set_rate(5_000)
    async with asyncio.timeout(20):
        task = asyncio.get_running_loop().create_task(world.run())
        await asyncio.sleep(0.2)
        wire.raw.clear()
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(2)
        count, lasted, used = len(wire.raw), time.perf_counter() - began, time.process_time() - cpu
        assert count / lasted == pytest.approx(5_000, rel=0.05)
        assert used / lasted < 0.6
        world.set_rate(25)
        await asyncio.sleep(0.1)
        wire.raw.clear()
        began = time.perf_counter()
        await asyncio.sleep(2)
        assert len(wire.raw) / (time.perf_counter() - began) == pytest.approx(25, abs=2)
        frames = wire.take("smd")
        world.pause(True)
        await asyncio.sleep(0.3)
        frames += wire.take("smd")
        last = {frame["conid"]: frame["31"] for frame in frames}
        prices = world.books()["prices"]
        assert all(prices[str(conid)]["last"] == price for conid, price in last.items())
        await asyncio.sleep(0.5)
        assert wire.take("smd") == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_two_sockets_share_one_frame() -> None:
    world = make_world()
    wires = [Wire(world), Wire(world)]
    for wire in wires:
        wire.say('smd+265598+{"fields":["31"]}')
        wire.raw.clear()
    world.set_rate(100)
    world._tick(AAPL)
    assert wires[0].raw == wires[1].raw
    assert wires[0].raw[0] is wires[1].raw[0]


def test_net_liquidation_on_the_wire_is_the_books() -> None:
    world = make_world()
    world.pause(True)
    world.set_price(SPY, Decimal("700"))
    wire = Wire(world)
    (frame,) = wire.say(f'ssd+{ACCOUNT}+{{"keys":["NetLiquidation"]}}')
    told = Decimal(world.books()["summary"][ACCOUNT]["net_liquidation"])
    assert frame["result"][0]["monetaryValue"] == float(round(told, 2))


async def test_rate_mode_is_exact_with_options_and_position_fields() -> None:
    """Neither what follows an underlying nor account fields add frames or cost much."""
    world = make_world()
    world.set_positions(2_000)
    wire = Wire(world)
    option = next(c.conid for c in world.catalogue.derivatives(AAPL, "OPT"))
    for conid in (AAPL, option, SPY):
        wire.say(f'smd+{conid}+{{"fields":["31","73","75","76","78","7639"]}}')
    wire.raw.clear()
    world.set_rate(500)
    async with asyncio.timeout(20):
        task = asyncio.get_running_loop().create_task(world.run())
        await asyncio.sleep(0.1)
        wire.raw.clear()
        began = time.perf_counter()
        await asyncio.sleep(1)
        assert len(wire.raw) / (time.perf_counter() - began) == pytest.approx(500, rel=0.05)
        assert all("7639" not in frame for frame in wire.take("smd"))
        world.set_price(AAPL, 900)
        world.set_rate(0)
        world.clock.advance(1)
        await asyncio.sleep(0.8)
        assert any("7639" in frame for frame in wire.take("smd"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
