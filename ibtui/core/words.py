"""The broker's abbreviations in people's words; what was sent stays in the models."""

from __future__ import annotations

_SIDES = {"B": "BUY", "BOT": "BUY", "S": "SELL", "SLD": "SELL"}


def side(text: str | None) -> str:
    """`BUY` or `SELL`; orders say it so, executions `B` and `S` (web-api.md §4.3). Empty for none."""
    word = (text or "").upper()
    return _SIDES.get(word, word)


def tif(text: str | None) -> str:
    """Time in force; live orders call DAY `CLOSE` (web-api.md §4.1). Empty for none."""
    word = (text or "").upper()
    return "DAY" if word == "CLOSE" else word
