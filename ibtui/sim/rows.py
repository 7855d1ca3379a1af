"""What the wire shows of orders and executions (web-api.md §4.1-4.3, §7.7)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ibtui.sim.instruments import Contract, plain
from ibtui.sim.orders import CCP, COLOURS, DONE, TYPES, Execution, Order


def stamp(ms: int, form: str) -> str:
    """A time in ms as UTC text in the given strftime form."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime(form)


def price_text(contract: Contract, price: Decimal | None) -> str:
    """A price with the contract's decimals; empty for none."""
    return "" if price is None else f"{price:.{contract.decimals}f}"


def number_text(value: Decimal) -> str:
    """A numstr as Java prints a double: `1.0`, `1.01`."""
    return str(float(value))


def fills_text(order: Order) -> str:
    """`sizeAndFills`: filled/remaining while working, the total when done."""
    if order.status in DONE:
        return plain(order.filled if order.status == "Filled" else order.quantity)
    return f"{plain(order.filled)}/{plain(order.remaining)}"


def describe(order: Order, with_symbol: bool = False) -> str:
    """`Buy 10 Limit 185.00, Day`; past tense once filled."""
    verbs = {"BUY": ("Buy", "Bought"), "SELL": ("Sell", "Sold")}[order.side]
    words = [verbs[order.status == "Filled"], plain(order.quantity)]
    if with_symbol:
        words.append(order.contract.symbol)
    words.append(TYPES[order.order_type][1])
    if order.order_type in ("TRAIL", "TRAILLMT") and order.trail is not None:
        words.append(f"{plain(order.trail)}{'%' if order.trail_percent else ''}")
    elif order.order_type == "STOP_LIMIT":
        words.append(f"{price_text(order.contract, order.aux_price)}")
        words.append(f"Limit {price_text(order.contract, order.price)}")
    elif order.price is not None:
        words.append(price_text(order.contract, order.price))
    return " ".join(words) + f", {'Day' if order.tif == 'DAY' else order.tif}"


def order_row(order: Order, *, topic: bool = False) -> dict[str, Any]:
    """The full row of the order list (§4.1) or, with `topic`, of `sor` (§7.7), keys in recorded order."""
    contract = order.contract
    done = order.status in DONE
    row: dict[str, Any] = {
        "acct": order.account,
        "conidex": order.conidex or str(contract.conid),
        "conid": contract.conid,
        "account": order.account,
        "orderId": order.order_id,
        "cashCcy": contract.currency,
        "sizeAndFills": fills_text(order),
        "orderDesc": describe(order),
        "description1": contract.symbol,
    }
    if contract.desc2:
        row["description2"] = contract.desc2
    row |= {
        "ticker": contract.symbol,
        "secType": contract.sec_type,
        "listingExchange": contract.listing,
        "remainingQuantity": float(order.remaining),
        "filledQuantity": float(order.filled),
        "totalSize": float(order.quantity),
        "companyName": contract.name,
        "status": order.status,
        "order_ccp_status": CCP[order.status],
    }
    average = order.avg_price
    if average is not None:
        row["avgPrice"] = price_text(contract, average)
    if not done and order.status != "PendingCancel":
        row["outsideRTH"] = order.outside_rth
    return row | _row_tail(order, topic)


def _row_tail(order: Order, topic: bool) -> dict[str, Any]:
    original, shown = TYPES[order.order_type]
    background, foreground = COLOURS[order.status]
    tail: dict[str, Any] = {
        "origOrderType": original,
        "supportsTaxOpt": "1",
        "lastExecutionTime": stamp(order.time_ms, "%y%m%d%H%M%S"),
        "orderType": shown,
    }
    colours = {"bgColor": background, "fgColor": foreground}
    reference = {"order_ref": order.ref} if order.ref else {}
    tail |= reference | colours if topic else colours | reference
    tail["isEventTrading"] = "0"
    tail["price"] = price_text(order.contract, order.price)
    if order.aux_price is not None:
        tail["auxPrice"] = price_text(order.contract, order.aux_price)
    if order.parent_id is not None:
        tail["parentId"] = order.parent_id
    if order.reason:
        tail["order_cancellation_by_system_reason"] = order.reason
    tail["timeInForce"] = shown_tif(order)
    tail["lastExecutionTime_r"] = order.time_ms // 1000 * 1000
    tail["side"] = order.side
    return tail


def shown_tif(order: Order) -> str:
    """`CLOSE` for DAY orders, as the live order list has it."""
    return "CLOSE" if order.tif == "DAY" else order.tif


def status_row(order: Order) -> dict[str, Any]:
    """`/iserver/account/order/status/{id}`: swapped colours, `B`/`S`, the real time in force (§4.2)."""
    contract = order.contract
    limit = price_text(contract, order.price)
    row: dict[str, Any] = {
        "sub_type": None,
        "request_id": str(37000 + order.order_id % 1000),
        "server_id": "0",
        "order_id": order.order_id,
        "conidex": order.conidex or str(contract.conid),
        "conid": contract.conid,
        "symbol": contract.symbol,
        "side": order.side[0],
        "contract_description_1": contract.symbol,
    }
    if contract.desc2:
        row["contract_description_2"] = contract.desc2
    row |= {
        "listing_exchange": contract.listing,
        "option_acct": "c",
        "company_name": contract.name,
        "size": number_text(order.remaining),
        "total_size": number_text(order.quantity),
        "currency": contract.currency,
        "account": order.account,
        "order_type": TYPES[order.order_type][0],
        "limit_price": "" if order.order_type in ("STP", "TRAIL") else limit,
    }
    stop = order.price if order.order_type in ("STP", "TRAIL") else order.aux_price
    if stop is not None:
        row["stop_price"] = price_text(contract, stop)
    row["cum_fill"] = number_text(order.filled)
    average = order.avg_price
    if average is not None:
        row["average_price"] = price_text(contract, average)
    return row | _status_tail(order)


def _status_tail(order: Order) -> dict[str, Any]:
    background, foreground = COLOURS[order.status]
    limit = price_text(order.contract, order.price)
    return {
        "order_status": order.status,
        "order_ccp_status": {"Filled": "2", "Cancelled": "4"}.get(order.status, "0"),
        "order_status_description": f"Order {order.status}",
        "tif": order.tif,
        "fg_color": background if order.status != "PreSubmitted" else "#FFFFFF",
        "bg_color": foreground if order.status != "PreSubmitted" else "#0000CC",
        "order_not_editable": not order.working,
        "editable_fields": "\u001e",
        "cannot_cancel_order": not order.working,
        "outside_rth": order.outside_rth,
        "deactivate_order": bool(order.extra.get("deactivated")),
        "use_price_mgmt_algo": False,
        "sec_type": order.contract.sec_type,
        "available_chart_periods": "#R|1",
        "order_description": describe(order),
        "order_description_with_contract": describe(order, with_symbol=True),
        "alert_active": 1,
        "child_order_type": "A" if order.parent_id else ("0" if order.status == "Filled" else "3"),
        "order_clearing_account": order.account,
        "size_and_fills": fills_text(order),
        "exit_strategy_display_price": limit,
        "exit_strategy_chart_description": describe(order),
        "exit_strategy_tool_availability": "1",
        "allowed_duplicate_opposite": True,
        "order_time": stamp(order.time_ms, "%y%m%d%H%M%S"),
    }


def execution_row(execution: Execution, now_ms: int, topic: bool = False) -> dict[str, Any]:
    """A row of `/iserver/account/trades` (§4.3) or, with `topic`, of `str` (§7.7).

    The commission is missing until `due_ms`.
    """
    order = execution.order
    contract = order.contract
    verb = ("Bot" if topic else "Bought") if order.side == "BUY" else "Sold"
    price = price_text(contract, execution.price)
    text = f"{verb} {plain(execution.quantity)} @ {price} on {execution.venue}"
    row: dict[str, Any] = {
        "execution_id": execution.execution_id,
        "symbol": contract.symbol,
        "supports_tax_opt": "1",
        "side": order.side[0],
        "order_description": text,
        "trade_time": stamp(execution.time_ms, "%Y%m%d-%H:%M:%S"),
        "trade_time_r": execution.time_ms // 1000 * 1000,
        "size": float(execution.quantity),
        "price": price,
    }
    if order.ref:
        row["order_ref"] = order.ref
    if not topic and order.submitter:
        row["submitter"] = order.submitter
    row["exchange"] = execution.venue
    if now_ms >= execution.due_ms:
        row["commission"] = number_text(execution.commission)
    row |= {
        "net_amount": float(execution.quantity * execution.price * contract.multiplier),
        "account": order.account,
        "accountCode": order.account,
        "account_allocation_name": order.account,
        "company_name": contract.name,
        "contract_description_1": contract.symbol,
    }
    if contract.desc2:
        row["contract_description_2"] = contract.desc2
    row |= {
        "sec_type": contract.sec_type,
        "listing_exchange": contract.listing,
        "conid": contract.conid,
        "conidEx": order.conidex or str(contract.conid),
        "position": plain(execution.position),
        "clearing_id": "IB",
        "clearing_name": "IB",
    }
    if topic:
        row["open_close"] = "???"
    return row | {"liquidation_trade": "0", "is_event_trading": "0", "order_id": order.order_id}
