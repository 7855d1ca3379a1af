"""What Positions and Orders share: a table with a filter line, details and copying."""

from __future__ import annotations

from dataclasses import replace

from textual.binding import Binding
from textual.widgets import Input

from ibtui.ui import keymap
from ibtui.ui.present.spans import Line, width
from ibtui.ui.screens.base import Pane, table_text
from ibtui.ui.widgets.filter_bar import FilterBar
from ibtui.ui.widgets.live_table import LiveTable


def bindings(mode: str) -> list[Binding]:
    """The key map's. `/` comes first of all, so that what is typed behind it at once, or sent in one
    piece by a slow line, goes into the field and not to the table.
    """
    return [replace(it, priority=it.action == "filter") for it in keymap.bindings(mode)]


class TablePane(Pane):
    """A pane with at least one `LiveTable`; `table` is the one in front."""

    @property
    def table(self) -> LiveTable:
        """The table that keys and filter work on."""
        return self.query_one(LiveTable)

    def details(self, key: str) -> tuple[str, list[tuple[str, str]]] | None:
        """Title and (name, text) pairs of a row; None if it is gone."""
        raise NotImplementedError

    # Filter ------------------------------------------------------------------------

    async def action_filter(self) -> None:
        """Open the filter line; when this returns it has the focus."""
        bar = FilterBar(self.table.filter_text)
        await self.mount(bar)
        self.set_focus(bar.query_one(Input))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While the filter line is open a slash is a character like any other."""
        return not (action == "filter" and self.query(FilterBar))

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self.table.set_filter("")
        self.filter_changed()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        """Filter while typing."""
        message.stop()
        self.table.set_filter(message.text)
        self.filter_changed()

    async def on_filter_bar_closed(self, message: FilterBar.Closed) -> None:
        """Back to the table; escape shows all rows again."""
        message.stop()
        if not message.keep:
            self.action_unfilter()
        await self.query(FilterBar).remove()
        self.table.focus()

    def rule(self) -> Line:
        """The line above the totals; while a filter is on it says so."""
        table, room = self.table, self.size.width
        if not table.filter_text:
            return (("─" * room, "muted"),)
        head: Line = (
            ("── ", "muted"),
            (f"{table.row_count:,} of {table.total:,} shown", "accent"),
            (f" · filter {table.filter_text} · esc shows all ", "muted"),
        )
        return (*head, ("─" * max(0, room - width(head)), "muted"))

    def filter_changed(self) -> None:
        """Say how many rows are shown; for subclasses."""

    # Rows --------------------------------------------------------------------------

    def on_live_table_row_selected(self, message: LiveTable.RowSelected) -> None:
        """Enter or a second click."""
        message.stop()
        self._open(message.key)

    def action_detail(self) -> None:
        """The row under the cursor; for the footer, the table itself has enter."""
        if self.table.cursor_key is not None:
            self._open(self.table.cursor_key)

    def action_table_sort(self) -> None:
        """For the footer; the table itself has the key."""
        self.table.action_next_sort()

    def _open(self, key: str) -> None:
        found = self.details(key)
        if found is not None:
            from ibtui.ui.screens.detail import DetailScreen

            self.app.push_screen(DetailScreen(found, lambda: self.details(key)))

    def action_copy(self) -> None:
        """The row under the cursor, as names and values."""
        key = self.table.cursor_key
        found = self.details(key) if key is not None else None
        if found is None:
            self.say("There is no row to copy.")
            return
        title, pairs = found
        self.ibtui.copy(table_text(pairs), title)
