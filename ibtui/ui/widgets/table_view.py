"""`TableView`: shows a `RowSet` on Textual's line API; the part of `LiveTable` without keys and messages.

Only lines in view are ever drawn, a line's strip is kept until its row changes, and after a change
just the lines that look different are repainted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar

from rich.style import Style
from textual.geometry import Offset, Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ibtui.ui.widgets.live_table_paint import Painter, plan_columns
from ibtui.ui.widgets.rows import Column, RowSet

HEADER = 1
"""Lines above the first row."""


class TableView(ScrollView, inherit_bindings=False):
    """Draws rows in columns below a pinned line of titles."""

    ALLOW_SELECT = False

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live-table--header",
        "live-table--sorted",
        "live-table--cursor",
        "live-table--selected",
        "live-table--mark",
        "live-table--odd",
        "live-table--dim",
        "live-table--empty",
        "live-table--up",
        "live-table--down",
        "live-table--good",
        "live-table--bad",
        "live-table--warn",
        "live-table--muted",
        "live-table--accent",
        "live-table--strong",
    }
    """
    | Class | Description |
    | :- | :- |
    | `live-table--header`, `--sorted` | The titles, and the one that is sorted by. |
    | `--cursor`, `--selected`, `--odd`, `--dim` | Rows: cursor, marked, every other (zebra), stale. |
    | `live-table--mark` | The mark in the gutter. |
    | `live-table--empty` | The text shown when there are no rows. |
    | `live-table--up` ... `--strong` | Cells, by `Cell.style`. |
    """

    DEFAULT_CSS = """
    TableView {
        height: 1fr;
        color: $foreground;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .live-table--header { color: $text-muted; }
        & > .live-table--sorted { color: $foreground; text-style: bold; }
        & > .live-table--cursor { background: $block-cursor-blurred-background; }
        & > .live-table--selected { text-style: bold; }
        & > .live-table--mark { color: $text-accent; text-style: bold; }
        & > .live-table--dim { color: $text-muted; text-style: italic; }
        & > .live-table--empty { color: $text-muted; }
        & > .live-table--up { color: $text-success; }
        & > .live-table--down { color: $text-error; }
        & > .live-table--good { color: $text-success; }
        & > .live-table--bad { color: $text-error; text-style: bold; }
        & > .live-table--warn { color: $text-warning; }
        & > .live-table--muted { color: $text-muted; }
        & > .live-table--accent { color: $text-accent; }
        & > .live-table--strong { text-style: bold; }
        &:focus > .live-table--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
    }
    """

    def __init__(
        self,
        columns: Sequence[Column] = (),
        *,
        empty_text: str = "Nothing here yet.",
        gap: int = 2,
        zebra: bool = False,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
        disabled: bool = False,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes, disabled=disabled)
        self._columns = list(columns)
        self._empty_text = empty_text
        self._gap = gap
        self._zebra = zebra
        self._rows = RowSet()
        self._painter = Painter(self._make_style)
        self._cursor: str | None = None
        self._chosen = False  # the person has put the cursor somewhere, so the view follows it
        self._paused = False
        self._ready = False
        self._seen: list[tuple[str, str]] = []
        self._seen_top = 0

    @property
    def columns(self) -> Sequence[Column]:
        """All columns, shown or not; assign to change them."""
        return self._columns

    @columns.setter
    def columns(self, columns: Sequence[Column]) -> None:
        self._columns = list(columns)
        if self._rows.sort_column not in {None, *[column.key for column in columns]}:
            self._rows.sort_by(None)
        self._plan()
        if self._ready:
            self._show_all()

    @property
    def visible_columns(self) -> list[str]:
        """Keys of the columns that fit at the present width."""
        return [slot.column.key for slot in self._painter.slots]

    @property
    def empty_text(self) -> str:
        """What is shown, below the titles, while there are no rows; may have several lines."""
        return self._empty_text

    @empty_text.setter
    def empty_text(self, text: str) -> None:
        self._empty_text = text
        if not self._rows:
            self.refresh()

    def _paint(self, changed: set[str]) -> None:
        """Repaint the lines in view that show another row than before, or a changed one."""
        top, before = self._seen_top, self._seen
        self._note_seen()
        if top != self._seen_top or not before or not self._seen:
            self.refresh()
            return
        width = self.size.width
        regions = [
            Region(0, line + HEADER, width, 1)
            for line, (old, new) in enumerate(zip_longest(before, self._seen))
            if old != new or new[0] in changed
        ]
        if regions:
            self.refresh(*regions)

    def _note_seen(self) -> None:
        self._seen_top = top = self.scroll_offset.y
        self._seen = [(key, self._rows.branch(key)) for key in self._rows.view(top, top + self._body)]

    def _show_all(self) -> None:
        """Catch up with the model: size, scroll position, everything painted."""
        self.virtual_size = Size(0, len(self._rows) + HEADER)
        index = None if self._cursor is None else self._rows.index(self._cursor)
        if self._chosen and index is not None:
            self._scroll_to_row(index)
        self._note_seen()
        self.refresh()

    @property
    def _body(self) -> int:
        """Lines for rows."""
        return max(0, self.size.height - HEADER)

    def _scroll_top(self, top: int) -> None:
        top = min(max(0, top), self.max_scroll_y)
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)

    def _scroll_to_row(self, index: int) -> None:
        if self._ready and not self._paused:
            self._scroll_top(min(max(self.scroll_offset.y, index - self._body + 1), index))

    def _refresh_rows(self, *keys: str | None) -> None:
        top = self.scroll_offset.y
        for key in keys:
            index = None if key is None else self._rows.index(key)
            if index is not None and 0 <= index - top < self._body:
                self.refresh(Region(0, index - top + HEADER, self.size.width, 1))

    def on_mount(self) -> None:
        """From now on changes are painted."""
        self._ready = True
        self._plan()
        self._show_all()

    def on_resize(self) -> None:
        """Other columns may fit now."""
        self._plan()
        self._show_all()

    def _plan(self) -> None:
        if self._ready:
            width = self.size.width
            # The scroll bar's cell is kept free, so that columns stay put when it comes and goes.
            room = width - self.styles.scrollbar_size_vertical
            slots = plan_columns(self._columns, room, self.app.size.width, self._gap)
            self._painter.set_plan(slots, width, room)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolled: remember which rows are in view now."""
        super().watch_scroll_y(old_value, new_value)
        if self._ready:
            self._note_seen()

    def notify_style_update(self) -> None:
        """Theme or focus changed."""
        super().notify_style_update()
        self._painter.forget_styles()

    def _make_style(self, names: tuple[str, ...]) -> Style:
        style = self.rich_style
        for name in names:
            css_class = f"live-table--{name}"
            if css_class not in self.COMPONENT_CLASSES:
                continue
            styles = self.get_component_styles(css_class)
            full = styles.rich_style  # blended with what lies below, unlike the partial style
            color = full.color if styles.has_rule("color") or styles.has_rule("auto_color") else None
            background = full.bgcolor if styles.has_rule("background") else None
            style += Style(color=color, bgcolor=background) + styles.text_style
        return style

    def render_line(self, y: int) -> Strip:
        """One line of the screen: titles, a row, the empty text or nothing."""
        if y < HEADER:
            return self._painter.header(self._rows)
        index = self.scroll_offset.y + y - HEADER
        if index < len(self._rows):
            key = self._rows.key_at(index)
            return self._painter.row(self._rows, key, key == self._cursor, self._zebra and bool(index % 2))
        if not self._rows:
            lines = self._empty_lines()
            if 0 <= index - 1 < len(lines):
                return self._painter.text("  " + lines[index - 1], "empty")
        return self._painter.blank()

    def _hit(self, offset: Offset) -> Column | str | None:
        """What lies under a place of the table: a column's title, a row's key, or nothing."""
        if offset.y < HEADER:
            for column, x, width in self._painter.slots:
                if x - self._gap <= offset.x < x + width:
                    return column
            return None
        index = self.scroll_offset.y + offset.y - HEADER
        return self._rows.key_at(index) if index < len(self._rows) else None

    def _empty_lines(self) -> list[str]:
        if self._rows.total:
            return [f"Nothing matches “{self._rows.filter_text.strip()}”."]
        return self._empty_text.splitlines()
