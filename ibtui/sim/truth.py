"""What is really so: the books for `/sim/books`, money as exact text."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibtui.sim.books import Book, Position
from ibtui.sim.instruments import plain
from ibtui.sim.orders import Execution, Order
from ibtui.sim.rows import price_text

if TYPE_CHECKING:
    from ibtui.sim.world import World


def money(value: Decimal) -> str:
    """A Decimal without exponent, at most eight decimals."""
    return plain(round(value, 8))


def books(world: World) -> dict[str, Any]:
    """Everything of every account, as it is this moment."""
    accounts = world.accounts
    return {
        "sequence": world.sequence,
        "time": world.clock.now_ms(),
        "accounts": accounts,
        "cash": {name: {k: money(v) for k, v in world.book(name).cash.items()} for name in accounts},
        "summary": {name: _summary(world.book(name)) for name in accounts},
        "positions": {name: _positions(world.book(name)) for name in accounts},
        "orders": [_order(order) for order in world.orders.values()],
        "executions": [_execution(one, world.clock.now_ms()) for one in world.executions],
        "prices": {
            str(q.contract.conid): {
                "last": q.text(q.last),
                "bid": q.text(q.bid),
                "ask": q.text(q.ask),
                "prior_close": q.text(q.prior),
            }
            for q in world.market.known()
        },
    }


def _summary(book: Book) -> dict[str, str]:
    sums = book.totals()
    return {
        "net_liquidation": money(sums.net_liquidation),
        "cash": money(sums.cash),
        "market_value": money(sums.market_value),
        "unrealized": money(sums.unrealized),
        "realized": money(sums.realized),
        "daily": money(sums.daily),
        "initial_margin": money(sums.initial),
        "maintenance_margin": money(sums.maintenance),
        "available": money(sums.available),
        "excess_liquidity": money(sums.excess),
        "commissions": money(book.commissions),
    }


def _positions(book: Book) -> list[dict[str, Any]]:
    return [_position(book, position) for position in book.positions.values()]


def _position(book: Book, position: Position) -> dict[str, Any]:
    contract, price = position.contract, book.price(position)
    return {
        "conid": contract.conid,
        "symbol": contract.symbol,
        "desc": contract.full_name,
        "sec_type": contract.sec_type,
        "currency": contract.currency,
        "position": money(position.quantity),
        "multiplier": money(contract.multiplier),
        "price": money(price),
        "avg_cost": money(position.avg_cost),
        "value": money(position.value(price)),
        "unrealized": money(position.unrealized(price)),
        "realized": money(position.realized),
        "daily": money(position.daily(price)),
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "account": order.account,
        "conid": order.contract.conid,
        "symbol": order.contract.symbol,
        "side": order.side,
        "type": order.order_type,
        "tif": order.tif,
        "quantity": money(order.quantity),
        "filled": money(order.filled),
        "remaining": money(order.remaining),
        "price": price_text(order.contract, order.price) or None,
        "aux_price": price_text(order.contract, order.aux_price) or None,
        "avg_price": None if order.avg_price is None else money(order.avg_price),
        "status": order.status,
        "ref": order.ref,
        "parent_id": order.parent_id,
        "reason": order.reason,
    }


def _execution(execution: Execution, now_ms: int) -> dict[str, Any]:
    order = execution.order
    return {
        "execution_id": execution.execution_id,
        "order_id": order.order_id,
        "account": order.account,
        "conid": order.contract.conid,
        "symbol": order.contract.symbol,
        "side": order.side,
        "quantity": money(execution.quantity),
        "price": money(execution.price),
        "commission": money(execution.commission),
        "commission_known": now_ms >= execution.due_ms,
        "time": execution.time_ms,
    }
