"""Keeps a session alive: drives `machine.Machine` against a runtime, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from ibtui.auth.effects import Credentials
from ibtui.clock import Clock, Tasks
from ibtui.core.feed import Change, Hub
from ibtui.core.models import Event, Keeping, Status
from ibtui.errors import IbtuiError, LoginRefused
from ibtui.service.board import Board
from ibtui.service.machine import Machine
from ibtui.service.sight import Means, Moment, Policy, Sight
from ibtui.service.steps import Deed

TICKLE_S = 15.0
"""How often a ready session is kept alive: 60 s would do (web-api.md §2.1, §2.7). But the gateway logs out
within 30 s of another program's coming (login.md §9.4), and then nothing tells that there was one."""
LOOK_S = 3.0
"""How often a session that is not ready is looked at, at first."""
PATIENT_S = 45.0
"""Between two tickles while a verb of a person's takes its time."""
BREATH_S = 1.0
"""Pause after a look or a deed, however much news there is."""
AGAIN_S = 10.0
"""Until values are loaded again that a ready session did not give."""
LONGEST_S = 10.0
"""Longest wait at a time, so that a machine that slept is noticed soon after it woke."""
_log = logging.getLogger("ibtui.keeper")


class Hands(Protocol):
    """What the keeper can do besides looking; each raises `errors.IbtuiError` subclasses only."""

    def seen(self) -> tuple[Sight, Means]:
        """What the last look has found."""
        ...

    async def open_again(self, *, compete: bool) -> None:
        """Open the brokerage session."""
        ...

    async def log_in_again(self, held: Credentials | None) -> None:
        """Log in without a person, with the password that is held or the profile's source."""
        ...

    async def revive(self) -> None:
        """Start the gateway process again."""
        ...


class Keeper:
    """The watch over a runtime.

    `look` finds out how the three things are; `ready` is called after each look that found
    them ready. `memory`: passwords may be held for logging in again.
    """

    def __init__(
        self,
        board: Board,
        hub: Hub,
        clock: Clock,
        policy: Policy,
        look: Callable[[], Awaitable[Status]],
        ready: Callable[[], Awaitable[None]],
        hands: Hands,
        *,
        memory: bool = False,
    ) -> None:
        self._board = board
        self._hub = hub
        self._clock = clock
        self._look = look
        self._ready = ready
        self._hands = hands
        self._memory = memory
        self._machine = Machine(policy, self._moment(), tickle_s=TICKLE_S, look_s=LOOK_S)
        self._shown = self._machine.keeping
        self._looks = 0
        self._acting_since: float | None = None
        self.held: Credentials | None = None
        """A password for logging in again, in this process alone."""

    @property
    def keeping(self) -> Keeping:
        """How it stands; every change of it is published as kind `status`."""
        return self._machine.keeping

    # A person's wishes -------------------------------------------------------------

    def yield_for(self, minutes: int) -> None:
        """Leave the brokerage session alone for so long, then take it up again."""
        self._machine.yield_for(self._moment(), minutes)
        self._board.event("keep-alive", f"the session is left to another program for {minutes} minutes")
        self._told()

    def stop(self) -> None:
        """Keep nothing alive any more, until a person logs in."""
        self.held = None
        self._machine.pause(self._moment(), "stopped")
        self._board.event("keep-alive", "stopped")
        self._told()

    def hold(self, who: Credentials) -> bool:
        """Keep a password for logging in again, where the profile wants that; whether it was kept."""
        if self._memory:
            self.held = who
            self._machine.held(self._moment())
            self._told()
        return self._memory

    def asked(self, verb: str) -> None:
        """A person has done something: `start`, `stop`, `login`, `open` or `logout`, with success."""
        if verb == "logout":
            self.held = None
        self._machine.asked(self._moment(), verb)
        self._told()

    # News --------------------------------------------------------------------------

    def saw(self) -> None:
        """A look has ended, whoever wanted it."""
        self._looks += 1
        self._machine.saw(self._moment(), *self._hands.seen())
        self._told()

    def died(self) -> None:
        """The gateway process has ended although nobody asked it to."""
        self._machine.died(self._moment())
        self._told()

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

    # At work -----------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; never gives up on a passing error, which goes to the time line."""
        while True:
            step = self._machine.next(self._moment())
            self._told()
            await self._rest(step.at - self._clock.monotonic())
            if self._board.news.is_set():
                self._board.news.clear()
                self._machine.look_soon()
            if self._board.acting:
                # A verb of a person's at work: what is seen now says nothing.
                await self._clock.sleep(BREATH_S)
                await self._tickle_beside()
                continue
            self._acting_since = None
            step = self._machine.next(self._moment())
            if step.at > self._clock.monotonic():
                continue
            try:
                await self._do(step.deed)
            except IbtuiError as error:
                self._board.event("keep-alive", error.what, "warn")
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end the keep-alive
                self.failed(error)
            self._told()
            await self._clock.sleep(BREATH_S)

    async def _tickle_beside(self) -> None:
        """A person may sit before a login for hours: a session that is alive meanwhile stays alive."""
        now = self._clock.monotonic()
        if self._acting_since is None:
            self._acting_since = now
        elif now - self._acting_since >= PATIENT_S:
            self._acting_since = now
            try:
                await self._look()
            except IbtuiError:
                return  # told by the next look that counts

    async def _do(self, deed: Deed) -> None:
        if deed is Deed.LOOK:
            await self._see()
            return
        self._machine.begin(self._moment(), deed)
        self._told()
        error: IbtuiError | None = None
        try:
            await self._act(deed)
        except IbtuiError as failure:
            error = failure
        except Exception as fault:
            # It counts as a try: else it would be done again at once.
            self._machine.did(self._moment(), deed, IbtuiError(f"internal error ({type(fault).__name__})"))
            raise
        if isinstance(error, LoginRefused):
            self.held = None
        self._machine.did(self._moment(), deed, error)

    async def _act(self, deed: Deed) -> None:
        match deed:
            case Deed.LOGIN:
                await self._hands.log_in_again(self.held)
            case Deed.REVIVE:
                await self._hands.revive()
            case _:
                await self._hands.open_again(compete=deed is Deed.TAKE)

    async def _see(self) -> None:
        looks = self._looks
        try:
            status = await self._look()
        finally:
            if self._looks == looks:
                self._machine.missed(self._moment())
        if status.ready and not self._board.acting:
            try:
                await self._ready()
            except IbtuiError:
                self._machine.look_by(self._clock.monotonic() + AGAIN_S)
                raise

    async def _rest(self, seconds: float) -> None:
        """Wait for news, at most `seconds`."""
        if seconds <= 0 or self._board.news.is_set():
            return
        tasks = Tasks()
        try:
            await asyncio.wait(
                [
                    tasks.start(self._clock.sleep(min(seconds, LONGEST_S)), "rest"),
                    tasks.start(self._board.news.wait(), "news"),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            await tasks.close()

    def _moment(self) -> Moment:
        return Moment(self._clock.now(), self._clock.monotonic())

    def _told(self) -> None:
        """Show what the machine has to say."""
        for told in self._machine.take_told():
            self._board.event("keep-alive", told.text, told.level)
        if self._machine.keeping is not self._shown:
            self._shown = self._machine.keeping
            self._hub.publish([Change("status", "*")])
