"""How an older value and newer, often partial, news make a new value (web-api.md §7.7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct, structs

from ibtui.core.endpoints import orders
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


class Route(Struct, gc=False):
    """Where a market data event of one contract with one set of fields goes; made once, used often."""

    changes: list[Change]
    """What to publish: the quote, then each position it speaks of."""
    told: tuple[tuple[str, str], ...]
    """Market data field -> field of `Position`."""
    holders: tuple[str, ...]


def route(conid: int, fields: Iterable[str], holders: Sequence[str]) -> Route:
    """The route of an event with these `fields`. Amounts count only where one account holds the
    contract: the stream does not say whose they are."""
    names = frozenset(fields)
    told = tuple(
        (number, name)
        for number, name in _POSITION_FIELDS.items()
        if number in names and (number == "31" or len(holders) == 1)
    )
    changes = [Change("quote", str(conid), names)]
    if told:
        moved = frozenset(name for _, name in told)
        changes += [Change("position", key, moved) for key in holders]
    return Route(changes, told, tuple(holders) if told else ())


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
