"""IBKR's nightly reset and weekly maintenance, as far as the notes know them (web-api.md §2.7, oauth.md).

Every session ends at midnight of its region, and around it the edge may answer 500 or 503.
The times explain and space out what is tried; nothing is left untried because of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

NIGHTLY = timedelta(minutes=30)
"""From midnight of the region on."""
WEEKLY_DAY, WEEKLY_HOUR = 5, 18
"""Saturday evening in New York, until the night's reset; IBKR's pages disagree on the hour."""
_ASIA = "AU CN HK ID IN JP KR MO MY NZ PH SG TH TW VN"
_EUROPE = (
    "AE AT BE BG CH CY CZ DE DK EE ES EU FI FR GB GR HR HU IE IL IS IT LI LT LU LV MT NL NO PL PT RO RU SA"
    " SE SI SK TR UA UK ZA"
)
"""Countries by the region that serves them; all others are served from New York."""
_PLACES = {
    "New York": ("America/New_York", -5),
    "Zug": ("Europe/Zurich", 1),
    "Hong Kong": ("Asia/Hong_Kong", 8),
}
"""Each region's place, its time zone, and the hours to UTC where this machine knows no time zones."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which IBKR is expected to be away."""

    name: str
    end: datetime


def place(region: str) -> str:
    """Whose midnight counts for a region of the login page (two letters)."""
    code = region.upper()
    return "Hong Kong" if code in _ASIA.split() else "Zug" if code in _EUROPE.split() else "New York"


def next_reset(region: str, now: datetime) -> datetime:
    """The next midnight of the region, in UTC; `now` is aware."""
    return _midnight(_zone(place(region)), now, days=1)


def last_reset(region: str, now: datetime) -> datetime:
    """The midnight that began the region's day, in UTC."""
    return _midnight(_zone(place(region)), now, days=0)


def window(region: str, now: datetime) -> Window | None:
    """The reset or maintenance that is going on at `now`; None at any other time."""
    end = last_reset(region, now) + NIGHTLY
    if now < end:
        return Window("the nightly reset", end)
    there = now.astimezone(_zone("New York"))
    if there.weekday() == WEEKLY_DAY and there.hour >= WEEKLY_HOUR:
        return Window("the weekly maintenance", next_reset("US", now) + NIGHTLY)
    return None


def _midnight(zone: tzinfo, now: datetime, *, days: int) -> datetime:
    day = now.astimezone(zone).date() + timedelta(days=days)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _zone(where: str) -> tzinfo:
    name, hours = _PLACES[where]
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return timezone(timedelta(hours=hours))
