"""`GET /api/events`: what changes, as server-sent events (the format that `EventSource` and `curl -N` read).

`event: event` is a line of the time line, `event: status` the lamps, `event: keeping` the keep-alive;
each has one JSON object as data. At first come the last lines and the present lamps. A comment line
keeps the connection alive.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from ibtui.core.feed import Feed
from ibtui.core.models import Event, Keeping
from ibtui.service import output
from ibtui.service.runtime import Runtime

BEAT_S = 15.0
CLIENTS = 32
FIRST = 50
"""Lines of the time line that a new client gets."""
BREATH_S = 0.2
"""Pause between two batches of changes that nobody here hears of."""
PATIENCE_S = 30.0
"""Seconds a client may leave what was written unread; then it is let go."""


class Streams:
    """The clients that listen; nothing is kept for them but what they have not read of one batch."""

    def __init__(self, beat: float = BEAT_S, patience: float = PATIENCE_S) -> None:
        self._beat = beat
        self._patience = patience
        self._clients: set[asyncio.Task[Any]] = set()

    def close(self) -> None:
        """End every stream."""
        for client in self._clients:
            client.cancel()

    async def serve(self, now: Callable[[], Runtime], request: web.Request) -> web.StreamResponse:
        """Write until the client leaves, falls behind, or the service ends.

        `now` says which runtime; where that is another one after new settings, the client comes again.

        Raises:
            HTTPServiceUnavailable: too many listen.
        """
        if len(self._clients) >= CLIENTS:
            raise web.HTTPServiceUnavailable(reason="Too many clients listen")
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        runtime = now()
        feed = runtime.subscribe()
        try:
            await reply.prepare(request)
            teller = Teller(runtime, request.headers.get("Last-Event-ID", ""))
            while runtime is now():
                async with asyncio.timeout(self._patience):
                    await reply.write(teller.news() or b": beat\n\n")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._beat):
                        await self._change(feed)
        except (ConnectionError, TimeoutError):
            pass  # it has gone, or does not read
        finally:
            feed.close()
            self._clients.discard(task)
        return reply

    async def _change(self, feed: Feed) -> None:
        """Return when something changed that this stream tells of; prices and the like are passed by."""
        while True:
            await feed.wait()
            if any(change.kind in ("status", "event") for change in feed.drain()):
                return
            await asyncio.sleep(BREATH_S)


class Teller:
    """What one client has not been told yet.

    `after`: the id of the last line it has (the time of that line), empty for a new client.
    """

    def __init__(self, runtime: Runtime, after: str = "") -> None:
        self._runtime = runtime
        self._after = _time(after)
        self._last: Event | None = None
        self._told: dict[str, Any] = {}

    def news(self) -> bytes:
        """The unsaid as the stream has it; empty when there is none."""
        parts = [_frame("event", msgspec.to_builtins(event), _id(event)) for event in self._events()]
        for name, value in (
            ("status", output.status_json(self._runtime.status)),
            ("keeping", keeping_json(self._runtime.keeping)),
        ):
            if self._told.get(name) != value:
                self._told[name] = value
                parts.append(_frame(name, value))
        return b"".join(parts)

    def _events(self) -> Sequence[Event]:
        """Lines after the last one told; where that is gone already, all there are."""
        events = list(self._runtime.events)
        if self._last is None:
            new = events[-FIRST:] if self._after is None else [one for one in events if one.at > self._after]
        else:
            new = []
            for event in reversed(events):
                if event is self._last or event == self._last:
                    break
                new.append(event)
            new.reverse()
        if new:
            self._last = new[-1]
        return new


def keeping_json(keeping: Keeping) -> dict[str, Any]:
    """The keep-alive's state."""
    found: dict[str, Any] = msgspec.to_builtins(keeping)
    return found


def _frame(name: str, value: Any, ident: str = "") -> bytes:
    head = f"id: {ident}\n" if ident else ""
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(value, enc_hook=str) + b"\n\n"


def _id(event: Event) -> str:
    return event.at.isoformat()


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo else None
