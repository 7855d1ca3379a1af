"""Market data streams of one websocket: `smd` and `sbd` (web-api.md §7.7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ibtui.sim.fields import CHANGING, View, head
from ibtui.sim.instruments import Contract
from ibtui.sim.market import Quote

if TYPE_CHECKING:
    from ibtui.sim.world import World

MIN_INTERVAL_S = 0.5
DEFAULT_FIELDS = ["31", "83", "84", "86"]
LADDER_ROWS = 5
Cache = dict[Any, tuple[str, dict[str, Any]]]
"""Rate mode frames of one moment, with the fields in them."""
_QUICK = CHANGING - {"7639"}
"""Fields of rate mode frames: all that change, but for the one that needs a sum over the account."""


class Stream:
    """One `smd` subscription: what was asked, and what the client knows by now."""

    __slots__ = ("_live", "conidex", "dirty", "fields", "sent", "sent_at", "since", "topic", "view")

    def __init__(self, view: View, conidex: str, now: float) -> None:
        self.view = view
        self.conidex = conidex
        self.topic = f"smd+{conidex}"
        self.fields: list[str] = []
        self.sent: dict[str, Any] = {}
        self.sent_at = self.since = now
        self.dirty = False
        self._live: tuple[str, ...] = ()

    def ask(self, fields: Iterable[str]) -> None:
        """Add fields; a later subscribe widens the stream, it never narrows it."""
        self.fields += [field for field in fields if field not in self.fields]
        self._live = tuple(field for field in self.fields if field in _QUICK)

    def values(self) -> dict[str, Any]:
        """All asked fields that have a value."""
        found: dict[str, Any] = {}
        for field in self.fields:
            value = self.view.value(field)
            if value is not None:
                found[field] = value
        return found

    def first(self, now_ms: int) -> dict[str, Any]:
        """The frame after a subscribe: everything known."""
        self.sent = self.values()
        self.dirty = False
        contract = self.view.contract
        extra = {"6509": contract.data, "6508": "&serviceID1=122&serviceID2=123"}
        body = head(contract, self.conidex, now_ms) | self.sent | extra
        return body | {"topic": self.topic}

    def delta(self, now_ms: int) -> dict[str, Any] | None:
        """What changed since the last frame; None when nothing did."""
        self.dirty = False
        changed: dict[str, Any] = {}
        for field in self.fields:
            if field in CHANGING:
                value = self.view.value(field)
                # What no longer applies (the position was closed) is told as empty text.
                value = "" if value is None and self.sent.get(field) else value
                if value is not None and self.sent.get(field) != value:
                    changed[field] = value
        if not changed:
            return None
        self.sent.update(changed)
        return head(self.view.contract, self.conidex, now_ms) | changed | {"topic": self.topic}

    def tick(self, now_ms: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Rate mode: the moving fields at once, changed or not; the frame and its fields."""
        value = self.view.value
        moved = {field: value(field) for field in self._live}
        body = head(self.view.contract, self.conidex, now_ms)
        body.update((field, one) for field, one in moved.items() if one is not None)
        body["topic"] = self.topic
        return body, moved

    @property
    def key(self) -> tuple[str, tuple[str, ...], str]:
        """Streams with equal keys have equal rate mode frames."""
        return self.topic, self._live, self.view.account


class Quotes:
    """All `smd` streams of one websocket."""

    def __init__(self, world: World, send: Callable[[dict[str, Any] | str], None]) -> None:
        self._world = world
        self._send = send
        self._streams: dict[str, Stream] = {}
        self._by_conid: dict[int, list[Stream]] = {}

    def subscribe(self, account: str, conidex: str, fields: list[str]) -> None:
        """Open or widen a stream: the full frame, twice."""
        world = self._world
        now = world.clock.now()
        contract = contract_of(world, conidex)
        full = conidex not in self._streams and len(self._streams) >= world.quirks.market_lines
        if contract is None or full:
            conid = int(conidex) if conidex.isdigit() else -1
            unknown = {"conid": conid, "conidEx": conidex, "55": "-", "31": "N/A"}
            self._send(unknown | {"topic": f"smd+{conidex}"})
            return
        world.market.watch(contract.conid)
        stream = self._streams.get(conidex)
        if stream is None:
            stream = self._streams[conidex] = Stream(View(world, contract, account), conidex, now)
            self._by_conid.setdefault(contract.conid, []).append(stream)
        stream.ask(fields)
        stream.since = stream.sent_at = now
        body = world.encode(stream.first(world.clock.now_ms()))
        self._send(body)
        self._send(body)

    def unsubscribe(self, conidex: str) -> None:
        """End a stream; there is no answer."""
        stream = self._streams.pop(conidex, None)
        if stream is not None:
            self._by_conid[stream.view.contract.conid].remove(stream)

    def conids(self) -> list[int]:
        """The conids of the open streams."""
        return [conid for conid, streams in self._by_conid.items() if streams]

    def touch(self, changed: Iterable[int]) -> None:
        """These conids changed."""
        for conid in changed:
            for stream in self._by_conid.get(conid, ()):
                stream.dirty = True

    def tick(self, conid: int, cache: Cache) -> None:
        """Send the rate mode frames of a conid."""
        now_ms = self._world.clock.now_ms()
        for stream in self._by_conid.get(conid, ()):
            known = cache.get(stream.key)
            if known is None:
                body, moved = stream.tick(now_ms)
                cache[stream.key] = known = (self._world.encode(body), moved)
            stream.sent.update(known[1])
            # For what rate mode leaves out; the pulse tells it when the mode is over.
            stream.dirty = True
            self._send(known[0])

    def pulse(self, now: float) -> None:
        """Send what changed, at most twice a second each; let old streams fall silent.

        In rate mode only `tick` sends, or the rate would not be exact.
        """
        expiry = self._world.quirks.stream_expiry_s
        for conidex, stream in list(self._streams.items()):
            if now - stream.since > expiry:
                self.unsubscribe(conidex)
            elif stream.dirty and not self._world.rate and now - stream.sent_at >= MIN_INTERVAL_S:
                body = stream.delta(self._world.clock.now_ms())
                if body is not None:
                    stream.sent_at = now
                    self._send(body)


class Ladder:
    """One `sbd` price ladder; deltas carry the rows that changed."""

    def __init__(self, quote: Quote, topic: str) -> None:
        self.quote = quote
        self.topic = topic
        self._sent: list[dict[str, Any]] = []
        self._sent_at = -1e18

    def frame(self, now: float) -> dict[str, Any] | None:
        """The full ladder first, then changed rows; None when nothing is due."""
        if now - self._sent_at < MIN_INTERVAL_S:
            return None
        rows = self._rows()
        old = self._sent
        changed = [row for row in rows if row not in old]
        if not changed:
            return None
        self._sent, self._sent_at = rows, now
        return {"topic": self.topic, "data": changed}

    def _rows(self) -> list[dict[str, Any]]:
        quote = self.quote
        rows: list[dict[str, Any]] = []
        for level in range(LADDER_ROWS - 1, -1, -1):
            price = quote.ask + level * quote.tick
            size = quote.ask_size + level * 150
            rows.append({"row": len(rows), "focus": 0, "price": quote.text(price), "ask": str(size)})
        last = f"{quote.last_size} @ {quote.text(quote.last)}"
        rows.append({"row": len(rows), "focus": 1, "price": last})
        for level in range(LADDER_ROWS):
            price = quote.bid - level * quote.tick
            size = quote.bid_size + level * 150
            rows.append({"row": len(rows), "focus": 0, "price": quote.text(price), "bid": str(size)})
        return rows


def contract_of(world: World, conidex: str) -> Contract | None:
    """The contract of `265598` or `265598@NASDAQ`; None for the unknown and for combos."""
    number = conidex.split("@")[0]
    return world.catalogue.get(int(number)) if number.isdigit() else None
