"""A terminal's runtime: the supervisor's truth mirrored, its verbs asked for, values through its relay.

Where no supervisor lives (none was started yet, a person has ended it, it cannot be started) it
works in this process, as `LocalRuntime` does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from ibtui.auth.effects import Answers, Credentials
from ibtui.clock import Clock, Tasks
from ibtui.config import Settings
from ibtui.core.feed import Change
from ibtui.core.models import Keeping, LoginFacts, Status
from ibtui.errors import IbtuiError
from ibtui.secret import Secret
from ibtui.service import spawn, wire
from ibtui.service.link import Link, Lost, find
from ibtui.service.local import PATIENCE_S, LocalRuntime
from ibtui.service.runtime import Progress
from ibtui.service.wire import RELOAD, REPLACED

if TYPE_CHECKING:
    from ibtui.core.client import IbkrClient

AGAIN_S = (0.2, 1.0, 2.0, 5.0, 10.0)
"""Pauses before each attempt to find or start a supervisor after one has died."""
VALUES_S = 3.0
"""Until values are asked for again that did not come; a new supervisor does not know what is used up."""
STEADY_S = 30.0
"""One that lived so long was no failure."""
PATIENT_TRIES = 4
"""After so many a terminal works by itself."""
RELAYED = "http://ibtui"
"""The address within the socket: nobody resolves it."""


class AttachedRuntime(LocalRuntime):
    """See `service.runtime.Runtime`.

    `link`: the supervisor that was found; `spawns`: start one with the first start or login, and, as
    a screen that `stays`, for a session that is ready and that nobody keeps.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        link: Link | None = None,
        spawns: bool = False,
        stays: bool = False,
        live: bool = False,
        timeout: float = PATIENCE_S,
    ) -> None:
        super().__init__(settings, clock, live=live, timeout=timeout)
        self._link = link
        self._spawns = spawns and spawn.wanted(settings.chosen())
        self._finds = stays and self._spawns
        self.trouble: IbtuiError | None = None
        """Why no supervisor could be started."""
        self._theirs: wire.Truth | None = None
        """What the supervisor said last."""
        self._entering = False
        """Somebody logs in here: the supervisor does not know yet who."""
        self._mirroring: asyncio.Task[None] | None = None
        self._mirror_tasks = Tasks(self._keeper.failed)
        self._reviving: asyncio.Task[None] | None = None
        self._attaching = asyncio.Lock()

    # What is known -----------------------------------------------------------------

    @property
    def attached(self) -> bool:
        """Whether a supervisor does the work."""
        return self._link is not None

    @property
    def login_facts(self) -> LoginFacts:
        return super().login_facts if self._link is None or self._theirs is None else self._theirs.facts

    @property
    def keeping(self) -> Keeping:
        return super().keeping if self._link is None or self._theirs is None else self._theirs.keeping

    def _take(self, truth: wire.Truth) -> None:
        """Everything but time line and log, which the change stream alone brings."""
        self._theirs = truth
        self._changed()

    def _begin_again(self, truth: wire.Truth) -> None:
        """Time line and log as they are there."""
        board = self._board
        board.events.clear()
        board.events.extend(truth.events)
        board.log.clear()
        board.log.extend(truth.log)
        self._hub.publish([Change("event", "*"), Change("log", "*")])

    def _hear(self, news: wire.News) -> None:
        """One line of the change stream."""
        if news.whole is not None:
            self._begin_again(news.whole)
            self._take(news.whole)
            return
        old = self._theirs
        if old is None:
            return
        given = {name: getattr(news, name) for name in ("status", "keeping", "facts", "user")}
        changed = {name: value for name, value in given.items() if value is not None}
        board = self._board
        if news.events:
            board.events.extend(news.events)
            self._hub.publish([Change("event", "*")])
        for line in news.log:
            board.add_log(line)
        if changed:
            self._theirs = structs.replace(old, **changed)
            if news.keeping is not None and news.keeping.last != old.keeping.last:
                self._store.touch("tickle")
            self._changed()

    def _changed(self) -> None:
        theirs = self._theirs
        assert theirs is not None
        self._board.mirror(theirs.status)
        if not self._entering:
            self._entry.came(theirs.user)
        # Facts and keep-alive are shown with the lamps.
        self._hub.publish([Change("status", "*")])
        self._note_loss()
        idle = self._reviving is None or self._reviving.done()
        if idle and theirs.status.ready and self._wanted and not self._live.begun and not self._closed:
            self._reviving = self._mirror_tasks.start(self._alive_again(), "live again")

    async def _alive_again(self) -> None:
        """Load values as long as the session is ready and they are missing."""
        while self.status.ready and not self._live.begun:
            try:
                await self.go_live()
            except IbtuiError:
                await self.clock.sleep(VALUES_S)

    # Finding and losing it -----------------------------------------------------------

    async def attach(self) -> Link | None:
        """The supervisor; found or started if this terminal may, else None."""
        async with self._attaching:
            if self._link is None and not self._closed:
                found = await self._search()
                if found is not None:
                    await self._unwatch()
                    self._link = found
                    self._watch()
                    with contextlib.suppress(IbtuiError):
                        # A new one has not looked yet, and a login keeps it from looking.
                        await self._do("refresh")
            return self._link

    async def _search(self) -> Link | None:
        name = self._profile.name
        if not self._spawns:
            return await asyncio.to_thread(find, name)
        try:
            return await spawn.ensure(self.settings)
        except IbtuiError as error:
            self.trouble = error
        except OSError as error:
            why = f"The keep-alive cannot be started ({error.strerror or type(error).__name__})."
            self.trouble = IbtuiError(why, "Mend that, and start again.")
        self._board.event("keep-alive", f"{self.trouble.what} It ends with this terminal.", "error")
        return None

    async def _unwatch(self) -> None:
        """End what this process did by itself: from now on the supervisor does it."""
        await self._tasks.close()
        self._watching = False
        await self._drop_client()

    def _watch(self) -> None:
        if self._link is None:
            super()._watch()
        elif (self._mirroring is None or self._mirroring.done()) and not self._closed:
            self._mirroring = self._mirror_tasks.start(self._mirror(), "mirror")

    async def _mirror(self) -> None:
        """Follow the supervisor; come back to it, or to a new one, when it is gone without a word."""
        tries = 0
        while self._link is not None:
            began = self.clock.monotonic()
            try:
                async for news in self._link.changes():
                    self._hear(news)
                    if news.ended:
                        break
                else:
                    raise Lost("The keep-alive went away.")
            except IbtuiError:
                if self.clock.monotonic() - began > STEADY_S:
                    tries = 0  # else one that dies again and again would be started for ever
                if tries == 0:
                    self._board.event(
                        "keep-alive",
                        "the process that keeps the session alive is gone; looking for it",
                        "warn",
                    )
                await self._find_again(tries)
                tries += 1
                if tries > PATIENT_TRIES:
                    await self._let_go("it is gone, and there is no other")
                    return
                continue
            if news.ended == REPLACED:
                await self._find_again(0)
            elif news.ended != RELOAD:
                self._finds = False  # whoever ended it does not want another one at once
                self._keeper.stop()
                await self._let_go(news.ended)
                return
            else:
                await self.clock.sleep(AGAIN_S[0])

    async def _find_again(self, tries: int) -> None:
        await self.clock.sleep(AGAIN_S[min(tries, len(AGAIN_S) - 1)])
        old = self._link
        found = await (self._search() if self._spawns else asyncio.to_thread(find, self._profile.name))
        if found is not None:
            self._link = found
            if old is None or (found.path, found.pid) != (old.path, old.pid):
                self._live.stale = True
                await self._drop_client()

    async def _let_go(self, why: str) -> None:
        """There is none any more: what this terminal needs it does itself."""
        self._link = self._theirs = None
        await self._drop_client()
        self._live.stale = True
        self._board.event("keep-alive", f"the keep-alive has ended: {why}", "warn")
        super()._watch()

    # The gateway's client ----------------------------------------------------------

    async def _make_client(self) -> IbkrClient:
        if self._link is None:
            return await super()._make_client()
        from ibtui.core.client import IbkrClient

        return IbkrClient(
            RELAYED,
            uds=self._link.path,
            direct=self._profile.direct,
            read_only=not self._profile.trading,
            clock=self.clock,
            timeout=self._timeout,
            store=self._store,
            hub=self._hub,
        )

    # Verbs -------------------------------------------------------------------------

    async def _do(self, verb: str, progress: Progress | None = None, **wish: object) -> bool:
        """Have the supervisor do it; False where there is none."""
        if self._link is None:
            return False
        self._take(await self._link.do(verb, progress, **wish))
        return True

    async def start_gateway(self, progress: Progress) -> None:
        await self.attach()
        if not await self._do("start", progress):
            await super().start_gateway(progress)
        self._watch()

    async def stop_gateway(self) -> None:
        if await self._do("stop"):
            await self._drop_client()
        else:
            await super().stop_gateway()

    async def refresh(self) -> Status:
        if not await self._do("refresh"):
            await super().refresh()
            if self._finds and self.status.ready:
                self._mirror_tasks.start(self.attach(), "attach")
        self._watch()
        return self.status

    async def logout(self) -> None:
        if await self._do("logout"):
            await self._drop_client()
        else:
            await super().logout()

    async def go_live(self) -> None:
        if self._finds:
            await self.attach()  # not amid the loading: it would be lost with the client of before
        await super().go_live()

    async def open_brokerage(self, *, compete: bool) -> None:
        if not await self._do("open", compete=compete):
            await super().open_brokerage(compete=compete)

    async def yield_session(self, minutes: int) -> None:
        if not await self._do("yield", minutes=minutes):
            await super().yield_session(minutes)

    async def stop_keeping(self) -> None:
        await super().stop_keeping()
        if self._link is not None:
            with contextlib.suppress(Lost):  # it went while it answered
                await self._do("end", why="a person has ended it")

    def mean(self, account_type: str) -> None:
        super().mean(account_type)
        if self._link is not None:
            self._mirror_tasks.start(self._do("mean", account_type=account_type), "account type")

    # Logins run here, where the person is ---------------------------------------------

    @contextlib.asynccontextmanager
    async def _told_there(self) -> AsyncIterator[None]:
        """What is written on our board is written on the supervisor's too; then it looks at once."""
        link = self._link
        if link is None:
            yield
            return
        async with link.conversation() as tell:
            self._board.tell = tell
            try:
                yield
            finally:
                self._board.tell = None
        if self._theirs is not None:
            self._board.mirror(self._theirs.status)

    async def login(self, answers: Answers, *, factor: str = "") -> None:
        link = await self.attach()
        if link is None:
            try:
                await super().login(answers, factor=factor)
            finally:
                self._entry.given = None  # nobody here logs in again
            return
        entered = False
        self._entering = True
        try:
            if self._profile.direct:
                # The supervisor gets the token; there is nothing to ask a person.
                await self._do("start")
            async with self._told_there():
                try:
                    await super().login(answers, factor=factor)
                finally:
                    # Also where it was accepted and only the brokerage session is missing.
                    entered = self.status.sso.state == "on"
        finally:
            try:
                await self._entered(link, entered)
            finally:
                self._entering = False

    async def _entered(self, link: Link, entered: bool) -> None:
        """Tell the supervisor whose login it was, and give it the password it may hold."""
        given, self._entry.given = self._entry.given, None
        with contextlib.suppress(Lost):  # then there is nobody to keep it
            if not entered:
                await self._do("facts", user=self._entry.named)
                return
            await self._do("entered", user=self._entry.who)
            if given is not None and self._profile.relogin == "memory":
                await link.hold(given.username, given.password.reveal())

    def hold(self, who: Credentials) -> None:
        """As `LocalRuntime.hold`; an attached terminal hands the password on and keeps none."""
        if self._link is None:
            super().hold(who)

    async def enroll(self, answers: Answers, pin: Secret) -> None:
        async with self._told_there():
            await super().enroll(answers, pin)
        await self._do("facts", user=self._entry.named)

    async def export_key(self, path: Path, passphrase: Secret) -> None:
        async with self._told_there():
            await super().export_key(path, passphrase)

    async def close(self, *, forgo: bool = False) -> None:
        self._closed = True
        await self._mirror_tasks.close()
        if forgo and self._link is not None:
            await self._link.forgo()
        await super().close()
