"""How an older value and newer, often partial, news make a new value (web-api.md §7.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import structs

from ibtui.core.endpoints import orders
from ibtui.core.endpoints.common import text
from ibtui.core.feed import ALL, Change
from ibtui.core.models import Execution, Model, Order, Position

M = TypeVar("M", bound=Model)

_POSITION_FIELDS = {
    "31": "market_price",
    "73": "market_value",
    "75": "unrealized_pnl",
    "78": "daily_pnl",
    "79": "realized_pnl",
}
"""Market data field -> field of `Position` (§5.8)."""
_TIMES = frozenset({"timestamp_ms", "updated_ms"})
_LIMIT = 50_000
_names: dict[tuple[str, ...], frozenset[str]] = {}
_quote_changes: dict[tuple[int, frozenset[str]], Change] = {}


def names(fields: Mapping[str, Any]) -> frozenset[str]:
    """The keys of `fields`; equal ones are the same object, which saves the feed a union each time."""
    key = tuple(fields)
    found = _names.get(key)
    if found is None:
        if len(_names) > _LIMIT:
            _names.clear()
        found = _names[key] = frozenset(key)
    return found


def quote_change(conid: int, fields: frozenset[str]) -> Change:
    """The change of a quote; made once for each contract and set of fields."""
    key = (conid, fields)
    found = _quote_changes.get(key)
    if found is None:
        if len(_quote_changes) > _LIMIT:
            _quote_changes.clear()
        found = _quote_changes[key] = Change("quote", str(conid), fields)
    return found


def position_fields(fields: Mapping[str, str], *, alone: bool) -> dict[str, str]:
    """What market data says of a position. Amounts count only where one account holds the contract
    (`alone`): the stream does not say whose they are."""
    out: dict[str, str] = {}
    for number, name in _POSITION_FIELDS.items():
        value = fields.get(number)
        if value and (alone or number == "31") and text(value) is not None:
            out[name] = value
    return out


def position(new: Position, old: Position | None) -> Position:
    """A REST row, with what only the stream tells carried over from `old` (§3.8: the rows lag)."""
    if old is None or old.daily_pnl is None:
        return new
    kept: dict[str, Any] = {"daily_pnl": old.daily_pnl, "market_price": old.market_price}
    if old.position == new.position:
        kept |= {"market_value": old.market_value, "unrealized_pnl": old.unrealized_pnl}
    return structs.replace(new, **kept)


def order(old: Order | None, order_id: int, row: Mapping[str, Any]) -> Order | None:
    """An order with a `sor` row merged in: an absent member means 'unchanged' (§7.7)."""
    if old is None:
        return orders.read_order(row)
    told = orders.fields_of(row, orders.ORDER_FIELDS)
    extra = orders.order_extra(row)
    if any(old.extra.get(name) != value for name, value in extra.items()):
        told["extra"] = {**old.extra, **extra}
    return structs.replace(old, **told) if told else old


def execution(old: Execution, new: Execution) -> Execution:
    """An execution that came again, now with its commission (§7.7)."""
    return structs.replace(over(old, new), extra={**old.extra, **new.extra})


def over(old: M | None, new: M, **more: Any) -> M:
    """`new`, with what it lacks taken from `old`."""
    told: dict[str, Any] = dict(more)
    if old is not None:
        for name in new.__struct_fields__:
            if getattr(new, name) is None and (value := getattr(old, name)) is not None:
                told[name] = value
    return structs.replace(new, **told) if told else new


def changed(old: Model | None, new: Model) -> frozenset[str]:
    """The names of the fields that differ; all when there was none."""
    if old is None:
        return ALL
    return frozenset(name for name in new.__struct_fields__ if getattr(old, name) != getattr(new, name))


def same(old: Model | None, new: Model) -> bool:
    """Equal but for time stamps."""
    return old is not None and not changed(old, new) - _TIMES


def differences(kind: str, old: Mapping[str, Model], new: Mapping[str, Model]) -> list[Change]:
    """One change for each key whose value differs; both have the same keys."""
    return [Change(kind, key, changed(old[key], value)) for key, value in new.items() if old[key] != value]


def is_rejection(order_: Order) -> bool:
    """`Inactive` with a reason: there is no status 'rejected' (§4.4)."""
    return order_.status == "Inactive" and bool(order_.reason)
