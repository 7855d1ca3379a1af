"""What-if: an order's cost and margin by the books' own margin model (web-api.md §4.9)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibtui.sim.books import ZERO, margin
from ibtui.sim.instruments import plain
from ibtui.sim.orders import Order, commission
from ibtui.sim.questions import has_data

if TYPE_CHECKING:
    from ibtui.sim.world import World

NO_DATA = (
    "21/You are trying to submit an order without having market data for this instrument. \nIB strongly"
    " recommends against this kind of blind trading which may result in \nerroneous or unexpected trades."
)
MARKET = "23/A market order may fill at a price that is far from the one you see."


def preview(world: World, order: Order, warm: bool, problem: str | None) -> dict[str, Any]:
    """The reply; amounts are `NA` or null while no snapshot of the conid was asked for."""
    sums = world.book(order.account).totals()
    contract = order.contract
    price = order.price if order.order_type in ("LMT", "LOC") else None
    price = price or world.market.quote(contract.conid).price
    fee = commission(contract, order.quantity, price)
    initial, maintenance = _margin_change(world, order)
    held = world.book(order.account).positions.get(contract.conid)
    before = held.quantity if held else ZERO
    cost = fee * world.market.rate(contract.currency)
    if problem is None and initial > sums.available:
        problem = (
            f"Available funds {sums.available:,.2f} USD are insufficient; initial margin {initial:,.2f} USD."
        )
    return {
        "amount": _amount(order, price, fee) if warm else {"amount": None, "commission": "NA", "total": None},
        "equity": _change(sums.equity_with_loan, -cost if warm else None),
        "initial": _change(sums.initial, initial if warm else None),
        "maintenance": _change(sums.maintenance, maintenance if warm else None),
        "position": {
            "current": plain(before),
            "change": plain(order.signed * order.quantity),
            "after": plain(before + order.signed * order.quantity),
        },
        "warn": _warning(order),
        "error": problem,
    }


def _warning(order: Order) -> str | None:
    if not has_data(order):
        return NO_DATA
    return MARKET if order.order_type == "MKT" else None


def _amount(order: Order, price: Decimal, fee: Decimal) -> dict[str, str]:
    contract = order.contract
    value = price * order.quantity * contract.multiplier
    unit = {"OPT": "Contracts", "FUT": "Contracts", "BOND": "Bonds", "CASH": "Units"}.get(
        contract.sec_type, "Shares"
    )
    currency = contract.currency
    return {
        "amount": f"{value:,.2f} {currency} ({plain(order.quantity)} {unit})",
        "commission": f"{plain(fee)} {currency}",
        "total": f"{value + order.signed * fee:,.2f} {currency}",
    }


def _change(current: Decimal, change: Decimal | None) -> dict[str, str | None]:
    if change is None:
        return {"current": f"{round(current):,}", "change": None, "after": None}
    # `after` from the rounded parts, or the three would not add up on the screen.
    start, moved = round(current), round(change)
    return {"current": f"{start:,}", "change": f"{moved:,}", "after": f"{start + moved:,}"}


def _margin_change(world: World, order: Order) -> tuple[Decimal, Decimal]:
    """Change of initial and maintenance margin in base currency."""
    contract = order.contract
    if contract.sec_type == "CASH":
        return ZERO, ZERO
    price = world.market.quote(contract.conid).price
    spot = world.market.quote(contract.und_conid).price if contract.right else ZERO
    held = world.book(order.account).positions.get(contract.conid)
    before = held.quantity if held else ZERO
    now = margin(contract, before, price, spot)
    then = margin(contract, before + order.signed * order.quantity, price, spot)
    rate = world.market.rate(contract.currency)
    return (then[0] - now[0]) * rate, (then[1] - now[1]) * rate
