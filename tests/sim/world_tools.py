"""A world with a clock that is turned by hand, and a websocket that keeps its frames."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from ibtui.sim.orders import Order
from ibtui.sim.seam import Quirks, Session, SimClock, User
from ibtui.sim.topics import Subscriptions
from ibtui.sim.world import World

ACCOUNT = "DU1234567"
AAPL, MSFT, TSLA, SPY, KO, EUR_USD, ES = 265598, 272093, 76792991, 756733, 8894, 12087792, 515416632
START = 1_790_000_000.0  # 2026-09-21, a Monday, 13:33 UTC: three minutes after the opening


class HandClock(SimClock):
    """Stands still until it is advanced."""

    def now(self) -> float:
        return START + self._offset


def make_world(seed: int = 7, **quirks: Any) -> World:
    users = [
        User("demo123", "secret", [ACCOUNT]),
        User("second", "secret", ["DU7654321", "DU7654322"]),
    ]
    return World(users, seed, HandClock(), Quirks(**quirks))


def session_of(world: World, number: int = 0) -> Session:
    return Session(world.users[number], authenticated=True, established=True)


def pass_time(world: World, seconds: float, step: float = 0.2) -> None:
    """Let the world live, without waiting."""
    passed = 0.0
    while passed < seconds - 1e-9:
        part = min(step, seconds - passed)
        world.clock.advance(part)
        world.step()
        for listener in list(world.listeners):
            listener.on_pulse(world.clock.now())
        passed += part


def new_order(world: World, conid: int = AAPL, side: str = "BUY", quantity: str = "10", kind: str = "MKT",
              price: str | None = None, **more: Any) -> Order:  # fmt: skip
    contract = world.catalogue.get(conid)
    assert contract is not None
    return Order(
        world.new_order_id(), ACCOUNT, contract, side, Decimal(quantity), kind,
        price=None if price is None else Decimal(price), **more,
    )  # fmt: skip


class Wire:
    """The frames that one websocket would have received."""

    def __init__(self, world: World, session: Session | None = None) -> None:
        self.raw: list[Any] = []
        self.session = session or session_of(world)
        self.topics = Subscriptions(world, self.session, world.quirks, self.raw.append)

    def say(self, frame: str) -> list[dict[str, Any]]:
        """Send a frame; what came since the last look."""
        self.topics.handle(frame)
        return self.take()

    def take(self, topic: str = "") -> list[dict[str, Any]]:
        found = [json.loads(one) if isinstance(one, str) else one for one in self.raw]
        self.raw.clear()
        return [one for one in found if str(one.get("topic", "")).startswith(topic)]
