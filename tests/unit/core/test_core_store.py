"""Store: snapshots, deltas, merges, and what a gap had swallowed."""

from __future__ import annotations

import json
from typing import Any

from ibtui.clock import FakeClock
from ibtui.core.endpoints import orders, portfolio
from ibtui.core.feed import Change, Hub
from ibtui.core.models import Accounts, Order, Quote
from ibtui.core.store import Missed, Store
from ibtui.core.wire import decode as wire

FULL = {
    "acct": "DU1",
    "account": "DU1",
    "conid": 265598,
    "orderId": 1834567001,
    "orderDesc": "Buy 10 Limit 185.00, Day",
    "ticker": "AAPL",
    "remainingQuantity": 10.0,
    "filledQuantity": 0.0,
    "totalSize": 10.0,
    "status": "Inactive",
    "price": "185.00",
    "side": "BUY",
    "bgColor": "#000000",
}
EXECUTION = {
    "execution_id": "e.01",
    "account": "DU1",
    "conid": 265598,
    "side": "B",
    "size": 2.0,
    "price": "1.5",
}


def tell(store: Store, topic: str, **members: Any) -> list[Change]:
    return store.apply(wire.decode(json.dumps({"topic": topic, **members})))


def sor(store: Store, *rows: dict[str, Any]) -> list[Change]:
    return tell(store, "sor", args=list(rows))


def position(conid: int = 265598, account: str = "DU1", **more: Any) -> dict[str, Any]:
    row = {"acctId": account, "conid": conid, "contractDesc": "AAPL", "position": "10.0", "mktPrice": "1.0"}
    return {**row, **more}


def with_positions(*rows: dict[str, Any]) -> Store:
    store = Store(FakeClock())
    store.replace_positions("DU1", portfolio.read_positions([*rows] or [position()]))
    return store


def test_another_user_finds_nothing_of_the_last_one() -> None:
    store = with_positions()
    sor(store, FULL)
    changes = store.clear()
    assert {change.kind for change in changes} >= {"accounts", "position", "order", "pnl"}
    assert not store.accounts and not store.positions and not store.orders and not store.loaded
    assert not tell(store, "spl", args={}) and not store.updated.get("position")


def test_life_of_an_order() -> None:
    store = Store(FakeClock())
    (change,) = sor(store, FULL)
    assert (change.kind, change.key, change.keep) == ("order", "1834567001", False)
    assert sor(store, {"acct": "DU1", "conid": 265598, "orderId": 1834567001}) == []
    (change,) = sor(
        store, {"acct": "DU1", "orderId": 1834567001, "status": "Submitted", "bgColor": "#111111"}
    )
    assert change.fields == {"status", "extra"}
    delta = {"orderId": 1834567001, "filledQuantity": 3.0, "remainingQuantity": 7.0, "avgPrice": "184.99"}
    (change,) = sor(store, delta)
    assert change.fields == {"filled", "remaining", "avg_price"}
    order = store.orders[1834567001]
    assert (order.status, order.filled, order.remaining, order.price) == ("Submitted", "3.0", "7.0", "185.00")
    assert order.extra["bgColor"] == "#111111"
    assert order.account == "DU1" and order.ticker == "AAPL"


def test_several_deltas_in_one_frame_apply_in_order() -> None:
    store = Store(FakeClock())
    sor(
        store,
        FULL,
        {"orderId": 1834567001, "status": "PendingSubmit"},
        {"orderId": 1834567001, "status": "Filled"},
    )
    assert store.orders[1834567001].status == "Filled"


def test_unknown_order_wants_a_reading() -> None:
    store = Store(FakeClock())
    assert sor(store, {"orderId": 7, "status": "Submitted"}) == []
    assert store.unknown_orders == {7} and not store.orders
    store.replace_orders([])
    assert store.unknown_orders == set()


def test_rejection_is_kept() -> None:
    store = Store(FakeClock())
    sor(store, FULL)
    (change,) = sor(store, {"orderId": 1834567001, "order_cancellation_by_system_reason": "no margin"})
    assert change.keep and store.orders[1834567001].reason == "no margin"
    (change,) = sor(store, {"orderId": 1834567001, "price": "1"})
    assert not change.keep


def test_rejections_of_the_first_snapshot_are_no_news() -> None:
    store = Store(FakeClock())
    refused = Order(order_id=1, status="Inactive", reason="no margin")
    assert [change.keep for change in store.replace_orders([refused])] == [False]
    other = Order(order_id=2, status="Inactive", reason="no margin")
    assert [change.keep for change in store.replace_orders([refused, other])] == [True]


def test_an_older_snapshot_does_not_undo_the_stream() -> None:
    clock = FakeClock()
    store = Store(clock)
    asked = clock.monotonic()
    clock.advance(1)
    sor(store, {**FULL, "status": "Filled"})
    store.replace_orders([Order(order_id=1834567001, status="Submitted")], asked)
    assert store.orders[1834567001].status == "Filled"
    store.replace_orders([], clock.monotonic() + 1)
    assert not store.orders


def test_replacing_orders_tells_what_differs() -> None:
    store = Store(FakeClock())
    first = orders.read_orders({"orders": [FULL, {**FULL, "orderId": 2}]})
    assert {change.key for change in store.replace_orders(first)} == {"1834567001", "2"}
    assert store.replace_orders(first) == []
    assert store.replace_orders(first[:1]) == [Change("order", "*")]
    assert "order" in store.loaded


def test_old_executions_of_a_first_snapshot_are_no_news() -> None:
    store = Store(FakeClock())
    now_ms = int(FakeClock().now().timestamp() * 1000)
    rows = [
        {**EXECUTION, "trade_time_r": now_ms - 3_600_000},
        {**EXECUTION, "execution_id": "n", "trade_time_r": now_ms},
    ]
    assert [change.keep for change in store.replace_executions(orders.read_executions(rows))] == [False, True]
    (change,) = tell(store, "str", args=[{**rows[0], "execution_id": "late"}])
    assert change.keep


def test_executions_come_twice() -> None:
    store = Store(FakeClock())
    store.replace_executions([])
    (change,) = tell(store, "str", args=[EXECUTION])
    assert change.keep and change.kind == "execution"
    (change,) = tell(store, "str", args=[{**EXECUTION, "commission": "1.0", "new": 1}])
    assert not change.keep and change.fields == {"commission", "extra"}
    assert tell(store, "str", args=[EXECUTION]) == []
    assert store.executions["e.01"].commission == "1.0"
    assert tell(store, "str", args=[]) == []


def test_reconcile_counts_what_was_missed() -> None:
    store = Store(FakeClock())
    store.replace_executions([])
    sor(store, {**FULL, "status": "Submitted"})
    done = orders.read_orders([{**FULL, "status": "Filled"}])
    fills = orders.read_executions([EXECUTION, {**EXECUTION, "execution_id": "e.02"}])
    changes, missed = store.reconcile(done, fills)
    assert missed == Missed(fills=2, statuses=1)
    assert missed.text == "2 fills, 1 status change missed"
    assert sum(change.keep for change in changes) == 2
    changes, missed = store.reconcile(done, fills)
    assert not changes and not missed and missed.text == "nothing missed"


def test_market_data_reaches_quote_and_position() -> None:
    store = with_positions()
    fields = {"31": "2.5", "73": "25.0", "75": "15.0", "78": "-1.0", "79": "0.5", "84": "2.4"}
    changes = tell(store, "smd+265598", conid=265598, _updated=5, **fields)
    assert [(change.kind, change.key) for change in changes] == [
        ("quote", "265598"),
        ("position", "DU1:265598"),
    ]
    assert changes[0].fields == set(fields)
    found = store.positions["DU1:265598"]
    assert (found.market_price, found.market_value, found.unrealized_pnl) == ("2.5", "25.0", "15.0")
    assert (found.daily_pnl, found.realized_pnl) == ("-1.0", "0.5")
    quote = store.quotes[265598]
    tell(store, "smd+265598", conid=265598, _updated=6, **{"84": "2.6"})
    assert store.quotes[265598].fields == {**fields, "84": "2.6"}
    assert quote.get("84") == "2.4", "an old quote must not change under its reader"
    assert store.quotes[265598].updated_ms == 6


def test_amounts_of_a_contract_in_two_accounts_are_nobodys() -> None:
    store = with_positions()
    store.replace_positions("DU2", portfolio.read_positions([position(account="DU2")]))
    tell(store, "smd+265598", conid=265598, **{"31": "3", "78": "9"})
    assert {found.market_price for found in store.positions.values()} == {"3"}
    assert {found.daily_pnl for found in store.positions.values()} == {None}


def test_market_data_without_position_or_content() -> None:
    store = Store(FakeClock())
    assert tell(store, "smd+1", conid=1) == []
    (change,) = tell(store, "smd+1", conid=1, **{"31": "1"})
    assert change.kind == "quote"
    store.replace_positions("DU1", portfolio.read_positions([position(1)]))
    assert len(tell(store, "smd+1", conid=1, **{"31": "1"})) == 2


def test_a_new_position_learns_what_the_stream_has_told_already() -> None:
    store = Store(FakeClock())
    tell(store, "smd+265598", conid=265598, **{"31": "2.5", "73": "", "78": "-1"})
    store.replace_positions("DU1", portfolio.read_positions([position(mktValue="10")]))
    found = store.positions["DU1:265598"]
    assert (found.daily_pnl, found.market_price, found.market_value) == ("-1", "2.5", "10")


def test_replacing_positions_keeps_what_only_the_stream_tells() -> None:
    store = with_positions()
    tell(store, "smd+265598", conid=265598, **{"31": "2.5", "73": "25", "78": "-1"})
    same = portfolio.read_positions([position(mktValue="10")])
    store.replace_positions("DU1", same)
    found = store.positions["DU1:265598"]
    assert (found.daily_pnl, found.market_price, found.market_value) == ("-1", "2.5", "25")
    store.replace_positions("DU1", portfolio.read_positions([position(position="20.0", mktValue="20")]))
    found = store.positions["DU1:265598"]
    assert (found.daily_pnl, found.market_value, found.position) == ("-1", "20", "20.0")


def test_replacing_positions_of_one_account_leaves_the_others() -> None:
    store = with_positions(position(1), position(2))
    store.replace_positions("DU2", portfolio.read_positions([position(3, "DU2")]))
    changes = store.replace_positions("DU1", portfolio.read_positions([position(2)]))
    assert changes == [Change("position", "*")]
    assert set(store.positions) == {"DU1:2", "DU2:3"}
    (change,) = store.replace_positions("DU1", portfolio.read_positions([position(2, mktPrice="9")]))
    assert change == Change("position", "DU1:2", frozenset({"market_price"}))


def test_pnl_merges() -> None:
    store = Store(FakeClock())
    store.replace_pnl({})
    assert "pnl" in store.loaded and not store.pnl
    tell(store, "spl", args={"DU1.Core": {"rowType": 1, "dpl": -58.28, "nl": 102.0, "upl": ""}})
    (change,) = tell(store, "spl", args={"DU1.Core": {"dpl": 1.0}, "DU1.MODEL": {"dpl": 9}})
    assert "daily" in change.fields and "net_liquidity" not in change.fields
    assert (store.pnl["DU1"].daily, store.pnl["DU1"].net_liquidity) == ("1.0", "102.0")
    assert store.pnl["DU1"].updated_ms > 0
    assert tell(store, "spl", args={}) == []


def test_summary_rows_merge_and_blank_ones_change_nothing() -> None:
    store = Store(FakeClock())
    rows = portfolio.read_summary(
        {
            "netliquidation": {"amount": "5.0", "currency": "USD", "value": None, "timestamp": 1777041130000},
            "cushion": {"amount": "0.0", "currency": None, "value": "0.985", "timestamp": 1777041130000},
        }
    )
    assert store.replace_summary("DU1", rows) == [
        Change("summary", "DU1", frozenset({"netliquidation", "cushion"}))
    ]
    assert store.replace_summary("DU1", rows) == []
    frame = [
        {"key": "NetLiquidation", "currency": "USD", "monetaryValue": 6.0, "timestamp": 1777041140},
        {"key": "Cushion", "timestamp": 1777041140},
        {"key": "Leverage-S", "value": "0.04"},
    ]
    (change,) = tell(store, "ssd+DU1", result=frame)
    assert change.fields == {"netliquidation", "leverage-s"}
    assert store.summary["DU1"]["netliquidation"].amount == "6.0"
    assert store.summary["DU1"]["cushion"].value == "0.985"
    (change,) = store.replace_summary("DU1", rows)
    assert change.fields == {"netliquidation", "leverage-s"}


def test_ledger_rows_merge() -> None:
    store = Store(FakeClock())
    store.replace_ledger("DU1", portfolio.read_ledger({"USD": {"cashbalance": 1.0, "exchangerate": 1}}))
    frame = [
        {"key": "LedgerListUSD", "secondKey": "USD", "settledCash": 2.0, "timestamp": 1},
        {"key": "LedgerListEUR", "timestamp": 1},
        {"key": "LedgerListBASE", "cashbalance": 9.718696e5},
    ]
    (change,) = tell(store, "sld+DU1", result=frame)
    assert change.fields == {"USD", "BASE"}
    assert (store.ledger["DU1"]["USD"].cash, store.ledger["DU1"]["USD"].settled_cash) == ("1.0", "2.0")
    assert store.ledger["DU1"]["USD"].exchange_rate == "1"
    assert "EUR" not in store.ledger["DU1"]


def test_a_position_is_live_while_the_stream_tells_of_it() -> None:
    store = with_positions(position(), position(conid=8314))
    apple, ibm = store.positions["DU1:265598"], store.positions["DU1:8314"]
    store.merge_quotes([Quote(8314, {"31": "2"})])
    assert not store.is_live(apple) and not store.is_live(ibm), "a snapshot is not the stream"
    live = Change("position", apple.key, frozenset({"live"}))
    assert live in tell(store, "smd+265598", conid=265598, **{"84": "1.0"})
    assert store.is_live(apple) and not store.is_live(ibm)
    assert live not in tell(store, "smd+265598", conid=265598, **{"84": "1.5"})
    assert store.silenced(265598) == [live] and store.silenced(265598) == []
    assert not store.is_live(apple)
    tell(store, "smd+8314", conid=8314, **{"31": "3"})
    assert store.new_socket() == [Change("position", "*", frozenset({"live"}))]
    assert not store.is_live(ibm) and store.new_socket() == []


def test_status_parts_merge() -> None:
    store = Store(FakeClock())
    assert tell(store, "sts", args={"authenticated": True, "connected": True, "competing": False})
    assert store.auth.ready
    (change,) = tell(store, "sts", args={"competing": "true"})
    assert change == Change("status", "brokerage", frozenset({"competing"}))
    assert store.auth.competing and store.auth.authenticated
    assert tell(store, "sts", args={"message": ""}) == []
    store.new_socket()
    tell(store, "sts", args={"authenticated": True})
    assert not store.auth.competing


def test_accounts() -> None:
    store = Store(FakeClock())
    found = Accounts(ids=("DU1", "DU2"), selected="DU2", aliases={"DU1": "one"})
    assert store.replace_brokerage_accounts(found) == [Change("accounts", "*")]
    assert [account.id for account in store.accounts] == ["DU1", "DU2"] and store.selected == "DU2"
    assert store.replace_brokerage_accounts(found) == []
    assert store.select("DU1") and store.selected == "DU1" and not store.select("DU1")
    assert tell(store, "act", args={"accounts": ["DU1"], "selectedAccount": "DU2"}) == [
        Change("accounts", "*")
    ]


def test_ages_and_events_that_say_nothing() -> None:
    clock = FakeClock()
    store = Store(clock)
    clock.advance(7)
    sor(store, FULL)
    assert store.updated["order"] == 7.0
    assert store.apply(wire.Heartbeat(1)) == []
    assert store.apply(wire.Garbage("x")) == []


def test_a_shared_change_survives_a_slow_feed() -> None:
    store, hub = with_positions(), Hub()
    feed = hub.subscribe()
    for price in ("1", "2", "3"):
        hub.publish(tell(store, "smd+265598", conid=265598, **{"31": price}))
    hub.publish(tell(store, "smd+265598", conid=265598, **{"84": "1"}))
    changes = {change.kind: change for change in feed.drain()}
    assert changes["quote"].fields == {"31", "84"} and changes["position"].fields == {"market_price"}
    assert len(tell(store, "smd+265598", conid=265598, **{"31": "4"})) == 2
