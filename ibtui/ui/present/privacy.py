"""Masking account ids, user name and amounts in texts that are not ours to format."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ibtui.ui.present.numbers import HIDDEN

_ACCOUNT = re.compile(r"\b(?:DU|DF|DI|U|F|I)[A-Z]?\d{5,9}\b")
_NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?")
_MONEY_SOURCES = frozenset({"orders", "order", "fill", "fills", "trades", "stream"})


def account(name: str, *, hide: bool) -> str:
    """An account id, or the mask."""
    return HIDDEN if hide and name else name


def user(reason: str) -> str:
    """Whom the login lamp's reason names first (`me by IB Key · idle time left 9 min`); empty for nobody."""
    first = reason.partition(" · ")[0].partition(" by ")[0]
    return "" if " " in first else first


def text(words: str, *, hide: bool, names: Iterable[str] = (), source: str = "") -> str:
    """Foreign words with account ids and `names` masked; with numbers too where `source` tells of money."""
    if not hide:
        return words
    words = _ACCOUNT.sub(HIDDEN, words)
    for name in names:
        if name:
            words = re.sub(re.escape(name), HIDDEN, words, flags=re.IGNORECASE)
    return _NUMBER.sub(HIDDEN, words) if source in _MONEY_SOURCES else words
