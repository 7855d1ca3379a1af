"""What a runtime shows: three lamps, time line, the gateway's log; and who hears of their changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from ibtui.clock import Clock
from ibtui.core.feed import Change, Hub
from ibtui.core.models import Event, Lamp, Status
from ibtui.errors import IbtuiError, PersonNeeded
from ibtui.log import redact

EVENTS_KEPT = 500
LOG_KEPT = 500
LAMPS = {"gateway": "gateway", "sso": "login", "brokerage": "brokerage"}
"""Each lamp and the source under which the time line tells of it."""


class Told(Struct, frozen=True, omit_defaults=True):
    """What was written on a board: `begun` and `done` of a verb, `lit` lamps, something `said`."""

    what: str
    lamps: dict[str, Lamp] = {}
    said: Event | None = None


class Board:
    """Written by the runtime alone; every real change goes to `hub` once."""

    def __init__(self, clock: Clock, hub: Hub) -> None:
        self._clock = clock
        self._hub = hub
        self.status = Status()
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.log: deque[str] = deque(maxlen=LOG_KEPT)
        self.acting = 0
        """Verbs at work."""
        self.turn = 0
        """Counts verbs: a look that began before one ended says nothing any more."""
        self.news = asyncio.Event()
        """Set when the three things should be looked at soon."""
        self.logged = 0
        """Counts lines of the log, also those that are no longer kept."""
        self.tell: Callable[[Told], None] | None = None
        """Hears of what is written here: the supervisor, while a terminal logs in."""
        self.listeners: list[Callable[[Event], None]] = []
        """Hear of each new line of the time line."""

    def set(self, **lamps: Lamp) -> None:
        """Show these lamps. One that says the same as before keeps its `since`."""
        old = self.status
        values = {name: self._aged(lamps.get(name), getattr(old, name)) for name in LAMPS}
        new = Status(**values)
        if new != old:
            self.status = new
            self._say("lit", **{name: getattr(new, name) for name in lamps})
            self._hub.publish([Change("status", "*")])

    def _aged(self, new: Lamp | None, old: Lamp) -> Lamp:
        if new is None:
            return old
        if new.state == old.state and (new.since is None or new.reason == old.reason):
            since = old.since
        else:
            since = new.since or (self._clock.now() if new.reason else None)
        return Lamp(state=new.state, since=since, reason=new.reason, fix=new.fix)

    def lit(self, name: str, state: str, reason: str, fix: str = "") -> None:
        """Set one lamp, as of now."""
        self.set(**{name: Lamp(state=state, since=self._clock.now(), reason=reason, fix=fix)})

    def look(self, found: dict[str, Lamp]) -> None:
        """Show what a look has found, and tell the time line what is new about it."""
        before = self.status
        self.set(**found)
        for name, source in LAMPS.items():
            old: Lamp = getattr(before, name)
            new: Lamp = getattr(self.status, name)
            # A verb at work tells its own outcome, and what was never there is not lost.
            if old.state in (new.state, "busy") or not new.reason:
                continue
            if new.state != "on" and old.state not in ("on", "warn"):
                continue
            self.event(source, new.reason, "info" if new.state == "on" else "warn")

    @contextlib.contextmanager
    def verb(self, name: str, reason: str) -> Iterator[None]:
        """A verb at work: lamp `name` is busy, and no look may tell otherwise meanwhile.

        However it ends, the lamp does not stay busy.
        """
        self.acting += 1
        self.turn += 1
        before: Lamp = getattr(self.status, name)
        self._say("begun")
        self.lit(name, "busy", reason)
        try:
            yield
        except BaseException as error:
            self._unlit(name, reason, before, error)
            # What is really so is found out at once.
            self.news.set()
            raise
        finally:
            self.acting -= 1
            self.turn += 1
            self._say("done")

    def _unlit(self, name: str, reason: str, before: Lamp, error: BaseException) -> None:
        lamp: Lamp = getattr(self.status, name)
        if lamp.state != "busy":
            return
        if isinstance(error, PersonNeeded):
            # Nothing was sent: whoever is not asked a question there need not read it here.
            self.set(**{name: before})
        elif isinstance(error, IbtuiError):
            self.lit(name, "off", error.what, error.fix or before.fix)
        else:
            self.event("ibtui", f"{reason}: cancelled")
            self.set(**{name: before})

    def event(self, source: str, text: str, level: str = "info") -> None:
        """A line of the time line; the same line twice in a row is one."""
        text = redact(text)
        if self.events and (self.events[-1].source, self.events[-1].text) == (source, text):
            return
        event = Event(at=self._clock.now(), source=source, text=text, level=level)
        if self.tell is not None:
            self._say("said", said=event)
            return  # it comes back with the other board's
        self.events.append(event)
        for listener in self.listeners:
            listener(self.events[-1])
        self._hub.publish([Change("event", "*")])

    def recall(self, before: Iterable[Event]) -> None:
        """Put the time line of an earlier process before this one's."""
        self.events = deque([*before, *self.events], maxlen=EVENTS_KEPT)
        self._hub.publish([Change("event", "*")])

    def add_log(self, line: str) -> None:
        """A line of the gateway's log."""
        self.log.append(line)
        self.logged += 1
        self._hub.publish([Change("log", "*")])

    def mirror(self, status: Status) -> None:
        """Show the lamps of another board as they are; a verb at work here knows better."""
        if not self.acting and status != self.status:
            self.status = status
            self._hub.publish([Change("status", "*")])

    def _say(self, what: str, *, said: Event | None = None, **lamps: Lamp) -> None:
        if self.tell is not None:
            self.tell(Told(what, lamps, said))
