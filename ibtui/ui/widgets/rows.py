"""Rows, columns and their sorted, filtered view: the model behind `LiveTable`, without a screen.

A `RowSet` keeps rows by key and an ordered view of the keys to show. The view is a list of
`(sort key, row key)` pairs whose sort keys are unique, so a row's place is found by bisection and a
row whose sort value changes moves alone: nothing here is proportional to the number of rows
except a deliberate re-sort.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ibtui.ui.widgets.row_order import SortKey, comparable, sign

BY_TEXT: Final = "\0by text"
"""Default of `Cell.sort`: order by the cell's text. None means "no value" and goes last."""


class Cell(NamedTuple):
    """One formatted value.

    `text` is shown as it is, never as markup. `style` names a component style of the table: up, down,
    good, bad, warn, muted, accent, strong, or nothing. `sort` is what the column is ordered by (a
    number, Decimal, str, date, ...); None is "no value" and goes last in both directions.
    """

    text: str
    style: str = ""
    sort: Any = BY_TEXT


@dataclass(frozen=True, slots=True)
class Column:
    """A column of fixed width, in terminal cells.

    Shown when the terminal is at least `min_terminal` cells wide; if there is still too little room,
    the columns with the largest `min_terminal` go first, the rightmost of equals before the others.
    `style_of_sign` colours an unstyled cell up or down by the sign of its sort value.
    """

    key: str
    title: str
    width: int
    align: Literal["left", "right"] = "left"
    sortable: bool = True
    min_terminal: int = 80
    style_of_sign: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row to show: `cells` by column key; a column without a cell stays empty.

    `search` is what the filter looks at (by default the texts of all cells). Rows of one `group` stay
    together, groups in alphabetical order. A row whose `parent` is in the set is drawn below it,
    indented, wherever the parent goes. `dim` marks a stale row. `wide` lets the first column's text
    run over the whole line (a remark below an order).
    """

    key: str
    cells: Mapping[str, Cell]
    search: str = ""
    group: str = ""
    parent: str | None = None
    dim: bool = False
    wide: bool = False


@dataclass(slots=True)
class Delta:
    """What a change did to the view: rows to draw anew, and whether places may have changed."""

    changed: set[str] = field(default_factory=set)
    moved: bool = False

    def __bool__(self) -> bool:
        return self.moved or bool(self.changed)


class RowSet:
    """Rows by key, with a sorted and filtered view that follows each change."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._seq: dict[str, int] = {}
        self._next = 0
        self._order: list[tuple[SortKey, str]] = []
        self._keys: dict[str, SortKey] = {}  # of the rows in the view
        self._children: Counter[str] = Counter()
        self._branches: dict[str, str] = {}
        self._words: tuple[str, ...] = ()
        self.filter_text = ""
        self.sort_column: str | None = None
        self.descending = False
        self.selected: set[str] = set()

    # ---- reading ----------------------------------------------------------------------------------
    def __len__(self) -> int:
        """Rows in the view."""
        return len(self._order)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    @property
    def total(self) -> int:
        """Rows held, filtered ones included."""
        return len(self._rows)

    def row(self, key: str) -> Row:
        """The row of that key; KeyError if there is none."""
        return self._rows[key]

    def key_at(self, index: int) -> str:
        """The key at a place of the view; IndexError beyond it."""
        return self._order[index][1]

    def view(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The keys of the view, top first, or a slice of them."""
        return [key for _, key in self._order[start:stop]]

    def index(self, key: str) -> int | None:
        """The place of a row in the view; None if it is filtered out or unknown."""
        sort_key = self._keys.get(key)
        return None if sort_key is None else bisect_left(self._order, (sort_key,))

    def branch(self, key: str) -> str:
        """The tree mark drawn before a row with a parent (`├ `, `└ `); empty for others."""
        return self._branches.get(key, "")

    def nearest(self, before: Sequence[str], index: int) -> str | None:
        """The row to stand on when the one at `before[index]` is gone: the next, else the one above."""
        for key in before[index:]:
            if key in self._keys:
                return key
        for key in reversed(before[:index]):
            if key in self._keys:
                return key
        return self._order[0][1] if self._order else None

    # ---- changing ---------------------------------------------------------------------------------
    def apply(self, rows: Iterable[Row]) -> Delta:
        """Add rows or replace those with the same key; others stay. Equal rows cost a comparison."""
        delta = Delta()
        moving: list[str] = []
        rebuild = False
        for row in rows:
            old = self._rows.get(row.key)
            if old is None:
                rebuild |= self._add(row, moving)
            elif old is not row and old != row:
                self._rows[row.key] = row
                if _looks_different(old, row):
                    delta.changed.add(row.key)
                rebuild |= self._changed(old, row, moving)
        if rebuild:
            self._rebuild()
        elif len(moving) > max(2, len(self._order) // 50):
            self._place_many(set(moving))
        else:
            for key in moving:
                self._place(key)
        delta.moved = rebuild or bool(moving)
        return delta

    def replace(self, rows: Iterable[Row]) -> Delta:
        """Make `rows` the whole content, in that order; marks survive on rows that do."""
        old_rows = self._rows
        self._rows = {row.key: row for row in rows}
        delta = Delta(moved=list(self._rows) != list(old_rows))
        for key, row in self._rows.items():
            old = old_rows.get(key)
            if old is not None and old == row:
                self._rows[key] = old  # the same object: whatever was cached for it stays good
                continue
            delta.moved = True  # its sort value may be another one
            if old is None or _looks_different(old, row):
                delta.changed.add(key)
        if delta.moved:
            self._seq = {key: number for number, key in enumerate(self._rows)}
            self._next = len(self._rows)
            self._children = Counter(row.parent for row in self._rows.values() if row.parent is not None)
            self.selected &= self._rows.keys()
            self._rebuild()
        return delta

    def remove(self, keys: Iterable[str]) -> Delta:
        """Forget rows; unknown keys are ignored. Children of a removed row become rows of their own."""
        gone = {key for key in keys if key in self._rows}
        if not gone:
            return Delta()
        family = False
        for key in gone:
            family |= self._is_family(key, self._rows[key])
            row = self._rows.pop(key)
            del self._seq[key]
            if row.parent is not None:
                self._children[row.parent] -= 1
            sort_key = self._keys.pop(key, None)
            if sort_key is not None and len(gone) <= 8:
                del self._order[bisect_left(self._order, (sort_key,))]
        self.selected -= gone
        if family:
            self._rebuild()
        elif len(gone) > 8:
            self._order = [pair for pair in self._order if pair[1] not in gone]
        return Delta(moved=True)

    def set_filter(self, text: str) -> Delta:
        """Show only rows that contain every word of `text`, whatever the case, with their families."""
        self.filter_text = text
        words = tuple(text.casefold().split())
        if words == self._words:
            return Delta()
        self._words = words
        self._rebuild()
        return Delta(moved=True)

    def sort_by(self, column: str | None, descending: bool = False) -> Delta:
        """Order by a column; None is the order of arrival. Equal values keep that order."""
        if (column, descending) == (self.sort_column, self.descending):
            return Delta()
        self.sort_column, self.descending = column, descending
        self._rebuild()
        return Delta(moved=True)

    def toggle(self, key: str) -> bool:
        """Mark a row, or take its mark away; says whether it is marked now. KeyError if unknown."""
        if key not in self._rows:
            raise KeyError(key)
        self.selected ^= {key}
        return key in self.selected

    # ---- inside -----------------------------------------------------------------------------------
    def _add(self, row: Row, moving: list[str]) -> bool:
        self._rows[row.key] = row
        self._seq[row.key] = self._next
        self._next += 1
        if row.parent is not None:
            self._children[row.parent] += 1
        moving.append(row.key)
        return self._is_family(row.key, row)

    def _changed(self, old: Row, row: Row, moving: list[str]) -> bool:
        """Note what a new version of a row does to the order; True if only a rebuild can tell."""
        if old.parent != row.parent:
            if old.parent is not None:
                self._children[old.parent] -= 1
            if row.parent is not None:
                self._children[row.parent] += 1
            return True
        same_place = old.group == row.group and self._value(old) == self._value(row)
        if same_place and (not self._words or self._matches(old) == self._matches(row)):
            return False
        moving.append(row.key)
        return self._is_family(row.key, row)

    def _is_family(self, key: str, row: Row) -> bool:
        return row.parent is not None or self._children[key] > 0

    def _place(self, key: str) -> None:
        """Put one row without relatives where it belongs, or take it out of the view."""
        old = self._keys.pop(key, None)
        if old is not None:
            del self._order[bisect_left(self._order, (old,))]
        for pair in self._new_places((key,)):
            self._order.insert(bisect_left(self._order, pair), pair)

    def _place_many(self, keys: set[str]) -> None:
        """The same for many rows at once: the rest is in order already, which makes sorting cheap."""
        self._order = [pair for pair in self._order if pair[1] not in keys]
        for key in keys:
            self._keys.pop(key, None)
        self._order += self._new_places(keys)
        self._order.sort()

    def _new_places(self, keys: Iterable[str]) -> list[tuple[SortKey, str]]:
        places = []
        for key in keys:
            row = self._rows[key]
            if not self._words or self._matches(row):
                self._keys[key] = (row.group.casefold(), self._value(row), self._seq[key])
                places.append((self._keys[key], key))
        return places

    def _rebuild(self) -> None:
        known: dict[str, SortKey] = {}
        visible = self._filtered() if self._words else self._rows.keys()
        self._order = sorted((self._sort_key(key, known), key) for key in visible)
        self._keys = {key: sort_key for sort_key, key in self._order}
        self._branches = {}
        if +self._children:
            self._draw_branches()

    def _sort_key(self, key: str, known: dict[str, SortKey]) -> SortKey:
        """A unique tuple; a child's begins with its parent's, so it sorts right below it."""
        found = known.get(key)
        if found is not None:
            return found
        row = self._rows[key]
        own = (self._value(row), self._seq[key])
        # Entered before the parent is asked, so that rows that claim to be each other's parent end here.
        known[key] = (row.group.casefold(), *own)
        if row.parent is not None and row.parent in self._rows:
            known[key] = (*self._sort_key(row.parent, known), *own)
        return known[key]

    def _value(self, row: Row) -> SortKey:
        """A comparable stand-in for the sorted cell's value, with the direction built in."""
        if self.sort_column is None:
            return ()
        cell = row.cells.get(self.sort_column)
        value = None if cell is None else cell.sort
        if value is BY_TEXT and cell is not None:
            value = cell.text.strip() or None
        return comparable(value, self.descending)

    def _matches(self, row: Row) -> bool:
        text = (row.search or " ".join([cell.text for cell in row.cells.values()])).casefold()
        return all(word in text for word in self._words)

    def _filtered(self) -> set[str]:
        """Rows that match, what hangs below them, and the rows above them for context."""
        hits = {key for key, row in self._rows.items() if self._matches(row)}
        shown = set(hits)
        for key, row in self._rows.items():
            line, up = [key], row.parent
            while up is not None and up in self._rows and up not in line:
                line.append(up)
                up = self._rows[up].parent
            if len(line) > 1 and not hits.isdisjoint(line):
                lowest_hit = next(i for i, step in enumerate(line) if step in hits)
                shown.update(line[lowest_hit:])
                shown.add(key)
        return shown

    def _draw_branches(self) -> None:
        """Work out `├` and `└` from the bottom up: a row is the last one if none was seen below it."""
        more: list[bool] = []
        for sort_key, key in reversed(self._order):
            depth = (len(sort_key) - 3) // 2
            del more[depth:]
            more.extend([False] * (depth - len(more)))
            if depth:
                stem = "".join("│ " if seen else "  " for seen in more[: depth - 1])
                self._branches[key] = stem + ("├ " if more[depth - 1] else "└ ")
                more[depth - 1] = True


def _looks_different(old: Row, new: Row) -> bool:
    """Whether a repaint would show anything; a sort value by itself is not seen, only its sign is."""
    if (old.dim, old.wide, old.parent) != (new.dim, new.wide, new.parent):
        return True
    if len(old.cells) != len(new.cells):
        return True
    for key, cell in new.cells.items():
        before = old.cells.get(key)
        if before is cell:
            continue
        if before is None or before[:2] != cell[:2]:
            return True
        if before.sort is not cell.sort and sign(before.sort) != sign(cell.sort):
            return True
    return False
