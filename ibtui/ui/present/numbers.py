"""Numbers as a person reads them: thousands commas, explicit signs, the contract's decimals.

Works on the broker's own text through `models.number` (web-api.md §0, §5.8). What is missing
is `—`, never 0. Decimal only: no value passes through a float.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

MISSING = "—"
HIDDEN = "•••"
ZERO = Decimal(0)
_MOST_DECIMALS = 8


def fixed(value: Decimal | None, decimals: int = 2, *, sign: bool = False, hide: bool = False) -> str:
    """`1,234.50`; with `sign` also `+1,234.50`. Zero never carries a sign."""
    if value is None:
        return MISSING
    if hide:
        return HIDDEN
    text = format(value, f"{'+' if sign else ''},.{decimals}f")
    if not text.strip("+-0.,"):
        text = text.lstrip("+-")
    return text


def amount(value: Decimal | None, *, hide: bool = False) -> str:
    """Money with two decimals: `1,020,114.20`."""
    return fixed(value, hide=hide)


def signed(value: Decimal | None, *, hide: bool = False) -> str:
    """Money with its sign: `+2,295.00`, `-64.00`, `0.00`."""
    return fixed(value, sign=True, hide=hide)


def arrow(value: Decimal | None, *, hide: bool = False) -> str:
    """Money with arrow and sign: `▲+182.50`, `▼-64.00`, `0.00`."""
    text = signed(value, hide=hide)
    if text.startswith("+"):
        return f"▲{text}"
    return f"▼{text}" if text.startswith("-") else text


def percent(value: Decimal | None) -> str:
    """`+4.99`, without the percent sign, which the column's title has."""
    return fixed(value, sign=True)


def quantity(value: Decimal | None, *, hide: bool = False) -> str:
    """A size with the decimals it has: `250`, `-50`, `0.125`, `1,500`."""
    if value is None:
        return MISSING
    if hide:
        return HIDDEN
    text = format(value, ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def price(value: Decimal | None, decimals: int | None = None) -> str:
    """A price in the contract's `decimals`; where they are unknown, its own ones, at least two."""
    if value is None:
        return MISSING
    if decimals is None:
        exponent = value.normalize().as_tuple().exponent
        own = -exponent if isinstance(exponent, int) else 0
        decimals = min(max(own, 2), 4)
    return fixed(value, min(max(decimals, 0), _MOST_DECIMALS))


def tone(value: Decimal | None) -> str:
    """The style of a gain or loss: `up`, `down`, or nothing."""
    if value is None or value == ZERO:
        return "muted" if value is None else ""
    return "up" if value > ZERO else "down"


def duration(seconds: float) -> str:
    """`12 s`, `3 m 05 s`, `6 h 12 m`, `2 d 4 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def since(then: datetime | None, now: datetime) -> str:
    """How long ago `then` was; empty where it is unknown."""
    return "" if then is None else duration((now - then) / timedelta(seconds=1))


def clock(moment: datetime) -> str:
    """Local wall-clock time, `14:32:07`."""
    return moment.astimezone().strftime("%H:%M:%S")


def clock_ms(milliseconds: int) -> str:
    """The same of the broker's milliseconds; 0 is none."""
    if not milliseconds:
        return MISSING
    return datetime.fromtimestamp(milliseconds // 1000).astimezone().strftime("%H:%M:%S")
