"""What a contract is, for the simulator (web-api.md §3.8, §5).

Prices are whole numbers of 10**-decimals of the currency inside; text and floats are
made at the edge, so that sums of many fills stay exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
US_VENUES = "SMART,AMEX,NYSE,CBOE,PHLX,ISE,CHX,ARCA,NASDAQ"
OPTION_VENUES = "SMART,AMEX,CBOE,PHLX,PSE,ISE,BOX,BATS"


@dataclass(frozen=True, slots=True)
class Contract:
    """One tradable thing. `start` is yesterday's closing price, `tick` its smallest step."""

    conid: int
    symbol: str
    name: str
    sec_type: str = "STK"
    currency: str = "USD"
    exchange: str = "NASDAQ"
    listing: str = "NASDAQ.NMS"
    """Listing exchange with its market tier, as order rows show it."""
    start: Decimal = Decimal(100)
    tick: Decimal = Decimal("0.01")
    decimals: int = 2
    multiplier: Decimal = Decimal(1)
    volatility: float = 0.25
    kind: str = "COMMON"
    sector: str | None = None
    group: str | None = None
    category: str | None = None
    chinese: str | None = None
    expiry: str | None = None
    right: str | None = None
    strike: Decimal | None = None
    und_conid: int = 0
    data: str = "RpB"
    """Availability of market data (field 6509); a leading D or N means no subscription."""
    venues: str = US_VENUES

    @property
    def is_us(self) -> bool:
        """Listed in the United States."""
        return self.currency == "USD"

    @property
    def has_options(self) -> bool:
        """Whether the search lists an option section."""
        return self.sec_type == "STK" and self.is_us and self.conid < 900_000_000

    @property
    def month(self) -> str:
        """Contract month as `MMMYY`, empty for what does not expire."""
        if not self.expiry:
            return ""
        return f"{MONTHS[int(self.expiry[4:6]) - 1]}{self.expiry[2:4]}"

    @property
    def desc2(self) -> str:
        """The derivative's part of its description: `MAY 15 '26 195 Put`, `DEC26`."""
        if self.right and self.strike is not None and self.expiry:
            word = "Call" if self.right == "C" else "Put"
            month = MONTHS[int(self.expiry[4:6]) - 1]
            return f"{month} {self.expiry[6:]} '{self.expiry[2:4]} {plain(self.strike)} {word}"
        return self.month if self.sec_type == "FUT" else ""

    @property
    def full_name(self) -> str:
        """`contractDesc` of a position row."""
        if self.right and self.strike is not None and self.expiry:
            month = f"{self.month[:3]}20{self.month[3:]}"
            code = f"{self.expiry[2:]}{self.right}{int(self.strike * 1000):08d}"
            return f"{self.symbol:<6} {month} {plain(self.strike)} {self.right} [{self.symbol:<5} {code} 100]"
        if self.sec_type == "FUT":
            return f"{self.symbol:<8} {self.month[:3]}20{self.month[3:]}"
        if self.sec_type == "BOND":
            return self.name
        if self.sec_type == "CASH":
            return f"{self.symbol}.{self.currency}"
        return self.symbol

    @property
    def future_like(self) -> bool:
        """Bought without paying for it: only profit and loss move cash."""
        return self.sec_type == "FUT"


def plain(number: Decimal) -> str:
    """A Decimal without exponent and without needless zeros: `195`, `2.5`, `0`."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def third_friday(year: int, month: int) -> date:
    """The usual expiry of monthly options and quarterly futures."""
    first = date(year, month, 1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def next_months(today: date, count: int, step: int = 1, margin_days: int = 5) -> list[date]:
    """The next `count` third Fridays at least `margin_days` away; `step` 3 keeps the quarters."""
    found: list[date] = []
    year, month = today.year, today.month
    while len(found) < count:
        day = third_friday(year, month)
        if month % step == 0 and day - today >= timedelta(days=margin_days):
            found.append(day)
        month += 1
        if month > 12:
            year, month = year + 1, 1
    return found


def option_value(spot: float, strike: float, years: float, volatility: float, right: str) -> float:
    """Black and Scholes without interest: good enough to look right."""
    if years <= 0:
        return max(0.0, spot - strike if right == "C" else strike - spot)
    spread = volatility * math.sqrt(years)
    d1 = math.log(spot / strike) / spread + spread / 2
    call = spot * _normal(d1) - strike * _normal(d1 - spread)
    return call if right == "C" else call - spot + strike


def option_greeks(
    spot: float, strike: float, years: float, volatility: float, right: str
) -> tuple[float, float, float, float]:
    """Delta, gamma, theta (a day) and vega (a point) of the same model."""
    spread = volatility * math.sqrt(max(years, 1e-6))
    d1 = math.log(spot / strike) / spread + spread / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    delta = _normal(d1) - (0.0 if right == "C" else 1.0)
    gamma = density / (spot * spread)
    theta = -spot * density * volatility / (2 * math.sqrt(max(years, 1e-6))) / 365
    vega = spot * density * math.sqrt(max(years, 1e-6)) / 100
    return delta, gamma, theta, vega


def _normal(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2
