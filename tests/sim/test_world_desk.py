"""Placing, asking, modifying and cancelling through the real server (web-api.md §4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sim.test_world_rest import Api, api, armed
from tests.sim.world_tools import AAPL, ACCOUNT, ES

__all__ = ["api"]
ORDERS = f"/iserver/account/{ACCOUNT}/orders"
NAMES = {"o163", "o354", "o382", "o383", "o403", "o451", "o10151", "o10152", "o10153"}


@pytest.fixture
async def desk(api: Api) -> AsyncIterator[Api]:
    api.sim.world.pace = 0.01
    api.sim.world.set_price(AAPL, 190)
    yield await armed(api)


def ticket(**changes: Any) -> dict[str, Any]:
    base = {
        "acctId": ACCOUNT, "conid": AAPL, "orderType": "LMT", "price": 189.5, "side": "BUY", "tif": "DAY",
        "quantity": 10,
    }  # fmt: skip
    return {name: value for name, value in (base | changes).items() if value is not None}


async def place(api: Api, *tickets: dict[str, Any]) -> Any:
    return await api.post(ORDERS, {"orders": list(tickets)})


async def yes(api: Api, body: Any) -> tuple[Any, list[str]]:
    """Confirm every question; the outcome and what was asked."""
    asked = []
    while isinstance(body, list) and "id" in body[0]:
        asked += body[0]["messageIds"]
        body = await api.post(f"/iserver/reply/{body[0]['id']}", {"confirmed": True})
    return body, asked


async def order_row(api: Api, order_id: Any) -> dict[str, Any]:
    await api.get("/iserver/account/orders")
    rows = (await api.get("/iserver/account/orders"))["orders"]
    return next(row for row in rows if row["orderId"] == int(order_id))


async def test_plain_limit_is_accepted(desk: Api) -> None:
    (done,) = await place(desk, ticket(cOID="cli-9"))
    assert type(done["order_id"]) is str
    assert done["local_order_id"] == "cli-9"
    assert done["order_status"] in ("PreSubmitted", "Submitted")
    row = await order_row(desk, done["order_id"])
    assert (row["orderId"], row["price"], row["timeInForce"]) == (int(done["order_id"]), "189.50", "CLOSE")
    assert (row["sizeAndFills"], row["order_ref"], row["side"]) == ("0/10", "cli-9", "BUY")
    status = await desk.get(f"/iserver/account/order/status/{done['order_id']}")
    assert (status["side"], status["tif"], status["order_ccp_status"]) == ("B", "DAY", "0")
    assert (status["bg_color"], status["fg_color"]) == (row["fgColor"], row["bgColor"])
    again = await place(desk, ticket(cOID="cli-9"))
    assert again == {"error": "Order couldn't be submitted: Local order ID=cli-9 is already registered."}
    assert desk.status == 200


async def test_market_order_fills_and_moves_the_books(desk: Api) -> None:
    before = desk.sim.world.books()
    body, asked = await yes(desk, await place(desk, ticket(orderType="MKT", price=None, quantity=60)))
    assert asked == ["o10151"]
    await asyncio.sleep(1.1)
    row = await order_row(desk, body[0]["order_id"])
    assert (row["status"], row["price"], row["orderDesc"]) == ("Filled", "", "Bought 60 Market, Day")
    after = desk.sim.world.books()
    fills = after["executions"][len(before["executions"]) :]
    assert sum(float(fill["quantity"]) for fill in fills) == 60
    spent = sum(float(f["quantity"]) * float(f["price"]) + float(f["commission"]) for f in fills)
    moved = float(before["cash"][ACCOUNT]["USD"]) - float(after["cash"][ACCOUNT]["USD"])
    assert moved == pytest.approx(spent, abs=0.001)
    await desk.get("/iserver/account/trades")
    trades = await desk.get("/iserver/account/trades")
    assert sum(t["size"] for t in trades if t["order_id"] == int(body[0]["order_id"])) == 60


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"price": 150}, ["o163"]),
        ({"quantity": 501}, ["o383"]),
        ({"quantity": 600}, ["o383", "o451"]),
        ({"price": 189.505}, ["o382"]),
        ({"orderType": "STP", "price": 195}, ["o10152"]),
        ({"orderType": "STP", "price": 185}, ["o403", "o10152"]),
        ({"conid": 117589399, "price": 600}, ["o163", "o354", "o10153"]),
        ({"conid": ES, "orderType": "MKT", "price": None, "quantity": 1, "manualIndicator": True},
         ["o10151", "o10153"]),
    ],
)  # fmt: skip
async def test_questions(desk: Api, changes: dict[str, Any], asked: list[str]) -> None:
    body, heard = await yes(desk, await place(desk, ticket(**changes)))
    assert heard == asked
    assert body[0]["order_status"] != "Inactive"


async def test_question_shapes_and_a_no(desk: Api) -> None:
    (question,) = await place(desk, ticket(price=150))
    assert list(question) == ["id", "message", "isSuppressed", "messageIds", "messageOptions"]
    assert '"BUY 10 AAPL NASDAQ.NMS @ 150.00" price exceeds \n' in question["message"][0]
    declined = await desk.post(f"/iserver/reply/{question['id']}", {"confirmed": False})
    assert declined == {"error": "Order not confirmed "}
    assert desk.status == 200
    gone = await desk.post(f"/iserver/reply/{question['id']}", {"confirmed": True})
    assert gone == {"error": f"reply id not found: '{question['id']}'"}


async def test_a_new_order_kills_the_open_question(desk: Api) -> None:
    (question,) = await place(desk, ticket(price=150, cOID="left-behind"))
    await place(desk, ticket())
    body = await desk.post(f"/iserver/reply/{question['id']}", {"confirmed": True})
    assert (desk.status, body) == (503, {"error": "Service Unavailable", "statusCode": 503})
    refs = {order["ref"] for order in desk.sim.world.books()["orders"]}
    assert "left-behind" not in refs


async def test_time_kills_a_question(desk: Api) -> None:
    (question,) = await place(desk, ticket(price=150))
    desk.sim.clock.advance(61)
    await desk.post(f"/iserver/reply/{question['id']}", {"confirmed": True})
    assert desk.status == 503


async def test_abandoned_order_goes_live_where_the_quirk_is_on(desk: Api) -> None:
    desk.sim.quirks.abandoned_orders_live = True
    await place(desk, ticket(price=150, cOID="ghost"))
    await yes(desk, await place(desk, ticket(price=151, cOID="wanted")))
    refs = {order["ref"] for order in desk.sim.world.books()["orders"]}
    assert {"ghost", "wanted"} <= refs


async def test_suppression(desk: Api) -> None:
    done = {"status": "submitted"}
    assert await desk.post("/iserver/questions/suppress", {"messageIds": ["o163", "zzz"]}) == done
    (accepted,) = await place(desk, ticket(price=150))
    assert "order_id" in accepted
    assert await desk.post("/iserver/questions/suppress/reset") == done
    assert "id" in (await place(desk, ticket(price=150)))[0]
    await desk.post("/iserver/questions/suppress", {"messageIds": []})
    assert desk.status == 500


async def test_scripted_questions_and_the_server_prompt(desk: Api) -> None:
    desk.sim.quirks.questions = ["o403", "o163"]
    _, asked = await yes(desk, await place(desk, ticket()))
    assert asked == ["o403", "o163"]
    desk.sim.quirks.questions = ["p12"]
    prompt = await place(desk, ticket(cOID="prompted"))
    assert prompt["prompt"] is True and prompt["options"] == ["Yes", "No", "Cancel"]
    answer = {"orderId": prompt["orderId"], "reqId": prompt["reqId"], "text": "Yes"}
    assert await desk.post("/iserver/notification", answer) == "Success"
    assert "prompted" in {order["ref"] for order in desk.sim.world.books()["orders"]}


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"side": "HOLD"}, 400, "Invalid Side (must be 'BUY' or 'SELL')."),
        ({"orderType": "STP_LMT"}, 400, "Unknown order type"),
        ({"conid": None}, 400, "conid or conidex is required"),
        ({"price": float("nan")}, 400, "orders request includes parameter with incorrect type"),
        ({"quantity": 1e30}, 500, "is not valid. Please enter size"),
        ({"conid": 11004968}, 200, "cannot be traded"),
        ({"quantity": "10"}, 400, "orders request includes parameter with incorrect type"),
        ({"price": None}, 200, "Invalid order price fields"),
        ({"orderType": "MKT"}, 200, "Invalid order price fields"),
        ({"orderType": "STOP_LIMIT"}, 200, "Invalid order price fields"),
        ({"tif": None}, 200, "null time in force is not supported for this order"),
        ({"tif": "FOREVER"}, 200, "null time in force is not supported for this order"),
        ({"conid": 1}, 200, "no sec defs returned forSecDef reqId=resolve ecReqByConid"),
        ({"price": 260}, 200, "We cannot accept an order at the limit price you selected."),
        ({"side": "SELL", "price": 100}, 200, "closer to the current market price of 190.00."),
        ({"orderType": "MOC", "price": None, "tif": "IOC"}, 200, "Invalid time-in-force for at-the-closing"),
        ({"quantity": 0}, 500, "Order size 0 is not valid."),
        ({"acctId": "DU0000001"}, 500, "not allowed"),
        ({"conid": ES, "price": 6400}, 500, "manualIndicator"),
        ({"parentId": "nobody"}, 200, "parent order nobody is not found"),
    ],
)
async def test_refusals(desk: Api, changes: dict[str, Any], status: int, text: str) -> None:
    body = await place(desk, ticket(**changes))
    assert desk.status == status
    assert text in body["error"]


async def test_bad_json(desk: Api) -> None:
    reply = await desk.client.post(ORDERS, content=b"{nonsense", headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("Failed to parse body as JSON.")


async def test_bracket_replies_children_first(desk: Api) -> None:
    parent = ticket(cOID="br-9", quantity=50, tif="GTC")
    target = ticket(parentId="br-9", side="SELL", price=195.0, quantity=50, tif="GTC")
    guard = ticket(parentId="br-9", side="SELL", orderType="STP", price=180.0, quantity=50, tif="GTC")
    body, asked = await yes(desk, await place(desk, parent, target, guard))
    assert asked == ["o10152"]
    assert len(body) == 3
    father = next(row for row in body if row.get("local_order_id") == "br-9")
    assert all(row["parent_order_id"] == father["order_id"] for row in body if row is not father)
    row = await order_row(desk, body[0]["order_id"])
    assert (row["status"], row["parentId"]) == ("PreSubmitted", int(father["order_id"]))
    failed, _ = await yes(
        desk, await place(desk, {**parent, "cOID": "br-10"}, {**target, "parentId": "br-10", "price": 1.0})
    )
    assert {one["order_id"] for one in failed if one["order_status"] == "Failed"} == {"-1"}
    assert next(one for one in failed if one.get("local_order_id"))["order_status"] == "Inactive"
    assert "error" in await place(desk, ticket(), ticket())


async def test_modify_and_cancel(desk: Api) -> None:
    (done,) = await place(desk, ticket())
    path = f"/iserver/account/{ACCOUNT}/order/{done['order_id']}"
    (changed,) = await desk.post(path, ticket(price=189.0, quantity=20))
    assert changed["order_id"] == done["order_id"]
    row = await order_row(desk, done["order_id"])
    assert (row["price"], row["totalSize"], row["orderDesc"]) == ("189.00", 20.0, "Buy 20 Limit 189.00, Day")
    question = await desk.post(path, ticket(price=150))
    assert question[0]["messageIds"] == ["o163"]
    reply = await desk.call("DELETE", path)
    assert reply == {
        "msg": "Request was submitted", "order_id": int(done["order_id"]), "conid": AAPL, "account": ACCOUNT,
    }  # fmt: skip
    await asyncio.sleep(0.15)
    assert (await order_row(desk, done["order_id"]))["status"] == "Cancelled"
    assert "inactive" in (await desk.call("DELETE", path))["error"]
    assert "inactive" in (await desk.post(path, ticket()))["error"]
    for method in ("DELETE", "POST"):
        body = await desk.call(method, f"/iserver/account/{ACCOUNT}/order/1", ticket())
        assert (desk.status, body) == (400, {"error": "OrderID 1 doesn't exist"})


async def test_cancel_everything(desk: Api) -> None:
    reply = await desk.call("DELETE", f"/iserver/account/{ACCOUNT}/order/-1")
    assert (reply["conid"], reply["account"]) == (-1, None)
    await asyncio.sleep(0.3)
    states = {o["status"] for o in desk.sim.world.books()["orders"] if o["account"] == ACCOUNT}
    assert states <= {"Filled", "Cancelled", "Inactive", "PendingCancel"}


async def test_preview(desk: Api) -> None:
    path = f"{ORDERS}/whatif"
    cold = await desk.post(path, {"orders": [ticket(price=185.0)]})
    assert (cold["amount"]["commission"], cold["initial"]["after"]) == ("NA", None)
    await desk.get(f"/iserver/marketdata/snapshot?conids={AAPL}&fields=31")
    body = await desk.post(path, {"orders": [ticket(price=185.0)]})
    assert body["amount"] == {
        "amount": "1,850.00 USD (10 Shares)",
        "commission": "1 USD",
        "total": "1,851.00 USD",
    }
    assert body["equity"]["change"] == "-1"
    assert body["position"] == {"current": "250", "change": "10", "after": "260"}
    assert body["error"] is None
    change = int(body["initial"]["change"].replace(",", ""))
    assert change == pytest.approx(10 * 190 * 0.30, abs=1)
    before = float(desk.sim.world.books()["summary"][ACCOUNT]["initial_margin"])
    _, _ = await yes(desk, await place(desk, ticket(orderType="MKT", price=None)))
    await asyncio.sleep(0.6)
    after = float(desk.sim.world.books()["summary"][ACCOUNT]["initial_margin"])
    assert after - before == pytest.approx(change, abs=1)
    empty = await desk.post(path, {"orders": [ticket(quantity=0)]})
    assert empty["error"].startswith("Order size 0 is not valid")


async def test_orders_list_filters_and_force(desk: Api) -> None:
    await desk.get("/iserver/account/orders")
    rows = (await desk.get("/iserver/account/orders?filters=filled,cancelled"))["orders"]
    assert {row["status"] for row in rows} == {"Filled", "Cancelled"}
    session = desk.sim.sessions.jar.session
    assert session.order_filter == {"Filled", "Cancelled"}
    assert await desk.get("/iserver/account/orders?force=true") == {"orders": [], "snapshot": False}
    assert session.order_filter is None
    body = await desk.get("/iserver/account/orders?filters=sort_by_time")
    times = [row["lastExecutionTime_r"] for row in body["orders"]]
    assert times == sorted(times, reverse=True)
    assert body["snapshot"] is True


async def test_status_of_an_unknown_order_takes_its_time(desk: Api) -> None:
    desk.sim.world.pace = 0.05
    began = asyncio.get_running_loop().time()
    body = await desk.get("/iserver/account/order/status/17")
    assert asyncio.get_running_loop().time() - began >= 0.25
    assert (desk.status, body) == (503, {"error": "Order 17 is not found", "statusCode": 503})
