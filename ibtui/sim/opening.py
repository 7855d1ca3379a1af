"""How the world looks at the start: holdings, cash and the day's orders so far."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibtui.sim.books import Book
from ibtui.sim.catalogue import T_BOND
from ibtui.sim.instruments import Contract
from ibtui.sim.orders import COLOURS, TYPES, Order

if TYPE_CHECKING:
    from ibtui.sim.world import World

MINUTE_MS = 60_000
OPENED_MS = 1769922000000
TITLE = "Demo Trader"


def furnish(world: World) -> None:
    """Open every account of every user; a user's first one is rich, the others are small."""
    rich = {user.accounts[0] for user in world.users if user.accounts}
    for user in world.users:
        for account in user.accounts:
            if account in world.accounts:
                continue
            book = world.open_book(account, TITLE, OPENED_MS)
            if account in rich:
                _rich(world, book)
                _day(world, book, user.username)
            else:
                _small(book, world)
    for account in world.accounts:
        for conid in world.book(account).positions:
            world.market.watch(conid)


def _call(world: World) -> Contract:
    """The Apple call that the demo account has sold: the second month, a little out of the money."""
    stock = world.catalogue.stock("AAPL")
    chain = [c for c in world.catalogue.derivatives(stock.conid, "OPT") if c.right == "C"]
    months = sorted({c.expiry or "" for c in chain})
    above = [c for c in chain if c.expiry == months[1] and (c.strike or 0) >= stock.start]
    return min(above, key=lambda c: c.strike or 0)


def _rich(world: World, book: Book) -> None:
    catalogue = world.catalogue
    book.cash = {"USD": Decimal("871869.60"), "EUR": Decimal("25310.75")}
    held: list[tuple[Contract, str, str]] = [
        (catalogue.stock("AAPL"), "250", "171.3824"),
        (_call(world), "-2", "7.4150"),
        (catalogue.stock("ASML"), "40", "612.80"),
        (catalogue.front_future(), "1", "6391.50"),
        (catalogue.stock("MSFT"), "60", "402.1175"),
        (catalogue.stock("TSLA"), "-50", "261.0420"),
        (catalogue.stock("SPY"), "43", "602.47477275"),
        (catalogue.by_conid[T_BOND], "10", "97.875"),
        (catalogue.stock("NVDA"), "120", "88.4167"),
        (catalogue.stock("KO"), "300", "61.02"),
        (catalogue.stock("SAP"), "30", "238.40"),
        (catalogue.stock("QQQ"), "12.5", "584.3133"),
        (catalogue.stock("GLD"), "35", "219.86"),
        (catalogue.stock("AMD"), "80", "131.25"),
    ]
    for contract, quantity, price in held:
        book.hold(contract, Decimal(quantity), Decimal(price))


def _small(book: Book, world: World) -> None:
    book.cash = {"USD": Decimal("48210.33")}
    for symbol, quantity, price in (("SPY", "10", "571.20"), ("IBM", "25", "198.75"), ("KO", "60", "59.90")):
        book.hold(world.catalogue.stock(symbol), Decimal(quantity), Decimal(price))


def _day(world: World, book: Book, username: str) -> None:
    """Orders in every status of web-api.md §4.4 and the executions of today."""
    maker = _Maker(world, book.account, username)
    spy = maker.add("SPY", "BUY", "1", "MKT", ago=92)
    maker.fill(spy, "1", ago=92)
    amd = maker.add("AMD", "SELL", "80", "LMT", 0.997, ago=75, ref="exit-amd")
    maker.fill(amd, "50", ago=75, factor=0.997)
    maker.fill(amd, "30", ago=74, factor=0.998)
    maker.add("AAPL", "BUY", "10", "LMT", 0.95, "GTC", status="Submitted", ago=61, ref="cli-0001")
    msft = maker.add("MSFT", "BUY", "100", "LMT", 0.96, status="Submitted", ago=55, ref="cli-0002")
    maker.fill(msft, "25", ago=54, factor=0.96)
    maker.fill(msft, "15", ago=49, factor=0.96)
    maker.add("TSLA", "BUY", "50", "STP", 1.16, "GTC", status="PreSubmitted", ago=47)
    maker.add("SPY", "SELL", "20", "STOP_LIMIT", 0.915, aux=0.92, status="PreSubmitted", ago=44)
    parent = maker.add("NVDA", "BUY", "50", "LMT", 0.92, "GTC", status="Submitted", ago=40, ref="br-7")
    for kind, factor in (("LMT", 1.12), ("STP", 0.85)):
        child = maker.add("NVDA", "SELL", "50", kind, factor, "GTC", status="PreSubmitted", ago=40)
        child.parent_id = parent.order_id
    rejected = maker.add("BRK B", "BUY", "9000", "LMT", 0.99, status="Inactive", ago=33, ref="cli-0003")
    rejected.reason = "Order rejected - reason:Your account has insufficient funds for this order."
    maker.add("DIS", "BUY", "30", "LMT", 0.94, status="PendingCancel", ago=27)
    maker.add("XOM", "BUY", "15", "LMT", 0.93, "GTC", status="PreCancelled", ago=25)
    maker.add("IBM", "BUY", "20", "LMT", 0.97, status="Cancelled", ago=22, ref="cli-0004")
    maker.add("ASML", "BUY", "5", "LMT", 0.96, status="PendingSubmit", ago=9)
    maker.add("QQQ", "BUY", "4", "LMT", 0.97, status="WarnState", ago=7)
    trailing = maker.add("AAPL", "SELL", "100", "TRAIL", 0.93, "GTC", status="PreSubmitted", ago=5)
    trailing.trail, trailing.trail_percent = Decimal(7), True


class _Maker:
    """Adds orders of the past to the list."""

    def __init__(self, world: World, account: str, username: str) -> None:
        self._world = world
        self._account = account
        self._username = username

    def add(
        self,
        symbol: str,
        side: str,
        quantity: str,
        kind: str,
        factor: float | None = None,
        tif: str = "DAY",
        *,
        aux: float | None = None,
        status: str = "Submitted",
        ago: int = 0,
        ref: str | None = None,
    ) -> Order:
        """An order with prices as factors of yesterday's close, `ago` minutes old."""
        world = self._world
        contract = world.catalogue.stock(symbol)
        order = Order(
            world.new_order_id(),
            self._account,
            contract,
            side,
            Decimal(quantity),
            kind,
            tif,
            _near(contract, factor),
            _near(contract, aux),
            ref=ref,
            status=status,
            submitter=self._username,
            held=status not in ("Submitted", "PreSubmitted"),
            time_ms=world.clock.now_ms() - ago * MINUTE_MS,
        )
        world.matcher.adopt(order)
        return order

    def fill(self, order: Order, quantity: str, *, ago: int, factor: float | None = None) -> None:
        """A fill of the past at a factor of yesterday's close, by default at the market."""
        price = _near(order.contract, factor) or self._world.market.quote(order.contract.conid).price
        self._world.matcher.fill(order, Decimal(quantity), price, ago_ms=ago * MINUTE_MS)


def _near(contract: Contract, factor: float | None) -> Decimal | None:
    if factor is None:
        return None
    steps = (contract.start * Decimal(str(factor)) / contract.tick).to_integral_value()
    return (steps * contract.tick).quantize(Decimal(1).scaleb(-contract.decimals))


def resize(world: World, book: Book, count: int) -> None:
    """Give the book exactly `count` rows: cut from the end, or add invented stocks."""
    names = list(book.positions)
    for conid in names[count:]:
        del book.positions[conid]
    dice = random.Random(f"{world.seed}:holdings")
    index = 0
    while len(book.positions) < count:
        contract = world.catalogue.synthetic(index)
        quantity = Decimal(dice.choice((10, 25, 50, 100, 150, 200, 400)) * dice.choice((1, 1, 1, 1, -1)))
        cost = (contract.start * Decimal(str(round(dice.uniform(0.7, 1.25), 4)))).quantize(Decimal("0.0001"))
        index += 1
        if contract.conid not in book.positions:
            book.hold(contract, quantity, cost)
            world.market.watch(contract.conid)
    book.version += 1
    book.cache.invalidate()


def order_from(world: World, wish: dict[str, Any]) -> Order:
    """An order placed elsewhere, or (with a known `orderId`) a new status for an old one.

    Members: `account`, `conid` or `symbol` or `ticker`, `side`, `quantity`, `orderType`,
    `price`, `auxPrice`, `tif`, `order_ref`, `status` (default Submitted), `filled` (in total;
    what is new of it is booked at `avgPrice`, by default at the market). ValueError for what makes no sense.
    """
    status = str(wish.get("status", "Submitted"))
    if status not in COLOURS:
        raise ValueError(f"unknown status {status!r}")
    order = world.orders.get(int(wish.get("orderId", 0)))
    if order is None:
        order = _wished(world, wish, status)
    else:
        order.status = status
        order.held = status not in ("Submitted", "PreSubmitted")
        world.matcher.open.pop(order.order_id, None)
    least = order.quantity if status == "Filled" else order.filled
    filled = Decimal(str(wish.get("filled", least)))
    if not order.filled <= filled <= order.quantity or (status == "Filled" and filled < order.quantity):
        raise ValueError("filled does not fit to status and quantity")
    world.matcher.adopt(order)
    if filled > order.filled:
        market = world.market.quote(order.contract.conid).price
        price = Decimal(str(wish.get("avgPrice", market)))
        world.matcher.fill(order, filled - order.filled, price)
        if order.status != "Filled":
            order.status = status
    return order


def _wished(world: World, wish: dict[str, Any], status: str) -> Order:
    symbol = wish.get("symbol", wish.get("ticker"))
    contract = world.catalogue.get(int(wish["conid"])) if "conid" in wish else None
    if contract is None and symbol in world.catalogue.by_symbol:
        contract = world.catalogue.stock(str(symbol))
    account = str(wish.get("account", wish.get("acctId", world.accounts[0])))
    side = str(wish.get("side", "BUY")).upper()
    kind = str(wish.get("orderType", "LMT" if wish.get("price") is not None else "MKT")).upper()
    quantity = Decimal(str(wish.get("quantity", 1)))
    if contract is None or account not in world.accounts:
        raise ValueError("unknown contract or account")
    if side not in ("BUY", "SELL") or kind not in TYPES or quantity <= 0:
        raise ValueError("wrong side, orderType or quantity")
    price, aux = (None if wish.get(k) is None else Decimal(str(wish[k])) for k in ("price", "auxPrice"))
    return Order(
        world.new_order_id(),
        account,
        contract,
        side,
        quantity,
        kind,
        str(wish.get("tif", "DAY")),
        price,
        aux,
        ref=wish.get("order_ref", wish.get("cOID")),
        status=status,
        held=status not in ("Submitted", "PreSubmitted"),
        time_ms=world.clock.now_ms(),
    )
