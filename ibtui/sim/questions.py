"""Which questions an order raises, and their texts (web-api.md §4.6-4.8)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibtui.sim.orders import Order
from ibtui.sim.rows import price_text
from ibtui.sim.seam import Quirks, Session
from ibtui.sim.tickets import headline

if TYPE_CHECKING:
    from ibtui.sim.world import World

PERCENT_LIMIT = Decimal("0.03")
SIZE_LIMIT = {"STK": Decimal(500), "OPT": Decimal(50), "FUT": Decimal(10), "BOND": Decimal(250)}
VALUE_LIMIT = Decimal(100_000)
NO_DATA = (
    "You are submitting an order without market data. We strongly recommend against this as it may result in"
    " erroneous and unexpected trades.\nAre you sure you want to submit this order?"
)
_STOP = (
    "You are about to submit a stop order. Please be aware of the various stop order types available and the"
    " risks associated with each one.\nAre you sure you want to submit this order?"
)
_MARKET = (
    "<h4>Market Order Confirmation</h4>A Market Order is an instruction to trade your order at any available"
    " price.\nAre you sure you want to submit this order?"
)
_CAP = (
    "<h4>Confirm Mandatory Cap Price</h4>To avoid trading at a price that is not consistent with a fair and"
    " orderly market, IB may set a cap."
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one order."""

    message_id: str
    text: str

    def reply(self, reply_id: str) -> dict[str, Any]:
        """The element of kind (b)."""
        body: dict[str, Any] = {
            "id": reply_id,
            "message": [self.text],
            "isSuppressed": False,
            "messageIds": [self.message_id],
        }
        if self.message_id == "o10153":
            options = ["Decline", "Accept and Continue"]
            return body | {
                "isSuppressible": True,
                "defaultSuppressionOption": options[1],
                "messageOptions": options,
            }
        return body | {"messageOptions": ["Yes", "No"]}


def has_data(order: Order) -> bool:
    """Whether the user has live market data for the contract."""
    return order.contract.data[0] not in "DN"


def of_order(world: World, session: Session, quirks: Quirks, order: Order) -> list[Question]:
    """The questions of an order that are not suppressed, in the order they are asked."""
    ids = quirks.questions if quirks.questions is not None else _by_content(world, order)
    return [
        Question(one, _text(world, order, one)) for one in dict.fromkeys(ids) if one not in session.suppressed
    ]


def _by_content(world: World, order: Order) -> list[str]:
    last = world.market.quote(order.contract.conid).price
    kind, contract = order.order_type, order.contract
    far = (
        kind in ("LMT", "LOC") and order.price is not None and abs(order.price - last) > last * PERCENT_LIMIT
    )
    ids = []
    if far:
        ids.append("o163")
    if not has_data(order):
        ids.append("o354")
    if order.price is not None and order.price % contract.tick:
        ids.append("o382")
    if order.quantity > SIZE_LIMIT.get(contract.sec_type, Decimal(10_000_000)):
        ids.append("o383")
    if _at_once(order, last):
        ids.append("o403")
    if _value(world, order) > VALUE_LIMIT:
        ids.append("o451")
    if kind == "MKT":
        ids.append("o10151")
    if kind in ("STP", "TRAIL"):
        ids.append("o10152")
    if (far and not has_data(order)) or (kind == "MKT" and contract.sec_type in ("FUT", "OPT")):
        ids.append("o10153")
    return ids


def _at_once(order: Order, last: Decimal) -> bool:
    stop = order.price if order.order_type == "STP" else order.aux_price
    if order.order_type not in ("STP", "STOP_LIMIT") or stop is None:
        return False
    return stop <= last if order.side == "BUY" else stop >= last


def _value(world: World, order: Order) -> Decimal:
    """Value estimate in base currency; futures by their margin."""
    contract = order.contract
    price = order.price or world.market.quote(contract.conid).price
    value = order.quantity * price * contract.multiplier * world.market.rate(contract.currency)
    return value * Decimal("0.055") if contract.sec_type == "FUT" else value


def _text(world: World, order: Order, message_id: str) -> str:
    name = headline(order)
    sure = "Are you sure you want to submit this order?"
    if message_id == "o163":
        at = price_text(order.contract, order.price) or "MARKET"
        return f'The following order "{name} @ {at}" price exceeds \nthe Percentage constraint of 3%.\n{sure}'
    if message_id == "o383":
        limit = SIZE_LIMIT.get(order.contract.sec_type, 500)
        return f'The following order "{name}" size exceeds the Size Limit of {limit}.\n{sure}'
    if message_id == "o451":
        value = f"{_value(world, order):,.2f} USD"
        return (
            f'The following order "{name}" value estimate of {value} exceeds \n'
            f"the Total Value Limit of {VALUE_LIMIT:,} USD.\n{sure}"
        )
    tick = order.contract.tick
    # Published clients recognise a question by a piece of its text: these words are IBKR's.
    texts = {
        "o354": NO_DATA,
        "o382": f'The following order "{name}" price exceeds \nthe Tick Size Limit of {tick}.\n{sure}',
        "o403": f"This order will most likely trigger and fill immediately.\n{sure}",
        "o10151": _MARKET,
        "o10152": _STOP,
        "o10153": _CAP,
        "p12": (
            "If your order is not immediately executable, our systems may, depending on market conditions,"
            " reject your order if its limit price is too far away from the reference price at that time.\n"
            "Use the Price Management Algo?"
        ),
    }
    return texts.get(message_id, f'Please confirm "{name}" ({message_id}).\n{sure}')
