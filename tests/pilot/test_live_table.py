"""`LiveTable` under the hands of a person: keys, mouse, messages and what is on the screen."""

from __future__ import annotations

import time
from typing import Any

import pytest
from textual.pilot import Pilot

from ibtui.ui.widgets.live_table import LiveTable
from ibtui.ui.widgets.rows import Cell, Row
from tests.pilot.table_app import SIZES, TableApp, lines, row


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
