"""Lines of styled text without a screen: what `present` hands to the `Lines` widget.

A span is `(text, style)`; style is a short word such as `good`, `bad`, `warn`, `muted`,
`accent`, `strong`, `up`, `down` or nothing. Text is shown as it is, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

MARKS = ("→ ", "▲ ", "✕ ", "✓ ", "◐ ")
"""What a line may begin with, one cell and a blank."""
Span = tuple[str, str]
Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line of plain texts and spans."""
    return tuple((part, "") if isinstance(part, str) else part for part in parts)


def plain(spans: Iterable[Span]) -> str:
    """The text of a line alone."""
    return "".join(text for text, _ in spans)


def width(spans: Iterable[Span]) -> int:
    """Terminal cells a line takes."""
    return sum(cell_len(text) for text, _ in spans)


def clean(text: str) -> str:
    """Foreign text without control characters, so that it cannot steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        " " if char in "\t\r\n" else char for char in text if char.isprintable() or char in "\t\r\n"
    )


def wrap(spans: Line, room: int, hang: int | None = None) -> list[Line]:
    """Break a line at spaces into lines of at most `room` cells; the rest hangs `hang` cells in.

    None hangs it below the line's own indent, and beside a mark such as `→ ` at its begin.
    A word that is longer than a line keeps its own line and is cut by whoever draws it.
    """
    if room <= 0 or width(spans) <= room:
        return [spans]
    text = plain(spans)
    own = len(text) - len(text.lstrip(" "))
    own += 2 if text[own : own + 2] in MARKS else 0
    indent = " " * min(own if hang is None else hang, max(room // 2, 0))
    out: list[list[Span]] = [[]]
    used = 0
    for piece, style in _pieces(spans):
        size = cell_len(piece)
        if used + cell_len(piece.rstrip(" ")) > room and used > len(indent):
            out.append([(indent, "")] if indent else [])
            used = len(indent)
            piece = piece.lstrip(" ")
            size = cell_len(piece)
        if piece:
            out[-1].append((piece, style))
            used += size
    return [tuple(parts) for parts in out]


def _pieces(spans: Line) -> Iterable[Span]:
    """Words with the spaces behind them."""
    for text, style in spans:
        start = 0
        for at in range(1, len(text)):
            if text[at - 1] == " " and text[at] != " ":
                yield text[start:at], style
                start = at
        if text[start:]:
            yield text[start:], style
