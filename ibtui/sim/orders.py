"""Orders and executions, and the rows the wire shows of them (web-api.md §4.1-4.4, §7.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ibtui.sim.instruments import Contract, plain

COLOURS: dict[str, tuple[str, str]] = {
    "Inactive": ("#000000", "#AFAFAF"),
    "PendingSubmit": ("#000000", "#3399CC"),
    "PreSubmitted": ("#FFFFFF", "#997EE5"),
    "Submitted": ("#000000", "#00F000"),
    "Filled": ("#FFFFFF", "#000000"),
    "PendingCancel": ("#000000", "#FF64FF"),
    "PreCancelled": ("#000000", "#FF64FF"),
    "Cancelled": ("#FFFFFF", "#AA0000"),
    "WarnState": ("#000000", "#FFCC00"),
}
"""Background and foreground of orders and `sor` rows; swapped in the order status route."""
CCP = {
    "Inactive": "Pending Submit",
    "PendingSubmit": "Pending Submit",
    "PreSubmitted": "Submitted",
    "Submitted": "Submitted",
    "Filled": "Filled",
    "PendingCancel": "Submitted",
    "PreCancelled": "Submitted",
    "Cancelled": "Cancelled",
    "WarnState": "Pending Submit",
}
WORKING = frozenset(
    {"PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel", "PreCancelled", "WarnState"}
)
DONE = frozenset({"Filled", "Cancelled"})
FILTERS = {
    "inactive": "Inactive",
    "pending_submit": "PendingSubmit",
    "pre_submitted": "PreSubmitted",
    "submitted": "Submitted",
    "filled": "Filled",
    "pending_cancel": "PendingCancel",
    "pre_cancelled": "PreCancelled",
    "cancelled": "Cancelled",
    "warn_state": "WarnState",
}
"""REST filter words and the statuses they stand for."""
TYPES: dict[str, tuple[str, str]] = {
    "LMT": ("LIMIT", "Limit"),
    "MKT": ("MARKET", "Market"),
    "STP": ("STOP", "Stop"),
    "STOP_LIMIT": ("STOP_LIMIT", "Stop Limit"),
    "MIDPRICE": ("MIDPRICE", "MidPrice"),
    "TRAIL": ("TRAIL", "Trailing Stop"),
    "TRAILLMT": ("TRAILING_STOP_LIMIT", "Trailing Stop Limit"),
    "LOC": ("LIMIT_ON_CLOSE", "Limit on Close"),
    "MOC": ("MARKET_ON_CLOSE", "Market on Close"),
    "MIT": ("MARKET_IF_TOUCHED", "Market if Touched"),
    "LIT": ("LIMIT_IF_TOUCHED", "Limit if Touched"),
    "REL": ("RELATIVE", "Relative"),
}
TIFS = {
    "DAY": "Day",
    "GTC": "GTC",
    "OPG": "OPG",
    "IOC": "IOC",
    "GTD": "GTD",
    "OVT": "OVT",
    "OND": "OND",
    "PAX": "PAX",
}


@dataclass(slots=True)
class Order:
    """One order; prices in the contract's currency, times in ms since the epoch."""

    order_id: int
    account: str
    contract: Contract
    side: str
    """`BUY` or `SELL`."""
    quantity: Decimal
    order_type: str
    """The code of web-api.md §4.5, a key of `TYPES`."""
    tif: str = "DAY"
    price: Decimal | None = None
    """Limit price; for STP and TRAIL the stop price."""
    aux_price: Decimal | None = None
    """Stop price of STOP_LIMIT and TRAILLMT."""
    trail: Decimal | None = None
    trail_percent: bool = False
    ref: str | None = None
    parent_id: int | None = None
    oca: str | None = None
    conidex: str = ""
    outside_rth: bool = False
    submitter: str = ""
    status: str = "Inactive"
    reason: str | None = None
    filled: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    """Sum of fill price x fill quantity."""
    triggered: bool = False
    held: bool = False
    """Never matched: a sample of a status that does not move by itself."""
    time_ms: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    """Ticket members that only travel along (for rows and for a later modify)."""

    @property
    def remaining(self) -> Decimal:
        """What is not filled yet."""
        return self.quantity - self.filled

    @property
    def avg_price(self) -> Decimal | None:
        """Average fill price; None before the first fill."""
        return self.paid / self.filled if self.filled else None

    @property
    def signed(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.side == "BUY" else -1

    @property
    def working(self) -> bool:
        """Neither finished nor rejected."""
        return self.status in WORKING


@dataclass(slots=True)
class Execution:
    """One fill of an order."""

    execution_id: str
    order: Order
    quantity: Decimal
    price: Decimal
    venue: str
    time_ms: int
    commission: Decimal
    position: Decimal
    """Holding after the trade."""
    due_ms: int = 0
    """When the commission becomes known."""


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
    background, foreground = COLOURS[order.status]
    limit = price_text(contract, order.price)
    filled = order.status == "Filled"
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
    row |= {
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
        "deactivate_order": False,
        "use_price_mgmt_algo": False,
        "sec_type": contract.sec_type,
        "available_chart_periods": "#R|1",
        "order_description": describe(order),
        "order_description_with_contract": describe(order, with_symbol=True),
        "alert_active": 1,
        "child_order_type": "A" if order.parent_id else ("0" if filled else "3"),
        "order_clearing_account": order.account,
        "size_and_fills": fills_text(order),
        "exit_strategy_display_price": limit,
        "exit_strategy_chart_description": describe(order),
        "exit_strategy_tool_availability": "1",
        "allowed_duplicate_opposite": True,
        "order_time": stamp(order.time_ms, "%y%m%d%H%M%S"),
    }
    return row


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
    row |= {"liquidation_trade": "0", "is_event_trading": "0", "order_id": order.order_id}
    return row


def commission(contract: Contract, quantity: Decimal, price: Decimal) -> Decimal:
    """A simple tariff in the contract's currency, at least 1.00."""
    value = quantity * price * contract.multiplier
    if contract.sec_type == "OPT":
        fee = quantity * Decimal("0.65")
    elif contract.sec_type == "FUT":
        fee = quantity * Decimal("2.25")
    elif contract.sec_type == "CASH":
        fee = value * Decimal("0.00002")
    elif contract.is_us:
        fee = min(quantity * Decimal("0.005"), value * Decimal("0.01"))
    else:
        fee = value * Decimal("0.0005")
    return max(Decimal("1.00"), fee.quantize(Decimal("0.01")))
