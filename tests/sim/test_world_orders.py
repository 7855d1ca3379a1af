"""Lives of orders in the world itself."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ibtui.sim.orders import COLOURS
from tests.sim.world_tools import AAPL, ACCOUNT, KO, Wire, make_world, new_order, pass_time


def states(frames: list[dict[str, Any]], order_id: int) -> list[str]:
    rows = [row for frame in frames for row in frame["args"] if row["orderId"] == order_id]
    return [row["status"] for row in rows if "status" in row]


def test_every_status_is_there_at_the_start() -> None:
    orders = make_world().orders_of(ACCOUNT)
    assert {order.status for order in orders} == set(COLOURS)
    rejected = next(order for order in orders if order.status == "Inactive")
    assert rejected.reason and "insufficient funds" in rejected.reason
    children = [order for order in orders if order.parent_id]
    assert len(children) == 2
    partial = next(order for order in orders if order.filled and order.remaining)
    assert partial.status == "Submitted"


def test_recorded_life_within_50_ms_then_filled_within_a_second() -> None:
    world = make_world()
    wire = Wire(world)
    wire.say("sor+{}")
    order = new_order(world, AAPL, "BUY", "120")
    world.matcher.submit(order)
    for _ in range(10):
        world.clock.advance(0.005)
        world.due()
    frames = wire.take("sor")
    assert states(frames, order.order_id) == ["Inactive", "PendingSubmit", "PreSubmitted", "Submitted"]
    assert len(frames[0]["args"][0]) > 20
    assert list(frames[1]["args"][0]) == ["acct", "conidex", "conid", "orderId", "isEventTrading"]
    pass_time(world, 1.0)
    frames = wire.take("sor")
    assert order.status == "Filled"
    assert order.filled == 120
    rows = [row for frame in frames for row in frame["args"] if row["orderId"] == order.order_id]
    assert [row["sizeAndFills"] for row in rows] == ["41/79", "82/38", "120"]
    assert rows[-1]["orderDesc"] == "Bought 120 Market, Day"


def test_limit_waits_until_the_market_comes() -> None:
    world = make_world()
    world.pause(True)
    price = world.market.quote(AAPL).price
    order = new_order(world, AAPL, "BUY", "10", "LMT", str(price - 2))
    world.matcher.submit(order)
    pass_time(world, 1)
    assert (order.status, order.filled) == ("Submitted", 0)
    world.set_price(AAPL, price - 3)
    pass_time(world, 0.4)
    assert order.status == "Filled"
    assert order.avg_price is not None and order.avg_price <= price - 2


@pytest.mark.parametrize(
    ("kind", "price", "aux"),
    [("STP", "5", None), ("STOP_LIMIT", "7", "5"), ("MIT", "-5", None), ("LIT", "-4", "-5")],
)
def test_triggers(kind: str, price: str, aux: str | None) -> None:
    world = make_world()
    world.pause(True)
    last = world.market.quote(KO).price
    order = new_order(world, KO, "BUY", "10", kind, str(last + Decimal(price)))
    order.aux_price = None if aux is None else last + Decimal(aux)
    world.matcher.submit(order)
    pass_time(world, 1)
    assert (order.status, order.triggered) == ("PreSubmitted", False)
    world.set_price(KO, last + (6 if kind.startswith("S") else -6))
    pass_time(world, 1)
    assert order.status == "Filled"


def test_trailing_stop_follows_up_and_sells() -> None:
    world = make_world()
    world.pause(True)
    last = world.market.quote(KO).price
    order = new_order(world, KO, "SELL", "10", "TRAIL", str(last - 2), trail=Decimal(2))
    world.matcher.submit(order)
    pass_time(world, 0.4)
    world.set_price(KO, last + 5)
    pass_time(world, 0.4)
    assert order.price == last + 3
    world.set_price(KO, last + Decimal("3.5"))
    pass_time(world, 0.4)
    assert (order.price, order.status) == (last + 3, "PreSubmitted")
    world.set_price(KO, last + 3)
    pass_time(world, 0.6)
    assert order.status == "Filled"


def test_bracket() -> None:
    world = make_world()
    world.pause(True)
    last = world.market.quote(AAPL).price
    parent = new_order(world, AAPL, "BUY", "50", "LMT", str(last - 5), ref="b")
    target = new_order(world, AAPL, "SELL", "50", "LMT", str(last + 5), parent_id=parent.order_id)
    guard = new_order(world, AAPL, "SELL", "50", "STP", str(last - 9), parent_id=parent.order_id)
    for order in (parent, target, guard):
        world.matcher.submit(order)
    pass_time(world, 1)
    assert [o.status for o in (parent, target, guard)] == ["Submitted", "PreSubmitted", "PreSubmitted"]
    world.set_price(AAPL, last - 6)
    pass_time(world, 1)
    assert [o.status for o in (parent, target, guard)] == ["Filled", "Submitted", "PreSubmitted"]
    world.set_price(AAPL, last + 6)
    pass_time(world, 1)
    assert [o.status for o in (parent, target, guard)] == ["Filled", "Filled", "Cancelled"]


def test_cancelling_a_parent_cancels_its_children() -> None:
    world = make_world()
    parent = next(order for order in world.orders_of(ACCOUNT) if order.ref == "br-7")
    wire = Wire(world)
    wire.say("sor+{}")
    world.matcher.cancel(parent)
    first = wire.take("sor")[0]["args"][0]
    assert first["status"] == "PendingCancel"
    assert first["order_ccp_status"] == "Submitted"
    assert "outsideRTH" not in first
    assert first["fgColor"] == "#FF64FF"
    pass_time(world, 0.2)
    family = [parent, *(order for order in world.orders_of(ACCOUNT) if order.parent_id == parent.order_id)]
    assert {order.status for order in family} == {"Cancelled"}
    assert len(family) == 3


def test_oca_members_die_together() -> None:
    world = make_world()
    world.pause(True)
    last = world.market.quote(AAPL).price
    low = new_order(world, AAPL, "BUY", "5", "LMT", str(last - 5), oca="g")
    high = new_order(world, AAPL, "SELL", "5", "LMT", str(last + 5), oca="g")
    for order in (low, high):
        world.matcher.submit(order)
    world.set_price(AAPL, last + 6)
    pass_time(world, 1)
    assert (low.status, high.status) == ("Cancelled", "Filled")


def test_too_expensive_order_ends_inactive_with_a_notice() -> None:
    world = make_world()
    wire = Wire(world)
    wire.say("sor+{}")
    order = new_order(world, AAPL, "BUY", "900000", "LMT", "190")
    world.matcher.submit(order)
    pass_time(world, 0.4)
    assert order.status == "Inactive"
    frames = wire.take()
    rows = [row for frame in frames for row in frame["args"] if row.get("orderId") == order.order_id]
    assert "insufficient funds" in rows[-1]["order_cancellation_by_system_reason"]
    assert [frame["topic"] for frame in frames].count("ntf") == 1


def test_immediate_or_cancel() -> None:
    world = make_world()
    world.pause(True)
    order = new_order(world, AAPL, "BUY", "5", "LMT", "150", tif="IOC")
    world.matcher.submit(order)
    pass_time(world, 0.4)
    assert order.status == "Cancelled"


@pytest.mark.parametrize("status", sorted(COLOURS))
def test_orders_from_elsewhere_in_any_status(status: str) -> None:
    world = make_world()
    wire = Wire(world)
    wire.say("sor+{}")
    row = world.add_order({"symbol": "KO", "side": "SELL", "quantity": 30, "price": 90, "status": status})
    assert row["status"] == status
    assert wire.take("sor")[-1]["args"] == [row]
    pass_time(world, 2)
    assert world.orders[row["orderId"]].status == status


def test_orders_from_elsewhere_are_booked() -> None:
    world = make_world()
    held = world.book(ACCOUNT).positions[KO].quantity
    row = world.add_order({"conid": KO, "quantity": 30, "price": 60, "filled": 10, "avgPrice": 61.5})
    assert row["sizeAndFills"] == "10/20"
    assert world.book(ACCOUNT).positions[KO].quantity == held + 10
    world.add_order({"orderId": row["orderId"], "status": "Filled", "avgPrice": 60})
    assert world.book(ACCOUNT).positions[KO].quantity == held + 30
    with pytest.raises(ValueError, match="unknown status"):
        world.add_order({"conid": KO, "status": "Rejected"})
    with pytest.raises(ValueError, match="numbers"):
        world.add_order({"conid": KO, "quantity": "many"})
    with pytest.raises(ValueError, match="unknown contract"):
        world.add_order({"conid": 1})


def test_finished_orders_leave_the_list_after_a_day() -> None:
    world = make_world()
    world.clock.advance(86_400)
    left = world.orders_of(ACCOUNT)
    assert left
    assert all(order.working for order in left)
