"""Order routes (web-api.md §4.1, §4.2, §4.5-4.11)."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ibtui.sim import desk, tickets
from ibtui.sim.desk import Desk
from ibtui.sim.orders import FILTERS, Order
from ibtui.sim.rest.common import account_of, cold, mapping, scope, truth, wait
from ibtui.sim.rest.preview import preview
from ibtui.sim.rows import order_row, status_row
from ibtui.sim.seam import Call, Needs, Refusal, Route, refuse, reply

MAX_ROWS = 1000
UNKNOWN_WAIT_S = 5.0
SETTLE_S = 0.04
"""The placement reply waits so long, so that it shows where the order's life has led."""


async def _orders(call: Call) -> web.StreamResponse:
    query, session = call.request.query, call.session
    empty = {"orders": [], "snapshot": False}
    words = [word for word in query.get("filters", "").split(",") if word]
    account = scope(call, query.get("accountId"))
    if truth(query.get("force")):
        session.flags.add("orders")
        session.order_filter = None
        return reply(empty)
    statuses = {FILTERS[word] for word in words if word in FILTERS}
    if statuses:
        session.order_filter = statuses
    if cold(call, "orders"):
        return reply(empty)
    names = [account] if account else session.user.accounts
    found = [order for order in call.world.orders_of(None) if order.account in names]
    if statuses:
        found = [order for order in found if order.status in statuses]
    if "sort_by_time" in words:
        found.sort(key=lambda order: order.time_ms, reverse=True)
    return reply({"orders": [order_row(order) for order in found[:MAX_ROWS]], "snapshot": True})


async def _status(call: Call) -> web.StreamResponse:
    text = call.request.match_info["order_id"]
    order = call.world.orders.get(int(text)) if text.isdigit() else None
    account = scope(call, None)
    names = [account] if account else call.session.user.accounts
    if order is None or order.account not in names or order not in call.world.orders_of(order.account):
        await wait(call, UNKNOWN_WAIT_S)
        raise refuse(503, f"Order {text} is not found", with_status=True)
    return reply(status_row(order))


async def _place(call: Call) -> web.StreamResponse:
    account = account_of(call)
    body = await mapping(call)
    good, failed = desk.parse_all(call, account, body.get("orders"))
    world = call.world

    def commit() -> list[dict[str, Any]]:
        for order in good:
            if failed:
                # The parent of a bad child is left behind, saved but not sent (§4.7).
                order.extra["deactivated"] = True
        desk.place(world, good)
        return [{"placed": order} for order in reversed(good)] + [desk.failure(order) for order in failed]

    return await _answer(Desk.of(call).begin(call, good, commit))


async def _answer(body: Any) -> web.StreamResponse:
    """Turn placed orders into rows, a moment later: their first states take some milliseconds."""
    if isinstance(body, list) and any("placed" in one for one in body):
        await asyncio.sleep(SETTLE_S)
        body = [desk.accepted(one["placed"]) if "placed" in one else one for one in body]
    return reply(body)


async def _reply(call: Call) -> web.StreamResponse:
    reply_id = call.request.match_info["reply_id"]
    body = await mapping(call)
    confirmed = body.get("confirmed")
    if not isinstance(confirmed, bool):
        raise refuse(400, "java.lang.String cannot be cast to java.lang.Boolean")
    now_desk = Desk.of(call)
    if now_desk.is_dead(reply_id, call.clock.now()):
        await wait(call, desk.DEAD_WAIT_S)
        raise refuse(503, "Service Unavailable", with_status=True)
    return await _answer(now_desk.answer(call, reply_id, confirmed))


async def _notification(call: Call) -> web.StreamResponse:
    """The answer to a server prompt (§4.6 d, §4.11)."""
    body = await mapping(call)
    try:
        Desk.of(call).answer_prompt(str(body.get("reqId")), str(body.get("text")))
    except KeyError:
        raise refuse(400, "Request is not found") from None
    return reply("Success")


async def _suppress(call: Call) -> web.StreamResponse:
    body = await mapping(call)
    ids = body.get("messageIds")
    if not isinstance(ids, list) or not ids:
        raise refuse(500, "messageIds is required")
    if len(ids) > 51:
        raise refuse(400, "Bad Request: too many messageIds", with_status=True)
    call.session.suppressed.update(str(one) for one in ids)
    return reply({"status": "submitted"})


async def _reset(call: Call) -> web.StreamResponse:
    call.session.suppressed.clear()
    return reply({"status": "submitted"})


def _known(call: Call) -> Order:
    account = account_of(call)
    text = call.request.match_info["order_id"]
    order = call.world.orders.get(int(text)) if text.isdigit() else None
    if order is None or order.account != account:
        raise refuse(400, f"OrderID {text} doesn't exist")
    return order


async def _modify(call: Call) -> web.StreamResponse:
    order = _known(call)
    raw = tickets.check_types(await call.json())
    if not order.working and not order.extra.get("deactivated"):
        raise tickets.rejected("Order is inactive")
    wish = tickets.parse(call.world, call.session, order.account, raw)
    if wish.contract.conid != order.contract.conid or wish.side != order.side:
        raise tickets.rejected("Order couldn't be modified: contract and side cannot change.")
    if wish.quantity <= order.filled:
        raise tickets.rejected("Order couldn't be modified: size is not larger than what is filled.")
    tickets.check_collar(call.world, wish)
    wish.order_id = order.order_id

    def commit() -> list[dict[str, Any]]:
        if order.status == "Filled" or order.status == "Cancelled":
            raise tickets.rejected("Order is inactive")
        for name in (
            "quantity",
            "order_type",
            "tif",
            "price",
            "aux_price",
            "trail",
            "trail_percent",
            "outside_rth",
        ):
            setattr(order, name, getattr(wish, name))
        if order.extra.pop("deactivated", None):
            call.world.matcher.submit(order)
        else:
            call.world.matcher.modified(order)
        return [{"placed": order}]

    return await _answer(Desk.of(call).begin(call, [wish], commit))


async def _cancel(call: Call) -> web.StreamResponse:
    account = account_of(call)
    done: dict[str, Any] = {"msg": "Request was submitted"}
    if call.request.match_info["order_id"] == "-1":
        for one in call.world.orders_of(account):
            if one.working and one.status != "PendingCancel":
                call.world.matcher.cancel(one)
        return reply(done | {"order_id": -1, "conid": -1, "account": None})
    order = _known(call)
    dropped = order.status == "Inactive" and bool(order.extra.get("deactivated"))
    if not order.working and not dropped:
        raise tickets.rejected("Order is inactive")
    call.world.matcher.cancel(order)
    if dropped:
        return reply(done | {"order_id": order.order_id, "conid": -1, "account": None})
    return reply(done | {"order_id": order.order_id, "conid": order.contract.conid, "account": account})


async def _whatif(call: Call) -> web.StreamResponse:
    account = account_of(call)
    body = await mapping(call)
    raws = body.get("orders")
    if not isinstance(raws, list) or not raws:
        raise refuse(400, "orders request includes parameter with incorrect type")
    order = tickets.parse(call.world, call.session, account, raws[0])
    problem = None
    try:
        tickets.check_collar(call.world, order)
    except Refusal as refusal:
        problem = refusal.body["error"]
    warm = order.contract.conid in call.session.snapshot_fields or not call.quirks.cold_replies
    return reply(preview(call.world, order, warm, problem))


async def _alert(call: Call) -> web.StreamResponse:
    """Alerts cannot be made on paper, nor by a user without that permission (§1.5, quirk 23)."""
    account_of(call)
    raise refuse(403, "You are not allowed to create alerts.")


_ACCOUNT = "/iserver/account/{account}"
ROUTES: list[Route] = [
    Route("GET", "/iserver/account/orders", _orders, Needs.ACCOUNTS),
    Route("GET", "/iserver/account/order/status/{order_id}", _status, Needs.ACCOUNTS),
    Route("POST", f"{_ACCOUNT}/orders", _place, Needs.ACCOUNTS),
    Route("POST", f"{_ACCOUNT}/orders/whatif", _whatif, Needs.ACCOUNTS),
    Route("POST", "/iserver/reply/{reply_id}", _reply, Needs.ACCOUNTS),
    Route("POST", "/iserver/questions/suppress", _suppress),
    Route("POST", "/iserver/questions/suppress/reset", _reset),
    Route("POST", f"{_ACCOUNT}/order/{{order_id}}", _modify, Needs.ACCOUNTS),
    Route("DELETE", f"{_ACCOUNT}/order/{{order_id}}", _cancel, Needs.ACCOUNTS),
    Route("POST", f"{_ACCOUNT}/alert", _alert, Needs.ACCOUNTS),
    Route("POST", "/iserver/notification", _notification, Needs.ACCOUNTS),
]
