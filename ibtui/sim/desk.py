"""The order desk of one session: tickets wait here while questions are open (web-api.md §4.6, §4.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibtui.sim import questions, tickets
from ibtui.sim.orders import Order
from ibtui.sim.questions import Question
from ibtui.sim.seam import Call, Refusal, Session, refuse

if TYPE_CHECKING:
    from ibtui.sim.world import World

REPLY_LIFE_S = 60.0
DEAD_WAIT_S = 3.0
"""An invalidated reply id answers 503 only after so long."""


@dataclass(slots=True)
class Pending:
    """Orders that wait for answers."""

    orders: list[Order]
    questions: list[Question]
    commit: Callable[[], list[dict[str, Any]]]
    since: float
    dead: bool = False
    kinds: list[str] = field(default_factory=list)


class Desk:
    """Open questions of a brokerage session; lives in `Session.scratch`."""

    def __init__(self, world: World, session: Session) -> None:
        self._world = world
        self._session = session
        self._open: dict[str, Pending] = {}
        self._prompts: dict[str, Pending] = {}
        self._prompt = 12344

    @classmethod
    def of(cls, call: Call) -> Desk:
        """The desk of the call's session."""
        desk: Desk | None = call.session.scratch.get("desk")
        if desk is None:
            desk = call.session.scratch["desk"] = cls(call.world, call.session)
        return desk

    def begin(self, call: Call, orders: list[Order], commit: Callable[[], list[dict[str, Any]]]) -> Any:
        """Ask the first question, or commit at once: the reply's body."""
        for other in self._open.values():
            other.dead = True
        asked: dict[str, Question] = {}
        for order in orders:
            for one in questions.of_order(self._world, self._session, call.quirks, order):
                asked.setdefault(one.message_id, one)
        rest = list(asked.values())
        pending = Pending(orders, rest, commit, call.clock.now(), kinds=[one.message_id for one in rest])
        return self._next(pending)

    def _next(self, pending: Pending) -> Any:
        while pending.questions:
            question = pending.questions.pop(0)
            if question.message_id in self._session.suppressed:
                continue
            if question.message_id.startswith("p"):
                return self._ask_prompt(pending, question)
            reply_id = self._world.token()
            self._open[reply_id] = pending
            return [question.reply(reply_id)]
        return pending.commit()

    def _ask_prompt(self, pending: Pending, question: Question) -> dict[str, Any]:
        """Kind (d), in the reply and as `ntf`: answered through `/iserver/notification`."""
        self._prompt += 1
        self._prompts[str(self._prompt)] = pending
        prompt = {
            "orderId": pending.orders[0].order_id,
            "reqId": str(self._prompt),
            "dismissable": [],
            "text": question.text,
            "options": ["Yes", "No", "Cancel"],
            "type": "M",
            "messageId": question.message_id,
            "prompt": True,
        }
        self._world.prompt(pending.orders[0].account, prompt)
        return prompt

    def is_dead(self, reply_id: str, now: float) -> bool:
        """Whether the id was valid once and is not any more."""
        pending = self._open.get(reply_id)
        return pending is not None and (pending.dead or now - pending.since > REPLY_LIFE_S)

    def answer(self, call: Call, reply_id: str, confirmed: bool) -> Any:
        """The body that follows an answer. Raises Refusal for an unknown id or a no."""
        pending = self._open.pop(reply_id, None)
        if pending is None:
            raise refuse(400, f"reply id not found: '{reply_id}'")
        if not confirmed:
            raise tickets.rejected("Order not confirmed ")
        pending.since = call.clock.now()
        body = self._next(pending)
        if call.quirks.abandoned_orders_live and not pending.questions:
            self._release(pending.kinds)
        return body

    def _release(self, kinds: list[str]) -> None:
        """Orders left behind by a question of the same kind go live (§4.7)."""
        for reply_id, other in list(self._open.items()):
            if other.dead and other.kinds == kinds:
                del self._open[reply_id]
                other.commit()

    def answer_prompt(self, req_id: str, text: str) -> Any:
        """A server prompt's answer; the commit's outcome, None when cancelled. KeyError if unknown."""
        pending = self._prompts.pop(req_id)
        return None if text == "Cancel" else self._next(pending)


def place(world: World, orders: list[Order]) -> None:
    """Send parsed orders, parents first."""
    for order in orders:
        world.matcher.submit(order)


def parse_all(call: Call, account: str, raws: Any) -> tuple[list[Order], list[Order]]:
    """Good orders and failed bracket children of a placement. Raises Refusal for the whole request."""
    if not isinstance(raws, list) or not raws:
        raise refuse(400, "orders request includes parameter with incorrect type")
    world = call.world
    good: list[Order] = []
    failed: list[Order] = []
    for raw in raws:
        order = tickets.parse(world, call.session, account, raw)
        parent = _parent_id(world, raw, good)
        if order.ref and world.ref_taken(order.account, order.ref):
            raise tickets.rejected(
                f"Order couldn't be submitted: Local order ID={order.ref} is already registered."
            )
        order.parent_id = parent
        try:
            tickets.check_collar(world, order)
        except Refusal:
            if parent is None:
                raise
            failed.append(order)
            continue
        order.order_id = world.new_order_id()
        if raw.get("isSingleGroup"):
            order.oca = f"oca-{good[0].order_id if good else order.order_id}"
        good.append(order)
    if len(good) + len(failed) > 1 and not failed and not _is_group(good):
        raise tickets.rejected(
            "Order couldn't be submitted: only bracket and OCA orders can be sent together."
        )
    return good, failed


def _parent_id(world: World, raw: dict[str, Any], before: list[Order]) -> int | None:
    name = raw.get("parentId")
    if not name:
        return None
    for order in before:
        if order.ref == name:
            return order.order_id
    for order in world.orders.values():
        if order.ref == name or str(order.order_id) == str(name):
            return order.order_id
    raise tickets.rejected(f"Order couldn't be submitted: parent order {name} is not found.")


def _is_group(orders: list[Order]) -> bool:
    first = orders[0].order_id
    return all(order.oca or order.parent_id == first for order in orders[1:])


def accepted(order: Order) -> dict[str, Any]:
    """An element of kind (a): `order_id` is text here."""
    row: dict[str, Any] = {"order_id": str(order.order_id)}
    if order.ref:
        row["local_order_id"] = order.ref
    if order.parent_id is not None:
        row["parent_order_id"] = str(order.parent_id)
    row["order_status"] = order.status
    if order.reason:
        row["text"] = order.reason
    row["encrypt_message"] = "1"
    return row


def failure(order: Order) -> dict[str, Any]:
    """The element of a bracket child with an impossible price (§4.7)."""
    return {
        "order_id": "-1",
        "parent_order_id": str(order.parent_id),
        "order_status": "Failed",
        "text": "Invalid order price",
        "encrypt_message": "1",
    }
