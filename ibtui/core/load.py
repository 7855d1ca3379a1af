"""Reading a session's snapshots into the store, cold replies and pages included (web-api.md §1.7, §8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from itertools import chain
from typing import Any

from ibtui.clock import Clock
from ibtui.core.endpoints import accounts, contracts, market, orders, portfolio
from ibtui.core.endpoints.common import Call, flag, mapping
from ibtui.core.feed import Change, Hub
from ibtui.core.models import Execution, Order, Pnl, Position
from ibtui.core.models import number as decimal
from ibtui.core.session import first_accounts
from ibtui.core.store import LINES, Missed, Store
from ibtui.errors import IbtuiError

PARTS = ("accounts", "positions", "amounts", "orders", "trades", "pnl")
"""What `Loader.load` can be asked for, beside `daily`."""
PAGES = 1000
"""Pages of positions at most: 100,000 rows."""
_COLD_TRIES = 4
_WARM_UP_S = 1.0
_DAILY_TRIES = 4
_DAILY_S = 0.6
"""Between two looks at a market data snapshot: half a second to two until it has its fields (§5.8)."""
_DAILY_FIELD = "78"
_SEARCHES = 20
"""Symbols looked up for a one-time look at most: two seconds."""


class Loader:
    """Asks for snapshots and puts them into `store`; changes go to `hub` as they come in."""

    def __init__(self, call: Callable[[Call], Awaitable[Any]], store: Store, hub: Hub, clock: Clock) -> None:
        self._call = call
        self._store = store
        self._hub = hub
        self._clock = clock
        self._armed = False

    def _publish(self, changes: Iterable[Change]) -> None:
        self._hub.publish(changes)

    async def load(self, parts: Iterable[str]) -> None:
        """Accounts first, then the other parts side by side; what can be had is in the store at the end.

        `daily` (the positions' P&L of the day, where no stream tells it) comes after everything else.

        Raises:
            IbtuiError: the first failure, after the other parts have ended.
        """
        wanted = set(parts)
        if "accounts" in wanted or not self._armed:
            await self.accounts()
        work = {
            "amounts": lambda: self._each(self.amounts),
            "positions": lambda: self._each(self.positions),
            "orders": self.orders,
            "trades": self.trades,
            "pnl": self.pnl,
        }
        done = await asyncio.gather(
            *(work[part]() for part in work if part in wanted), return_exceptions=True
        )
        for result in done:
            if isinstance(result, BaseException):
                raise result
        if "daily" in wanted:
            await self.daily()

    async def accounts(self) -> None:
        """The brokerage session's accounts, then the portfolio's; both arm other routes (§1.7)."""
        found = await first_accounts(self._call, self._clock)
        self._publish(self._store.replace_brokerage_accounts(found))
        body = await self._call(accounts.portfolio())
        self._publish(self._store.replace_accounts(accounts.read_portfolio(body)))
        # Without this call the portfolio's routes answer with nothing, and no error (§1.7).
        self._armed = True

    def account_ids(self) -> list[str]:
        """All accounts, the selected one first."""
        ids = [account.id for account in self._store.accounts]
        selected = self._store.selected
        return sorted(ids, key=lambda id_: id_ != selected) if ids else [selected] * bool(selected)

    async def _each(self, read: Callable[[str], Awaitable[None]]) -> None:
        for account in self.account_ids():
            await read(account)

    async def amounts(self, account: str) -> None:
        """Summary and ledger of an account (§3.4, §3.6)."""
        body = await self._call(portfolio.summary(account))
        self._publish(self._store.replace_summary(account, portfolio.read_summary(body)))
        body = await self._call(portfolio.ledger(account))
        self._publish(self._store.replace_ledger(account, portfolio.read_ledger(body)))

    async def positions(self, account: str, *, fresh: bool = False) -> None:
        """All pages of an account; read again once while rows are cold (§3.8). `fresh` drops the
        server's cache before, for it may lag fills by minutes."""
        if fresh:
            await self._call(portfolio.invalidate(account))
        pages = await self._pages(account)
        cold = [number for number, page in enumerate(pages) if any(map(_is_cold, page))]
        if cold or not any(pages):
            self._publish(self._store.replace_positions(account, chain(*pages), complete=bool(cold)))
            await self._clock.sleep(_WARM_UP_S)
            pages = await self._warm(account, pages, cold)
        self._publish(self._store.replace_positions(account, chain(*pages)))

    async def _pages(self, account: str) -> list[list[Position]]:
        pages: list[list[Position]] = []
        for number in range(PAGES):
            body = await self._call(portfolio.positions(account, number))
            pages.append(portfolio.read_positions(body, account))
            if not isinstance(body, list) or len(body) < portfolio.PAGE:
                break
            if number == 0 and f"position:{account}" not in self._store.loaded:
                # A hundred pages take ten seconds; nobody should look at nothing for so long.
                self._publish(self._store.replace_positions(account, pages[0], complete=False))
        return pages

    async def _warm(self, account: str, pages: list[list[Position]], cold: list[int]) -> list[list[Position]]:
        """The cold pages once more; all of them where rows have moved between pages meanwhile."""
        if not cold:
            return await self._pages(account)
        for number in cold:
            before = {row.key for row in pages[number]}
            body = await self._call(portfolio.positions(account, number))
            pages[number] = portfolio.read_positions(body, account)
            if {row.key for row in pages[number]} != before:
                return await self._pages(account)
        return pages

    async def daily(self) -> None:
        """P&L of the day of the positions that a stream would follow, from market data snapshots.

        Portfolio routes have no such member (§3.8). The first call only opens the streams, and fields
        come one by one; what has not come after some seconds stays absent.
        """
        for symbol in self._underlying()[:_SEARCHES]:
            try:
                # Without it a derivative's fields never fill (§1.7).
                await self._call(contracts.search(symbol))
            except IbtuiError:
                continue  # that one's stay absent
        missing = list(followed(self._store))
        for attempt in range(_DAILY_TRIES):
            if not missing:
                return
            if attempt:
                await self._clock.sleep(_DAILY_S)
            found = market.read_quotes(await self._call(market.snapshot(missing, [_DAILY_FIELD])))
            told = [quote for quote in found if quote.fields.get(_DAILY_FIELD)]
            self._publish(self._store.merge_quotes(told))
            known = {quote.conid for quote in told}
            missing = [conid for conid in missing if conid not in known]

    def _underlying(self) -> list[str]:
        """The symbols below the derivatives that are held."""
        by_conid = {it.conid: it for it in self._store.positions.values()}
        held = (by_conid[conid] for conid in followed(self._store))
        return list(dict.fromkeys(it.ticker for it in held if it.underlying_conid and it.ticker))

    async def read_orders(self) -> tuple[list[Order], bool]:
        """The day's orders, asked for until the server says that they are all (§4.1); False with
        them when it never did."""
        found: list[Order] = []
        for attempt in range(_COLD_TRIES):
            body = await self._call(orders.live())
            found = orders.read_orders(body)
            if flag(mapping(body).get("snapshot")) is not False:
                return found, True
            if found and attempt:
                # Recorded: `snapshot:false` for ever with all rows there.
                return found, True
            await self._clock.sleep(_WARM_UP_S)
        return found, False

    async def orders(self) -> None:
        """The day's orders into the store."""
        asked_at = self._clock.monotonic()
        found, _ = await self.read_orders()
        self._publish(self._store.replace_orders(found, asked_at))

    async def read_trades(self) -> list[Execution]:
        """Today's executions; an empty first reply may be the cold one (§4.3)."""
        found = orders.read_executions(await self._call(orders.trades()))
        return found or orders.read_executions(await self._call(orders.trades()))

    async def trades(self) -> None:
        """Today's executions into the store."""
        self._publish(self._store.replace_executions(await self.read_trades()))

    async def pnl(self) -> None:
        """P&L into the store; stays empty at IBKR until something has asked for it (§3.10)."""
        found = portfolio.read_pnl(await self._call(portfolio.pnl()))
        if not found:
            found = portfolio.read_pnl(await self._call(portfolio.pnl()))
        self._publish(self._store.replace_pnl(found or _nothing()))

    async def reconcile(self) -> Missed:
        """Orders and executions read anew after a gap; says what the stream had not told (§7.9)."""
        asked_at = self._clock.monotonic()
        (found, complete), trades = await asyncio.gather(self.read_orders(), self.read_trades())
        if not complete:
            # A list that is still cold would wipe orders that are there.
            found = [*self._store.orders.values()]
        changes, missed = self._store.reconcile(found, trades, asked_at)
        self._publish(changes)
        return missed


def followed(store: Store) -> dict[int, None]:
    """Contracts of open positions for which there are market data lines: the selected account's
    first, the largest hundred (§7.8)."""

    def weight(position: Position) -> Decimal:
        return abs(decimal(position.market_value) or Decimal(0))

    held = [found for found in store.positions.values() if decimal(found.position)]
    held.sort(key=lambda found: (found.account != store.selected, -weight(found)))
    conids = dict.fromkeys(found.conid for found in held)
    return dict.fromkeys(list(conids)[:LINES])


def _nothing() -> dict[str, Pnl]:
    return {}


def _is_cold(row: Position) -> bool:
    return row.ticker is None and row.name is None and row.decimals is None
