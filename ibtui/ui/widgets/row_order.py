"""How cell values of any kind are put in order, in both directions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

SortKey = tuple[Any, ...]


class _Backwards:
    """Turns the order of a value round that cannot be negated."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Backwards) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backwards) and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash(self.value)


def comparable(value: Any, descending: bool = False) -> SortKey:
    """A tuple that sorts like `value`, or the other way round; no value (None, NaN) comes last in both.

    Values of different kinds never meet in a comparison: numbers come first, then text, then the rest
    by type.
    """
    if value is None or value != value:
        return (1,)
    if isinstance(value, int | float | Decimal):
        return (0, 0, -value if descending else value)
    if isinstance(value, str):
        text = value.casefold()
        # Negated letters turn the order round; the closing 1 puts a word behind the longer ones it begins.
        return (0, 1, (*[-ord(letter) for letter in text], 1) if descending else text)
    kind = type(value).__name__
    return (0, 2, kind, _Backwards(value) if descending else value)


def sign(value: Any) -> int:
    """-1, 0 or 1 for a number; 0 for anything else."""
    if not isinstance(value, int | float | Decimal) or value != value:
        return 0  # NaN has no sign, and a Decimal NaN may not even be asked
    return (value > 0) - (value < 0)
