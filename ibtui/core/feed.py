"""Changes on their way from the store to whoever watches: bounded, latest value per key.

A slow watcher never makes the stream wait and never sees an old value after a new one:
changes of the same key are merged while they wait. Fills, rejections and notices are
kept one by one (`keep=True`) and never dropped (DESIGN: data flow b).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from msgspec import Struct

ALL: frozenset[str] = frozenset({"*"})
"""Fields of a change that replaces the whole thing."""


class Change(Struct, frozen=True, gc=False):
    """`kind` and `key` name what changed; read its value from the store.

    kinds: `position`, `quote`, `order`, `execution`, `pnl`, `summary`, `ledger`, `accounts`,
    `status`, `event`, `log`. Key `*` means: the whole kind was replaced, read it anew.
    """

    kind: str
    key: str
    fields: frozenset[str] = ALL
    keep: bool = False
    """True: never merged or dropped (fills, rejections)."""


class Feed:
    """One watcher's queue of changes; made by `Hub.subscribe`."""

    def __init__(self, hub: Hub, limit: int = 20_000) -> None:
        self._hub = hub
        self._limit = limit
        self._merged: dict[tuple[str, str], Change] = {}
        self._kept: list[Change] = []
        self._ready = asyncio.Event()

    def put(self, changes: Iterable[Change]) -> None:
        """Add changes; merges per key. Over the limit a kind collapses into 'read it anew'."""
        merged = self._merged
        for change in changes:
            if change.keep:
                self._kept.append(change)
                continue
            key = (change.kind, change.key)
            old = merged.get(key)
            if old is None:
                merged[key] = change
            elif old is not change and old.fields is not change.fields:
                merged[key] = Change(change.kind, change.key, old.fields | change.fields)
        if len(merged) > self._limit:
            self._collapse()
        self._ready.set()

    def _collapse(self) -> None:
        kinds = {kind for kind, _ in self._merged}
        self._merged = {(kind, "*"): Change(kind, "*") for kind in kinds}

    def drain(self) -> list[Change]:
        """Everything that waits, kept ones first; empty when nothing does."""
        out = [*self._kept, *self._merged.values()]
        self._kept.clear()
        self._merged.clear()
        self._ready.clear()
        return out

    async def wait(self) -> None:
        """Return as soon as something waits."""
        await self._ready.wait()

    def close(self) -> None:
        """Stop receiving."""
        self._hub.leave(self)


class Hub:
    """Hands each change to every feed."""

    def __init__(self) -> None:
        self._feeds: list[Feed] = []

    def subscribe(self) -> Feed:
        """A new watcher; it sees what changes from now on."""
        feed = Feed(self)
        self._feeds.append(feed)
        return feed

    def leave(self, feed: Feed) -> None:
        if feed in self._feeds:
            self._feeds.remove(feed)

    def publish(self, changes: Iterable[Change]) -> None:
        """Give `changes` to every feed."""
        batch = changes if isinstance(changes, list) else list(changes)
        if batch:
            for feed in self._feeds:
                feed.put(batch)
