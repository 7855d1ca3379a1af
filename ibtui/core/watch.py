"""The stream at work for the store: subscribes, applies, reconciles (DESIGN data flow b, web-api.md §7.9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ibtui.clock import Clock, Tasks
from ibtui.core.endpoints import accounts, orders
from ibtui.core.endpoints.common import Call
from ibtui.core.feed import Change, Hub
from ibtui.core.link import StreamState
from ibtui.core.load import Loader, followed
from ibtui.core.store import Store
from ibtui.core.stream import Stream
from ibtui.core.topics import Subscription
from ibtui.core.wire import decode as wire
from ibtui.core.wire import frames
from ibtui.errors import IbtuiError

FIELDS = ("31", "73", "75", "78", "79", "80", "82", "83", "84", "86")
"""What is asked for of each position's contract (§5.8)."""
RECONCILE_S = 120.0
"""While orders work: the stream can go quiet without a sign (§7.7)."""
AFTER_FILL_S = 2.0
SETTLED = frozenset({"Filled", "Cancelled", "Inactive"})
_SOR_PAUSES = (2.0, 5.0, 10.0, 20.0, 60.0)

Tell = Callable[[str, str, str], None]
"""source, text, level of a line for the time line."""


class Watcher:
    """Feeds a store and hub from a stream until `close`."""

    def __init__(
        self,
        stream: Stream,
        call: Callable[[Call], Awaitable[Any]],
        loader: Loader,
        store: Store,
        hub: Hub,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self.stream = stream
        self._call = call
        self._loader = loader
        self._store = store
        self._hub = hub
        self._clock = clock
        self._tell = tell
        self._tasks = Tasks(self._failed)
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._lines: dict[int, Subscription] = {}
        self._sor_tries = 0

    async def start(self) -> None:
        """Subscribe everything and return once the socket is open.

        Raises:
            IbtuiError: it cannot be opened now; it goes on trying until `close`.
        """
        self._tasks.start(self._every(RECONCILE_S), "reconcile")
        for frame in (frames.orders(), frames.trades(), frames.pnl()):
            await self.stream.add(Subscription(frame, frames.opposite(frame)))
        for account in self._loader.account_ids()[:1]:
            for frame in (frames.summary(account), frames.ledger(account)):
                await self.stream.add(Subscription(frame, frames.opposite(frame)))
        self._once("lines", self.follow_positions)
        await self.stream.open()

    async def close(self) -> None:
        """Stop the background work; the stream is its maker's to close."""
        await self._tasks.close()

    def _failed(self, error: BaseException) -> None:
        self._tell("stream", f"a part of the live view stopped: {error!r}", "error")

    # events

    def on_event(self, event: wire.Event) -> None:
        """Apply an event of the stream; see to what it leaves open."""
        changes = self._store.apply(event)
        if changes:
            self._hub.publish(changes)
        if event.__class__ is wire.MarketData:
            return
        match event:
            case wire.OrderRows():
                self._sor_tries = 0
                if self._store.unknown_orders:
                    self._once("orders", self._loader.orders)
            case wire.ExecutionRows():
                if any(change.keep for change in changes):
                    self._once("positions", self._after_fill)
            case wire.Notices(items):
                for item in items:
                    self._tell(
                        "orders" if item.prompt else "ibkr", item.text, "warn" if item.prompt else "info"
                    )
            case wire.StatusPart():
                self._status(changes)
            case wire.Failure(topic, text):
                self._tell("stream", f"{topic}: {text}".strip(": "), "warn")
                if topic == "sor":
                    self._once("sor", self._resubscribe_orders)

    def _status(self, changes: list[Change]) -> None:
        for change in changes:
            auth = self._store.auth
            if "competing" in change.fields and auth.competing:
                self._tell("brokerage", "another program takes the brokerage session", "warn")
            if "authenticated" in change.fields and not auth.authenticated:
                self._tell("brokerage", "the brokerage session ended", "warn")

    def on_state(self, state: StreamState) -> None:
        """The socket opened or closed."""
        if state.state == "open":
            self._tell("stream", "open", "info")
        else:
            self._hub.publish(self._store.new_socket())
            if state.state == "closed":
                self._tell("stream", f"closed: {state.reason}", "warn")
            elif state.reason:
                self._tell("stream", f"given up: {state.reason}", "error")

    def on_gap(self) -> None:
        """The socket is back: find out what it had missed."""
        self._once("reconcile", self._catch_up)

    # background work, each kind at most once at a time

    def _once(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        if name in self._busy:
            self._again.add(name)
            return
        self._busy.add(name)
        self._tasks.start(self._guarded(name, work), name)

    async def _guarded(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            while True:
                self._again.discard(name)
                try:
                    await work()
                except IbtuiError as error:
                    self._tell("stream", str(error), "warn")
                if name not in self._again:
                    return
        finally:
            self._busy.discard(name)

    async def _catch_up(self) -> None:
        # The session may be a new one, and all routes cold again (§1.7, §7.9).
        await self._loader.accounts()
        missed = await self._loader.reconcile()
        self._tell("stream", f"caught up: {missed.text}", "info")
        await self._read_positions()

    async def _after_fill(self) -> None:
        await self._clock.sleep(AFTER_FILL_S)
        await self._read_positions(fresh=True)

    async def _read_positions(self, *, fresh: bool = False) -> None:
        for account in self._loader.account_ids():
            await self._loader.positions(account, fresh=fresh)
        await self.follow_positions()

    async def _every(self, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds)
            if any(order.status not in SETTLED for order in self._store.orders.values()):
                self._once("reconcile", self._quietly_reconcile)

    async def _quietly_reconcile(self) -> None:
        missed = await self._loader.reconcile()
        if missed:
            self._tell("stream", f"caught up: {missed.text}", "warn")

    async def _resubscribe_orders(self) -> None:
        """`unable to subscribe` (§7.7): ask for accounts and orders by force, wait, try again."""
        if self._sor_tries >= len(_SOR_PAUSES):
            return
        pause = _SOR_PAUSES[self._sor_tries]
        self._sor_tries += 1
        await self._call(accounts.brokerage())
        await self._call(orders.live(force=True))
        await self._clock.sleep(pause)
        if self.stream.is_open:
            await self.stream.send(frames.orders())

    # market data lines

    async def follow_positions(self) -> None:
        """Subscribe market data of the open positions, the largest hundred, and of no others."""
        wanted = followed(self._store)
        for conid in self._lines.keys() - wanted.keys():
            await self.stream.remove(self._lines.pop(conid))
            self._hub.publish(self._store.silenced(conid))
        for conid in wanted:
            if conid not in self._lines:
                frame = frames.market_data(conid, FIELDS)
                subscription = self._lines[conid] = Subscription(frame, frames.opposite(frame))
                await self.stream.add(subscription)
