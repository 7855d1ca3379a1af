"""Orders and fills as table rows (web-api.md §4.1, §4.3, §4.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ibtui.core import words
from ibtui.core.models import number
from ibtui.ui.present import privacy
from ibtui.ui.present.numbers import (
    HIDDEN,
    MISSING,
    ZERO,
    amount,
    clock,
    clock_ms,
    duration,
    price,
    quantity,
)
from ibtui.ui.present.spans import Line, clean, line
from ibtui.ui.widgets.rows import Cell, Column, Row

if TYPE_CHECKING:
    from ibtui.core.models import Event, Execution, Order

ORDER_COLUMNS = (
    Column("status", "Status", 14),
    Column("side", "Side", 4),
    Column("qty", "Qty", 6, "right"),
    Column("symbol", "Symbol", 12),
    Column("type", "Type", 7),
    Column("limit", "Price", 9, "right"),
    Column("tif", "TIF", 3),
    Column("filled", "Filled", 7, "right"),
    Column("time", "Time", 8, "right"),
    Column("stop", "Stop", 9, "right", min_terminal=120),
    Column("avg", "Avg Fill", 9, "right", min_terminal=120),
    Column("text", "Order", 22, min_terminal=160),
    Column("account", "Account", 10, min_terminal=120),
    Column("rth", "Outside", 7, min_terminal=160),
    Column("id", "Order Id", 12, "right", min_terminal=160),
)
FILL_COLUMNS = (
    Column("symbol", "Symbol", 16),
    Column("side", "Side", 4),
    Column("qty", "Qty", 8, "right"),
    Column("price", "Price", 10, "right"),
    Column("commission", "Commission", 10, "right"),
    Column("net", "Net Amount", 13, "right"),
    Column("time", "Time", 8, "right"),
    Column("exchange", "Exchange", 10, min_terminal=120),
    Column("account", "Account", 10, min_terminal=120),
    Column("order", "Order Id", 12, "right", min_terminal=160),
    Column("id", "Execution", 26, min_terminal=160),
)
_DONE = frozenset({"Filled", "Cancelled"})
_TYPES = {
    "LIMIT": "LMT", "MARKET": "MKT", "STOP": "STP", "STOP LIMIT": "STP LMT", "TRAILING STOP": "TRAIL",
    "TRAIL": "TRAIL", "TRAIL LIMIT": "TRLMT", "TRAILING STOP LIMIT": "TRLMT", "MIDPRICE": "MIDPX",
    "LIMIT ON CLOSE": "LOC", "MARKET ON CLOSE": "MOC",
}  # fmt: skip
_YES_NO = {True: "yes", False: "no", None: MISSING}
_STATUSES = {
    "Submitted": ("●", "working", "good"),
    "PreSubmitted": ("◌", "held", "accent"),
    "PendingSubmit": ("…", "sending", "muted"),
    "PendingCancel": ("…", "cancelling", "warn"),
    "PreCancelled": ("…", "cancelling", "warn"),
    "Cancelled": ("○", "cancelled", "muted"),
    "Filled": ("✓", "filled", "good"),
    "WarnState": ("▲", "warning", "warn"),
}


def status(order: Order) -> tuple[str, str, str]:
    """Glyph, word and style of an order's status; the three always agree.

    There is no 'partially filled' on the wire: it is told from the sizes. `Inactive` is either the
    first moment of a new order or a refusal (web-api.md §4.4).
    """
    filled, left = number(order.filled) or ZERO, number(order.remaining)
    if order.status == "Submitted" and filled > ZERO and left != ZERO:
        return "◐", "partly", "accent"
    if order.status == "Inactive":
        fresh = (order.ccp_status or "").replace(" ", "") == "PendingSubmit" and not order.reason
        return ("…", "sending", "muted") if fresh else ("✕", "inactive", "bad")
    word = clean(order.status or "unknown")
    return _STATUSES.get(order.status or "", ("?", word.lower(), "warn"))


def is_working(order: Order) -> bool:
    """Whether the order may still trade, or was refused and wants to be seen."""
    return order.status not in _DONE


def order_rows(orders: Iterable[Order], *, hide: bool = False) -> list[Row]:
    """Rows of orders; children hang below their parent, a refusal's reason below its order."""
    out: list[Row] = []
    for order in orders:
        out.append(order_row(order, hide=hide))
        remark = reason_row(order, hide=hide)
        if remark is not None:
            out.append(remark)
    return out


def order_row(order: Order, *, hide: bool = False) -> Row:
    """One order; its key is the order id as text."""
    glyph, word, style = status(order)
    total, filled = number(order.total), number(order.filled)
    limit, aux, avg = number(order.price), number(order.aux_price), number(order.avg_price)
    name = clean(order.ticker or order.contract or str(order.conid or MISSING))
    done = f"{quantity(filled)}/{quantity(total)}" if filled is not None or total is not None else MISSING
    side = clean(words.side(order.side) or MISSING)
    cells = {
        "status": Cell(f"{glyph} {word}", style, word),
        "side": Cell(side),
        "qty": Cell(quantity(total, hide=hide), "", total),
        "symbol": Cell(name),
        "type": Cell(_type(order.order_type)),
        "limit": Cell(price(limit), "" if limit is not None else "muted", limit),
        "tif": Cell(clean(words.tif(order.tif) or MISSING)),
        "filled": Cell(HIDDEN if hide and done != MISSING else done, "", filled),
        "time": Cell(clock_ms(order.updated_ms), "", order.updated_ms or None),
        "stop": Cell(price(aux), "" if aux is not None else "muted", aux),
        "avg": Cell(price(avg), "" if avg is not None else "muted", avg),
        "text": Cell(HIDDEN if hide and order.description else clean(order.description or MISSING)),
        "account": Cell(privacy.account(order.account, hide=hide)),
        "rth": Cell(_YES_NO[order.outside_rth]),
        "id": Cell(str(order.order_id), "", order.order_id),
    }  # fmt: skip
    search = f"{name} {word} {side} {order.contract or ''} {order.order_ref or ''} {order.order_id}"
    parent = order.parent_id if order.parent_id and order.parent_id != "0" else None
    return Row(
        str(order.order_id), cells, search=clean(search), parent=parent, dim=order.status == "Cancelled"
    )


def reason_row(order: Order, *, hide: bool = False) -> Row | None:
    """The line below an order that says why it was refused; None where nothing is said."""
    if not order.reason:
        return None
    text = _reason(order, hide)
    return Row(
        f"{order.order_id}:reason",
        {"status": Cell(text, "muted")},
        search=text,
        parent=str(order.order_id),
        wide=True,
    )


def _reason(order: Order, hide: bool) -> str:
    """The broker's words; they may name the account, its equity, the order's size."""
    return privacy.text(clean(order.reason or ""), hide=hide, source="order")


def _type(text: str | None) -> str:
    word = clean(text or MISSING).upper().replace("_", " ")
    return _TYPES.get(word, word)


def fill_row(fill: Execution, *, hide: bool = False) -> Row:
    """One execution; its commission comes seconds later and is `—` until then."""
    size, each = number(fill.size), number(fill.price)
    fee, net = number(fill.commission), number(fill.net_amount)
    side = clean(words.side(fill.side) or MISSING)
    name = clean(fill.symbol or fill.contract or str(fill.conid))
    cells = {
        "symbol": Cell(name),
        "side": Cell(side),
        "qty": Cell(quantity(size, hide=hide), "", size),
        "price": Cell(price(each), "", each),
        "commission": Cell(amount(fee, hide=hide), "" if fee is not None else "muted", fee),
        "net": Cell(amount(net, hide=hide), "" if net is not None else "muted", net),
        "time": Cell(clock_ms(fill.time_ms), "", fill.time_ms or None),
        "exchange": Cell(clean(fill.exchange or MISSING)),
        "account": Cell(privacy.account(fill.account, hide=hide)),
        "order": Cell(str(fill.order_id) if fill.order_id else MISSING, "", fill.order_id),
        "id": Cell(clean(fill.execution_id)),
    }
    return Row(
        fill.execution_id, cells, search=clean(f"{name} {side} {fill.order_ref or ''} {fill.order_id or ''}")
    )


def order_details(order: Order, *, hide: bool = False) -> list[tuple[str, str]]:
    """Everything known of an order as (name, text) pairs."""
    cells = order_row(order, hide=hide).cells
    out = [(column.title, cells[column.key].text) for column in ORDER_COLUMNS]
    known = (
        ("As sent", order.status), ("Back end says", order.ccp_status), ("Reason", _reason(order, hide)),
        ("Contract", order.contract),
        ("Remaining", quantity(number(order.remaining), hide=hide) if order.remaining else None),
        ("Currency", order.currency), ("Exchange", order.exchange), ("Type of contract", order.sec_type),
        ("Parent order", order.parent_id), ("Your reference", order.order_ref), ("Conid", str(order.conid)),
    )  # fmt: skip
    return out + [(name, clean(text)) for name, text in known if text]


def fill_details(fill: Execution, *, hide: bool = False) -> list[tuple[str, str]]:
    """Everything known of a fill as (name, text) pairs."""
    cells = fill_row(fill, hide=hide).cells
    out = [(column.title, cells[column.key].text) for column in FILL_COLUMNS]
    known = (
        ("Description", None if hide else fill.description), ("Contract", fill.contract),
        ("Type of contract", fill.sec_type), ("Your reference", fill.order_ref), ("Conid", str(fill.conid)),
    )  # fmt: skip
    return out + [(name, clean(text)) for name, text in known if text]


def caught_up(events: Sequence[Event], *, hide: bool = False) -> Line:
    """The latest remark about what was missed while the stream was away; an empty line if there is none."""
    for event in reversed(events):
        if event.text.lower().startswith("caught up"):
            text = privacy.text(clean(event.text), hide=hide)
            return line((f" {clock(event.at)}  {text}", "muted"))
    return ()


def footing(trading: bool, age: float | None) -> Line:
    """Whether orders can be sent at all, and how old the list is (seconds)."""
    lock = (
        "trading is unlocked for this profile" if trading else "read-only: trading is locked for this profile"
    )
    old = "" if age is None else f"   last news {duration(age)} ago"
    return line(
        (f" {lock}", "warn" if trading else "muted"),
        (old, "muted"),
    )
