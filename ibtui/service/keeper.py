"""Keeps a session alive, looks for one that is not there, and goes live when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from ibtui.auth.effects import Credentials
from ibtui.clock import Clock
from ibtui.core.models import Event, Keeping, Status
from ibtui.errors import IbtuiError
from ibtui.service.board import Board

TICKLE_S = 15.0
"""How often a session that is ready is kept alive: once a minute is enough for IBKR (web-api.md §2.7),
but a dead one should be noticed sooner."""
LOOK_S = 3.0
"""How often a session that is not ready is looked at."""
BREATH_S = 1.0
"""Pause between two looks that news asks for."""
_log = logging.getLogger("ibtui.keeper")


class Keeper:
    """The watch over a runtime.

    `look` finds out how the three things are; `ready` is called after each look that found
    them ready. `tickle`: keep a ready session alive without a reason to look.
    """

    def __init__(
        self,
        board: Board,
        clock: Clock,
        look: Callable[[], Awaitable[Status]],
        ready: Callable[[], Awaitable[None]],
        *,
        tickle: bool = True,
        memory: bool = False,
    ) -> None:
        self._board = board
        self._clock = clock
        self._look = look
        self._ready = ready
        self._tickle = tickle
        self._memory = memory
        self._held: Credentials | None = None
        self.keeping = Keeping(mode="on" if tickle else "off")

    def yield_for(self, minutes: int) -> None:
        """Leave the brokerage session alone for so long."""
        until = self._clock.now() + timedelta(minutes=minutes)
        self.keeping = Keeping(mode="yielding", until=until, why="left to another program")
        self._board.event("keep-alive", f"the session is left to another program for {minutes} minutes")

    def stop(self) -> None:
        """Keep nothing alive any more."""
        self._tickle = False
        self._held = None
        self.keeping = Keeping(mode="paused", why="stopped")

    def hold(self, who: Credentials) -> None:
        """Keep a password for logging in again, where the profile wants that."""
        if self._memory:
            self._held = who

    async def run(self) -> None:
        """Until cancelled; never gives up on a passing error, which goes to the time line."""
        board = self._board
        while True:
            news = await self._news(TICKLE_S if board.status.ready else LOOK_S)
            if board.acting or (board.status.ready and not self._tickle and not news):
                continue
            try:
                if (await self._look()).ready and not board.acting:
                    await self._ready()
            except IbtuiError as error:
                board.event("keep-alive", error.what, "warn")
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the keep-alive
                self.failed(error)
            await self._clock.sleep(BREATH_S)

    async def _news(self, seconds: float) -> bool:
        """Wait for news, at most `seconds`; whether there were some."""
        news = self._board.news
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await news.wait()
        came = news.is_set()
        news.clear()
        return came

    def heard(self, event: Event) -> None:
        """News of the stream, for the time line; what concerns the session is looked at at once."""
        self._board.event(event.source, event.text, event.level)
        if event.source == "brokerage" or event.level != "info":
            self._board.news.set()

    def failed(self, error: BaseException) -> None:
        """A background task ended with an error."""
        if isinstance(error, IbtuiError):
            self._board.event("ibtui", error.what, "error")
            return
        _log.error("a background task ended", exc_info=error)
        self._board.event("ibtui", f"internal error ({type(error).__name__})", "error")
