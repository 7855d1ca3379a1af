"""Price history (web-api.md §5.9): made from the seed, and ending at the current price.

Daily closes are walked backwards from yesterday's close; within a day the price is a
smooth wave between two closes. It is a function of time, so bars of every length agree.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from struct import unpack
from typing import TYPE_CHECKING, Any

from ibtui.sim.instruments import Contract, plain

if TYPE_CHECKING:
    from ibtui.sim.world import World

BAR_S = {
    "1min": 60,
    "2min": 120,
    "3min": 180,
    "5min": 300,
    "10min": 600,
    "15min": 900,
    "30min": 1800,
    "1h": 3600,
    "2h": 7200,
    "3h": 10800,
    "4h": 14400,
    "8h": 28800,
    "1d": 86400,
    "1w": 604800,
    "1m": 2592000,
}
PERIODS = {
    "min": (30, 1 / 390),
    "h": (8, 1 / 6.5),
    "d": (1000, 1),
    "w": (792, 5),
    "m": (182, 21),
    "y": (15, 252),
}
"""Unit: the largest number, and trading days of one."""
STEPS = [(1 / 390, "1min"), (1, "1min"), (5, "15min"), (21, "30min"), (504, "1d"), (1e9, "1w")]
"""Default bar by trading days of the period."""
SPANS: list[tuple[float, str, str]] = [
    (3780, "1w", "1m"),
    (504, "1d", "1m"),
    (252, "8h", "1m"),
    (126, "4h", "1m"),
    (63, "2h", "1m"),
    (21, "1h", "1m"),
    (5, "10min", "1w"),
    (1 / 6.5, "1min", "8h"),
    (0, "1min", "1min"),
]
"""Shortest and longest bar from so many trading days on (the table's columns)."""
SESSION_S = 390 * 60
MAX_BARS = 1000
OLDEST = 6000
"""Sessions back to which prices exist."""
PRICE_FACTOR = 100
VOLUME_FACTOR = 40


@dataclass(frozen=True, slots=True)
class Wish:
    """What to show: `period` such as `1w`, `bar` such as `15min`, until `end` (epoch seconds; None: now)."""

    period: str = "1w"
    bar: str = ""
    end: float | None = None
    outside_rth: bool = False

    @classmethod
    def of(cls, period: str, bar: str, start_time: str = "", outside_rth: bool = False) -> Wish:
        """Checked parameters of the REST route. ValueError for wrong ones."""
        wish = cls(period or "1w", bar, None, outside_rth)
        if not wish.days or (bar and (bar not in BAR_S or not wish.fits)):
            raise ValueError("Bad Request: period or bar is not valid")
        if not start_time:
            return wish
        end = datetime.strptime(start_time, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC).timestamp()
        return cls(wish.period, bar, end, outside_rth)

    @classmethod
    def tolerant(cls, options: dict[str, Any]) -> Wish:
        """Parameters of `smh`, where wrong ones are ignored."""
        period, bar = str(options.get("period", "1w")), str(options.get("bar", ""))
        period = period if cls(period).days else "1w"
        fits = bar in BAR_S and cls(period, bar).fits
        return cls(period, bar if fits else "", None, options.get("outsideRth") is True)

    @property
    def days(self) -> float:
        """Length in trading days; 0 for a wrong period."""
        match = re.fullmatch(r"(\d+)(min|h|d|w|m|y)", self.period)
        if not match:
            return 0.0
        most, days = PERIODS[match[2]]
        return int(match[1]) * days if 1 <= int(match[1]) <= most else 0.0

    @property
    def fits(self) -> bool:
        """Whether the table of §5.9 has this bar for a period so long."""
        shortest, longest = next(span for days, *span in SPANS if self.days >= days)
        default = next(bar for days, bar in STEPS if self.days <= days)
        return self.bar == default or BAR_S[shortest] <= BAR_S[self.bar] <= BAR_S[longest]

    @property
    def step(self) -> str:
        """The bar, or the default one of the period."""
        return self.bar or next(bar for days, bar in STEPS if self.days <= days)


def session_start(day: date) -> int:
    """The opening of the New York session in epoch seconds (09:30 local, by the US summer time rule)."""
    march = date(day.year, 3, 8)
    spring = march + timedelta(days=(6 - march.weekday()) % 7)
    november = date(day.year, 11, 1)
    autumn = november + timedelta(days=(6 - november.weekday()) % 7)
    hours = 13.5 if spring <= day < autumn else 14.5
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + hours * 3600)


class Past:
    """The price of one contract at any moment of the past."""

    def __init__(self, seed: int, contract: Contract, prior: float, last: float, now: float) -> None:
        self._seed = seed
        self._contract = contract
        self._daily = contract.volatility / math.sqrt(252)
        self.now = now
        day = datetime.fromtimestamp(now, UTC).date()
        while day.weekday() > 4 or session_start(day) >= now:
            day -= timedelta(days=1)
        self.today = day
        self._closes = {0: last, 1: prior}
        self._days = [day]

    def day(self, back: int) -> date:
        """The trading day so many sessions ago; 0 is the last one that has begun."""
        while len(self._days) <= back:
            day = self._days[-1] - timedelta(days=1)
            while day.weekday() > 4:
                day -= timedelta(days=1)
            self._days.append(day)
        return self._days[back]

    def close(self, back: int) -> float:
        """The close of that day; for the running session the current price."""
        while back not in self._closes:
            known = max(self._closes)
            change = _gauss(self._seed, self._contract.conid, self.day(known).toordinal()) * self._daily
            self._closes[known + 1] = self._closes[known] * math.exp(-change)
        return self._closes[back]

    def end(self, back: int) -> float:
        """When that session ended, or now."""
        return min(session_start(self.day(back)) + SESSION_S, self.now)

    def price(self, back: int, when: float) -> float:
        """The price within that session."""
        start = session_start(self.day(back))
        end = self.end(back)
        before, after = self.close(back + 1), self.close(back)
        part = min(1.0, max(0.0, (when - start) / max(60.0, end - start)))
        # The wave belongs to the time of day, so bars that are past hardly move any more.
        return self._raw(back, before, when) + (after - self._raw(back, before, end)) * part

    def _raw(self, back: int, before: float, when: float) -> float:
        day = self.day(back)
        part = (when - session_start(day)) / SESSION_S
        return before * (1 + self._daily * _wave(self._seed, self._contract.conid, day.toordinal(), part))


def _fractions(*names: int) -> list[float]:
    """Sixteen numbers from 0 to 1 that belong to these names (cheaper than seeding a Random)."""
    digest = blake2b(repr(names).encode(), digest_size=64).digest()
    return [(one + 0.5) / 2**32 for one in unpack("<16I", digest)]


@lru_cache(maxsize=20_000)
def _gauss(seed: int, conid: int, when: int) -> float:
    first, second = _fractions(seed, conid, when)[:2]
    return math.sqrt(-2 * math.log(first)) * math.cos(math.tau * second)


@lru_cache(maxsize=20_000)
def _phases(seed: int, conid: int, day: int) -> tuple[tuple[float, float, float], ...]:
    """Amplitude, frequency and phase of each part of a day's wave."""
    dice = _fractions(seed, conid, day, 1)
    return tuple(
        ((dice[n] - 0.5) * 1.7 / n**0.8, n * 2.3 + dice[n + 5], dice[n + 10] * math.tau) for n in range(1, 6)
    )


def _wave(seed: int, conid: int, day: int, part: float) -> float:
    """A smooth curve that is 0 at both ends of the day."""
    total = sum(a * math.sin(math.tau * f * part + p) for a, f, p in _phases(seed, conid, day))
    return total * math.sin(math.pi * part)


def history(world: World, contract: Contract, wish: Wish) -> dict[str, Any]:
    """The reply of the history route. ValueError when there is nothing so long ago."""
    quote = world.market.quote(contract.conid)
    now = world.clock.now()
    past = Past(world.seed, contract, float(quote.prior_close), float(quote.price), now)
    seconds = BAR_S[wish.step]
    data = _daily(past, wish, seconds) if seconds >= 86400 else _intraday(past, wish, seconds)
    if not data:
        raise ValueError("Chart data unavailable")
    digits = contract.decimals
    for bar in data:
        for key in "ohlc":
            bar[key] = round(bar[key], digits)
    if wish.end is None:
        # Rounding of waves aside, the newest close is the price on the screen.
        data[-1]["c"] = float(quote.price)
        data[-1]["h"], data[-1]["l"] = max(data[-1]["h"], data[-1]["c"]), min(data[-1]["l"], data[-1]["c"])
    return _body(world, contract, wish, seconds, data)


def _body(
    world: World, contract: Contract, wish: Wish, seconds: int, data: list[dict[str, Any]]
) -> dict[str, Any]:
    delayed = contract.data.startswith("D")
    first = data[0]["t"]
    high = max(data, key=lambda bar: bar["h"])
    low = min(data, key=lambda bar: bar["l"])
    pan = datetime.fromtimestamp(first / 1000 - 17.5 * 3600, UTC)
    return {
        "serverId": str(20000 + (contract.conid + seconds + len(data)) % 9999),
        "symbol": contract.symbol,
        "text": contract.name,
        "priceFactor": PRICE_FACTOR,
        "startTime": datetime.fromtimestamp(first / 1000, UTC).strftime("%Y%m%d-%H:%M:%S"),
        "high": _extreme(high, "h", first),
        "low": _extreme(low, "l", first),
        "timePeriod": wish.period,
        "barLength": seconds,
        "mdAvailability": "D" if delayed else "S",
        "mktDataDelay": 900 if delayed else 0,
        "outsideRth": wish.outside_rth,
        "tradingDayDuration": 390,
        "volumeFactor": VOLUME_FACTOR,
        "priceDisplayRule": 1,
        "priceDisplayValue": str(contract.decimals),
        "chartPanStartTime": pan.strftime("%Y%m%d-%H:%M:%S"),
        "direction": -1,
        "negativeCapable": False,
        "messageVersion": 2,
        "data": data,
        "points": len(data) - 1,
        "travelTime": 48,
    }


def _extreme(bar: dict[str, Any], key: str, first: int) -> str:
    price, volume = (plain(round(Decimal(repr(one)), 4)) for one in (bar[key] * PRICE_FACTOR, bar["v"]))
    return f"{price}/{volume}/{(bar['t'] - first) // 60000}"


def _first_day(past: Past, end: float) -> int:
    """The newest session that had begun by `end`, as days back."""
    back = 0
    while back < OLDEST and session_start(past.day(back)) >= end:
        back += 1
    return back


def _intraday(past: Past, wish: Wish, seconds: int) -> list[dict[str, Any]]:
    """Bars within sessions, the newest last."""
    end = min(past.now, wish.end or past.now)
    wanted = max(1, min(MAX_BARS, math.ceil(wish.days * SESSION_S / seconds)))
    found: list[dict[str, Any]] = []
    back = _first_day(past, end)
    while back < OLDEST:
        start = session_start(past.day(back))
        close = min(past.end(back), end)
        for number in range(math.ceil((close - start) / seconds) - 1, -1, -1):
            opening = start + number * seconds
            found.append(_bar(past, back, opening, min(opening + seconds, close)))
            if len(found) == wanted:
                return found[::-1]
        back += 1
    return found[::-1]


def _bar(past: Past, back: int, start: float, end: float, looks: int = 4) -> dict[str, Any]:
    """One bar; high and low from `looks` + 1 prices within it."""
    samples = [past.price(back, start + (end - start) * part / looks) for part in range(looks + 1)]
    dice = _gauss(past._seed, past._contract.conid, int(start))
    jitter = samples[0] * 0.0002 * (1 + abs(dice))
    return {
        "o": samples[0],
        "c": samples[-1],
        "h": max(samples) + jitter,
        "l": min(samples) - jitter,
        "v": round(abs(40 + 12 * dice) * (end - start) / 4, 3),
        "t": int(start * 1000),
    }


def _daily(past: Past, wish: Wish, seconds: int) -> list[dict[str, Any]]:
    """Bars of whole days, weeks (5 sessions) or months (21 sessions)."""
    group = {86400: 1, 604800: 5}.get(seconds, 21)
    wanted = max(1, min(MAX_BARS, math.ceil(wish.days / group)))
    first = _first_day(past, min(past.now, wish.end or past.now))
    found = []
    for newest in range(first, min(first + wanted * group, OLDEST), group):
        days = [
            _bar(past, back, session_start(past.day(back)), past.end(back), looks=2)
            for back in range(newest, newest + group)
        ]
        found.append(
            {
                "o": days[-1]["o"],
                "c": days[0]["c"],
                "h": max(day["h"] for day in days),
                "l": min(day["l"] for day in days),
                "v": round(sum(day["v"] for day in days), 3),
                "t": days[-1]["t"],
            }
        )
    return found[::-1]
