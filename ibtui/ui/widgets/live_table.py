"""`LiveTable`: a table that takes hundreds of changes a second and paints only the lines that differ.

What to show is kept by `rows.RowSet`, how it looks by `table_view.TableView` and
`live_table_paint.Painter`; here are the changes, the cursor, the keys and the messages. The cursor
belongs to a row, not to a place: it stays on its row while rows come, go and change places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message

from ibtui.ui.widgets.rows import Column, Delta, Row
from ibtui.ui.widgets.table_view import HEADER, TableView


class LiveTable(TableView, can_focus=True, inherit_bindings=False):
    """A fast, sortable, filterable table of pre-formatted rows.

    All methods take and give row keys. Changes may be made before the table is mounted and while it is
    `paused`; they show when it is not.
    """

    HELP = """\
## Table

Arrow keys or `j` and `k` move the cursor, `home` and `end` (`g`, `G`) go to the first and last row.
`enter` opens a row, `space` marks it. `s` sorts by the next column, `S` turns the order round; a click
on a title does the same.
"""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_by(-1)", "Row above", show=False, id="table.up"),
        Binding("down,j", "cursor_by(1)", "Row below", show=False, id="table.down"),
        Binding("home,g", "cursor_first", "First row", show=False, id="table.first"),
        Binding("end,G", "cursor_last", "Last row", show=False, id="table.last"),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("enter", "select", "Open row", show=False, id="table.select"),
        Binding("space", "mark", "Mark row", show=False, id="table.mark"),
        Binding("s", "next_sort", "Sort by next column", show=False, id="table.sort"),
        Binding("S", "reverse_sort", "Reverse order", show=False, id="table.reverse"),
    ]

    class TableMessage(Message):
        """A message that knows its table, for `@on(..., "#id")`."""

        def __init__(self, table: LiveTable) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> LiveTable:
            """The table that sent it."""
            return self.table

    class RowHighlighted(TableMessage):
        """The cursor went to another row (`key`), or there is none left (None)."""

        def __init__(self, table: LiveTable, key: str | None) -> None:
            super().__init__(table)
            self.key = key

    class RowSelected(TableMessage):
        """Enter, or a second click on the row."""

        def __init__(self, table: LiveTable, key: str) -> None:
            super().__init__(table)
            self.key = key

    class MarksChanged(TableMessage):
        """Rows were marked or unmarked with the space bar, or marked ones were taken away."""

        def __init__(self, table: LiveTable, keys: frozenset[str]) -> None:
            super().__init__(table)
            self.keys = keys

    class SortChanged(TableMessage):
        """The order changed, by key, click or call; `column` None is the order of arrival."""

        def __init__(self, table: LiveTable, column: str | None, descending: bool) -> None:
            super().__init__(table)
            self.column = column
            self.descending = descending

    _clicked: str | None = None
    """The row of the last click; a second one there opens it."""

    # ---- reading ----------------------------------------------------------------------------------
    @property
    def cursor_key(self) -> str | None:
        """The row under the cursor; None only while no row is shown."""
        return self._cursor

    @property
    def selected(self) -> frozenset[str]:
        """The marked rows, filtered ones included."""
        return frozenset(self._rows.selected)

    @property
    def row_count(self) -> int:
        """Rows shown, the filter considered."""
        return len(self._rows)

    @property
    def total(self) -> int:
        """Rows held."""
        return self._rows.total

    @property
    def keys(self) -> list[str]:
        """Keys of the rows shown, top first."""
        return self._rows.view()

    @property
    def filter_text(self) -> str:
        """What `set_filter` was given last."""
        return self._rows.filter_text

    @property
    def ordering(self) -> tuple[str | None, bool]:
        """The column sorted by (None: order of arrival) and whether it is descending."""
        return self._rows.sort_column, self._rows.descending

    def get_row(self, key: str) -> Row:
        """The row of that key; KeyError if there is none."""
        return self._rows.row(key)

    # ---- changing ---------------------------------------------------------------------------------
    @property
    def paused(self) -> bool:
        """While True, changes reach the model alone; one repaint follows when it becomes False."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        if not paused and self._ready:
            self._show_all()

    def apply(self, rows: Iterable[Row]) -> None:
        """Add rows, or replace those with the same key; only lines that look different are painted."""
        self._change(lambda: self._rows.apply(rows), may_lose=bool(self._rows.filter_text))

    def replace(self, rows: Iterable[Row]) -> None:
        """Make `rows` the whole content, in that order of arrival."""
        self._change(lambda: self._rows.replace(rows), may_lose=True)

    def remove_rows(self, keys: Iterable[str]) -> None:
        """Take rows away; unknown keys are ignored."""
        self._change(lambda: self._rows.remove(keys), may_lose=True)

    def clear(self) -> None:
        """Take all rows away."""
        self.replace(())

    def set_filter(self, text: str) -> None:
        """Show only rows that contain every word of `text` in `Row.search`, whatever the case."""
        self._change(lambda: self._rows.set_filter(text), may_lose=True)

    def sort_by(self, column: str | None, descending: bool = False) -> None:
        """Order by a column, None for the order of arrival; ValueError if it cannot be sorted by."""
        if column is not None and column not in [it.key for it in self._columns if it.sortable]:
            raise ValueError(f"cannot sort by {column!r}")
        if (column, descending) == self.ordering:
            return
        self._change(lambda: self._rows.sort_by(column, descending), may_lose=False)
        if self._ready:
            self.refresh(Region(0, 0, self.size.width, HEADER))
            self.post_message(self.SortChanged(self, column, descending))

    def focus_key(self, key: str) -> bool:
        """Put the cursor on a row and scroll it into view; False if it is not shown."""
        index = self._rows.index(key)
        if index is None:
            return False
        self._chosen = True
        self._move_cursor(key)
        self._scroll_to_row(index)
        return True

    # ---- following changes ------------------------------------------------------------------------
    def _change(self, act: Callable[[], Delta], *, may_lose: bool) -> None:
        """Change the rows, then bring cursor, scroll position and screen after them."""
        place = None if self._cursor is None else self._rows.index(self._cursor)
        before = self._rows.view() if may_lose and place is not None else ()
        marks = len(self._rows.selected)
        delta = act()
        if not delta:
            return
        if len(self._rows.selected) != marks:
            self.post_message(self.MarksChanged(self, self.selected))
        if self._cursor is None or self._rows.index(self._cursor) is None:
            self._move_cursor(self._rows.nearest(before, place or 0))
        if self._paused or not self._ready:
            return
        if delta.moved:
            self._follow(place)
        self._paint(delta.changed)

    def _follow(self, place: int | None) -> None:
        """Keep the cursor's row where the eye has it, as far as the ends of the table allow."""
        height = len(self._rows) + HEADER
        if self.virtual_size.height != height:
            self.virtual_size = Size(0, height)
        top, body = self.scroll_offset.y, self._body
        now = None if self._cursor is None else self._rows.index(self._cursor)
        if now is not None and place is not None and self._chosen and 0 <= place - top < body:
            if top:
                top += now - place
            top = min(max(top, now - body + 1), now)
        self._scroll_top(top)

    def _move_cursor(self, key: str | None) -> None:
        if key == self._cursor:
            return
        old, self._cursor = self._cursor, key
        if not self._ready:
            return
        if not self._paused:
            self._refresh_rows(old, key)
        self.post_message(self.RowHighlighted(self, key))

    def on_mount(self) -> None:
        """Rows given before the table was mounted have a cursor already."""
        if self._cursor is not None:
            self.post_message(self.RowHighlighted(self, self._cursor))

    def on_click(self, event: events.Click) -> None:
        """A title sorts; a row takes the cursor, and is opened by a second click."""
        offset = event.get_content_offset(self)
        hit = None if offset is None else self._hit(offset)
        if hit is None:
            return
        event.stop()
        if isinstance(hit, Column):
            if hit.sortable:
                column, descending = self.ordering
                self.sort_by(hit.key, column == hit.key and not descending)
            return
        second = hit == self._clicked and hit == self._cursor
        self._clicked = None if second else hit
        self.focus_key(hit)
        if second:
            self.post_message(self.RowSelected(self, hit))

    # ---- keys -------------------------------------------------------------------------------------
    def _go(self, index: int) -> None:
        if self._rows:
            self.focus_key(self._rows.key_at(min(max(index, 0), len(self._rows) - 1)))

    def action_cursor_by(self, lines: int) -> None:
        """Move the cursor by so many rows."""
        index = None if self._cursor is None else self._rows.index(self._cursor)
        self._go((index or 0) + lines)

    def action_cursor_first(self) -> None:
        """Go to the first row."""
        self._go(0)

    def action_cursor_last(self) -> None:
        """Go to the last row."""
        self._go(len(self._rows) - 1)

    def action_page(self, pages: int) -> None:
        """Move the cursor by so many screenfuls."""
        self.action_cursor_by(pages * max(1, self._body - 1))

    def action_select(self) -> None:
        """Open the row under the cursor."""
        if self._cursor is not None:
            self.post_message(self.RowSelected(self, self._cursor))

    def action_mark(self) -> None:
        """Mark the row under the cursor, or take its mark away."""
        if self._cursor is not None:
            self._rows.toggle(self._cursor)
            self._refresh_rows(self._cursor)
            self.post_message(self.MarksChanged(self, self.selected))

    def action_next_sort(self) -> None:
        """Sort by the next column that is shown."""
        keys = [slot.column.key for slot in self._painter.slots if slot.column.sortable]
        if keys:
            now = self._rows.sort_column
            self.sort_by(keys[(keys.index(now) + 1) % len(keys)] if now in keys else keys[0])

    def action_reverse_sort(self) -> None:
        """Turn the order round."""
        column, descending = self.ordering
        if column is None:
            self.action_next_sort()
        else:
            self.sort_by(column, not descending)
