"""The latest known values: snapshots and stream events in, change sets out (DESIGN §3, data flow b).

Everybody but the owner reads only. Every method that changes something returns the
`Change`s to publish; it publishes none itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct, structs

from ibtui.clock import Clock, SystemClock
from ibtui.core import merge
from ibtui.core.amounts import Amounts, Changes
from ibtui.core.endpoints import accounts as accounts_
from ibtui.core.endpoints import orders as orders_
from ibtui.core.endpoints import portfolio
from ibtui.core.endpoints.common import integer
from ibtui.core.endpoints.session import read_status
from ibtui.core.feed import Change
from ibtui.core.models import (
    Account,
    Accounts,
    AuthStatus,
    Execution,
    Order,
    Position,
    Quote,
)
from ibtui.core.wire import decode as wire

_NEWS_S = 60.0
"""Before the first snapshot a fill counts as news when it is no older."""
_ROUTES = 200
"""Sets of fields remembered for each contract."""


class Missed(Struct, frozen=True):
    """What a reconciliation found that the stream had not told."""

    fills: int = 0
    statuses: int = 0

    def __bool__(self) -> bool:
        return bool(self.fills or self.statuses)

    @property
    def text(self) -> str:
        """`2 fills, 1 status change missed`, or `nothing missed`."""
        if not self:
            return "nothing missed"
        fills = f"{self.fills} fill{'s' * (self.fills != 1)}"
        statuses = f"{self.statuses} status change{'s' * (self.statuses != 1)}"
        return f"{fills}, {statuses} missed"


LINES = 100
"""Market data lines an account has by default (§7.8)."""


class Store(Amounts):
    """Accounts, positions, quotes, orders, executions and amounts of one session.

    All mappings are live, read-only views; the values in them are immutable.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or SystemClock())
        self.accounts: tuple[Account, ...] = ()
        self.selected = ""
        """The account the brokerage session acts for."""
        self.auth = AuthStatus()
        """The brokerage session's state as the stream tells it."""
        self.unknown_orders: set[int] = set()
        """Order ids the stream named without saying enough: read the orders anew (§7.7)."""
        self._positions: dict[str, Position] = {}
        self._quotes: dict[int, Quote] = {}
        self._orders: dict[int, Order] = {}
        self._executions: dict[str, Execution] = {}
        self._sts: dict[str, Any] = {}
        self._holders: dict[int, list[str]] = {}
        self._routes: dict[int, dict[tuple[str, ...], merge.Route]] = {}
        self._order_heard: dict[int, float] = {}
        self.positions: Mapping[str, Position] = MappingProxyType(self._positions)
        """By `Position.key`."""
        self.quotes: Mapping[int, Quote] = MappingProxyType(self._quotes)
        """By conid."""
        self.orders: Mapping[int, Order] = MappingProxyType(self._orders)
        """By order id."""
        self.executions: Mapping[str, Execution] = MappingProxyType(self._executions)
        """By execution id."""
        self._streamed: set[int] = set()
        self._appliers = self._make_appliers()

    def _make_appliers(self) -> dict[type, Callable[[Any], Changes]]:
        return {
            wire.MarketData: self._streamed_market,
            wire.OrderRows: lambda event: self._order_rows(event.rows),
            wire.ExecutionRows: lambda event: self._add_executions(orders_.read_executions(event.rows)),
            wire.PnlRows: lambda event: self._put_pnl(portfolio.read_pnl(event.rows)),
            wire.SummaryRows: self._summary_rows,
            wire.LedgerRows: self._ledger_rows,
            wire.AccountsFrame: lambda event: self.replace_brokerage_accounts(
                accounts_.read_brokerage(event.body)
            ),
            wire.StatusPart: self._status_part,
        }

    def apply(self, event: wire.Event) -> Changes:
        """Take in one event of the stream; events that say nothing of the store change nothing."""
        applier = self._appliers.get(event.__class__)
        return applier(event) if applier is not None else []

    def clear(self) -> Changes:
        """Forget everything: another user is logged in now."""
        self.accounts, self.selected = (), ""
        for values in (self._positions, self._quotes, self._orders, self._executions, self._pnl):
            values.clear()
        for more in (self._summary, self._ledger, self._updated, self._sts, self._holders, self._routes):
            more.clear()
        self._order_heard.clear()
        self.unknown_orders.clear()
        self._streamed.clear()
        self.loaded = frozenset()
        kinds = ("accounts", "position", "quote", "order", "execution", "pnl", "summary", "ledger")
        return [Change(kind, "*") for kind in kinds]

    def is_live(self, position: Position) -> bool:
        """Whether the stream tells of this position's contract now.

        Otherwise its price is as old as the last REST snapshot: an account has a hundred market
        data lines (§7.8), and none while the socket is away.
        """
        return position.conid in self._streamed

    def silenced(self, conid: int) -> Changes:
        """The stream tells no more of a contract: its line was given up."""
        if conid not in self._streamed:
            return []
        self._streamed.discard(conid)
        return self._live_changed(conid)

    def _live_changed(self, conid: int) -> Changes:
        return [Change("position", key, frozenset({"live"})) for key in self._holders.get(conid, ())]

    def _streamed_market(self, event: wire.MarketData) -> Changes:
        changes = self._market(event)
        if event.conid in self._streamed or not event.fields:
            return changes
        self._streamed.add(event.conid)
        told = {change.key for change in changes if change.kind == "position"}
        # The list is shared with the next event of the same fields.
        return [*changes, *(it for it in self._live_changed(event.conid) if it.key not in told)]

    def _market(self, event: wire.MarketData) -> Changes:
        fields = event.fields
        if not fields:
            return []
        conid = event.conid
        routes = self._routes.get(conid)
        if routes is None:
            routes = self._routes[conid] = {}
        names = tuple(fields)
        route = routes.get(names)
        if route is None:
            route = merge.route(conid, names, self._holders.get(conid, ()))
            if len(routes) < _ROUTES:
                routes[names] = route
        old = self._quotes.get(conid)
        merged = fields if old is None else {**old.fields, **fields}
        self._quotes[conid] = Quote(conid, merged, event.updated_ms)
        now = self._updated["quote"] = self._clock.monotonic()
        if route.holders:
            told = {}
            for number, name in route.told:
                told[name] = fields[number] or None
            positions = self._positions
            for key in route.holders:
                positions[key] = structs.replace(positions[key], **told)
            self._updated["position"] = now
        return route.changes

    # accounts

    def replace_accounts(self, accounts: Iterable[Account]) -> Changes:
        """The portfolio's accounts (§3.3)."""
        self._snapshot("accounts")
        found = tuple(accounts)
        if found == self.accounts:
            return []
        self.accounts = found
        if not self.selected and found:
            self.selected = found[0].id
        return [Change("accounts", "*")]

    def replace_brokerage_accounts(self, found: Accounts) -> Changes:
        """The brokerage session's accounts (§3.1): which is selected, and ids while no more is known."""
        before = (self.selected, self.accounts)
        self.selected = found.selected or self.selected
        if not self.accounts:
            self.accounts = tuple(
                Account(id=id_, alias=found.aliases.get(id_), paper=id_.startswith("D")) for id_ in found.ids
            )
        self._touch("accounts")
        return [Change("accounts", "*")] if (self.selected, self.accounts) != before else []

    def select(self, account: str) -> Changes:
        """Another account is the selected one now."""
        changed = account != self.selected
        self.selected = account
        return [Change("accounts", "*", frozenset({"selected"}))] if changed else []

    # positions and quotes

    def replace_positions(
        self, account: str, positions: Iterable[Position], *, complete: bool = True
    ) -> Changes:
        """All positions of `account`; what only the stream tells (daily P&L, fresher prices) is kept.

        `complete` False: the first of many, to show while the others are read.
        """
        if complete:
            self._snapshot("position", account)
        else:
            self._touch("position")
        fresh = {
            position.key: merge.position(position, self._positions.get(position.key))
            for position in positions
        }
        old = {key: found for key, found in self._positions.items() if found.account == account}
        if fresh.keys() == old.keys():
            changes = merge.differences("position", old, fresh)
        else:
            for key in old.keys() - fresh.keys():
                del self._positions[key]
            changes = [Change("position", "*")]
        self._positions.update(fresh)
        self._routes.clear()
        self._holders.clear()
        for key, found in self._positions.items():
            self._holders.setdefault(found.conid, []).append(key)
        for key in fresh.keys() - old.keys():
            self._tell_position(key)
        return changes

    def _tell_position(self, key: str) -> None:
        """A position that is new here learns what the stream has told of its contract already."""
        conid = self._positions[key].conid
        quote = self._quotes.get(conid)
        if quote is not None:
            route = merge.route(conid, quote.fields, self._holders[conid])
            told = {name: quote.fields[number] for number, name in route.told if quote.fields[number]}
            self._positions[key] = structs.replace(self._positions[key], **told)

    def merge_quotes(self, quotes: Iterable[Quote]) -> Changes:
        """Quotes of a REST snapshot (§5.8)."""
        self._snapshot("quote")
        changes: Changes = []
        for quote in quotes:
            changes += self._market(wire.MarketData(quote.conid, dict(quote.fields), quote.updated_ms))
        return changes

    # orders and executions

    def replace_orders(self, orders: Iterable[Order], asked_at: float | None = None) -> Changes:
        """The day's orders (§4.1). `asked_at` is the `Clock.monotonic()` at which they were asked for:
        orders the stream has spoken of since then are left as the stream says."""
        self.unknown_orders.clear()
        fresh = {order.order_id: order for order in orders}
        if asked_at is not None:
            for order_id, heard in self._order_heard.items():
                if heard >= asked_at and order_id in self._orders:
                    fresh[order_id] = self._orders[order_id]
        changes: Changes = []
        if self._orders.keys() - fresh.keys():
            for order_id in self._orders.keys() - fresh.keys():
                del self._orders[order_id]
                self._order_heard.pop(order_id, None)
            changes.append(Change("order", "*"))
        for order_id, order in fresh.items():
            changes += self._put_order(self._orders.get(order_id), order)
        self._snapshot("order")
        return changes

    def _put_order(self, old: Order | None, new: Order) -> Changes:
        if old == new:
            return []
        self._orders[new.order_id] = new
        fields = merge.changed(old, new)
        if old is None:
            rejected = merge.is_rejection(new) and "order" in self.loaded
        else:
            rejected = merge.is_rejection(new) and not merge.is_rejection(old)
        return [Change("order", str(new.order_id), fields, keep=rejected)]

    def _order_rows(self, rows: Iterable[Mapping[str, Any]]) -> Changes:
        changes: Changes = []
        now = self._clock.monotonic()
        for row in rows:
            order_id = integer(row.get("orderId"))
            if order_id is None:
                continue
            self._touch("order")
            old = self._orders.get(order_id)
            if old is None and not ("status" in row and "conid" in row):
                # A delta of an order we never saw whole says too little to show.
                self.unknown_orders.add(order_id)
                continue
            new = merge.order(old, order_id, row)
            if new is not None:
                self._order_heard[order_id] = now
                changes += self._put_order(old, new)
        return changes

    def replace_executions(self, executions: Iterable[Execution]) -> Changes:
        """Executions of REST (§4.3); they are added, for none ever goes away."""
        changes = self._add_executions(executions)
        self._snapshot("execution")
        return changes

    def _add_executions(self, executions: Iterable[Execution]) -> Changes:
        # The morning's fills are no news to somebody who starts at noon.
        recent = (self._clock.now().timestamp() - _NEWS_S) * 1000
        changes: Changes = []
        for found in executions:
            old = self._executions.get(found.execution_id)
            new = found if old is None else merge.execution(old, found)
            if old == new:
                continue
            self._executions[found.execution_id] = new
            # Each fill is told once and never merged away; its commission comes as a plain change.
            fields = merge.changed(old, new)
            keep = old is None and ("execution" in self.loaded or found.time_ms >= recent)
            changes.append(Change("execution", found.execution_id, fields, keep=keep))
        if changes:
            self._touch("execution")
        return changes

    def reconcile(
        self, orders: Iterable[Order], executions: Iterable[Execution], asked_at: float | None = None
    ) -> tuple[Changes, Missed]:
        """Take in orders and executions read after a gap; also says what the gap had swallowed."""
        before = {order_id: order.status for order_id, order in self._orders.items()}
        fills = len(self._executions)
        changes = self.replace_orders(orders, asked_at) + self.replace_executions(executions)
        statuses = sum(before.get(order_id) != order.status for order_id, order in self._orders.items())
        return changes, Missed(len(self._executions) - fills, statuses)

    # the session

    def _status_part(self, event: wire.StatusPart) -> Changes:
        self._sts.update(event.part)
        new = read_status(self._sts)
        if new == self.auth:
            return []
        fields = merge.changed(self.auth, new)
        self.auth = new
        return [Change("status", "brokerage", fields)]

    def new_socket(self) -> Changes:
        """A new socket begins to tell the session's state and all prices from the start (§7.5)."""
        self._sts.clear()
        if not self._streamed:
            return []
        self._streamed.clear()
        return [Change("position", "*", frozenset({"live"}))]
