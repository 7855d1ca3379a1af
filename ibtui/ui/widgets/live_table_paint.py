"""How a `LiveTable` line is drawn: which columns fit, what text fits a cell, segments and strips.

Foreign text never becomes markup here: it goes into segments as it is, without control characters,
measured in terminal cells.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ibtui.ui.widgets.row_order import sign
from ibtui.ui.widgets.rows import Column, Row, RowSet

GUTTER = 1
"""Cells left of the first column: the mark of the cursor and of selected rows."""
MARKS = {(False, False): " ", (True, False): "▸", (False, True): "•", (True, True): "◆"}
"""The gutter's mark by (cursor here, row selected)."""
CACHED_STRIPS = 512

Styler = Callable[[tuple[str, ...]], Style]
"""Makes a Rich style of component names laid over each other, later ones on top."""


class Slot(NamedTuple):
    """A column that is shown: first cell on the line, and width."""

    column: Column
    x: int
    width: int


def plan_columns(columns: Sequence[Column], width: int, terminal: int, gap: int = 2) -> list[Slot]:
    """Which columns to show in `width` cells of a terminal `terminal` cells wide, and where.

    The first column always stays and takes the spare room; of the others those go that want a wider
    terminal, then, while there is too little room, the one with the largest `min_terminal`, from the
    right.
    """
    if not columns:
        return []
    first, *others = columns
    shown = [column for column in others if column.min_terminal <= terminal]
    room = width - GUTTER - first.width
    while shown and sum(column.width + gap for column in shown) > room:
        widest = max(column.min_terminal for column in shown)
        shown.remove(next(column for column in reversed(shown) if column.min_terminal == widest))
    x = GUTTER + max(1, width - GUTTER - sum(column.width + gap for column in shown))
    slots = [Slot(first, GUTTER, x - GUTTER)]
    for column in shown:
        slots.append(Slot(column, x + gap, column.width))
        x += gap + column.width
    return slots


def clean(text: str) -> str:
    """The text without anything that moves the cursor or hides: line ends and tabs become spaces."""
    if text.isascii() and text.isprintable():
        return text
    kept = []
    for letter in text:
        kind = unicodedata.category(letter)
        if letter in "\n\r\t" or kind in ("Zl", "Zp"):
            kept.append(" ")
        elif kind == "Cs":
            kept.append("\N{REPLACEMENT CHARACTER}")
        elif kind not in ("Cc", "Cf") and not 0xFE00 <= ord(letter) <= 0xFE0F:
            # Cf hides and reorders (U+202E); terminals disagree on the width of variation selectors
            kept.append(letter)
    return "".join(kept)


@lru_cache(maxsize=8192)
def fit(text: str, width: int, align: Literal["left", "right"]) -> str:
    """`text` in exactly `width` cells.

    Too long a text ends in `…`; at the right edge it begins with it instead, so that nobody takes
    what is left of a number for the number.
    """
    text = clean(text)
    size = len(text) if text.isascii() else cell_len(text)
    if size <= width:
        space = " " * (width - size)
        return space + text if align == "right" else text + space
    if width < 1:
        return ""
    if align == "left":
        return set_cell_size(text, width - 1) + "…"
    start, room = len(text), width - 1
    while start and cell_len(text[start - 1]) <= room:
        start -= 1
        room -= cell_len(text[start])
    return " " * room + "…" + text[start:]


class Painter:
    """Draws lines of a `RowSet` in the columns of a plan, and keeps the strips of unchanged rows."""

    def __init__(self, styler: Styler) -> None:
        self._styler = styler
        self._styles: dict[tuple[str, ...], Style] = {}
        self._strips: dict[str, tuple[Row, tuple[bool, bool, bool, str], Strip]] = {}
        self.slots: list[Slot] = []
        self.width = 0
        self.room = 0

    def set_plan(self, slots: list[Slot], width: int, room: int) -> None:
        """Draw with these columns from now on, on lines of `width` cells, text in the first `room`."""
        self.slots, self.width, self.room = slots, width, room
        self._strips.clear()

    def forget_styles(self) -> None:
        """The theme, the focus or a rule changed: ask for every style again."""
        self._styles.clear()
        self._strips.clear()

    def style(self, *names: str) -> Style:
        """The style of component names laid over each other; no name is the table's own style."""
        style = self._styles.get(names)
        if style is None:
            style = self._styles[names] = self._styler(names)
        return style

    def blank(self) -> Strip:
        """A line without a row."""
        return Strip.blank(self.width, self.style())

    def text(self, text: str, *names: str) -> Strip:
        """A line of plain text after the gutter."""
        line = " " * GUTTER + fit(text, max(0, self.room - GUTTER), "left")
        return self._strip([(line, self.style(*names))], self.style())

    def header(self, rows: RowSet) -> Strip:
        """The titles; the sorted column carries an arrow, beside its title or in the gap."""
        parts: list[tuple[str, Style]] = []
        plain, sorted_style = self.style("header"), self.style("header", "sorted")
        arrow = "▼" if rows.descending else "▲"
        x = 0
        for column, start, width in self.slots:
            is_sorted = column.key == rows.sort_column
            title = fit(column.title, width, column.align)
            if is_sorted and column.align == "right":
                spare = width - cell_len(title.lstrip(" "))
                title = arrow + title if not spare else " " * spare + arrow + title.lstrip(" ")
                start -= 1
            elif is_sorted:
                bare = title.rstrip(" ")
                title = fit(bare + arrow, width + 1, "left")
            parts.append((" " * (start - x), plain))
            parts.append((title, sorted_style if is_sorted else plain))
            x = start + cell_len(title)
        return self._strip(parts, plain)

    def row(self, rows: RowSet, key: str, cursor: bool, odd: bool) -> Strip:
        """The line of one row; the same object again while nothing about it has changed."""
        row = rows.row(key)
        state = (cursor, key in rows.selected, odd, rows.branch(key))
        cached = self._strips.get(key)
        if cached is not None and cached[0] is row and cached[1] == state:
            return cached[2]
        if len(self._strips) >= CACHED_STRIPS:
            self._strips.clear()
        strip = self._draw(row, *state)
        self._strips[key] = (row, state, strip)
        return strip

    def _draw(self, row: Row, cursor: bool, selected: bool, odd: bool, branch: str) -> Strip:
        under = ("odd",) if odd else ()
        over = (
            *(("dim",) if row.dim else ()),
            *(("selected",) if selected else ()),
            *(("cursor",) if cursor else ()),
        )
        plain = self.style(*under, *over)
        mark = MARKS[cursor, selected]
        parts = [(mark, plain if mark == " " else self.style(*under, "mark", *over))]
        x = GUTTER
        for column, start, width in self.slots:
            cell = row.cells.get(column.key)
            if start > x:
                parts.append((" " * (start - x), plain))
            if start == GUTTER and row.wide:
                width = self.room - start
            x = start + width
            if start == GUTTER and branch:
                parts.append((fit(branch, min(len(branch), width), "left"), plain))
                width = max(0, width - len(branch))
            if cell is None:
                parts.append((" " * width, plain))
            else:
                name = cell.style
                if not name and column.style_of_sign:
                    name = ("", "up", "down")[sign(cell.sort)]
                style = self.style(*under, name, *over) if name else plain
                parts.append((fit(cell.text, width, column.align), style))
            if row.wide:
                break
        return self._strip(parts, plain)

    def _strip(self, parts: list[tuple[str, Style]], rest: Style) -> Strip:
        """One strip of the parts, neighbours of one style joined, filled up to the line's width."""
        segments: list[Segment] = []
        text, style = "", rest
        for more, its_style in parts:
            if its_style is style:
                text += more
            else:
                if text:
                    segments.append(Segment(text, style))
                text, style = more, its_style
        if text:
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(self.width, rest)
