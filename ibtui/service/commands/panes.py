"""`ibtui accounts`, `positions`, `orders`, `trades`, `pnl`: the panes as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ibtui.core.store import Store
from ibtui.errors import IbtuiError
from ibtui.service import actions, output
from ibtui.service.attached import AttachedRuntime
from ibtui.service.commands.context import Context, run
from ibtui.service.output import Col
from ibtui.service.runtimes import runtime_for


@dataclass(frozen=True, slots=True)
class Pane:
    """How one pane is printed."""

    kinds: frozenset[str]
    """Kinds of change that concern it."""
    rows: Callable[[Store], Iterable[Any]]
    cols: tuple[Col, ...]
    key: Callable[[Any], str]
    live: Callable[[Store, Any], bool] | None = None
    """Whether the stream keeps a row current, or it is as old as the last snapshot; in JSON alone."""

    def document(self, store: Store, row: Any) -> dict[str, Any]:
        """A row as JSON has it."""
        found = _words(row)
        if self.live is not None:
            found["live"] = self.live(store, row)
        return found


def _words(row: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.structs.asdict(row)
    return found


def _positions(store: Store) -> list[Any]:
    return sorted(store.positions.values(), key=lambda p: (p.account, p.ticker or p.description, p.conid))


def _orders(store: Store) -> list[Any]:
    return sorted(store.orders.values(), key=lambda o: -o.updated_ms)


def _trades(store: Store) -> list[Any]:
    return sorted(store.executions.values(), key=lambda e: -e.time_ms)


def _money(title: str, key: str) -> Col:
    return Col(title, key, "money")


def _price(title: str, key: str) -> Col:
    return Col(title, key, "price")


def _quantity(title: str, key: str) -> Col:
    return Col(title, key, "quantity")


PANES = {
    "accounts": Pane(
        frozenset({"accounts"}),
        lambda store: store.accounts,
        (Col("Account", "id"), Col("Title", "title"), Col("Ccy", "currency"), Col("Type", "type")),
        lambda row: str(row.id),
    ),
    "positions": Pane(
        frozenset({"position"}),
        _positions,
        (
            Col("Account", "account"),
            Col("Symbol", "description", "contract"),
            _quantity("Position", "position"),
            _price("Last", "market_price"),
            _money("Value", "market_value"),
            _money("Daily", "daily_pnl"),
            _money("Unrealized", "unrealized_pnl"),
            Col("Ccy", "currency"),
        ),
        lambda row: str(row.key),
        lambda store, row: store.is_live(row),
    ),
    "orders": Pane(
        frozenset({"order"}),
        _orders,
        (
            Col("Account", "account"),
            Col("Order", "order_id", "number"),
            Col("Status", "status"),
            Col("Side", "side", "side"),
            _quantity("Qty", "total"),
            _quantity("Filled", "filled"),
            Col("Symbol", "ticker"),
            Col("Type", "order_type"),
            _price("Price", "price"),
            Col("TIF", "tif", "tif"),
        ),
        lambda row: str(row.order_id),
    ),
    "trades": Pane(
        frozenset({"execution"}),
        _trades,
        (
            Col("Account", "account"),
            Col("Side", "side", "side"),
            _quantity("Size", "size"),
            Col("Symbol", "symbol"),
            _price("Price", "price"),
            _money("Commission", "commission"),
            Col("Exchange", "exchange"),
            Col("Order", "order_id", "number"),
        ),
        lambda row: str(row.execution_id),
    ),
    "pnl": Pane(
        frozenset({"pnl"}),
        lambda store: [store.pnl[key] for key in sorted(store.pnl)],
        (
            Col("Account", "account"),
            _money("Daily", "daily"),
            _money("Unrealized", "unrealized"),
            _money("Net liq", "net_liquidity"),
            _money("Excess", "excess_liquidity"),
            _money("Value", "market_value"),
        ),
        lambda row: str(row.account),
    ),
}


def show(context: Context, name: str, *, watch: bool) -> int:
    """Print one pane; with `watch` its changes too, until interrupted."""
    pane = PANES[name]

    async def work() -> None:
        async with runtime_for(context.settings, spawns=watch) as runtime:
            await actions.need_session(runtime)
            feed = runtime.subscribe()
            if not watch:
                await _load(runtime, name)
            # P&L stays empty at IBKR until a stream has asked for it (web-api.md §3.10).
            if watch or (name == "pnl" and not runtime.store.pnl):
                await runtime.go_live()
            if name == "pnl":
                await runtime.settled("pnl")
            store = runtime.store
            tells_live = pane.live if context.as_json else None

            def state(row: Any) -> Any:
                return row, tells_live is not None and tells_live(store, row)

            rows = list(pane.rows(store))
            widths = print_pane(pane, rows, store, as_json=context.as_json)
            seen = {pane.key(row): state(row) for row in rows}
            while watch:
                await feed.wait()
                await runtime.clock.sleep(1 / context.settings.ui.refresh_hz)
                if any(change.kind in pane.kinds for change in feed.drain()):
                    changed = [row for row in pane.rows(store) if seen.get(pane.key(row)) != state(row)]
                    seen.update((pane.key(row), state(row)) for row in changed)
                    if changed:
                        widths = print_pane(pane, changed, store, as_json=context.as_json, under=widths)

    run(work())
    return 0


async def _load(runtime: AttachedRuntime, name: str) -> None:
    await runtime.load(name)
    if name == "positions":
        try:
            await runtime.load("daily")
        except IbtuiError as error:
            # The rest of the rows is worth printing without it.
            output.say(f"The day's P&L could not be had: {error}")


def print_pane(
    pane: Pane, rows: list[Any], store: Store, *, as_json: bool, under: Sequence[int] | None = None
) -> Sequence[int]:
    """Rows as a table, or one JSON array; `under` and the result as of `output.table`."""
    if as_json:
        output.dump([pane.document(store, row) for row in rows])
        return []
    widths = output.table([_words(row) for row in rows], pane.cols, under)
    if not rows:
        output.say("(none)")
    return widths
