"""The Account screen as lines: summary, ledger, P&L with a chart (web-api.md §3.4, §3.6, §3.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from ibtui.core.models import number
from ibtui.ui.present.numbers import HIDDEN, MISSING, ZERO, amount, arrow, fixed, signed, tone
from ibtui.ui.present.spans import Line, Span, clean, line

if TYPE_CHECKING:
    from ibtui.core.models import LedgerRow, Pnl, SummaryRow

_SUMMARY = (
    ("netliquidation", "Net liquidation"),
    ("equitywithloanvalue", "Equity with loan"),
    ("grosspositionvalue", "Gross positions"),
    ("totalcashvalue", "Total cash"),
    ("availablefunds", "Available funds"),
    ("excessliquidity", "Excess liquidity"),
    ("buyingpower", "Buying power"),
    ("initmarginreq", "Initial margin"),
    ("maintmarginreq", "Maintenance margin"),
    ("accruedcash", "Accrued interest"),
    ("accrueddividend", "Accrued dividends"),
    ("sma", "SMA"),
)
_WORDS = (("accounttype", "Account type"), ("leverage-s", "Leverage"), ("cushion", "Cushion"),
          ("daytradesremaining", "Day trades left"))  # fmt: skip
_LEDGER = (("Ccy", 4), ("Cash", 16), ("Stocks", 15), ("Net liq", 16), ("Unrealized", 13), ("Rate", 10))
_BARS = " ▁▂▃▄▅▆▇█"


def summary(rows: Mapping[str, SummaryRow], *, hide: bool = False) -> list[Line]:
    """The rows a person looks for, in a fixed order; what the account does not have is left out."""
    out: list[Line] = []
    for key, title in _SUMMARY:
        found = rows.get(key)
        value = number(found.amount) if found else None
        if found is not None and value is not None:
            out.append(
                line(
                    (f" {title:<20}", "muted"),
                    f"{amount(value, hide=hide):>17}",
                    f" {clean(found.currency or '')}",
                )
            )
    for key, title in _WORDS:
        found = rows.get(key)
        text = clean(found.value or "") if found else ""
        if key == "daytradesremaining" and text == "-1":
            text = "unlimited"
        if text and text != "null":
            out.append(line((f" {title:<20}", "muted"), f"{text:>17}"))
    return out


def ledger(rows: Mapping[str, LedgerRow], base: str, *, hide: bool = False) -> list[Line]:
    """A line for each currency, and the broker's own sum in base currency last."""
    head = f" {'Ccy':<4}" + "".join(f"{title:>{wide}}" for title, wide in _LEDGER[1:])
    out: list[Line] = [line((head, "muted"))]
    for currency in sorted(rows, key=lambda name: (name == "BASE", name)):
        row = rows[currency]
        unrealized = number(row.unrealized_pnl)
        is_base = currency == "BASE"
        style = "strong" if is_base else ""
        cells: list[Span] = [(f" {'sum' if is_base else clean(currency):<4}", style)]
        for text, wide in ((row.cash, 16), (row.stock_value, 15), (row.net_liquidation, 16)):
            cells.append((f"{amount(number(text), hide=hide):>{wide}}", style))
        cells.append((f"{signed(unrealized, hide=hide):>13}", "" if hide else tone(unrealized)))
        rate = f"{fixed(number(row.exchange_rate), 4):>10}"
        cells.append((f"  in {base}" if is_base else rate, "muted"))
        out.append(tuple(cells))
    return out


def pnl(found: Pnl | None, base: str, *, hide: bool = False) -> list[Line]:
    """Daily and unrealized P&L, in base currency."""
    daily = number(found.daily) if found else None
    unrealized = number(found.unrealized) if found else None
    out: list[Line] = []
    for title, value in (("Daily P&L", daily), ("Unrealized P&L", unrealized)):
        words = arrow(value, hide=hide)
        out.append(
            line((f" {title:<20}", "muted"), (f"{words:>17}", "" if hide else tone(value)), f" {base}")
        )
    return out


def chart(samples: Sequence[Decimal], width: int, height: int, *, hide: bool = False) -> list[Line]:
    """A bar chart of the latest samples, `height` rows high, with the highest and lowest value beside it.

    One sample a column, newest on the right. Bars stand on the lowest value, so a flat day is a flat line.
    """
    room = max(width - 16, 8)
    shown = list(samples[-room:])
    if len(shown) < 2:
        return [line((" the chart begins with the second value", "muted"))]
    low, high = min(shown), max(shown)
    span = high - low
    steps = height * 8
    levels = [steps // 2 if span == ZERO else 1 + int((value - low) / span * (steps - 1)) for value in shown]
    out: list[Line] = []
    for row in range(height - 1, -1, -1):
        bars = "".join(_BARS[min(max(level - row * 8, 0), 8)] for level in levels)
        label = ""
        if row == height - 1:
            label = HIDDEN if hide else signed(high)
        elif row == 0:
            label = HIDDEN if hide else signed(low)
        out.append(line((f"{label:>14} ", "muted"), (bars, "accent")))
    return out


def title(account: str, alias: str | None, currency: str) -> str:
    """`DU1234567 · savings · USD`."""
    return " · ".join(part for part in (account, clean(alias or ""), currency) if part) or MISSING
