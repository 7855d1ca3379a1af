"""Positions as table rows, their totals and details (web-api.md §3.8, §5.8, §3.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from ibtui.core.models import number
from ibtui.ui.present import contracts, privacy
from ibtui.ui.present.numbers import (
    HIDDEN,
    MISSING,
    ZERO,
    amount,
    arrow,
    duration,
    fixed,
    percent,
    price,
    quantity,
    signed,
    tone,
)
from ibtui.ui.present.spans import Line, Span, clean, line, width
from ibtui.ui.widgets.rows import Cell, Column, Row

if TYPE_CHECKING:
    from ibtui.core.models import LedgerRow, Pnl, Position, Quote, SummaryRow

COLUMNS = (
    Column("symbol", "Symbol", 18),
    Column("position", "Position", 8, "right"),
    Column("last", "Last", 9, "right"),
    Column("daily", "Daily P&L", 11, "right"),
    Column("unrealized", "Unrealized", 11, "right"),
    Column("unrl_pct", "Unrl %", 7, "right"),
    Column("ccy", "Ccy", 3),
    Column("avg_price", "Avg Price", 9, "right", min_terminal=120),
    Column("value", "Market Value", 13, "right", min_terminal=120),
    Column("change", "Chg %", 6, "right", min_terminal=120),
    Column("nlv_pct", "% NLV", 5, "right", min_terminal=120),
    Column("cost", "Cost Basis", 12, "right", min_terminal=160),
    Column("realized", "Realized", 10, "right", min_terminal=160),
    Column("exchange", "Exchange", 8, min_terminal=160),
    Column("type", "Type", 4, min_terminal=160),
    Column("account", "Account", 9, min_terminal=160),
)
"""Which columns, and from which terminal width on."""
_NO_COST = frozenset({"FUT", "CFD"})
_QUOTE_CHANGE = "83"
_QUOTE_UNRL = "80"


@dataclass(frozen=True, slots=True)
class Context:
    """What a row needs to know of its account.

    `rates` are units of base currency for one of the row's; a currency without one is never converted.
    """

    base: str = ""
    net_liquidation: Decimal | None = None
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    hide: bool = False


def context(
    base: str, summary: Mapping[str, SummaryRow], ledger: Mapping[str, LedgerRow], *, hide: bool
) -> Context:
    """Gather it from an account's summary and ledger (web-api.md §3.4, §3.6)."""
    net = summary.get("netliquidation")
    rates = {
        currency: rate
        for currency, row in ledger.items()
        if currency != "BASE" and (rate := number(row.exchange_rate)) is not None
    }
    if base:
        rates.setdefault(base, Decimal(1))
    return Context(base, number(net.amount) if net else None, rates, hide)


def row(position: Position, quote: Quote | None, ctx: Context) -> Row:
    """A position as cells; a closed one (size 0) is dim. Its key is the model's."""
    name = contracts.label(position, ctx.base)
    size = number(position.position)
    cost = _cost(position, size)
    unrealized = number(position.unrealized_pnl)
    cells = {
        "symbol": Cell(name),
        "position": Cell(quantity(size, hide=ctx.hide), "", size),
        "last": _last(position),
        "daily": _money(position.daily_pnl, ctx, with_arrow=True),
        "unrealized": _money(position.unrealized_pnl, ctx),
        "unrl_pct": _percent(_unrealized_percent(position, quote, unrealized, cost)),
        "ccy": Cell(clean(position.currency or MISSING)),
        "avg_price": _plain(
            number(position.avg_price), price(number(position.avg_price), position.decimals), ctx
        ),
        "value": _plain(number(position.market_value), amount(number(position.market_value)), ctx),
        "change": _percent(number(quote.get(_QUOTE_CHANGE)) if quote else None),
        "nlv_pct": _share(position, ctx),
        "cost": _plain(cost, amount(cost), ctx),
        "realized": _money(position.realized_pnl, ctx),
        "exchange": Cell(clean(position.listing_exchange or MISSING)),
        "type": Cell(clean(position.asset_class or MISSING)),
        "account": Cell(privacy.account(position.account, hide=ctx.hide)),
    }
    search = " ".join((name, position.name or "", position.currency or "", position.asset_class or ""))
    return Row(position.key, cells, search=clean(search), dim=size == ZERO)


def _last(position: Position) -> Cell:
    """The price; `C` in front marks a previous close, `H` a halt, as the broker sends it (§5.8)."""
    raw = position.market_price or ""
    value = number(position.market_price)
    mark = raw[:1] if raw[:1] in ("C", "H") and value is not None else ""
    style = {"C": "muted", "H": "warn"}.get(mark, "" if value is not None else "muted")
    return Cell(mark + price(value, position.decimals), style, value)


def _money(text: str | None, ctx: Context, *, with_arrow: bool = False) -> Cell:
    value = number(text)
    words = arrow(value, hide=ctx.hide) if with_arrow else signed(value, hide=ctx.hide)
    return Cell(words, "" if ctx.hide and value is not None else tone(value), value)


def _percent(value: Decimal | None) -> Cell:
    return Cell(percent(value), tone(value), value)


def _plain(value: Decimal | None, words: str, ctx: Context) -> Cell:
    if value is None:
        return Cell(MISSING, "muted", None)
    return Cell(HIDDEN if ctx.hide else words, "", value)


def _cost(position: Position, size: Decimal | None) -> Decimal | None:
    """What was paid; `avg_cost` includes the multiplier. Futures have none: only margin is held."""
    each = number(position.avg_cost)
    if each is None or size is None or position.asset_class in _NO_COST:
        return None
    return each * size


def _unrealized_percent(
    position: Position, quote: Quote | None, unrealized: Decimal | None, cost: Decimal | None
) -> Decimal | None:
    if position.asset_class in _NO_COST:
        return None
    if unrealized is not None and cost:
        return unrealized / abs(cost) * 100
    return number(quote.get(_QUOTE_UNRL)) if quote else None


def _share(position: Position, ctx: Context) -> Cell:
    """Share of the net liquidation value; none without an exchange rate."""
    value, rate = number(position.market_value), ctx.rates.get(position.currency or "")
    if value is None or rate is None or not ctx.net_liquidation:
        return Cell(MISSING, "muted", None)
    share = value * rate / ctx.net_liquidation * 100
    return Cell(format(share, ".1f"), "", share)


def totals(
    ctx: Context,
    pnl: Pnl | None,
    summary: Mapping[str, SummaryRow],
    ledger: Mapping[str, LedgerRow],
    age: float | None,
    *,
    room: int = 0,
) -> Line:
    """The pinned line: net liquidation, cash, daily, unrealized in base currency, and their age in seconds.

    The broker's own totals are shown: rows of several currencies are never added up here. Where `room`
    cells are too few for millions, cents are left out.
    """
    net, cash = ctx.net_liquidation, _total_cash(summary, ledger)
    if net is None and pnl is not None:
        net = number(pnl.net_liquidity)
    daily = number(pnl.daily) if pnl else None
    unrealized = number(pnl.unrealized) if pnl else None
    if unrealized is None and "BASE" in ledger:
        unrealized = number(ledger["BASE"].unrealized_pnl)
    hide = ctx.hide

    def made(decimals: int) -> Line:
        gains = [
            (fixed(value, decimals, sign=True, hide=hide), "" if hide else tone(value))
            for value in (daily, unrealized)
        ]
        spans: list[Span | str] = [
            (" Net liq ", "muted"), (fixed(net, decimals, hide=hide), "strong"), f" {ctx.base}",
            ("  Cash ", "muted"), fixed(cash, decimals, hide=hide),
            ("  Daily ", "muted"), gains[0], ("  Unrl ", "muted"), gains[1],
        ]  # fmt: skip
        if age is not None:
            spans.append((f"   {duration(age)}", "warn" if age > 30 else "muted"))
        return line(*spans)

    full = made(2)
    return full if not room or width(full) <= room else made(0)


def _total_cash(summary: Mapping[str, SummaryRow], ledger: Mapping[str, LedgerRow]) -> Decimal | None:
    found = summary.get("totalcashvalue")
    value = number(found.amount) if found else None
    if value is None and "BASE" in ledger:
        value = number(ledger["BASE"].cash)
    return value


def details(position: Position, quote: Quote | None, ctx: Context) -> list[tuple[str, str]]:
    """Everything known of a position, as (name, text) pairs; the table's columns first."""
    cells = row(position, quote, ctx).cells
    out = [(column.title, cells[column.key].text) for column in COLUMNS]
    known = (
        ("Name", position.name), ("Conid", str(position.conid)), ("Contract", position.description),
        ("Multiplier", position.multiplier), ("Strike", position.strike), ("Expiry", position.expiry),
        ("Right", position.right), ("Sector", position.sector), ("Group", position.group),
    )  # fmt: skip
    out += [(name, clean(text)) for name, text in known if text]
    if quote is not None:
        out += [
            (title, clean(value))
            for key, title in _QUOTE_NAMES.items()
            if (value := quote.get(key)) is not None
        ]
    return out


_QUOTE_NAMES = {"84": "Bid", "86": "Ask", "88": "Bid size", "85": "Ask size", "70": "High", "71": "Low",
                "82": "Change", "87": "Volume", "7295": "Open", "7296": "Close"}  # fmt: skip
