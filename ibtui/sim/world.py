"""The simulated broker's world: users' accounts, a market, orders and their fills.

`World.run` lets it live; without it everything stands still but answers. All chance
comes from the seed: the same seed, calls and steps give the same prices and ids, and how
far the market has moved depends on the number of steps, not on the clock.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from ibtui.sim import opening, truth
from ibtui.sim.books import Book
from ibtui.sim.catalogue import Catalogue
from ibtui.sim.instruments import Contract
from ibtui.sim.market import Market
from ibtui.sim.matching import Matcher
from ibtui.sim.orders import Execution, Order
from ibtui.sim.rows import execution_row, order_row
from ibtui.sim.seam import Quirks, SimClock, User
from ibtui.sim.streams import Cache

STEP_S = 0.2
"""The market moves five times a second."""
MOVES = 3
"""Contracts that move in a step."""
RATE_TICK_S = 0.01
MAX_ROWS = 10_000
MAX_RATE = 5_000
DAY_MS = 86_400_000
MAX_PRICE = 1_000_000_000


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def frame(body: Any) -> str:
    """One websocket frame as compact JSON."""
    return _encode(body)


class Listener(Protocol):
    """What a websocket wants to hear; every call must return quickly."""

    def on_order(self, order: Order, data: str) -> None:
        """A `sor` frame of an order."""

    def on_execution(self, execution: Execution, data: str) -> None:
        """A `str` frame of an execution (twice: without and with its commission)."""

    def on_notice(self, account: str, data: str) -> None:
        """An `ntf` frame."""

    def on_prices(self, changed: set[int]) -> None:
        """These conids have new prices."""

    def on_tick(self, conid: int, cache: Cache) -> None:
        """Rate mode: send the delta of this conid now; `cache` shares equal frames."""

    def on_pulse(self, now: float) -> None:
        """About ten times a second, with the simulator's time."""

    def conids(self) -> Iterable[int]:
        """The conids whose market data it streams."""


class World:
    """Everything behind the gateway that is not a session.

    `sequence` grows with every change that a client could see.
    """

    def __init__(self, users: list[User], seed: int, clock: SimClock, quirks: Quirks) -> None:
        self.clock = clock
        self.quirks = quirks
        self.seed = seed
        self.sequence = 0
        self.pace = 1.0
        """Factor on the waits of slow replies (web-api.md §4.2); tests make it small."""
        today = datetime.fromtimestamp(clock.now(), UTC).date()
        self.catalogue = Catalogue(seed, today)
        self.market = Market(self.catalogue, seed)
        self.orders: dict[int, Order] = {}
        self.executions: list[Execution] = []
        self.listeners: list[Listener] = []
        self.matcher = Matcher(self)
        self.users = users
        self.notices: dict[str, Any] = {}
        """Notification boxes by user name, kept by their routes."""
        self._books: dict[str, Book] = {}
        self._ids = random.Random(f"{seed}:ids")
        self._venues = random.Random(f"{seed}:venues")
        self._refs: dict[tuple[str, str], float] = {}
        self._next_order = 1834567000
        self._next_execution = 0
        self._timers: list[tuple[float, int, Callable[[], Any]]] = []
        self._timer_count = 0
        self._wake = asyncio.Event()
        self._rate = 0
        self._paused = False
        opening.furnish(self)

    # --- things by name ------------------------------------------------------------------

    def book(self, account: str) -> Book:
        """The books of an account; KeyError if there is none."""
        return self._books[account]

    @property
    def accounts(self) -> list[str]:
        """All account ids, in the users' order."""
        return list(self._books)

    def open_book(self, account: str, title: str, opened_ms: int) -> Book:
        """Make an empty account."""
        self._books[account] = Book(account, title, opened_ms, self.market)
        return self._books[account]

    def orders_of(self, account: str | None) -> list[Order]:
        """The orders of one account or of all, newest first: working ones, and those of the last day."""
        since = self.clock.now_ms() - DAY_MS
        return [
            order
            for order in reversed(self.orders.values())
            if account in (None, order.account) and (order.working or order.time_ms >= since)
        ]

    def venue(self, contract: Contract) -> str:
        """Where a fill of this contract happens."""
        if contract.sec_type == "STK" and contract.is_us:
            return self._venues.choice((contract.exchange, "ISLAND", "ARCA", "IEX"))
        return "CBOE" if contract.right else contract.exchange

    def encode(self, body: Any) -> str:
        """A frame as text, for whoever sends the same one several times."""
        return frame(body)

    def token(self) -> str:
        """A random UUID of this world (reply ids)."""
        text = f"{self._ids.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def ref_taken(self, account: str, ref: str) -> bool:
        """Whether a `cOID` was used within 24 hours."""
        return self.clock.now() - self._refs.get((account, ref), -1e18) < 86_400

    def take_ref(self, account: str, ref: str) -> None:
        """Use a `cOID`."""
        self._refs[account, ref] = self.clock.now()

    def new_order_id(self) -> int:
        """The next order id."""
        self._next_order += 1
        return self._next_order

    def next_execution_id(self, when_ms: int) -> str:
        """The next execution id, in the recorded form `0000f1a7.69eb8a10.01.01`."""
        self._next_execution += 1
        high, low = divmod(self._next_execution, 256)
        return f"{0xF1A7 + high:08x}.{when_ms // 1000:08x}.{low:02x}.01"

    # --- events --------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Hear of changes until the returned function is called."""
        self.listeners.append(listener)

        def stop() -> None:
            if listener in self.listeners:
                self.listeners.remove(listener)

        return stop

    def register(self, order: Order) -> None:
        """Put an order into the day's list."""
        order.time_ms = order.time_ms or self.clock.now_ms()
        if order.ref:
            self.take_ref(order.account, order.ref)
        self.orders[order.order_id] = order
        self.market.watch(order.contract.conid)
        self.sequence += 1

    def emit_order(self, order: Order, members: dict[str, Any] | None = None, *, full: bool = False) -> None:
        """Send one `sor` frame: the full row, or only `members`."""
        self.sequence += 1
        if self.listeners:
            data = frame({"topic": "sor", "args": [order_row(order, topic=True) if full else members]})
            for listener in list(self.listeners):
                listener.on_order(order, data)

    def add_execution(self, execution: Execution, *, live: bool = True) -> None:
        """Remember a fill; a live one is told twice (web-api.md §7.7 str)."""
        self.executions.append(execution)
        self.sequence += 1
        if live:
            self._tell_execution(execution)
            self.later(self.quirks.commission_delay_s, lambda: self._tell_execution(execution))

    def _tell_execution(self, execution: Execution) -> None:
        if self.listeners:
            row = execution_row(execution, self.clock.now_ms(), topic=True)
            data = frame({"topic": "str", "args": [row]})
            for listener in list(self.listeners):
                listener.on_execution(execution, data)

    def notify(self, order: Order, text: str) -> None:
        """Send an `ntf` frame about an order (web-api.md §7.6)."""
        note = {"id": str(100 + self.sequence % 900), "text": text, "title": None, "url": None}
        data = frame({"topic": "ntf", "args": [note]})
        for listener in list(self.listeners):
            listener.on_notice(order.account, data)

    def prompt(self, account: str, prompt: dict[str, Any]) -> None:
        """Send an `ntf` frame with a server prompt in it (web-api.md §4.6 d)."""
        data = frame({"topic": "ntf", "args": [prompt]})
        for listener in list(self.listeners):
            listener.on_notice(account, data)

    def _tell_prices(self, changed: set[int]) -> None:
        if changed:
            self.sequence += 1
            for listener in list(self.listeners):
                listener.on_prices(changed)

    # --- time ----------------------------------------------------------------------------

    def later(self, delay_s: float, action: Callable[[], Any]) -> None:
        """Do `action` when the simulator's clock has moved by `delay_s`."""
        self._timer_count += 1
        heapq.heappush(self._timers, (self.clock.now() + delay_s, self._timer_count, action))
        self._wake.set()

    def due(self) -> None:
        """Do everything whose time has come."""
        while self._timers and self._timers[0][0] <= self.clock.now():
            heapq.heappop(self._timers)[2]()

    def step(self) -> None:
        """One step of the market and of the matching; `run` calls it five times a second."""
        self.due()
        if not self._paused:
            wanted = list(self._streamed())
            if self._rate == 0 or not wanted:
                self._tell_prices(self.market.step(MOVES, wanted))
        self.matcher.step()

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_steps(), name="sim-market")
            group.create_task(self._run_timers(), name="sim-timers")
            group.create_task(self._run_rate(), name="sim-rate")

    async def _run_steps(self) -> None:
        while True:
            await asyncio.sleep(STEP_S / 2)
            self._pulse()
            await asyncio.sleep(STEP_S / 2)
            self.step()
            self._pulse()

    def _pulse(self) -> None:
        now = self.clock.now()
        for listener in list(self.listeners):
            listener.on_pulse(now)

    async def _run_timers(self) -> None:
        while True:
            self.due()
            wait = self._timers[0][0] - self.clock.now() if self._timers else 0.1
            self._wake.clear()
            # At most 0.1 s: the control API may have moved the clock in the meantime.
            try:
                async with asyncio.timeout(min(max(wait, 0.001), 0.1)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _run_rate(self) -> None:
        """Send smd deltas at exactly the wanted rate, in small parcels."""
        loop = asyncio.get_running_loop()
        last, owed, turn = loop.time(), 0.0, 0
        while True:
            await asyncio.sleep(RATE_TICK_S if self._rate else 0.05)
            now = loop.time()
            # After a long stall the debt is capped, or catching up would stall again.
            owed = min(owed + self._rate * (now - last), self._rate * 0.5)
            last = now
            conids = self._streamed()
            if self._paused or not self._rate or not conids:
                owed = 0.0
                continue
            while owed >= 1:
                owed -= 1
                turn += 1
                self._tick(conids[turn % len(conids)])

    def _tick(self, conid: int) -> None:
        self.sequence += 1
        followers = self.market.nudge(conid) - {conid}
        cache: Cache = {}
        for listener in list(self.listeners):
            listener.on_tick(conid, cache)
            if followers:
                listener.on_prices(followers)

    def _streamed(self) -> list[int]:
        return list(dict.fromkeys(conid for listener in self.listeners for conid in listener.conids()))

    # --- the control API --------------------------------------------------------------------

    @property
    def rate(self) -> int:
        """Market data frames a second that were ordered; 0: the market's own pace."""
        return self._rate

    def set_rate(self, messages_per_s: int) -> None:
        """Exactly so many `smd` deltas a second over the subscribed conids, at most 5,000.

        0 goes back to the market's own pace; use `pause` for silence.
        """
        self._rate = max(0, min(MAX_RATE, int(messages_per_s)))

    def set_positions(self, count: int, account: str | None = None) -> None:
        """Make an account (by default the first one) hold exactly `count` rows, at most 10,000."""
        book = self.book(account or self.accounts[0])
        opening.resize(self, book, max(0, min(MAX_ROWS, int(count))))
        self.sequence += 1

    def set_price(self, conid: int, price: Decimal | float | str) -> None:
        """Set the last price of a contract; orders that it touches react at the next step.

        KeyError for an unknown contract, ValueError for a price that is not above zero.
        """
        value = Decimal(price) if isinstance(price, Decimal) else Decimal(repr(float(price)))
        if not value.is_finite() or not 0 < value <= MAX_PRICE:
            raise ValueError("a price must be above zero, and not above a billion")
        self._tell_prices(self.market.put(int(conid), value))

    def pause(self, paused: bool) -> None:
        """Stop the prices (orders still live and fill at the standing ones)."""
        self._paused = bool(paused)

    def add_order(self, wish: dict[str, Any]) -> dict[str, Any]:
        """An order from another platform; see `opening.order_from`. Its row as the order list has it.

        ValueError for what makes no sense.
        """
        try:
            order = opening.order_from(self, wish)
        except (ArithmeticError, TypeError) as error:
            raise ValueError("an order's numbers must be numbers") from error
        self.emit_order(order, full=True)
        return order_row(order)

    def books(self) -> dict[str, Any]:
        """The truth, with money as text: accounts, cash, positions, orders, executions, prices."""
        return truth.books(self)
