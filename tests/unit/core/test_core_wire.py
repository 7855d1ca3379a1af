"""Frames: every one of web-api.md §7 becomes its event, and garbage never raises."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibtui.core.wire import decode as wire
from ibtui.core.wire import frames
from ibtui.errors import UsageError

steady = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

SMD = (
    b'{"server_id":"q0","conidEx":"265598","conid":265598,"_updated":1777041130123,"6119":"q0",'
    b'"31":"C193.18","83":-0.73,"6008":265598,"84":"193.06","topic":"smd+265598"}'
)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda raw: raw.decode()])
def test_market_data_binary_and_text(kind: type) -> None:
    event = wire.decode(kind(SMD))
    assert event == wire.MarketData(
        265598, {"31": "C193.18", "83": "-0.73", "6008": "265598", "84": "193.06"}, 1777041130123
    )
    assert wire.event(wire.parse(kind(SMD))) == event


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"topic":"smd+1"}', wire.Unknown("smd+1", {})),
        ('{"topic":"smd+1","conid":"1","31":"2"}', wire.MarketData(1, {"31": "2"}, 0)),
        ('{"topic":"sor","args":[{"orderId":1}]}', wire.OrderRows([{"orderId": 1}])),
        ('{"topic":"sor","args":{"orderId":1}}', wire.OrderRows([{"orderId": 1}])),
        ('{"topic":"sor"}', wire.OrderRows([])),
        ('{"topic":"str","args":[]}', wire.ExecutionRows([])),
        ('{"topic":"spl","args":{"A.Core":{"dpl":-1.50}}}', wire.PnlRows({"A.Core": {"dpl": "-1.50"}})),
        ('{"topic":"ssd+DU1","result":[{"key":"a"}]}', wire.SummaryRows("DU1", [{"key": "a"}])),
        ('{"topic":"sld+DU1","result":[{"key":"a"}]}', wire.LedgerRows("DU1", [{"key": "a"}])),
        ('{"topic":"smh+1","data":[]}', wire.HistoryBars("smh+1", {"data": []})),
        ('{"topic":"sbd+DU1+1","data":[{"row":0}]}', wire.Depth("sbd+DU1+1", [{"row": 0}])),
        ('{"topic":"act","args":{"accounts":["A"]}}', wire.AccountsFrame({"accounts": ["A"]})),
        ('{"topic":"sts","args":{"authenticated":false}}', wire.StatusPart({"authenticated": False})),
        ('{"topic":"system","success":"demo123","isPaper":true}', wire.Welcome("demo123", True)),
        ('{"topic":"system","hb":1777041130123}', wire.Heartbeat(1777041130123)),
        ('{"topic":"system"}', wire.Unknown("system", {})),
        ("ech+hb", wire.Heartbeat(0)),
        ('{"message":"waiting for session"}', wire.WaitingForSession()),
        ('{"message":"Unsubscribed 20477"}', wire.Unsubscribed("Unsubscribed 20477")),
        ('{"result":"unsubscribed from summary"}', wire.Unsubscribed("unsubscribed from summary")),
        (
            '{"topic":"usd+DU1","result":"unsubscribed from summary"}',
            wire.Unsubscribed("unsubscribed from summary"),
        ),
        (
            '{"error":"unable to subscribe","code":500,"topic":"sor"}',
            wire.Failure("sor", "unable to subscribe", 500),
        ),
        ('{"error":"No accounts","topic":"smd"}', wire.Failure("smd", "No accounts", None)),
        ('{"topic":"error","args":"bad"}', wire.Failure("", "bad", None)),
        ('{"topic":"new","x":1}', wire.Unknown("new", {"x": 1})),
        ('{"topic":5}', wire.Unknown("5", {})),
        ("[1]", wire.Unknown("", {"value": [1]})),
        ("{}", wire.Unknown("", {})),
        ("hello", wire.Garbage("hello")),
        ("", wire.Garbage("")),
    ],
)
def test_each_frame(text: str, expected: wire.Event) -> None:
    assert wire.decode(text) == expected
    assert wire.decode(text.encode()) == expected


def test_tic_keeps_the_session_secret() -> None:
    event = wire.decode(
        '{"topic":"tic","alive":true,"id":"4be07c51d9a2463f8e1b6f0a97c3d25e","lastAccessed":1}'
    )
    assert isinstance(event, wire.Tic) and event.alive
    assert event.session is not None and event.session.reveal().startswith("4be0")
    assert "4be0" not in repr(event)


def test_notices() -> None:
    text = (
        '{"topic":"ntf","args":[{"id":"118","text":"Order &quot;1&quot;","title":null,"url":null},'
        '{"orderId":1,"reqId":"2","text":"Sure?","options":["Yes"],"prompt":true,"messageId":"p12"}]}'
    )
    event = wire.decode(text)
    assert isinstance(event, wire.Notices)
    assert [(item.id, item.text, item.prompt) for item in event.items] == [
        ("118", 'Order "1"', False),
        ("p12", "Sure?", True),
    ]
    single = wire.decode('{"topic":"blt","args":{"id":4711,"message":"closed"}}')
    assert isinstance(single, wire.Notices) and single.items[0].text == "closed"
    assert single.items[0].id == "4711"


def test_failures_are_redacted() -> None:
    event = wire.decode('{"error":"Topic unknown {\\"session\\":\\"4be07c51d9a2463f8e1b6f0a97c3d25e\\"}"}')
    assert "4be07c51" not in repr(event)


@steady
@given(st.binary(max_size=60))
def test_bytes_never_raise(raw: bytes) -> None:
    wire.decode(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
topics = st.sampled_from(
    [
        "smd+1",
        "sor",
        "str",
        "spl",
        "ssd+A",
        "sld+A",
        "smh+1",
        "sbd+A+1",
        "act",
        "sts",
        "ntf",
        "blt",
        "system",
        "tic",
        "error",
        "usd",
        "uld",
        "x",
        "ech+hb",
    ]
)


@steady
@given(
    topics,
    st.dictionaries(
        st.sampled_from(
            [
                "args",
                "result",
                "data",
                "conid",
                "_updated",
                "error",
                "code",
                "hb",
                "success",
                "id",
                "message",
                "31",
            ]
        ),
        json_values,
    ),
)
def test_known_topics_with_odd_members_never_raise(topic: str, members: dict[str, object]) -> None:
    from ibtui.core.store import Store

    event = wire.decode(json.dumps({**members, "topic": topic}))
    Store().apply(event)


def test_frames() -> None:
    assert frames.market_data(265598, ["31", "84"]) == 'smd+265598+{"fields":["31","84"]}'
    assert frames.orders() == "sor+{}"
    assert frames.pnl() == "spl+{}"
    assert frames.trades(days=2) == 'str+{"realtimeUpdatesOnly":false,"days":2}'
    assert frames.summary("DU1") == "ssd+DU1+{}"
    assert frames.ledger("DU1") == "sld+DU1+{}"
    assert frames.unsubscribe("smd", 265598) == "umd+265598+{}"
    assert frames.session("abc") == '{"session":"abc"}'


@pytest.mark.parametrize(
    ("frame", "opposite"),
    [
        ('smd+265598+{"fields":["31"]}', "umd+265598+{}"),
        ("sor+{}", "uor+{}"),
        ('ssd+DU1+{"keys":[]}', "usd+DU1+{}"),
        ("sbd+DU1+265598", "ubd+DU1"),
        ("spl", "upl+{}"),
        ('smh+1+{"bar":"1d"}', None),
        ("tic", None),
        ("hello", None),
    ],
)
def test_opposites(frame: str, opposite: str | None) -> None:
    assert frames.opposite(frame) == opposite


@pytest.mark.parametrize("topic", ["umd", "smd1", "", "system"])
def test_no_topics(topic: str) -> None:
    with pytest.raises(UsageError):
        frames.subscribe(topic)


@pytest.mark.parametrize("target", ["", "a+b", "a\nb"])
def test_no_targets(target: str) -> None:
    with pytest.raises(UsageError):
        frames.subscribe("smd", target)
