"""`LiveTable`: what is painted and when, families and remarks, sizes, themes, many rows."""

from __future__ import annotations

import time
from typing import Any

import pytest
from textual.message import Message

from ibtui.ui.widgets.rows import Cell, Row
from tests.pilot.table_app import COLUMNS, TableApp, lines, painted, row


async def test_only_lines_that_differ_are_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TableApp([row(f"r{i:03}", i) for i in range(500)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        asked = painted(app, monkeypatch)
        app.table.apply([row("r003", 7.77)])
        assert [[region.y for region in regions] for regions in asked] == [[4]]
        await pilot.pause()
        assert "7.77" in lines(app)[4]
        asked.clear()
        app.table.apply([row("r003", 7.77), row("r400", 5.55)])
        assert asked == []
        app.table.sort_by("last")
        await pilot.pause()
        asked.clear()
        app.table.apply([row("r004", 1.5)])
        lines_asked = sorted(region.y for regions in asked for region in regions)
        assert lines_asked == [3, 4]  # r004 and r002, which it passed; r003 (7.77) is further down


async def test_a_paused_table_paints_once_when_it_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    app = TableApp([row(f"r{i:03}", i) for i in range(50)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        asked = painted(app, monkeypatch)
        app.table.paused = True
        for i in range(20):
            app.table.apply([row("r001", 100 + i), row(f"new{i}")])
        app.table.remove_rows(["r000"])
        assert asked == []
        assert app.table.cursor_key == "r001"
        app.table.paused = False
        await pilot.pause()
        assert lines(app)[1].startswith("▸r001") and "119.00" in lines(app)[1]
        assert app.table.virtual_size.height == 70


async def test_families_stale_rows_and_remarks() -> None:
    remark = Row("why", {"name": Cell("limit too far from the market, says IBKR")}, parent="p", wide=True)
    app = TableApp([row("p"), row("leg", parent="p"), remark, row("old", dim=True)])
    async with app.run_test(size=(80, 24)) as pilot:
        text = lines(app)
        assert text[2].startswith(" ├ leg ")
        assert text[3].startswith(" └ limit too far from the market, says IBKR  ")
        stale = app.table.render_line(4)
        assert all(segment.style and segment.style.italic for segment in stale if segment.text.strip())
        app.table.remove_rows(["why"])
        await pilot.pause()
        assert lines(app)[2].startswith(" └ leg ")


async def test_empty_text_comes_and_goes() -> None:
    app = TableApp(empty_text="Nothing here yet.\nPress r to read again.")
    async with app.run_test(size=(80, 24)) as pilot:
        assert [line.strip() for line in lines(app)[2:4]] == ["Nothing here yet.", "Press r to read again."]
        app.table.apply([row("a")])
        await pilot.pause()
        assert lines(app)[1].startswith("▸a")
        assert lines(app)[2].strip() == ""
        app.table.empty_text = "Gone"
        app.table.clear()
        await pilot.pause()
        assert lines(app)[2].strip() == "Gone"


async def test_resize_and_new_columns() -> None:
    app = TableApp([row(f"r{i:03}") for i in range(100)])
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("G")
        assert app.table.visible_columns == ["name", "last", "pnl", "note", "value"]
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.table.visible_columns == ["name", "last", "pnl", "note"]
        assert any(line.startswith("▸r099") for line in lines(app))
        app.table.sort_by("last")
        app.table.columns = COLUMNS[:1]
        await pilot.pause()
        assert lines(app)[0].split() == ["Name"]
        assert app.table.ordering == (None, False)


async def test_theme_and_focus_change_the_colours() -> None:
    app = TableApp([row("a", 1, 5)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()

        def backgrounds() -> set[Any]:
            return {segment.style.bgcolor for segment in app.table.render_line(1) if segment.style}

        focused = backgrounds()
        app.set_focus(None)
        await pilot.pause()
        blurred = backgrounds()
        assert focused != blurred
        app.theme = "textual-light"
        await pilot.pause()
        assert backgrounds() not in (focused, blurred)


async def test_ten_thousand_rows() -> None:
    app = TableApp(row(f"r{i:05}", i, i % 11 - 5) for i in range(10_000))
    seen: list[Message] = []
    async with app.run_test(size=(160, 48), message_hook=seen.append) as pilot:
        app.table.sort_by("pnl", descending=True)
        await pilot.pause()
        start = time.process_time()
        for i in range(300):
            app.table.apply([row(f"r{i * 31 % 10_000:05}", i, i % 23 - 11)])
        await pilot.pause()
        assert time.process_time() - start < 3.0  # measured: 0.05 s
        await pilot.press("G")
        await pilot.pause()
        assert lines(app)[-1].startswith(f"▸{app.table.keys[-1]}")


class OwnColours(TableApp):
    CSS = """
    LiveTable > .live-table--up { color: $pnl-up; }
    """

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"pnl-up": "#00ff88"}


async def test_an_app_may_give_its_own_colours() -> None:
    app = OwnColours([row("a"), row("b", 1, 5)])
    async with app.run_test(size=(80, 24)):
        colors = {s.style.color.name for s in app.table.render_line(2) if s.style and s.style.color}
        assert "#00ff88" in colors


@pytest.mark.parametrize("theme", ["ansi-dark", "ansi-light", "textual-dark", "textual-light"])
async def test_the_cursor_row_stands_out_in_every_theme(theme: str) -> None:
    app = TableApp([row("a", 1, 5), row("b", 1, 5)])
    async with app.run_test(size=(80, 24)) as pilot:
        app.theme = theme
        await pilot.pause()
        cursor, other = ({s.style for s in app.table.render_line(y)} for y in (1, 2))
        assert cursor.isdisjoint(other)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (20, 4), (400, 100)])
async def test_any_size_will_do(size: tuple[int, int]) -> None:
    app = TableApp([row(f"r{i:03}", i) for i in range(150)] + [row("leg", parent="r149")])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.resize_terminal(*size)
        await pilot.press("G", "k", "s", "pageup")
        await pilot.pause()
        assert {len(line) for line in lines(app)} == {size[0]}
