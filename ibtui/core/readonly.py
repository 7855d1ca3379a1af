"""Which requests change orders, however their path is spelled (used by `rest` when read-only).

The rule errs on the safe side: below `iserver`, everything but reading that names orders,
alerts, replies, questions or notifications counts, except an order preview written plainly.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_WORDS = ("order", "alert", "reply", "question", "suppress", "notification")
_ALWAYS = ("reply", "question", "suppress", "notification")
_WHATIF = re.compile(r"/?(v1/(api|portal)/)?iserver/account/(?!\.+/)[\w.-]+/orders?/whatif", re.ASCII)
_ODD = re.compile(r"[^a-z0-9_.-]")


def _segments(path: str) -> list[str]:
    # Only a `?` or `#` as it is written ends the path: an encoded one is part of a name, and what
    # comes after it counts (httpx makes `/%3F/../iserver` the path `/iserver`).
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    for _ in range(8):
        plain = unquote(path)
        if plain == path:
            break
        path = plain
    names = (_ODD.sub("", raw.split(";", 1)[0]) for raw in path.replace("\\", "/").lower().split("/"))
    # `..` may be resolved by us, by a proxy or by nobody: it takes no name away.
    return [name for name in names if name]


def _names_orders(segments: list[str], words: tuple[str, ...]) -> bool:
    if "iserver" not in segments:
        return False
    below = segments[segments.index("iserver") + 1 :]
    return any(segment.startswith(words) for segment in below)


def leads_up(path: str) -> bool:
    """True when `path` has a `..` in it, however it is spelled: it could leave the API for any page."""
    return ".." in _segments(path)


def changes_orders(method: str, path: str) -> bool:
    """True when `method path` places, modifies, cancels or confirms an order or alert.

    Odd spellings (doubled, trailing or encoded slashes, case, `..`, `;`) count as what
    they become; `path` may carry a query. Previews (`whatif`) are no change
    (web-api.md §4.5–§4.10).
    """
    verb = method.strip().upper()
    if verb == "POST" and _WHATIF.fullmatch(path.split("?", 1)[0]):
        return False
    return _names_orders(_segments(path), _ALWAYS if verb in _READING else _WORDS)
