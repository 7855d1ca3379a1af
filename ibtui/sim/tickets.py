"""Order tickets: what IBKR accepts and how it words its refusals (web-api.md §4.5, §4.11)."""

from __future__ import annotations

import math
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

from ibtui.sim.instruments import Contract, plain
from ibtui.sim.orders import TIFS, TYPES, Order
from ibtui.sim.seam import Refusal, Session, refuse

if TYPE_CHECKING:
    from ibtui.sim.world import World

LIMITED = frozenset({"LMT", "STOP_LIMIT", "TRAILLMT", "LOC", "LIT"})
"""Types that need `price`; of the others STP, MIT and TRAIL take a trigger there."""
COLLAR = Decimal("0.10")
"""A limit further than this through the market is refused."""
MOST = Decimal(1_000_000_000)
"""No size or price is larger."""
_NUMBERS = ("quantity", "price", "auxPrice", "trailingAmt", "cashQty", "fxQty")
_FLAGS = ("outsideRTH", "isSingleGroup", "useAdaptive", "allOrNone", "deactivated", "isClose")


def rejected(text: str) -> Refusal:
    """A refusal with HTTP 200, kind (c) of §4.6."""
    return refuse(200, text)


def check_types(raw: Any) -> dict[str, Any]:
    """A ticket whose members have the right JSON types; 400 otherwise."""
    wrong = refuse(400, "orders request includes parameter with incorrect type")
    if not isinstance(raw, dict):
        raise wrong
    for name in _NUMBERS:
        value = raw.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise wrong
    for name in _FLAGS:
        if raw.get(name) is not None and not isinstance(raw[name], bool):
            raise wrong
    for name in ("side", "orderType", "tif", "cOID", "acctId", "conidex"):
        if raw.get(name) is not None and not isinstance(raw[name], str):
            raise wrong
    return raw


def number(raw: dict[str, Any], name: str) -> Decimal | None:
    """A numeric member as an exact number; None when absent."""
    value = raw.get(name)
    return None if value is None else Decimal(str(value))


def contract_of(world: World, raw: dict[str, Any]) -> Contract:
    """The contract of a ticket: `conid`, or `conidex` such as `265598@NASDAQ`."""
    conid, conidex = raw.get("conid"), raw.get("conidex")
    if conid is None and not conidex:
        raise refuse(400, "conid or conidex is required")
    text = str(conid if conid is not None else conidex).split("@")[0]
    found = world.catalogue.get(int(text)) if text.isdigit() else None
    if found is None:
        raise rejected(f"no sec defs returned forSecDef reqId=resolve ecReqByConid{text[:12]}")
    return found


def account_of(session: Session, raw: dict[str, Any], path_account: str) -> str:
    """The account a ticket is for. 500 when it is not the user's, or `All`."""
    account = raw.get("acctId") or path_account
    if account not in session.user.accounts:
        raise refuse(500, f"Account {account} is not allowed for this order")
    return str(account)


def parse(world: World, session: Session, path_account: str, raw: Any) -> Order:
    """An order (with id 0) from one ticket. Raises Refusal with the texts of §4.11."""
    raw = check_types(raw)
    contract = contract_of(world, raw)
    if contract.sec_type == "IND":
        raise rejected("This instrument cannot be traded.")
    side = str(raw.get("side", "")).upper()
    if side not in ("BUY", "SELL"):
        raise refuse(400, "Invalid Side (must be 'BUY' or 'SELL').")
    kind = str(raw.get("orderType", "")).upper()
    if kind not in TYPES:
        raise refuse(400, "Unknown order type")
    tif = str(raw.get("tif", "")).upper()
    if tif not in TIFS:
        raise rejected("null time in force is not supported for this order")
    order = Order(
        0,
        account_of(session, raw, path_account),
        contract,
        side,
        _quantity(world, contract, raw),
        kind,
        tif,
        number(raw, "price"),
        number(raw, "auxPrice"),
        trail=number(raw, "trailingAmt"),
        trail_percent=raw.get("trailingType") == "%",
        ref=raw.get("cOID"),
        conidex=str(raw["conidex"]) if raw.get("conidex") and raw.get("conid") is None else "",
        outside_rth=bool(raw.get("outsideRTH", False)),
        submitter=session.user.username,
        extra={"deactivated": True} if raw.get("deactivated") else {},
    )
    _check_prices(world, order)
    if kind in ("MOC", "LOC") and tif not in ("DAY", "GTC"):
        raise rejected(f'"{headline(order)}"\nInvalid time-in-force for at-the-closing order.')
    if contract.sec_type == "FUT" and not isinstance(raw.get("manualIndicator"), bool):
        raise refuse(500, "manualIndicator is required for futures orders")
    return order


def _quantity(world: World, contract: Contract, raw: dict[str, Any]) -> Decimal:
    quantity = number(raw, "quantity")
    cash = number(raw, "cashQty") or number(raw, "fxQty")
    if quantity is None and cash is not None:
        price = world.market.quote(contract.conid).price
        quantity = cash if raw.get("fxQty") else (cash / price).quantize(Decimal(1), ROUND_DOWN)
    if quantity is None or not 0 < quantity <= MOST:
        size = plain(quantity or Decimal(0))
        raise refuse(500, f"Order size {size} is not valid. Please enter size greater than 0.")
    return quantity


def _check_prices(world: World, order: Order) -> None:
    """Prices that the type needs or forbids; trailing stops get their first stop here."""
    kind, bad = order.order_type, rejected("Invalid order price fields")
    if kind in ("TRAIL", "TRAILLMT"):
        if order.trail is None or order.trail <= 0:
            raise bad
        _first_stop(world, order)
    if kind in LIMITED or kind in ("STP", "MIT"):
        if order.price is None:
            raise bad
    elif kind in ("MKT", "MOC") and order.price is not None:
        raise bad
    if kind in ("STOP_LIMIT", "TRAILLMT", "LIT") and order.aux_price is None:
        raise bad
    for price in (order.price, order.aux_price):
        if price is not None and not 0 < price <= MOST:
            raise bad


def _first_stop(world: World, order: Order) -> None:
    last = world.market.quote(order.contract.conid).price
    gap = last * (order.trail or 0) / 100 if order.trail_percent else (order.trail or Decimal(0))
    stop = (last + order.signed * gap).quantize(order.contract.tick)
    if order.order_type == "TRAIL":
        order.price = order.price or stop
    else:
        order.aux_price = order.aux_price or stop


def check_collar(world: World, order: Order) -> None:
    """Refuse a limit far through the market. Raises Refusal (200)."""
    if order.order_type not in LIMITED or order.price is None:
        return
    last = world.market.quote(order.contract.conid).price
    if order.signed * (order.price - last) > last * COLLAR:
        raise rejected(
            "We cannot accept an order at the limit price you selected. Please submit your order using a"
            f" limit price that is closer to the current market price of {last}."
        )


def headline(order: Order) -> str:
    """The order as questions name it: `BUY 1 AAPL NASDAQ.NMS`."""
    return f"{order.side} {plain(order.quantity)} {order.contract.symbol} {order.contract.listing}"
