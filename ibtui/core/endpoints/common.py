"""What all endpoints share: a request as a value, and reading rows that may lack anything.

Rules of web-api.md §0: unknown members are kept, absent ones are None, a number is taken
where text is documented and the reverse.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec import Struct, field

T = TypeVar("T")
_NOTHING = frozenset({"", "null", "N/A", "None", "NA"})


class Call(Struct, frozen=True):
    """An API request, ready for `Rest.request`."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None


def get(path: str, **params: Any) -> Call:
    """A GET; parameters that are None are dropped when it is sent."""
    return Call("GET", path, params)


def post(path: str, data: Any = None) -> Call:
    """A POST with a JSON body, or an empty one."""
    return Call("POST", path, {}, data)


def text(value: Any) -> str | None:
    """A scalar as text; None for IBKR's ways to say nothing, and for lists and objects."""
    if isinstance(value, str):
        return None if value in _NOTHING else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return None


def label(value: Any) -> str | None:
    """Text for people: HTML entities become characters (web-api.md §8, quirk 18)."""
    found = text(value)
    return html.unescape(found) if found is not None and "&" in found else found


def integer(value: Any) -> int | None:
    """A whole number, also from text such as `265598` or `1777041130000.0`."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value == value and abs(value) < 1e18 else None
    if isinstance(value, str):
        head, dot, tail = value.strip().partition(".")
        if dot and tail.strip("0"):
            return None
        try:
            return int(head)
        except ValueError:
            return None
    return None


def flag(value: Any) -> bool | None:
    """A truth value, also from `"true"`, `"1"`, 0 and the like."""
    if isinstance(value, bool):
        return value
    if value in (1, "1", "true", "True", "TRUE"):
        return True
    if value in (0, "0", "false", "False", "FALSE"):
        return False
    return None


def milliseconds(value: Any) -> int:
    """An epoch time in ms, also from seconds (told apart by magnitude); 0 for none."""
    found = integer(value)
    if found is None and isinstance(value, str):
        try:
            found = int(float(value))
        except (ValueError, OverflowError):
            found = None
    if found is None or found <= 0:
        return 0
    return found if found >= 100_000_000_000 else found * 1000


def mapping(value: Any) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; anything else is left out."""
    if isinstance(value, list):
        return [row for row in value if isinstance(row, dict)]
    return []


def read_all(body: Any, read: Callable[[dict[str, Any]], T | None]) -> list[T]:
    """What `read` makes of the objects in a list; those it makes nothing of are left out."""
    return [found for row in rows(body) if (found := read(row)) is not None]


def strings(value: Any) -> tuple[str, ...]:
    """The texts in a list; a lone text counts as a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(found for item in value if (found := text(item))) if isinstance(value, list) else ()


def rest_of(row: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The members that no model has a place for."""
    return {name: value for name, value in row.items() if name not in known}
