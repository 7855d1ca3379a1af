"""A contract's name as people write it: `AAPL 21JAN27 150 C`, `ES DEC26`, `ASML (AEB)`,
`US-T 4 1/4 11/15/34`."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from ibtui.core.models import number
from ibtui.ui.present.numbers import quantity
from ibtui.ui.present.spans import clean

if TYPE_CHECKING:
    from ibtui.core.models import Position

_OCC = re.compile(r"\[(?P<root>\S+)\s+(?P<day>\d{6})(?P<right>[CP])(?P<strike>\d{8})\b")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DEBT = frozenset({"BOND", "BILL"})
_OPTIONS = frozenset({"OPT", "FOP", "WAR"})


def label(position: Position, base: str = "") -> str:
    """The name to show; `base` is the account's currency: a stock of another one names its exchange.

    Cold rows lack most members (web-api.md §3.8), so an option's are also read from the local
    symbol in brackets behind its description.
    """
    name = clean(position.ticker or _first_word(position.description))
    if position.asset_class in _OPTIONS:
        return _option(position, name)
    if position.asset_class == "FUT":
        day = _date(position.expiry)
        return f"{name} {_month(day)}" if day else _words(position.description)
    if position.asset_class in _DEBT:  # the issuer's name alone would stand for all of its bonds
        return _words(position.description) or name
    if position.asset_class == "STK" and base and position.currency and position.currency != base:
        return f"{name} ({position.listing_exchange})" if position.listing_exchange else name
    return name or str(position.conid)


def _option(position: Position, name: str) -> str:
    day, strike, right = _date(position.expiry), number(position.strike), position.right
    found = _OCC.search(position.description)
    if found is not None and (day is None or not strike or not right):
        day = _date(f"20{found['day']}")
        strike, right = Decimal(found["strike"]) / 1000, found["right"]
    if day is None or not strike or not right:
        return _words(position.description) or name
    return f"{name} {day.day:02d}{_month(day)} {quantity(strike)} {right}"


def _month(day: date) -> str:
    return f"{_MONTHS[day.month - 1]}{day.year % 100:02d}"


def _date(text: str | None) -> date | None:
    if text is None or not re.fullmatch(r"\d{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _words(description: str) -> str:
    """The description without the local symbol in brackets and runs of spaces."""
    return " ".join(clean(description).partition("[")[0].split())


def _first_word(description: str) -> str:
    words = description.split()
    return words[0] if words else ""
