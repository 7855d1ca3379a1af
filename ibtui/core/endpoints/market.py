"""Market data: snapshots and history (web-api.md §5.8–§5.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ibtui.core.endpoints.common import (
    Call,
    get,
    integer,
    label,
    mapping,
    milliseconds,
    post,
    read_all,
    rest_of,
    rows,
    text,
)
from ibtui.core.models import Bar, History, Quote

_HISTORY = frozenset({"symbol", "data", "barLength", "volumeFactor", "mktDataDelay"})


def snapshot(conids: Sequence[int], fields: Sequence[str]) -> Call:
    """Fields of at most 100 contracts; the first call of a contract only opens its stream (§5.8)."""
    return get(
        "/iserver/marketdata/snapshot",
        conids=",".join(str(conid) for conid in conids),
        fields=",".join(fields),
    )


def history(
    conid: int, period: str = "1d", bar: str = "5min", *, outside_rth: bool = False, source: str | None = None
) -> Call:
    """Bars of a contract; five requests at a time (§5.9)."""
    return get(
        "/iserver/marketdata/history",
        conid=conid,
        period=period,
        bar=bar,
        outsideRth=outside_rth,
        source=source,
    )


def unsubscribe(conid: int) -> Call:
    """Close a snapshot's stream (§5.10)."""
    return post("/iserver/marketdata/unsubscribe", {"conid": conid})


def unsubscribe_all() -> Call:
    """Close all snapshot streams (§5.10)."""
    return get("/iserver/marketdata/unsubscribeall")


def read_quotes(body: Any) -> list[Quote]:
    """The rows of `snapshot`; a row without fields yet gives an empty quote."""
    return read_all(body, read_quote)


def read_quote(row: Mapping[str, Any]) -> Quote | None:
    """One row; None without a conid. Only numbered fields are kept."""
    conid = integer(row.get("conid"))
    if conid is None:
        return None
    fields = {
        name: value if isinstance(value, str) else text(value) or ""
        for name, value in row.items()
        if name[:1].isdigit()
    }
    return Quote(conid=conid, fields=fields, updated_ms=milliseconds(row.get("_updated")))


def read_history(body: Any) -> History:
    """The bars of `history` or of an `smh` frame, oldest first; rows without a time are left out."""
    row = mapping(body)
    bars = (
        Bar(
            start_ms=start,
            open=text(bar.get("o")),
            high=text(bar.get("h")),
            low=text(bar.get("l")),
            close=text(bar.get("c")),
            volume=text(bar.get("v")),
        )
        for bar in rows(row.get("data"))
        if (start := milliseconds(bar.get("t")))
    )
    return History(
        symbol=label(row.get("symbol")),
        bars=tuple(bars),
        bar_seconds=integer(row.get("barLength")),
        volume_factor=integer(row.get("volumeFactor")) or 1,
        delay_s=integer(row.get("mktDataDelay")),
        extra=rest_of(row, _HISTORY),
    )
