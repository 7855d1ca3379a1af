"""The life of an order: accepted, triggered, filled, cancelled (web-api.md §4.4, §7.7).

State changes go out as `sor` deltas in the recorded order and shape. Due times are on
the simulator's clock, so advancing it makes everything in between happen.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ibtui.sim.books import margin
from ibtui.sim.instruments import plain
from ibtui.sim.market import Quote
from ibtui.sim.orders import CCP, COLOURS, Execution, Order, commission
from ibtui.sim.rows import describe, fills_text, price_text, shown_tif, stamp

if TYPE_CHECKING:
    from ibtui.sim.world import World

HELD_TYPES = frozenset({"MOC", "LOC"})
STOPS = frozenset({"STP", "STOP_LIMIT", "TRAIL", "TRAILLMT", "MIT", "LIT"})
AT_MARKET = frozenset({"MKT", "STP", "TRAIL", "MIT"})
GTC_LIFE_MS = 90 * 86_400_000
WHOLE_FILL = Decimal(50)
"""Orders up to this size fill at once, larger ones in about three parts."""


class Matcher:
    """Moves orders through their lives; one per world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.open: dict[int, Order] = {}
        """Orders that may still fill, by id."""

    # --- life ------------------------------------------------------------------------

    def submit(self, order: Order) -> None:
        """Start the recorded life of a new order: all within 50 ms (web-api.md §7.7)."""
        world = self._world
        order.status = "Inactive"
        world.register(order)
        world.emit_order(order, full=True)
        if order.extra.get("deactivated"):
            return
        self.open[order.order_id] = order
        world.later(0.006, lambda: self._identity(order))
        world.later(0.014, lambda: self._pending(order))
        world.later(0.022, lambda: self._accept(order))
        world.later(0.034, lambda: self._activate(order))

    def adopt(self, order: Order) -> None:
        """Take an order as it is, without a life of its own before."""
        self._world.register(order)
        if order.working and not order.held:
            self.open[order.order_id] = order

    def _identity(self, order: Order) -> None:
        contract = order.contract
        identity = {
            "acct": order.account,
            "conidex": order.conidex or str(contract.conid),
            "conid": contract.conid,
            "orderId": order.order_id,
            "isEventTrading": "0",
        }
        self._world.emit_order(order, identity)

    def _pending(self, order: Order) -> None:
        if order.status != "Inactive":
            return
        need, have = self.margin_need(order), self._world.book(order.account).totals().available
        if need > have:
            self._reject(order, need, have)
            return
        order.status = "PendingSubmit"
        self._delta(order, status="PendingSubmit", fgColor=COLOURS["PendingSubmit"][1])

    def _reject(self, order: Order, need: Decimal, have: Decimal) -> None:
        order.reason = (
            f"Order rejected - reason:Your account has insufficient funds for this order. "
            f"Initial margin [{need:,.2f} USD] exceeds available funds [{have:,.2f} USD]."
        )
        self.open.pop(order.order_id, None)
        order.time_ms = self._world.clock.now_ms()
        self._world.emit_order(order, full=True)
        self._world.notify(order, f"Order {order.order_id} was rejected. {order.reason}")

    def margin_need(self, order: Order) -> Decimal:
        """Additional initial margin of the order in base currency; less than nothing when it reduces risk."""
        world = self._world
        contract = order.contract
        if contract.sec_type == "CASH":
            return Decimal(0)
        quote = world.market.quote(contract.conid)
        held = world.book(order.account).positions.get(contract.conid)
        before = held.quantity if held else Decimal(0)
        spot = world.market.quote(contract.und_conid).price if contract.right else Decimal(0)
        after = before + order.signed * order.remaining
        change = (
            margin(contract, after, quote.price, spot)[0] - margin(contract, before, quote.price, spot)[0]
        )
        return change * world.market.rate(contract.currency)

    def _accept(self, order: Order) -> None:
        self._advance(order, "PendingSubmit", "PreSubmitted")
        if order.tif == "GTC" and order.status == "PreSubmitted":
            ends = stamp(self._world.clock.now_ms() + GTC_LIFE_MS, "%Y%m%d")
            text = f"Order {order.order_id} will be automatically canceled at {ends} 20:00:00 US/Eastern"
            self._world.notify(order, text)

    def _advance(self, order: Order, before: str, after: str) -> None:
        if order.status != before:
            return
        order.status = after
        background, foreground = COLOURS[after]
        members: dict[str, Any] = {"status": after}
        if after == "Submitted":
            members["order_ccp_status"] = "Submitted"
        self._delta(order, **members, bgColor=background, fgColor=foreground)

    def _activate(self, order: Order) -> None:
        """To the exchange, unless something holds it back."""
        parent = self._world.orders.get(order.parent_id) if order.parent_id else None
        if order.order_type in HELD_TYPES or order.tif in ("OPG", "OND"):
            return
        if parent is not None and parent.status != "Filled":
            return
        if order.order_type in STOPS and not order.triggered:
            return
        self._advance(order, "PreSubmitted", "Submitted")

    def _delta(self, order: Order, **members: Any) -> None:
        order.time_ms = self._world.clock.now_ms()
        self._world.emit_order(order, {"acct": order.account, "orderId": order.order_id} | members)

    # --- cancel and modify -------------------------------------------------------------

    def cancel(self, order: Order, reason: str | None = None) -> None:
        """Ask to cancel: `PendingCancel` at once, `Cancelled` a moment later; children too."""
        order.held = False
        order.reason = reason or order.reason
        if order.status == "Inactive":
            self._finish_cancel(order)
            return
        if not order.working:
            return
        order.status = "PendingCancel"
        order.time_ms = self._world.clock.now_ms()
        self._world.emit_order(order, full=True)
        self._world.later(0.05, lambda: self._finish_cancel(order))
        for child in self._children(order):
            self.cancel(child)

    def _finish_cancel(self, order: Order) -> None:
        if order.status in ("Filled", "Cancelled"):
            return
        order.status = "Cancelled"
        self.open.pop(order.order_id, None)
        background, foreground = COLOURS["Cancelled"]
        self._delta(
            order,
            status="Cancelled",
            order_ccp_status=CCP["Cancelled"],
            bgColor=background,
            fgColor=foreground,
        )

    def modified(self, order: Order) -> None:
        """Tell everybody about an order whose members were just changed."""
        order.held = False
        order.triggered = False
        order.time_ms = self._world.clock.now_ms()
        self.open[order.order_id] = order
        if order.remaining <= 0:
            self._finish_cancel(order)
            return
        self._world.emit_order(order, full=True)
        self._world.later(0.02, lambda: self._activate(order))

    def _children(self, order: Order) -> list[Order]:
        return [child for child in list(self.open.values()) if child.parent_id == order.order_id]

    # --- matching ------------------------------------------------------------------------

    def step(self) -> None:
        """Trigger what is touched and fill what can be filled, one part of each order."""
        for order in list(self.open.values()):
            if order.held or order.status not in ("PreSubmitted", "Submitted", "PendingCancel"):
                continue
            quote = self._world.market.quote(order.contract.conid)
            if order.status == "PreSubmitted":
                self._trigger(order, quote)
            if order.status == "Submitted":
                self._match(order, quote)

    def _trigger(self, order: Order, quote: Quote) -> None:
        if order.order_type not in STOPS or order.triggered:
            return
        parent = self._world.orders.get(order.parent_id) if order.parent_id else None
        if parent is not None and parent.status != "Filled":
            return
        last = quote.price
        self._trail(order, last)
        stop = order.price if order.order_type in ("STP", "TRAIL", "MIT") else order.aux_price
        if stop is None:
            return
        upwards = (order.side == "BUY") != (order.order_type in ("MIT", "LIT"))
        if last >= stop if upwards else last <= stop:
            order.triggered = True
            self._activate(order)

    def _trail(self, order: Order, last: Decimal) -> None:
        """Let the stop of a trailing order follow the market, in one direction only."""
        if order.trail is None:
            return
        gap = last * order.trail / 100 if order.trail_percent else order.trail
        stop = (last + order.signed * gap).quantize(order.contract.tick)
        old = order.price if order.order_type == "TRAIL" else order.aux_price
        if old is None or (stop < old if order.side == "BUY" else stop > old):
            name = "price" if order.order_type == "TRAIL" else "auxPrice"
            if order.order_type == "TRAIL":
                order.price = stop
            else:
                order.aux_price = stop
            moved = {"acct": order.account, "orderId": order.order_id, name: price_text(order.contract, stop)}
            self._world.emit_order(order, moved)

    def _match(self, order: Order, quote: Quote) -> None:
        price = self._fill_price(order, quote)
        if price is None:
            if order.tif == "IOC":
                self._finish_cancel(order)
            return
        part = order.remaining
        if order.quantity > WHOLE_FILL:
            third = (order.quantity / 3).quantize(Decimal(1)) + 1
            part = min(part, third)
        self.fill(order, part, price)

    def _fill_price(self, order: Order, quote: Quote) -> Decimal | None:
        side = quote.decimal(quote.ask if order.side == "BUY" else quote.bid)
        if order.order_type in AT_MARKET:
            return side
        if order.order_type == "MIDPRICE":
            side = quote.mid.quantize(order.contract.tick)
        if order.price is None:
            return side
        good = side <= order.price if order.side == "BUY" else side >= order.price
        return side if good else None

    def fill(self, order: Order, quantity: Decimal, price: Decimal, ago_ms: int | None = None) -> Execution:
        """Book a fill and send its frames; `ago_ms` for one of the past, with its commission known."""
        world = self._world
        now = world.clock.now_ms()
        book = world.book(order.account)
        fee = commission(order.contract, quantity, price)
        average = order.avg_price
        order.filled += quantity
        order.paid += quantity * price
        book.fill(order.contract, order.signed * quantity, price, fee)
        book.cache.touch(world.clock.now())
        held = book.positions.get(order.contract.conid)
        when = now - (ago_ms or 0)
        order.time_ms = when
        execution = Execution(
            world.next_execution_id(when), order, quantity, price, world.venue(order.contract), when, fee,
            held.quantity if held else Decimal(0),
            when if ago_ms is not None else now + round(world.quirks.commission_delay_s * 1000),
        )  # fmt: skip
        self._fill_frames(order, average)
        world.add_execution(execution, live=ago_ms is None)
        if order.oca or order.parent_id:
            self._cancel_siblings(order)
        return execution

    def _fill_frames(self, order: Order, before: Decimal | None) -> None:
        """The delta of a partial fill, or of the last one; `before` was the average price until now."""
        sizes = {"remainingQuantity": float(order.remaining), "filledQuantity": float(order.filled)}
        average = (
            {} if before == order.avg_price else {"avgPrice": price_text(order.contract, order.avg_price)}
        )
        head = {"acct": order.account, "orderId": order.order_id}
        if order.remaining > 0:
            self._world.emit_order(order, head | {"sizeAndFills": fills_text(order)} | sizes | average)
            return
        order.status = "Filled"
        self.open.pop(order.order_id, None)
        background, foreground = COLOURS["Filled"]
        members = {"sizeAndFills": fills_text(order), "orderDesc": describe(order)} | sizes
        members |= {
            "status": "Filled",
            "timeInForce": shown_tif(order),
            "price": price_text(order.contract, order.price),
            "bgColor": background,
            "fgColor": foreground,
        }
        self._world.emit_order(order, head | members)
        self._world.later(0.03, lambda: self._release_children(order))

    def _release_children(self, order: Order) -> None:
        for child in self._children(order):
            self._activate(child)

    def _cancel_siblings(self, order: Order) -> None:
        if order.remaining > 0:
            return
        for other in list(self.open.values()):
            same_oca = order.oca is not None and other.oca == order.oca
            same_parent = order.parent_id is not None and other.parent_id == order.parent_id
            if other is not order and (same_oca or same_parent):
                self.cancel(other, f"Cancelled by the fill of {plain(order.quantity)} in its group")
