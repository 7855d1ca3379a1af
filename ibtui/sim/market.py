"""Prices that move: a seeded random walk over the contracts somebody looks at.

Prices are integers in units of 10**-decimals. Nothing here reads a clock: the market
moves by steps, so the same seed and the same steps give the same prices.
"""

from __future__ import annotations

import math
import random
from decimal import Decimal

from ibtui.sim.catalogue import EUR_USD, Catalogue
from ibtui.sim.instruments import Contract, option_value

TRADING_YEAR_S = 252 * 6.5 * 3600
LIVELY = 6.0
"""The simulated market moves this many times faster than a real one, so that a person sees it."""


class Quote:
    """The current state of one contract's market; prices in units of 10**-decimals."""

    __slots__ = (
        "ask", "ask_size", "bid", "bid_size", "contract", "decimals", "high", "last", "last_size",
        "low", "open", "prior", "scale", "step", "tick", "version", "volume",
    )  # fmt: skip

    def __init__(self, contract: Contract, dice: random.Random) -> None:
        self.contract = contract
        self.decimals = contract.decimals
        self.scale = 10**contract.decimals
        self.tick = int(contract.tick * self.scale)
        self.prior = self._on_tick(int(contract.start * self.scale))
        gap = contract.volatility / math.sqrt(252) * 0.25
        drift = 0.0 if contract.sec_type == "OPT" else dice.gauss(0, gap)
        self.open = self._on_tick(round(self.prior * (1 + drift)))
        self.last = self._on_tick(round(self.open * (1 + drift * dice.random())))
        self.high = max(self.open, self.last) + self.tick * dice.randrange(3, 30)
        self.low = max(self.tick, min(self.open, self.last) - self.tick * dice.randrange(3, 30))
        self.volume = dice.randrange(900, 60_000) * (1 if contract.sec_type == "OPT" else 1000)
        self.bid_size = self.ask_size = self.last_size = 100
        self.step = contract.volatility * math.sqrt(0.25 / TRADING_YEAR_S) * LIVELY
        self.bid = self.ask = self.last
        self.version = 0
        self._spread()

    def _on_tick(self, price: int) -> int:
        return max(self.tick, price - price % self.tick)

    def _spread(self) -> None:
        width = self.tick * (2 if self.contract.sec_type == "OPT" else 1)
        self.bid = max(self.tick, self.last - (width if self.version % 2 else 0))
        self.ask = self.bid + width

    def move(self, price: int, size: int = 100) -> None:
        """A trade at `price` (units); bid and ask follow."""
        self.version += 1
        self.last = max(self.tick, price)
        self.last_size = size
        self.volume += size
        self.high = max(self.high, self.last)
        self.low = min(self.low, self.last)
        self._spread()

    def walk(self, dice: random.Random) -> None:
        """One random step, pulled softly towards yesterday's close."""
        pull = 0.002 * (self.prior - self.last) / self.prior
        change = round(self.last * (dice.gauss(0, self.step) + pull) / self.tick) * self.tick
        if change == 0:
            change = self.tick if dice.random() < 0.5 else -self.tick
        self.bid_size = dice.randrange(1, 20) * 100
        self.ask_size = dice.randrange(1, 20) * 100
        self.move(self.last + change, dice.randrange(1, 12) * 100)

    def text(self, units: int) -> str:
        """Units as the wire writes a price: `193.18`."""
        sign = "-" if units < 0 else ""
        whole, rest = divmod(abs(units), self.scale)
        return f"{sign}{whole}.{rest:0{self.decimals}d}"

    def decimal(self, units: int) -> Decimal:
        """Units as an exact number."""
        return Decimal(units).scaleb(-self.decimals)

    @property
    def price(self) -> Decimal:
        """The last price."""
        return self.decimal(self.last)

    @property
    def prior_close(self) -> Decimal:
        """Yesterday's close."""
        return self.decimal(self.prior)

    @property
    def mid(self) -> Decimal:
        """Halfway between bid and ask."""
        return self.decimal(self.bid + self.ask) / 2


class Market:
    """All quotes. `live` holds the conids that move by themselves."""

    def __init__(self, catalogue: Catalogue, seed: int) -> None:
        self._catalogue = catalogue
        self._seed = seed
        self._dice = random.Random(f"{seed}:market")
        self._quotes: dict[int, Quote] = {}
        self._live: list[int] = []
        self._is_live: set[int] = set()
        self._options: dict[int, set[int]] = {}
        self.version = 0
        """Grows with every change of a price."""

    def quote(self, conid: int) -> Quote:
        """The quote of a known contract; KeyError if the contract is unknown."""
        found = self._quotes.get(conid)
        if found is None:
            contract = self._catalogue.get(conid)
            if contract is None:
                raise KeyError(conid)
            found = Quote(contract, random.Random(f"{self._seed}:quote:{conid}"))
            self._quotes[conid] = found
            if contract.right:
                self._price_option(found)
        return found

    def watch(self, conid: int) -> None:
        """Let this contract move from now on (it is held, ordered or subscribed)."""
        if conid in self._is_live:
            return
        contract = self.quote(conid).contract
        self._is_live.add(conid)
        if contract.right:
            self._options.setdefault(contract.und_conid, set()).add(conid)
            self.watch(contract.und_conid)
        else:
            self._live.append(conid)

    def step(self, moves: int, first: list[int] | None = None) -> set[int]:
        """Move `moves` contracts, by preference from `first`; the changed conids, options included."""
        changed: set[int] = set()
        for number in range(moves):
            pool = first if first and number % 2 == 0 else self._live
            if pool:
                changed |= self.nudge(self._dice.choice(pool))
        return changed

    def nudge(self, conid: int) -> set[int]:
        """One step of one contract and what follows from it."""
        self.version += 1
        quote = self.quote(conid)
        quote.walk(self._dice)
        return {conid} | self._follow(conid)

    def put(self, conid: int, price: Decimal) -> set[int]:
        """Set a price by hand (rounded to the contract's decimals, at least one tick)."""
        self.version += 1
        quote = self.quote(conid)
        quote.move(round(price * quote.scale))
        return {conid} | self._follow(conid)

    def _follow(self, conid: int) -> set[int]:
        options = self._options.get(conid)
        if not options:
            return set()
        return {option for option in options if self._price_option(self._quotes[option])}

    def _price_option(self, quote: Quote) -> bool:
        contract = quote.contract
        spot = float(self.quote(contract.und_conid).price)
        years = self._catalogue.years_left(contract)
        strike = float(contract.strike or 1)
        value = option_value(spot, strike, years, contract.volatility, contract.right or "C")
        units = max(quote.tick, round(value * quote.scale))
        if units == quote.last:
            return False
        quote.move(units, 1)
        return True

    def rate(self, currency: str) -> Decimal:
        """US dollars for one unit of `currency`."""
        if currency == "USD":
            return Decimal(1)
        if currency == "EUR":
            return self.quote(EUR_USD).price
        if currency == "GBP":
            return self.quote(12087797).price
        return {"MXN": Decimal("0.0545"), "CHF": Decimal("1.242")}.get(currency, Decimal(1))

    def known(self) -> list[Quote]:
        """Every quote that exists so far."""
        return list(self._quotes.values())
