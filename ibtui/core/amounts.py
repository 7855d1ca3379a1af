"""P&L, summary and ledger of each account, and what all kinds of values share: age, and being there.

The lower half of `store.Store`, which alone is meant for use (web-api.md §3.4, §3.6, §3.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ibtui.clock import Clock
from ibtui.core import merge
from ibtui.core.endpoints import portfolio
from ibtui.core.feed import Change
from ibtui.core.models import LedgerRow, Pnl, SummaryRow
from ibtui.core.wire import decode as wire

Changes = list[Change]


class Amounts:
    """Sums of money by account; all mappings are live, read-only views."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pnl: dict[str, Pnl] = {}
        self._summary: dict[str, Mapping[str, SummaryRow]] = {}
        self._ledger: dict[str, Mapping[str, LedgerRow]] = {}
        self._updated: dict[str, float] = {}
        self.pnl: Mapping[str, Pnl] = MappingProxyType(self._pnl)
        """By account."""
        self.summary: Mapping[str, Mapping[str, SummaryRow]] = MappingProxyType(self._summary)
        """By account, then by lower-case key."""
        self.ledger: Mapping[str, Mapping[str, LedgerRow]] = MappingProxyType(self._ledger)
        """By account, then by currency."""
        self.updated: Mapping[str, float] = MappingProxyType(self._updated)
        """Kind -> `Clock.monotonic()` of its last news."""
        self.loaded: frozenset[str] = frozenset()
        """Kinds whose snapshot is in (an empty one counts); of positions also `position:ACCOUNT`."""

    def touch(self, kind: str) -> None:
        """There was news of `kind` just now (`tickle`, say): its age begins anew."""
        self._touch(kind)

    def _touch(self, kind: str) -> None:
        self._updated[kind] = self._clock.monotonic()

    def _snapshot(self, kind: str, account: str = "") -> None:
        self._touch(kind)
        self.loaded |= {kind, f"{kind}:{account}"} if account else {kind}

    def replace_pnl(self, pnl: Mapping[str, Pnl]) -> Changes:
        """P&L of REST (§3.10); an account it does not name keeps its values."""
        self._snapshot("pnl")
        return self._put_pnl(pnl)

    def _put_pnl(self, pnl: Mapping[str, Pnl]) -> Changes:
        changes: Changes = []
        now_ms = int(self._clock.now().timestamp() * 1000)
        for account, found in pnl.items():
            old = self._pnl.get(account)
            new = merge.over(old, found, updated_ms=now_ms)
            self._pnl[account] = new
            changes.append(Change("pnl", account, merge.changed(old, new)))
        if changes:
            self._snapshot("pnl")
        return changes

    def replace_summary(self, account: str, rows: Mapping[str, SummaryRow]) -> Changes:
        """The summary of an account (§3.4)."""
        self._snapshot("summary")
        return self._put_rows("summary", self._summary, account, rows, whole=True)

    def _summary_rows(self, event: wire.SummaryRows) -> Changes:
        rows = {row.key: row for raw in event.rows if (row := portfolio.read_summary_frame(raw)) is not None}
        return self._put_rows("summary", self._summary, event.account, rows, whole=False)

    def replace_ledger(self, account: str, rows: Mapping[str, LedgerRow]) -> Changes:
        """The ledger of an account (§3.6)."""
        self._snapshot("ledger")
        return self._put_rows("ledger", self._ledger, account, rows, whole=True)

    def _ledger_rows(self, event: wire.LedgerRows) -> Changes:
        found = (portfolio.read_ledger_frame(raw) for raw in event.rows)
        rows = {row.currency: row for row in found if row is not None}
        return self._put_rows("ledger", self._ledger, event.account, rows, whole=False)

    def _put_rows(
        self,
        kind: str,
        table: dict[str, Mapping[str, Any]],
        account: str,
        rows: Mapping[str, Any],
        whole: bool,
    ) -> Changes:
        old = table.get(account, {})
        names = frozenset(key for key, row in rows.items() if not merge.same(old.get(key), row))
        if whole:
            names |= frozenset(old.keys() - rows.keys())
        self._touch(kind)
        if not names:
            return []
        if whole:
            table[account] = dict(rows)
        else:
            # A frame tells only some members of a row, and only some rows.
            table[account] = {**old, **{key: merge.over(old.get(key), row) for key, row in rows.items()}}
        return [Change(kind, account, names)]
