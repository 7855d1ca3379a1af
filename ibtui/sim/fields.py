"""Market data fields by their numbers (web-api.md §5.8); strings but for 83, 6008 and 6457."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibtui.sim.books import Book, Position
from ibtui.sim.instruments import Contract, option_greeks, plain
from ibtui.sim.market import Quote

if TYPE_CHECKING:
    from ibtui.sim.world import World

MOVING = ("31", "82", "83", "84", "86", "70", "71", "85", "87", "88", "7059", "7682", "7762", "7635")
"""Fields of the market alone that change with a price."""
CHANGING = frozenset(
    {*MOVING, "73", "74", "75", "76", "77", "78", "79", "80", "7292", "7639", "7920", "7921"}
    | {"7308", "7309", "7310", "7311"}
)
"""All fields that can change while a stream is open."""
UNASKED = ("6509", "6508")


class View:
    """One contract as one account sees it; fields are computed when asked for."""

    __slots__ = ("_book", "_world", "account", "contract", "quote")

    def __init__(self, world: World, contract: Contract, account: str) -> None:
        self._world = world
        self.account = account
        self._book: Book = world.book(account)
        self.contract = contract
        self.quote: Quote = world.market.quote(contract.conid)

    def value(self, field: str) -> Any:
        """The wire value of a field; None when it is unknown or does not apply."""
        make = FIELDS.get(field)
        return None if make is None else make(self)

    @property
    def position(self) -> Position | None:
        """What the account holds of it."""
        return self._book.positions.get(self.contract.conid)

    @property
    def net(self) -> Decimal:
        """The account's net liquidation value."""
        return self._book.totals().net_liquidation

    @property
    def last(self) -> str:
        """The last price, with the letter before it that says it is none of this moment (`C`, `H`)."""
        return self._world.quirks.price_prefix + self.quote.text(self.quote.last)

    def greeks(self) -> tuple[float, float, float, float] | None:
        """Delta, gamma, theta, vega of an option."""
        contract = self.contract
        if not contract.right or contract.strike is None:
            return None
        spot = float(self._world.market.quote(contract.und_conid).price)
        years = self._world.catalogue.years_left(contract)
        return option_greeks(spot, float(contract.strike), years, contract.volatility, contract.right)


Maker = Callable[[View], Any]


def short_number(number: float) -> str:
    """`46.2M`, `823K`, plain below 1000."""
    for limit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            scaled = number / limit
            return f"{scaled:.1f}{letter}" if scaled < 100 else f"{scaled:.0f}{letter}"
    return f"{number:.0f}"


def change_percent(quote: Quote) -> float:
    """Field 83: change since yesterday's close in per cent, two decimals."""
    return round((quote.last - quote.prior) / quote.prior * 100, 2)


def _of_position(make: Callable[[View, Position], str]) -> Maker:
    def value(view: View) -> Any:
        position = view.position
        return None if position is None or not position.quantity else make(view, position)

    return value


def _greek(place: int) -> Maker:
    def value(view: View) -> Any:
        greeks = view.greeks()
        return None if greeks is None else f"{greeks[place]:.3f}"

    return value


def _fixed(ratio: float, form: str) -> Maker:
    """A made-up figure in proportion to the price, for stocks only."""

    def value(view: View) -> Any:
        if view.contract.sec_type != "STK":
            return None
        return form.format(float(view.contract.start) * ratio)

    return value


def _to_average(ratio: float) -> Maker:
    """The price over the made-up average that `_fixed(ratio)` shows, in per cent."""

    def value(view: View) -> Any:
        if view.contract.sec_type != "STK":
            return None
        return f"{(float(view.quote.price / view.contract.start) / ratio - 1) * 100:.2f}%"

    return value


def _yield_of(side: str) -> Maker:
    """A bond's current yield at its last, bid or ask price (a coupon of 4.25)."""

    def value(view: View) -> Any:
        price = view.quote.decimal(getattr(view.quote, side))
        return f"{425 / float(price):.3f}%" if view.contract.sec_type == "BOND" else None

    return value


def _ex_date(view: View) -> Any:
    today = view._world.catalogue.today
    return f"{today:%Y%m%d}" if view.contract.kind == "COMMON" else None


def _break_even(view: View) -> Any:
    contract = view.contract
    if contract.strike is None:
        return None
    return f"{contract.strike + view.quote.price * (1 if contract.right == 'C' else -1):.2f}"


def _date(view: View) -> Any:
    return view.contract.expiry


def _unrealized_percent(view: View, position: Position) -> str:
    cost = abs(position.quantity * position.avg_cost)
    gain = position.unrealized(view.quote.price)
    return f"{float(gain / cost * 100) if cost else 0.0:.2f}%"


def _months(view: View) -> Any:
    contract = view.contract
    if not contract.has_options:
        return None
    chain = view._world.catalogue.derivatives(contract.conid, "OPT")
    return ";".join(dict.fromkeys(c.month for c in sorted(chain, key=lambda c: c.expiry or ""))) or None


FIELDS: dict[str, Maker] = {
    "31": lambda v: v.last,
    "55": lambda v: v.contract.symbol,
    "58": lambda v: v.contract.name,
    "70": lambda v: v.quote.text(v.quote.high),
    "71": lambda v: v.quote.text(v.quote.low),
    "73": _of_position(lambda v, p: f"{p.value(v.quote.price):,.2f}"),
    "74": _of_position(lambda v, p: f"{p.avg_price:.2f}"),
    "75": _of_position(lambda v, p: f"{p.unrealized(v.quote.price):.2f}"),
    "76": _of_position(lambda v, p: plain(p.quantity)),
    "77": _of_position(lambda v, p: f"{p.unrealized(v.quote.price):,.2f}"),
    "78": _of_position(lambda v, p: f"{p.daily(v.quote.price):.2f}"),
    "79": _of_position(lambda v, p: f"{p.realized:.2f}"),
    "80": _of_position(_unrealized_percent),
    "82": lambda v: v.quote.text(v.quote.last - v.quote.prior),
    "83": lambda v: change_percent(v.quote),
    "84": lambda v: v.quote.text(v.quote.bid),
    "85": lambda v: f"{v.quote.ask_size:,}",
    "86": lambda v: v.quote.text(v.quote.ask),
    "87": lambda v: short_number(v.quote.volume),
    "88": lambda v: f"{v.quote.bid_size:,}",
    "201": lambda v: v.contract.right,
    "6004": lambda v: v.contract.exchange,
    "6008": lambda v: v.contract.conid,
    "6070": lambda v: v.contract.sec_type,
    "6072": _months,
    "6073": _date,
    "6119": lambda v: "q0",
    "6457": lambda v: v.contract.und_conid or None,
    "6508": lambda v: "&serviceID1=122&serviceID2=123",
    "6509": lambda v: v.contract.data,
    "7051": lambda v: v.contract.name,
    "7057": lambda v: "KPUVQ",
    "7058": lambda v: "Q",
    "7059": lambda v: f"{v.quote.last_size:,}",
    "7068": lambda v: "PQZ",
    "7084": lambda v: f"{v.contract.volatility * 104:.1f}%",
    "7087": lambda v: f"{v.contract.volatility * 96:.1f}%",
    "7088": lambda v: f"{v.contract.volatility * 95:.1f}%",
    "7085": _fixed(610, "{:,.0f}"),
    "7086": _fixed(85, "{:,.0f}"),
    "7089": _fixed(190, "{:,.0f}"),
    "7094": lambda v: f"{v.contract.conid}@{v.contract.exchange}",
    "7184": lambda v: "1",
    "7219": lambda v: v.contract.full_name,
    "7220": lambda v: v.contract.full_name,
    "7221": lambda v: v.contract.exchange,
    "7280": lambda v: v.contract.group,
    "7281": lambda v: v.contract.category,
    "7282": lambda v: short_number(v.contract.conid % 90_000_000 + 400_000),
    "7283": lambda v: f"{v.contract.volatility * 100:.1f}%",
    "7286": _fixed(0.0042, "{:.2f}"),
    "7287": _fixed(0.0042 / 100, "{:.2f}%"),
    "7285": _fixed(0.0031, "{:.2f}"),
    "7288": _ex_date,
    "7289": lambda v: short_number(float(v.contract.start) * 15.6e9) if v.contract.kind == "COMMON" else None,
    "7290": lambda v: f"{22 + v.contract.conid % 17:.1f}" if v.contract.kind == "COMMON" else None,
    "7291": _fixed(1 / 29, "{:.2f}"),
    "7292": _of_position(lambda v, p: f"{p.quantity * p.avg_cost:,.2f}"),
    "7293": _fixed(1.23, "{:.2f}"),
    "7294": _fixed(0.71, "{:.2f}"),
    "7295": lambda v: v.quote.text(v.quote.open),
    "7296": lambda v: v.quote.text(v.quote.prior),
    "7308": _greek(0),
    "7309": _greek(1),
    "7310": _greek(2),
    "7311": _greek(3),
    "7607": _fixed(0.11, "{:.1f}%"),
    "7633": lambda v: f"{v.contract.volatility * 100:.1f}%" if v.contract.right else None,
    "7635": lambda v: v.quote.text(v.quote.last),
    "7636": _fixed(1e5, "{:,.0f}"),
    "7637": _fixed(0.0012, "{:.2f}%"),
    "7638": lambda v: f"{v.contract.conid % 9000:,}" if v.contract.right else None,
    "7639": _of_position(lambda v, p: f"{float(p.value(v.quote.price) / (v.net or 1) * 100):.2f}%"),
    "7644": lambda v: "Easy to borrow" if v.contract.sec_type == "STK" else None,
    "7671": _fixed(0.0042, "{:.2f}"),
    "7672": _fixed(0.0039, "{:.2f}"),
    "7674": _fixed(0.91, "{:.2f}"),
    "7675": _fixed(0.95, "{:.2f}"),
    "7676": _fixed(0.98, "{:.2f}"),
    "7677": _fixed(0.99, "{:.2f}"),
    "7678": _to_average(0.91),
    "7679": _to_average(0.95),
    "7681": _to_average(0.99),
    "7682": lambda v: v.quote.text(v.quote.last - v.quote.open),
    "7695": _break_even,
    "7697": lambda v: "2,104,377" if v.contract.sec_type == "FUT" else None,
    "7698": _yield_of("last"),
    "7699": _yield_of("bid"),
    "7714": _date,
    "7715": lambda v: "20191115" if v.contract.sec_type == "BOND" else None,
    "7718": lambda v: f"{0.6 + v.contract.volatility * 2:.2f}" if v.contract.sec_type == "STK" else None,
    "7720": _yield_of("ask"),
    "7724": _to_average(0.98),
    "7741": lambda v: v.quote.text(v.quote.prior),
    "7762": lambda v: str(v.quote.volume),
    "7768": lambda v: "1",
    "7920": _of_position(lambda v, p: f"{p.daily(v.quote.price):.4f}"),
    "7921": _of_position(lambda v, p: f"{p.quantity * p.avg_cost:.4f}"),
}


def head(contract: Contract, conidex: str, now_ms: int) -> dict[str, Any]:
    """The identity keys that every `smd` frame begins with (§7.7)."""
    return {"server_id": "q0", "conidEx": conidex, "conid": contract.conid, "_updated": now_ms, "6119": "q0"}


def row_head(contract: Contract, conidex: str, now_ms: int) -> dict[str, Any]:
    """The same keys in the order of a row of the REST snapshot (§5.8)."""
    return {"conidEx": conidex, "conid": contract.conid, "server_id": "q0", "_updated": now_ms, "6119": "q0"}


def utc_day(now: float) -> str:
    """`YYYYMMDD` of a moment in UTC."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
