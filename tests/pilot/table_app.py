"""A screen with nothing but a `LiveTable`, and what is seen of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from textual.app import App, ComposeResult

from ibtui.ui.widgets.live_table import LiveTable
from ibtui.ui.widgets.rows import Cell, Column, Row

COLUMNS = [
    Column("name", "Name", 12),
    Column("last", "Last", 10, "right"),
    Column("pnl", "P&L", 10, "right", style_of_sign=True),
    Column("note", "Note", 6, sortable=False),
    Column("value", "Value", 12, "right", min_terminal=120),
]


def row(key: str, last: float = 1.0, pnl: float | None = 0.0, **rest: Any) -> Row:
    return Row(
        key,
        {
            "name": Cell(key),
            "last": Cell(f"{last:.2f}", sort=last),
            "pnl": Cell("" if pnl is None else f"{pnl:+.2f}", sort=pnl),
            "note": Cell("ok", "muted"),
            "value": Cell("9", sort=9),
        },
        **rest,
    )


class TableApp(App[None]):
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, rows: Iterable[Row] = (), **options: Any) -> None:
        super().__init__()
        self.table = LiveTable(COLUMNS, id="table", **options)
        self.table.apply(rows)
        self.said: list[tuple[Any, ...]] = []

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        self.table.focus()

    def on_live_table_row_highlighted(self, message: LiveTable.RowHighlighted) -> None:
        assert message.control is self.table
        self.said.append(("at", message.key))

    def on_live_table_row_selected(self, message: LiveTable.RowSelected) -> None:
        self.said.append(("open", message.key))

    def on_live_table_marks_changed(self, message: LiveTable.MarksChanged) -> None:
        self.said.append(("marks", message.keys))

    def on_live_table_sort_changed(self, message: LiveTable.SortChanged) -> None:
        self.said.append(("sort", message.column, message.descending))


def lines(app: App[Any]) -> list[str]:
    """The screen as text, as the compositor would send it to a terminal."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


def painted(app: TableApp, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collects the regions that the table asks to repaint from now on."""
    asked: list[Any] = []
    refresh = app.table.refresh

    def spy(*regions: Any, **options: Any) -> Any:
        asked.append(regions)
        return refresh(*regions, **options)

    monkeypatch.setattr(app.table, "refresh", spy)
    return asked


SIZES = pytest.mark.parametrize("size", [(80, 24), (160, 48)])
