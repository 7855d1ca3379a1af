"""The books of one account: cash, positions and what follows from them.

All money is Decimal. Buying anything but a future moves cash by price x quantity x
multiplier; a future only moves cash by what it realizes. Net liquidation is cash plus
the value of what is held (for futures: their unrealized profit), in base currency.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from ibtui.sim.instruments import Contract
from ibtui.sim.market import Market

ZERO = Decimal(0)
CENT = Decimal("0.01")


@dataclass(slots=True)
class Position:
    """A holding; `avg_price` is without the multiplier."""

    contract: Contract
    quantity: Decimal
    avg_price: Decimal
    realized: Decimal = ZERO
    """Today's realized profit in the contract's currency, without commissions."""
    day_base: Decimal = ZERO
    """Value at yesterday's close plus what today's trades paid: daily P&L = value - this."""

    @property
    def avg_cost(self) -> Decimal:
        """Average cost of one unit with the multiplier."""
        return self.avg_price * self.contract.multiplier

    def value(self, price: Decimal) -> Decimal:
        """Position x price x multiplier, in the contract's currency."""
        return self.quantity * price * self.contract.multiplier

    def unrealized(self, price: Decimal) -> Decimal:
        """Value minus cost, in the contract's currency."""
        return self.quantity * (price - self.avg_price) * self.contract.multiplier

    def daily(self, price: Decimal) -> Decimal:
        """Profit since yesterday's close, in the contract's currency."""
        return self.value(price) - self.day_base

    def apply(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Add a fill (`quantity` signed); the profit it realizes, in the contract's currency."""
        multiplier = self.contract.multiplier
        self.day_base += quantity * price * multiplier
        held = self.quantity
        total = held + quantity
        if held * quantity >= 0:
            if total:
                self.avg_price = (held * self.avg_price + quantity * price) / total
            self.quantity = total
            return ZERO
        closed = min(abs(held), abs(quantity)) * (1 if held > 0 else -1)
        gain = closed * (price - self.avg_price) * multiplier
        self.realized += gain
        self.quantity = total
        if total * held < 0:
            self.avg_price = price
        elif total == 0:
            self.avg_price = ZERO
        return gain


@dataclass(slots=True)
class PositionCache:
    """Quantities as the REST routes know them; they lag behind fills (web-api.md §3.8)."""

    stale_since: float | None = -1e18
    rows: list[tuple[Position, Decimal, Decimal, Decimal]] = field(default_factory=list)
    """Position, quantity, average price, realized."""

    def touch(self, now: float) -> None:
        """A fill happened."""
        if self.stale_since is None:
            self.stale_since = now

    def look(self, positions: dict[int, Position], now: float, lag_s: float) -> None:
        """Take a new copy when the old one has been wrong for `lag_s` seconds."""
        if self.stale_since is not None and now - self.stale_since >= lag_s:
            self.stale_since = None
            self.rows = [(p, p.quantity, p.avg_price, p.realized) for p in positions.values()]

    def invalidate(self) -> None:
        """The next look takes a new copy."""
        self.stale_since = -1e18


@dataclass(slots=True)
class Totals:
    """An account's money in base currency (US dollars) at one moment."""

    cash: Decimal = ZERO
    stock: Decimal = ZERO
    options: Decimal = ZERO
    bonds: Decimal = ZERO
    futures_pnl: Decimal = ZERO
    gross: Decimal = ZERO
    market_value: Decimal = ZERO
    unrealized: Decimal = ZERO
    realized: Decimal = ZERO
    daily: Decimal = ZERO
    initial: Decimal = ZERO
    maintenance: Decimal = ZERO
    futures_initial: Decimal = ZERO
    futures_maintenance: Decimal = ZERO

    @property
    def net_liquidation(self) -> Decimal:
        """Cash and the value of everything held."""
        return self.cash + self.stock + self.options + self.bonds + self.futures_pnl

    @property
    def equity_with_loan(self) -> Decimal:
        """Net liquidation without option values."""
        return self.net_liquidation - self.options

    @property
    def available(self) -> Decimal:
        """What new positions may use."""
        return self.equity_with_loan - self.initial

    @property
    def excess(self) -> Decimal:
        """Distance from a liquidation."""
        return self.equity_with_loan - self.maintenance


class Book:
    """One account. `version` grows with every fill or outside change of holdings."""

    def __init__(self, account: str, title: str, opened_ms: int, market: Market) -> None:
        self.account = account
        self.title = title
        self.opened_ms = opened_ms
        self.cash: dict[str, Decimal] = {"USD": ZERO}
        self.positions: dict[int, Position] = {}
        self.commissions = ZERO
        """Today's, in base currency."""
        self.version = 0
        self.cache = PositionCache()
        self._sums: dict[str | None, tuple[int, int, Totals]] = {}
        self._market = market

    def hold(self, contract: Contract, quantity: Decimal, avg_price: Decimal) -> None:
        """A position from before today."""
        position = Position(contract, quantity, avg_price)
        position.day_base = position.value(self._market.quote(contract.conid).prior_close)
        self.positions[contract.conid] = position
        self.version += 1

    def fill(self, contract: Contract, quantity: Decimal, price: Decimal, commission: Decimal) -> Decimal:
        """Book a fill (`quantity` signed, commission in the contract's currency); realized profit."""
        self.version += 1
        currency = contract.currency
        self.add_cash(currency, -commission)
        self.commissions += commission * self._market.rate(currency)
        if contract.sec_type == "CASH":
            self.add_cash(contract.symbol, quantity)
            self.add_cash(currency, -quantity * price)
            return ZERO
        position = self.positions.get(contract.conid)
        if position is None:
            position = self.positions[contract.conid] = Position(contract, ZERO, ZERO)
        gain = position.apply(quantity, price)
        paid = -gain if contract.future_like else quantity * price * contract.multiplier
        self.add_cash(currency, -paid)
        return gain

    def add_cash(self, currency: str, amount: Decimal) -> None:
        """Move cash."""
        self.version += 1
        self.cash[currency] = self.cash.get(currency, ZERO) + amount

    def price(self, position: Position) -> Decimal:
        """The position's current price."""
        return self._market.quote(position.contract.conid).price

    def totals(self, currency: str | None = None) -> Totals:
        """Sums in base currency; with `currency`, only that currency's part, in that currency."""
        known = self._sums.get(currency)
        if known is None or known[:2] != (self.version, self._market.version):
            known = (self.version, self._market.version, self._add_up(currency))
            self._sums[currency] = known
        return known[2]

    def _add_up(self, currency: str | None) -> Totals:
        sums = Totals()
        for code, amount in self.cash.items():
            if currency in (None, code):
                sums.cash += amount * (Decimal(1) if currency else self._market.rate(code))
        for position in self.positions.values():
            contract = position.contract
            if currency in (None, contract.currency):
                rate = Decimal(1) if currency else self._market.rate(contract.currency)
                self._add(sums, position, rate)
        sums.daily -= self.commissions if currency in (None, "USD") else ZERO
        return sums

    def _add(self, sums: Totals, position: Position, rate: Decimal) -> None:
        price = self.price(position)
        value = position.value(price) * rate
        unrealized = position.unrealized(price) * rate
        sums.unrealized += unrealized
        sums.realized += position.realized * rate
        sums.daily += position.daily(price) * rate
        if not position.quantity:
            return
        sums.market_value += value
        sums.gross += abs(value)
        kind = position.contract.sec_type
        if kind == "OPT":
            sums.options += value
        elif kind == "BOND":
            sums.bonds += value
        elif kind == "FUT":
            sums.futures_pnl += unrealized
        else:
            sums.stock += value
        initial, maintenance = margin(position.contract, position.quantity, price, self._spot(position))
        sums.initial += initial * rate
        sums.maintenance += maintenance * rate
        if kind == "FUT":
            sums.futures_initial += initial * rate
            sums.futures_maintenance += maintenance * rate

    def _spot(self, position: Position) -> Decimal:
        contract = position.contract
        return self._market.quote(contract.und_conid).price if contract.right else ZERO


def margin(contract: Contract, quantity: Decimal, price: Decimal, spot: Decimal) -> tuple[Decimal, Decimal]:
    """Initial and maintenance margin of a holding, in the contract's currency.

    The rates are of the simulator's own making; `spot` is the underlying's price (options only).
    """
    value = abs(quantity * price * contract.multiplier)
    if contract.sec_type == "OPT":
        if quantity > 0:
            return value, value
        risk = abs(quantity) * contract.multiplier * spot * Decimal("0.20") + value
        return risk, risk * Decimal("0.9")
    if contract.sec_type == "FUT":
        return value * Decimal("0.055"), value * Decimal("0.05")
    if contract.sec_type == "BOND":
        return value * Decimal("0.10"), value * Decimal("0.08")
    if quantity < 0:
        return value * Decimal("0.35"), value * Decimal("0.30")
    return value * Decimal("0.30"), value * Decimal("0.25")
