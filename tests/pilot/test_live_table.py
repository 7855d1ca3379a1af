"""`LiveTable` under the hands of a person: keys, mouse, messages and what is on the screen."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.message import Message
from textual.pilot import Pilot

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


@SIZES
async def test_it_shows_titles_rows_cursor_and_columns_that_fit(size: tuple[int, int]) -> None:
    app = TableApp([row("AAPL", 193.18, 182.5), row("MSFT", 431.02, -64)])
    async with app.run_test(size=size):
        text = lines(app)
        assert text[0].split() == ["Name", "Last", "P&L", "Note", *(["Value"] if size[0] >= 120 else [])]
        assert text[1].startswith("▸AAPL ") and "193.18" in text[1] and "+182.50" in text[1]
        assert text[2].startswith(" MSFT ")
        assert {len(line) for line in text} == {size[0]}
        right = text[1].index("193.18") + 6
        assert text[0].index("Last") + 4 == right == text[2].index("431.02") + 6


async def test_money_is_coloured_by_sign() -> None:
    app = TableApp([row("a"), row("up", 1, 5), row("down", 1, -5)])
    async with app.run_test(size=(80, 24)):
        colors = []
        for y in (1, 2, 3):
            strip = app.table.render_line(y)
            colors.append(
                {s.style.color.name for s in strip if s.style and ".00" in s.text and s.style.color}
            )
        plain, up, down = colors
        assert up != down
        assert up - plain and down - plain


async def test_the_cursor_stays_on_its_row_while_rows_move() -> None:
    app = TableApp([row("a", 1), row("b", 2), row("c", 3)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down")
        assert app.table.cursor_key == "b"
        app.table.sort_by("last", descending=True)
        app.table.apply([row("b", 99)])
        await pilot.pause()
        assert app.table.keys == ["b", "c", "a"]
        assert app.table.cursor_key == "b"
        assert lines(app)[1].startswith("▸b")
        app.table.apply([row("b", 0), row("new", 50)])
        await pilot.pause()
        assert lines(app)[4].startswith("▸b")
        assert app.said == [("at", "a"), ("at", "b"), ("sort", "last", True)]


@SIZES
async def test_the_view_follows_a_chosen_row_and_stays_at_the_top_otherwise(size: tuple[int, int]) -> None:
    app = TableApp([row(f"r{i:03}", i) for i in range(200)])
    async with app.run_test(size=size) as pilot:
        app.table.sort_by("last")
        app.table.apply([row("r000", 1000)])
        await pilot.pause()
        assert app.table.scroll_offset.y == 0
        assert app.table.cursor_key == "r000"
        app.table.focus_key("r100")
        await pilot.pause()
        line = next(y for y, text in enumerate(lines(app)) if text.startswith("▸r100"))
        app.table.remove_rows([f"r{i:03}" for i in range(1, 50)])
        await pilot.pause()
        assert lines(app)[line].startswith("▸r100")


async def test_a_cursor_row_that_goes_leaves_the_cursor_on_its_neighbour() -> None:
    app = TableApp([row(key) for key in "abcd"])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("j", "j")
        app.table.remove_rows(["c", "a"])
        assert app.table.cursor_key == "d"
        app.table.remove_rows(["d"])
        assert app.table.cursor_key == "b"
        app.table.replace([row("x"), row("y")])
        assert app.table.cursor_key == "x"
        app.table.clear()
        await pilot.pause()
        assert app.table.cursor_key is None
        assert app.said[-4:] == [("at", "d"), ("at", "b"), ("at", "x"), ("at", None)]
        await pilot.press("down", "enter", "space", "end")
        app.table.apply([row("z")])
        await pilot.pause()
        assert app.said[-1] == ("at", "z")


async def test_filter() -> None:
    app = TableApp([row("AAPL"), row("MSFT"), row("AMD")])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down")
        app.table.set_filter("a")
        await pilot.pause()
        assert app.table.keys == ["AAPL", "AMD"]
        assert app.table.cursor_key == "AMD"
        assert lines(app)[3].strip() == ""
        app.table.apply([row("ASML")])
        assert app.table.row_count == 3
        assert app.table.total == 4
        app.table.set_filter("[/b] nothing")
        await pilot.pause()
        assert "Nothing matches “[/b] nothing”." in lines(app)[2]
        app.table.set_filter("")
        await pilot.pause()
        assert [line[1:5].strip() for line in lines(app)[1:5]] == ["AAPL", "MSFT", "AMD", "ASML"]


async def test_sort_by_key() -> None:
    app = TableApp([row("b", 2, None), row("a", 3, -1), row("c", 1, 4)])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        assert (app.table.keys, app.table.ordering) == (["a", "b", "c"], ("name", False))
        assert "Name▲" in lines(app)[0]
        await pilot.press("S")
        assert app.table.keys == ["c", "b", "a"]
        await pilot.press("s", "s", "S")
        await pilot.pause()
        assert (app.table.keys, app.table.ordering) == (["c", "a", "b"], ("pnl", True))
        assert "▼P&L" in lines(app)[0]
        await pilot.press("s")
        assert app.table.ordering == ("name", False)
        with pytest.raises(ValueError, match="note"):
            app.table.sort_by("note")
        app.table.sort_by(None)
        assert app.table.keys == ["b", "a", "c"]


async def test_mouse() -> None:
    app = TableApp([row(f"r{i:03}", i % 7) for i in range(100)])
    async with app.run_test(size=(80, 24)) as pilot:
        x = lines(app)[0].index("Last")
        await pilot.click("#table", offset=(x, 0))
        assert app.table.ordering == ("last", False)
        await pilot.click("#table", offset=(x, 0))
        assert app.table.ordering == ("last", True)
        await pilot.click("#table", offset=(lines(app)[0].index("Note"), 0))
        assert app.table.ordering == ("last", True)
        app.said.clear()
        await pilot.click("#table", offset=(3, 4))
        key = app.table.keys[3]
        assert (app.table.cursor_key, app.said) == (key, [("at", key)])
        await pilot.click("#table", offset=(3, 4))
        assert app.said[-1] == ("open", key)
        await pilot._post_mouse_events([_wheel()], "#table", offset=(3, 4))
        await _until(pilot, lambda: app.table.scroll_offset.y > 0)
        assert app.table.cursor_key == key
        assert lines(app)[0].strip().startswith("Name")


def _wheel() -> type[Any]:
    from textual.events import MouseScrollDown

    return MouseScrollDown


async def _until(pilot: Pilot[Any], true: Any) -> None:
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        await pilot.pause(0.02)
    assert true()


@SIZES
async def test_keys_reach_every_row(size: tuple[int, int]) -> None:
    app = TableApp([row(f"r{i:03}") for i in range(100)])
    async with app.run_test(size=size) as pilot:
        for key, at in [
            ("G", "r099"),
            ("g", "r000"),
            ("end", "r099"),
            ("up", "r098"),
            ("k", "r097"),
            ("home", "r000"),
            ("pagedown", f"r{size[1] - 2:03}"),
            ("pageup", "r000"),
            ("ctrl+d", f"r{size[1] - 2:03}"),
            ("ctrl+u", "r000"),
            ("k", "r000"),
        ]:
            await pilot.press(key)
            await pilot.pause()
            assert app.table.cursor_key == at, key
            assert sum(line.startswith(f"▸{at}") for line in lines(app)) == 1, key
        await pilot.press("enter")
        assert app.said[-1] == ("open", "r000")
        assert app.table.focus_key("r050") is True
        assert app.table.focus_key("unknown") is False
        assert app.table.cursor_key == "r050"


async def test_marks() -> None:
    app = TableApp([row("a"), row("b")])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("space")
        await pilot.pause()
        assert lines(app)[1].startswith("◆a")
        await pilot.press("down", "space", "up")
        await pilot.pause()
        assert lines(app)[2].startswith("•b")
        assert app.table.selected == {"a", "b"}
        app.table.remove_rows(["a"])
        await pilot.pause()
        assert app.said[-2:] == [("marks", frozenset("b")), ("at", "b")]
        await pilot.press("space")
        assert app.said[-1] == ("marks", frozenset())


async def test_every_binding_can_be_remapped() -> None:
    ids = [binding.id for binding in LiveTable.BINDINGS if not isinstance(binding, tuple)]
    assert len(ids) == len(set(ids)) == len(LiveTable.BINDINGS)
    assert all(it and it.startswith("table.") for it in ids)
    app = TableApp([row("a"), row("b")])
    async with app.run_test(size=(80, 24)) as pilot:
        app.set_keymap({"table.down": "n"})
        await pilot.press("n")
        assert app.table.cursor_key == "b"
        assert {binding.id for key, binding in app.table._bindings} == set(ids)


async def test_foreign_text_is_shown_as_it_is() -> None:
    texts = [
        "[/foo]",
        "[@click=app.quit]x[/]",
        "[b]bold",
        "a\x1b[2Jb\x07",
        "two\nlines",
        "日本電信電話",
        "👍🏽 ok",
    ]
    app = TableApp([Row(f"k{i}", {"name": Cell(text)}) for i, text in enumerate(texts)], empty_text="[/x]")
    async with app.run_test(size=(80, 24)) as pilot:
        shown = [line[1:].rstrip() for line in lines(app)[1:8]]
        assert shown[:3] == texts[:3]
        assert shown[3:6] == ["a[2Jb", "two lines", "日本電信電話"]
        assert not any(ord(letter) < 32 for line in lines(app) for letter in line)
        await pilot.click("#table", offset=(3, 2))
        await pilot.click("#table", offset=(3, 2))
        await pilot.pause()
        assert app.is_running
        app.table.clear()
        await pilot.pause()
        assert "[/x]" in lines(app)[2]


async def test_wide_characters_keep_the_columns_in_line() -> None:
    app = TableApp(
        [row("日本電信電話株式会社という会社の名前はとても長いので切る必要があります"), row("plain")]
    )
    async with app.run_test(size=(80, 24)):
        for y in (1, 2):
            strip = app.table.render_line(y)
            assert strip.cell_length == 80
            assert sum(segment.cell_length for segment in strip) == 80
        assert "…" in lines(app)[1]


async def test_a_number_too_wide_is_never_cut_in_silence() -> None:
    app = TableApp([row("a", 123456789012.34)])
    async with app.run_test(size=(80, 24)):
        assert "…789012.34" in lines(app)[1]
        assert "123456" not in lines(app)[1]


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
