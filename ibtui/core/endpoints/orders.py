"""Orders and executions: reading, placing, answering questions (web-api.md §4)."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ibtui.core.endpoints.common import (
    Call,
    flag,
    get,
    integer,
    label,
    mapping,
    milliseconds,
    post,
    read_all,
    rest_of,
    rows,
    strings,
    text,
)
from ibtui.core.models import Execution, Order, Placed, Preview, Prompt, Question
from ibtui.errors import UnknownReply

Placement = list[Placed] | Question | Prompt

ORDER_FIELDS: Mapping[str, tuple[str, Any]] = {
    "account": ("account", text),
    "acct": ("account", text),
    "conid": ("conid", integer),
    "status": ("status", text),
    "order_ccp_status": ("ccp_status", text),
    "side": ("side", text),
    "ticker": ("ticker", text),
    "orderDesc": ("description", label),
    "description2": ("contract", label),
    "secType": ("sec_type", text),
    "orderType": ("order_type", text),
    "price": ("price", text),
    "stop_price": ("aux_price", text),
    "auxPrice": ("aux_price", text),
    "timeInForce": ("tif", text),
    "totalSize": ("total", text),
    "filledQuantity": ("filled", text),
    "remainingQuantity": ("remaining", text),
    "avgPrice": ("avg_price", text),
    "cashCcy": ("currency", text),
    "listingExchange": ("exchange", text),
    "parentId": ("parent_id", text),
    "order_ref": ("order_ref", text),
    "outsideRTH": ("outside_rth", flag),
    "order_cancellation_by_system_reason": ("reason", label),
    "lastExecutionTime_r": ("updated_ms", milliseconds),
}
"""Member of a row of §4.1 or of a `sor` frame -> field of `Order` and how to read it."""

EXECUTION_FIELDS: Mapping[str, tuple[str, Any]] = {
    "accountCode": ("account", text),
    "account": ("account", text),
    "conid": ("conid", integer),
    "order_id": ("order_id", integer),
    "side": ("side", text),
    "symbol": ("symbol", text),
    "contract_description_2": ("contract", label),
    "sec_type": ("sec_type", text),
    "size": ("size", text),
    "price": ("price", text),
    "commission": ("commission", text),
    "net_amount": ("net_amount", text),
    "exchange": ("exchange", text),
    "order_ref": ("order_ref", text),
    "order_description": ("description", label),
    "trade_time_r": ("time_ms", milliseconds),
}
"""Member of a row of §4.3 or of a `str` frame -> field of `Execution` and how to read it."""

_NEVER_NONE = frozenset({"account", "conid", "updated_ms", "time_ms"})


def _order_path(account: str, order_id: int) -> str:
    return f"/iserver/account/{quote(account, safe='')}/order/{order_id}"


def live(*, force: bool | None = None, account: str | None = None, filters: str | None = None) -> Call:
    """The day's orders; the first call of a session answers empty (§4.1)."""
    return get("/iserver/account/orders", force=force, accountId=account, filters=filters)


def trades(days: int | None = None) -> Call:
    """Executions of the last `days` (1–7; None: today) (§4.3)."""
    return get("/iserver/account/trades", days=days)


def status(order_id: int) -> Call:
    """One order in detail (§4.2)."""
    return get(f"/iserver/account/order/status/{order_id}")


def place(account: str, orders: Sequence[Mapping[str, Any]]) -> Call:
    """Place one order, a bracket or an OCA group (§4.5)."""
    return post(f"/iserver/account/{quote(account, safe='')}/orders", {"orders": list(orders)})


def whatif(account: str, orders: Sequence[Mapping[str, Any]]) -> Call:
    """Preview without placing (§4.9)."""
    return post(f"/iserver/account/{quote(account, safe='')}/orders/whatif", {"orders": list(orders)})


def modify(account: str, order_id: int, ticket: Mapping[str, Any]) -> Call:
    """Replace an order by a whole new ticket (§4.10)."""
    return post(_order_path(account, order_id), dict(ticket))


def cancel(account: str, order_id: int, *, manual: bool | None = None, operator: str | None = None) -> Call:
    """Cancel an order; futures want `manual` and `operator` (§4.10)."""
    params = {"manualIndicator": manual, "extOperator": operator}
    return Call("DELETE", _order_path(account, order_id), params)


def reply(question_id: str, *, confirmed: bool) -> Call:
    """Answer a question, at once (§4.7)."""
    return post(f"/iserver/reply/{quote(question_id, safe='')}", {"confirmed": confirmed})


def suppress(message_ids: Sequence[str]) -> Call:
    """Ask these questions no more in this brokerage session (§4.8)."""
    return post("/iserver/questions/suppress", {"messageIds": list(message_ids)})


def suppress_reset() -> Call:
    """Ask all questions again (§4.8)."""
    return post("/iserver/questions/suppress/reset", {})


def notification(order_id: int, request_id: str, answer: str) -> Call:
    """Answer a server prompt with one of its options (§4.11)."""
    return post("/iserver/notification", {"orderId": order_id, "reqId": request_id, "text": answer})


def fields_of(row: Mapping[str, Any], table: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """What a row or delta says in a model's own names; members it lacks are absent."""
    out: dict[str, Any] = {}
    for name, (field, read) in table.items():
        if name in row:
            value = read(row[name])
            if value is not None or (field not in _NEVER_NONE and field not in out):
                out[field] = value
    return out


_ORDER_KNOWN = frozenset(ORDER_FIELDS) | {"orderId"}
_EXECUTION_KNOWN = frozenset(EXECUTION_FIELDS) | {"execution_id"}


def order_extra(row: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an order row that `Order` has no field for."""
    return rest_of(row, _ORDER_KNOWN)


def read_orders(body: Any) -> list[Order]:
    """The rows of `live`; use them even when `snapshot` is false (§4.1)."""
    found = body if isinstance(body, list) else mapping(body).get("orders")
    return read_all(found, read_order)


def read_order(row: Mapping[str, Any]) -> Order | None:
    """One row of §4.1 or of a full `sor` frame; None without an order id."""
    order_id = integer(row.get("orderId", row.get("order_id")))
    if order_id is None:
        return None
    return Order(order_id=order_id, extra=order_extra(row), **fields_of(row, ORDER_FIELDS))


def read_executions(body: Any) -> list[Execution]:
    """The rows of `trades` or of a `str` frame."""
    return read_all(body, read_execution)


def read_execution(row: Mapping[str, Any]) -> Execution | None:
    """One execution; None without its id."""
    id_ = text(row.get("execution_id"))
    if id_ is None:
        return None
    return Execution(
        execution_id=id_, extra=rest_of(row, _EXECUTION_KNOWN), **fields_of(row, EXECUTION_FIELDS)
    )


def read_placement(body: Any) -> Placement:
    """The reply to `place`, `modify` or `reply`: accepted, a question or a prompt (§4.6).

    Raises:
        UnknownReply: none of these (`Rest` has raised `Rejected` for an `error` already).
    """
    if isinstance(body, dict) and body.get("prompt") is True:
        return Prompt(
            order_id=integer(body.get("orderId")) or 0,
            request_id=text(body.get("reqId")) or "",
            text=label(body.get("text")) or "",
            options=strings(body.get("options")),
            message_id=text(body.get("messageId")),
        )
    found = rows(body if isinstance(body, list) else [body])
    if found and text(found[0].get("id")):
        return _question(found[0])
    placed = [_placed(row) for row in found if integer(row.get("order_id")) is not None]
    if not placed:
        raise UnknownReply("IBKR's reply to the order is none of the known kinds.", "Look at the orders.")
    return placed


def _question(row: Mapping[str, Any]) -> Question:
    return Question(
        id=text(row.get("id")) or "",
        messages=tuple(html.unescape(message) for message in strings(row.get("message"))),
        message_ids=strings(row.get("messageIds")),
        options=strings(row.get("messageOptions")),
    )


def _placed(row: Mapping[str, Any]) -> Placed:
    return Placed(
        order_id=integer(row.get("order_id")) or 0,
        status=text(row.get("order_status")),
        order_ref=text(row.get("local_order_id")),
        parent_id=text(row.get("parent_order_id")),
        text=label(row.get("text")) or label(row.get("warning_message")),
    )


def read_preview(body: Any) -> Preview:
    """The reply to `whatif`; every part may be missing (§4.9)."""
    row = mapping(body)
    parts = {
        name: {key: text(value) for key, value in mapping(row.get(name)).items()}
        for name in ("amount", "equity", "initial", "maintenance", "position")
    }
    warnings = dict.fromkeys((*strings(row.get("warn")), *strings(row.get("warns"))))
    return Preview(
        **parts, warnings=tuple(warnings), extra=rest_of(row, frozenset({*parts, "warn", "warns", "error"}))
    )
