"""The runtime inside a supervisor: the profile's keeper, with verbs for callers from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING

from ibtui import config
from ibtui.clock import Clock
from ibtui.config import Settings
from ibtui.core.feed import Change
from ibtui.core.models import Event, Lamp, Status
from ibtui.errors import IbtuiError, UsageError
from ibtui.service import wire
from ibtui.service.board import Told
from ibtui.service.local import LocalRuntime
from ibtui.service.runtime import Progress
from ibtui.service.wire import RELOAD

if TYPE_CHECKING:
    from ibtui.core.client import IbkrClient

FRESH_S = 0.9
"""A look is not repeated sooner, whoever asks: the session may be asked once a second (web-api.md §1.6)."""


class KeptRuntime(LocalRuntime):
    """The supervisor's runtime: the profile's keeper, with verbs for callers from elsewhere."""

    def __init__(self, settings: Settings, clock: Clock | None = None, digest: str = "") -> None:
        super().__init__(settings, clock, keeper=True)
        self.idle = True
        """Nothing is to be kept: no gateway was seen yet, or a person has ended it or logged out."""
        self.ended = ""
        """Why a caller wants it all to end."""
        self.forgone = False
        """Whoever started it failed: with nothing to keep it need not wait for somebody to try again."""
        self.digest = digest
        self._looked = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self._refused: UsageError | None = None

    @property
    def user(self) -> str:
        """Who is logged in, and how, as far as it is known here."""
        return self._entry.who

    @property
    def recent(self) -> tuple[list[Event], list[str], int]:
        """Time line, end of the log, and how many lines the log has had."""
        return list(self._board.events), list(self._board.log), self._board.logged

    def follow(self, before: KeptRuntime) -> None:
        """Go on where one with other settings is about to stop."""
        self.idle = before.idle
        self._entry.came(before.user)
        if before._keeper.held is not None:
            self.hold(before._keeper.held)

    def wake(self) -> None:
        """Let everybody who follows look again."""
        self._hub.publish([Change("status", "*")])

    def event(self, source: str, text: str, level: str = "info") -> None:
        """A line for the time line."""
        self._board.event(source, text, level)

    async def refresh(self) -> Status:
        try:
            return await super().refresh()
        finally:
            self._looked = self.clock.monotonic()

    async def look(self) -> None:
        """A look, shared by all who ask for one at a time, and not repeated within a moment.

        Raises:
            UsageError: as `refresh`.
        """
        if self.clock.monotonic() - self._looked > FRESH_S:
            if self._looking is None or self._looking.done():
                self._looking = self._tasks.start(self._quietly(), "look")
            await asyncio.shield(self._looking)
        if self._refused is not None:
            raise self._refused

    async def _quietly(self) -> None:
        try:
            await self.refresh()
            self._refused = None
        except UsageError as error:
            self._refused = error

    async def client(self) -> IbkrClient:
        """The one connection to the gateway; raises as `Host.door`."""
        return await self._connect()

    async def do(self, verb: str, wish: wire.Wish, progress: Progress) -> None:
        """A verb that a terminal asks for; raises what it raises, UsageError for an unknown one."""
        if verb == "refresh":
            await self.look()
            return
        try:
            await self._act(verb, wish, progress)
        finally:
            self._looked = -math.inf

    async def _act(self, verb: str, wish: wire.Wish, progress: Progress) -> None:
        self.forgone = verb == "forgo"
        match verb:
            case "forgo":
                self.wake()
            case "start":
                await self.start_gateway(progress)
                self.idle = False
            case "stop":
                await self.stop_gateway()
                self.idle = True
            case "logout":
                await self.logout()
                self.idle = True
            case "open":
                await self.open_brokerage(compete=wish.compete)
            case "yield":
                await self.yield_session(wish.minutes)
            case "entered":
                self._entry.came(wish.user)
                self.idle = False
                self._keeper.asked("login")
                await self._facts(self._entry.user)
            case "facts":
                await self._facts(wish.user)
            case "mean":
                self.mean(wish.account_type)
            case "reload":
                config.hand_over(wish.variables)
                self.ended = RELOAD
                self.wake()
            case "end":
                await self.stop_keeping()
                self.ended = wish.why or "told to"
                self.wake()
            case _:
                raise UsageError(f"The keep-alive knows no {verb!r}.", "It may be of another version.")

    def told(self, told: Told) -> None:
        """What a terminal tells of the login it runs."""
        board = self._board
        match told.what:
            case "begun":
                board.acting += 1
                board.turn += 1
            case "done":
                self._verb_over(1)
            case "lit":
                board.set(**told.lamps)
            case "said" if told.said is not None:
                board.event(told.said.source, told.said.text, told.said.level)

    def _verb_over(self, count: int) -> None:
        self._board.acting = max(0, self._board.acting - count)
        self._board.turn += 1
        self._looked = -math.inf
        self._board.news.set()

    async def conversed(self, begun: int) -> None:
        """A terminal has told everything, or died with `begun` verbs open: look how things are."""
        if begun > 0:
            self._verb_over(begun)
            for name in ("sso", "brokerage"):
                lamp: Lamp = getattr(self.status, name)
                if lamp.state == "busy":
                    self._board.lit(name, "unknown", "the terminal that was logging in has gone")
        await self._facts("")
        with contextlib.suppress(IbtuiError):
            await self.refresh()

    async def _facts(self, user: str) -> None:
        await self._entry.read_facts(user)
        self.wake()

    @property
    def useless(self) -> bool:
        """Whether there is nothing to keep."""
        if self.status.ready:
            self.idle = False
        if not self.idle:
            self.forgone = False
        return self.idle and not self._board.acting
