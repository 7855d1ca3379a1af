"""The model behind `LiveTable`: order, filter, families, cell text and columns, without a screen."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ibtui.ui.widgets.live_table_paint import clean, fit, plan_columns
from ibtui.ui.widgets.row_order import comparable, sign
from ibtui.ui.widgets.rows import Cell, Column, Row, RowSet


def row(key: str, value: Any = None, **rest: Any) -> Row:
    return Row(key, {"name": Cell(key), "value": Cell(str(value), sort=value)}, **rest)


def filled(*rows: Row, by: str | None = None, descending: bool = False) -> RowSet:
    rows_ = RowSet()
    rows_.apply(rows)
    rows_.sort_by(by, descending)
    return rows_


def test_the_model_needs_no_screen() -> None:
    code = "import sys, ibtui.ui.widgets.rows; sys.exit('textual' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_rows_keep_the_order_of_arrival() -> None:
    rows = filled(row("b"), row("a"), row("c"))
    assert rows.view() == ["b", "a", "c"]
    assert [rows.index(key) for key in "bac"] == [0, 1, 2]
    assert rows.index("x") is None


@pytest.mark.parametrize("descending", [False, True])
def test_no_value_comes_last_in_both_directions(descending: bool) -> None:
    values = [3, None, Decimal("-1.5"), float("nan"), 2.25, 0]
    rows = filled(*[row(f"r{i}", v) for i, v in enumerate(values)], by="value", descending=descending)
    numbers = ["r2", "r5", "r4", "r0"]
    assert rows.view() == [*(reversed(numbers) if descending else numbers), "r1", "r3"]


def test_equal_values_keep_their_order_in_both_directions() -> None:
    rows = filled(row("b", 1), row("a", 1), row("c", 0), by="value")
    assert rows.view() == ["c", "b", "a"]
    rows.sort_by("value", True)
    assert rows.view() == ["b", "a", "c"]


def test_text_sorts_without_case_and_words_that_begin_others_come_out_right() -> None:
    names = ["abc", "Ab", "b", "AA", "abd"]
    rows = filled(*[row(name) for name in names], by="name")
    assert rows.view() == ["AA", "Ab", "abc", "abd", "b"]
    rows.sort_by("name", True)
    assert rows.view() == ["b", "abd", "abc", "Ab", "AA"]


def test_values_of_different_kinds_never_meet() -> None:
    values = ["x", 1, date(2026, 4, 24), None, Decimal(2), (1, 2), date(2025, 1, 1)]
    for descending in (False, True):
        assert len(filled(*[row(str(i), v) for i, v in enumerate(values)], by="value").view()) == 7
        keys = sorted(comparable(value, descending) for value in values)
        assert keys[-1] == (1,)


def test_sign_of_anything() -> None:
    assert [sign(v) for v in (Decimal("-0.01"), 0.0, 5, None, "5", float("nan"), Decimal("nan"))] == [
        *(-1, 0, 1, 0, 0, 0, 0)
    ]


def test_a_changed_value_moves_one_row_and_an_equal_row_does_nothing() -> None:
    rows = filled(row("a", 1), row("b", 2), row("c", 3), by="value")
    assert not rows.apply([row("b", 2)])
    delta = rows.apply([row("a", 9)])
    assert (delta.changed, delta.moved) == ({"a"}, True)
    assert rows.view() == ["b", "c", "a"]


def test_a_value_that_is_not_sorted_by_moves_nothing() -> None:
    rows = filled(row("a", 1), row("b", 2), by="name")
    delta = rows.apply([row("a", 5)])
    assert (delta.changed, delta.moved) == ({"a"}, False)


def test_a_sort_value_that_cannot_be_seen_is_not_painted() -> None:
    rows = RowSet()
    rows.apply([Row("a", {"value": Cell("1.00", sort=1.001)})])
    assert not rows.apply([Row("a", {"value": Cell("1.00", sort=1.002)})])
    assert rows.apply([Row("a", {"value": Cell("1.00", sort=-1)})]).changed == {"a"}


def test_filter_wants_every_word_whatever_the_case() -> None:
    rows = filled(row("a", search="AAPL 150 Call"), row("b", search="AAPL"), row("c", search="msft"))
    rows.set_filter("call aapl")
    assert rows.view() == ["a"]
    rows.apply([row("b", search="AAPL 160 call")])
    assert rows.view() == ["a", "b"]
    rows.apply([row("a", search="gone")])
    assert rows.view() == ["b"]
    rows.set_filter("")
    assert rows.view() == ["a", "b", "c"]
    assert rows.total == 3


def test_without_search_text_the_cells_are_searched() -> None:
    rows = filled(row("apple", 1), row("pear", 2))
    rows.set_filter("PEA")
    assert rows.view() == ["pear"]


def test_children_stay_below_their_parent() -> None:
    rows = filled(
        row("late", 3),
        row("stop", 9, parent="parent"),
        row("limit", 4, parent="parent"),
        row("parent", 2),
        row("early", 1),
        by="value",
    )
    assert rows.view() == ["early", "parent", "limit", "stop", "late"]
    assert [rows.branch(key) for key in rows.view()] == ["", "", "├ ", "└ ", ""]
    rows.sort_by("value", True)
    assert rows.view() == ["late", "parent", "stop", "limit", "early"]
    rows.apply([row("parent", 99)])
    assert rows.view() == ["parent", "stop", "limit", "late", "early"]


def test_grandchildren_and_orphans() -> None:
    rows = filled(
        row("p"), row("a", parent="p"), row("a1", parent="a"), row("b", parent="p"), row("o", parent="?")
    )
    assert rows.view() == ["p", "a", "a1", "b", "o"]
    assert [rows.branch(key) for key in rows.view()] == ["", "├ ", "│ └ ", "└ ", ""]
    rows.remove(["p"])
    assert rows.view() == ["a", "a1", "b", "o"]
    assert [rows.branch(key) for key in rows.view()] == ["", "└ ", "", ""]


def test_rows_that_claim_to_be_each_others_parent_are_shown() -> None:
    rows = filled(row("a", parent="b"), row("b", parent="a"), row("c", parent="c"))
    assert sorted(rows.view()) == ["a", "b", "c"]


def test_a_filter_hit_brings_its_family() -> None:
    rows = filled(
        row("p", search="nvda"),
        row("leg", parent="p", search="stop"),
        row("note", parent="leg", search="why"),
        row("other", search="aapl"),
    )
    rows.set_filter("nvda")
    assert rows.view() == ["p", "leg", "note"]
    rows.set_filter("stop")
    assert rows.view() == ["p", "leg", "note"]
    rows.set_filter("why")
    assert rows.view() == ["p", "leg", "note"]
    rows.set_filter("aapl")
    assert rows.view() == ["other"]


def test_groups_stay_together() -> None:
    rows = filled(row("a", 3, group="USD"), row("b", 2, group="EUR"), row("c", 1, group="USD"), by="value")
    assert rows.view() == ["b", "c", "a"]


def test_replace_keeps_marks_of_rows_that_stay_and_says_what_is_new() -> None:
    rows = filled(row("a", 1), row("b", 2), row("c", 3))
    rows.toggle("a")
    rows.toggle("b")
    delta = rows.replace([row("c", 3), row("b", 5)])
    assert rows.view() == ["c", "b"]
    assert rows.selected == {"b"}
    assert (delta.changed, delta.moved) == ({"b"}, True)
    assert not rows.replace([row("c", 3), row("b", 5)])


def test_nearest_is_the_next_row_then_the_one_above() -> None:
    rows = filled(*[row(key) for key in "abcde"])
    before = rows.view()
    rows.remove(["c", "d"])
    assert rows.nearest(before, 2) == "e"
    rows.remove(["e"])
    assert rows.nearest(before, 2) == "b"
    rows.remove(["a", "b"])
    assert rows.nearest(before, 2) is None


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["apply", "apply", "apply", "remove", "replace", "sort", "filter"]),
        st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(-3, 3))), max_size=6),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(OPERATIONS)
def test_the_kept_view_is_the_view_made_from_scratch(operations: list[Any]) -> None:
    """Whatever happened, in whatever order: bisected moves end where a full sort would."""
    rows = RowSet()
    arrival: dict[str, Row] = {}
    for verb, items in operations:
        given_rows = [
            row(
                f"k{n}",
                v,
                search="even" if n % 2 == 0 and v else "odd",
                group="g" if n > 8 else "",
                parent=f"k{n - 1}" if v == 3 else None,
            )
            for n, v in items
        ]
        if verb == "apply":
            rows.apply(given_rows)
            arrival.update({it.key: it for it in given_rows})
        elif verb == "remove":
            rows.remove([it.key for it in given_rows])
            for it in given_rows:
                arrival.pop(it.key, None)
        elif verb == "replace":
            rows.replace(given_rows)
            arrival = {it.key: it for it in given_rows}
        elif verb == "sort":
            rows.sort_by([None, "value", "name"][len(items) % 3], len(items) > 2)
        else:
            rows.set_filter("even" if len(items) % 2 else "")
        fresh = RowSet()
        fresh.replace(arrival.values())
        fresh.set_filter(rows.filter_text)
        fresh.sort_by(rows.sort_column, rows.descending)
        assert rows.view() == fresh.view()
        assert [rows.index(key) for key in rows.view()] == list(range(len(rows)))
        assert [rows.branch(key) for key in rows.view()] == [fresh.branch(key) for key in fresh.view()]


def test_ten_thousand_rows_one_change_is_cheap() -> None:
    chance = random.Random(1)
    rows = filled(*[row(f"k{i}", chance.random()) for i in range(10_000)], by="value")
    start = time.process_time()
    for _ in range(500):
        rows.apply([row(f"k{chance.randrange(10_000)}", chance.random())])
    assert time.process_time() - start < 1.0  # measured: 0.01 s; a re-sort each time takes 10 s
    values = [rows.row(key).cells["value"].sort for key in rows.view()]
    assert values == sorted(values)


# ---- cell text and columns --------------------------------------------------------------------------
@pytest.mark.parametrize("align", ["left", "right"])
@pytest.mark.parametrize("text", ["", "AAPL", "日本電信電話", "a日b", "é́", "👩‍👩‍👧 x", "❤️", "x" * 50])
def test_fit_is_exact(text: str, align: Any) -> None:
    for width in range(1, 20):
        assert cell_len(fit(text, width, align)) == width, (text, width)


def test_a_number_too_wide_is_marked_where_reading_begins() -> None:
    assert fit("1,234,567.89", 8, "right") == "…,567.89"
    assert fit("1,234.89", 8, "right") == "1,234.89"
    assert fit("a long name", 8, "left") == "a long …"
    assert fit("5", 0, "right") == ""


def test_clean_takes_away_what_moves_or_hides() -> None:
    assert clean("a\x1b[31mb\x07\x9bc") == "a[31mbc"
    assert clean("one\ntwo\tthree\u2028four") == "one two three four"
    assert clean("evil\u202etxt\u200b\ufeff") == "eviltxt"
    assert clean("\ud800") == "\N{REPLACEMENT CHARACTER}"
    assert clean("[/foo] é 日本") == "[/foo] é 日本"


COLUMNS = [
    Column("name", "Name", 10),
    Column("last", "Last", 10, "right"),
    Column("pct", "Pct", 6, "right", min_terminal=100),
    Column("ccy", "Ccy", 3),
    Column("value", "Value", 12, "right", min_terminal=120),
]


def keys(width: int, terminal: int) -> list[str]:
    return [slot.column.key for slot in plan_columns(COLUMNS, width, terminal)]


def test_columns_come_with_the_terminal_and_go_when_there_is_no_room() -> None:
    assert keys(79, 80) == ["name", "last", "ccy"]
    assert keys(99, 100) == ["name", "last", "pct", "ccy"]
    assert keys(159, 160) == ["name", "last", "pct", "ccy", "value"]
    assert keys(45, 160) == ["name", "last", "pct", "ccy"]
    assert keys(30, 160) == ["name", "last", "ccy"]
    assert keys(25, 160) == ["name", "last"]
    assert keys(5, 160) == ["name"]
    assert plan_columns([], 80, 80) == []


def test_the_first_column_takes_the_spare_room() -> None:
    slots = plan_columns(COLUMNS, 79, 80)
    assert slots[0].x == 1
    assert slots[-1].x + slots[-1].width == 79
    assert [right.x - (left.x + left.width) for left, right in zip(slots, slots[1:], strict=False)] == [2, 2]
