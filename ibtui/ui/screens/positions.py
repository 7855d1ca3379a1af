"""The Positions screen: a live table and the account's totals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from ibtui.core.models import Position
from ibtui.core.store import LINES
from ibtui.ui.messages import PnlChanged, PositionsChanged, SummaryChanged
from ibtui.ui.present import positions as present
from ibtui.ui.present.spans import Line, width
from ibtui.ui.screens.rows import TablePane, bindings
from ibtui.ui.widgets.lines import Lines
from ibtui.ui.widgets.live_table import LiveTable
from ibtui.ui.widgets.rows import Row

_GROUPS = ("", "currency", "asset_class")
_LOADING = "Loading positions …"
_NONE = "No positions in this account."


class PositionsScreen(TablePane):
    """What the account holds, and what it gained today."""

    mode = "positions"
    title_spans = (("Positions", "title"),)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("positions")]

    def __init__(self) -> None:
        super().__init__()
        self._ctx = present.Context()
        self._group = ""
        self._by_conid: dict[str, set[str]] = {}

    def body(self) -> Iterable[Widget]:
        """Table and totals."""
        yield LiveTable(present.COLUMNS, empty_text=_LOADING, gap=1, id="table")
        yield Lines(id="foot")

    def on_mount(self) -> None:
        """Keys go to the table."""
        self.table.focus()

    def reload(self) -> None:
        """All rows of the account that is shown."""
        app = self.ibtui
        store = app.store
        if store is None:
            return
        self._ctx = app.context()
        mine = [it for it in store.positions.values() if not app.account or it.account == app.account]
        self._by_conid = {}
        for position in mine:
            self._by_conid.setdefault(str(position.conid), set()).add(position.key)
        self.table.empty_text = _NONE if self._complete() else _LOADING
        self.table.replace([self._row(position) for position in mine])
        self._show_totals()

    def _complete(self) -> bool:
        """Whether all positions of the account have been read; many take a while."""
        app = self.ibtui
        return app.is_loaded(f"position:{app.account}" if app.account else "position")

    def rule(self) -> Line:
        """While positions are still being read it says that these are not all."""
        if self._complete() or not self.table.total:
            return super().rule()
        head: Line = (("── ", "muted"), (f"the first {self.table.total:,}; reading the others ", "accent"))
        return (*head, ("─" * max(0, self.size.width - width(head)), "muted"))

    def _row(self, position: Position) -> Row:
        store = self.ibtui.store
        quote = store.quotes.get(position.conid) if store is not None else None
        row = present.row(position, quote, self._ctx)
        # More contracts than IBKR streams: the rest is as old as its last snapshot.
        if store is not None and len(self._by_conid) > LINES and not store.is_live(position):
            row = replace(row, dim=True)
        return replace(row, group=getattr(position, self._group) or "") if self._group else row

    def on_positions_changed(self, message: PositionsChanged) -> None:
        """Repaint the cells that differ."""
        store = self.ibtui.store
        if store is None or message.everything or not self._by_conid:
            self.reload()
            return
        keys: set[str] = set()
        for key in message.keys:
            if ":" in key:
                keys.add(key)
            else:
                keys |= self._by_conid.get(key, set())
        found = [store.positions.get(key) for key in keys]
        mine = [it for it in found if it is not None and it.account in ("", self.ibtui.account or it.account)]
        if any(it.key not in self._by_conid.get(str(it.conid), ()) for it in mine) or None in found:
            self.reload()
            return
        self.table.apply([self._row(position) for position in mine])
        self._show_totals()

    def on_pnl_changed(self, _: PnlChanged) -> None:
        """The totals' daily and unrealized values."""
        self._show_totals()

    def on_summary_changed(self, message: SummaryChanged) -> None:
        """Net liquidation, cash and rates: shares of it may change in every row."""
        if self.ibtui.context() != self._ctx:
            self.reload()
        else:
            self._show_totals()

    def tick(self) -> None:
        """The age of the values grows."""
        super().tick()
        self._show_totals()

    def _show_totals(self) -> None:
        app = self.ibtui
        store = app.store
        if store is None:
            return
        account = app.account
        totals = present.totals(
            self._ctx,
            store.pnl.get(account),
            store.summary.get(account, {}),
            store.ledger.get(account, {}),
            app.age("position", "pnl"),
            room=self.size.width,
        )
        self.query_one("#foot", Lines).show([self.rule(), totals])

    def filter_changed(self) -> None:
        """How many rows the filter leaves stands behind the totals."""
        self._show_totals()

    def action_group(self) -> None:
        """By currency, by type, not at all."""
        self._group = _GROUPS[(_GROUPS.index(self._group) + 1) % len(_GROUPS)]
        words = {"": "Not grouped.", "currency": "Grouped by currency.", "asset_class": "Grouped by type."}
        self.say(words[self._group])
        self.reload()

    def details(self, key: str) -> tuple[str, list[tuple[str, str]]] | None:
        """Everything known of a position."""
        store = self.ibtui.store
        position = store.positions.get(key) if store is not None else None
        if store is None or position is None:
            return None
        pairs = present.details(position, store.quotes.get(position.conid), self._ctx)
        return pairs[0][1], pairs
