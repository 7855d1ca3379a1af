"""A profile at work in this process: gateway process, login, client, time line.

Screens and commands do not know it by name (commands make it through `service.runtimes`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibtui.auth.effects import Answers, Credentials, Note, Step
from ibtui.clock import Clock, SystemClock, Tasks
from ibtui.config import Profile, Settings
from ibtui.core.feed import Feed, Hub
from ibtui.core.models import AuthStatus, Event, Keeping, Lamp, LoginFacts, Status, Tickle
from ibtui.core.store import Store
from ibtui.errors import Competing, IbtuiError
from ibtui.secret import Secret
from ibtui.service import spent
from ibtui.service.answers.held import HeldAnswers
from ibtui.service.board import LOG_KEPT, Board
from ibtui.service.entry import Entry
from ibtui.service.host import LOG_IN, Host, host_for
from ibtui.service.keeper import Keeper
from ibtui.service.lamps import TAKE_OVER, brokerage_lamp, unknown
from ibtui.service.live import LiveValues, frames
from ibtui.service.looking import Looker, means_of, policy_of
from ibtui.service.runtime import Progress
from ibtui.service.sight import Means, Sight
from ibtui.service.telling import Telling

if TYPE_CHECKING:
    from ibtui.core.client import IbkrClient

PATIENCE_S = 15.0
"""Seconds one request may take."""


class LocalRuntime:
    """See `service.runtime.Runtime`.

    `live`: load and stream values whenever the session is ready, without being asked (the
    screen does). `timeout` seconds one request may take. `keeper`: this is the one process that
    keeps the profile (the supervisor, `serve`, a screen without a supervisor): it revives a gateway
    of ours that died, opens and logs in again as the profile allows, keeps the time line on disk
    and tells the hook. Without it only a session that is ready is kept alive while this lives.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        live: bool = False,
        timeout: float = PATIENCE_S,
        keeper: bool = False,
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._profile = settings.chosen()
        self._timeout = timeout
        self._hub = Hub()
        self._store = Store(self.clock)
        self._board = Board(self.clock, self._hub)
        self._host: Host = host_for(self._profile, settings.addresses)
        self._client: IbkrClient | None = None
        self._connecting = asyncio.Lock()
        self._live = LiveValues()
        self._wanted = live
        self._entry = Entry(settings, self.clock, self._board, self._host)
        self._looker = Looker(self._board, self.clock, self._host, self._entry, self._tickle)
        self._keeper = Keeper(
            self._board,
            self._hub,
            self.clock,
            policy_of(self._profile, keeper=keeper),
            self.refresh,
            self._back,
            self,
            memory=keeper and self._profile.relogin == "memory",
        )
        self._tasks = Tasks(self._keeper.failed)
        self._telling = Telling(self._board, self._profile, lambda: self.keeping.mode, on=keeper)
        self._watching = False
        self._closed = False

    # What is known -----------------------------------------------------------------

    @property
    def profile(self) -> Profile:
        return self._entry.profile

    @property
    def store(self) -> Store:
        return self._store

    @property
    def status(self) -> Status:
        return self._board.status

    @property
    def login_facts(self) -> LoginFacts:
        return self._entry.facts

    @property
    def keeping(self) -> Keeping:
        return self._keeper.keeping

    @property
    def events(self) -> Sequence[Event]:
        return self._board.events

    @property
    def log_lines(self) -> Sequence[str]:
        return self._board.log

    def subscribe(self) -> Feed:
        return self._hub.subscribe()

    def unattended(self) -> Answers | None:
        return self._host.answers()

    # Gateway -----------------------------------------------------------------------

    async def start_gateway(self, progress: Progress) -> None:
        await self._start(progress)
        self._keeper.asked("start")

    async def _start(self, progress: Progress) -> None:
        lamp = await self._host.look()
        if lamp.state != "on":
            with self._board.verb("gateway", "starting"):
                await self._drop_client()  # a new process may show a new certificate
                lamp = await self._host.start(progress)
            self._board.event("gateway", lamp.reason)
        self._board.set(gateway=lamp)
        self._watch()

    async def stop_gateway(self) -> None:
        # Also where it is not ours to stop: who wants it gone wants no login after that.
        self._keeper.held = None
        with self._board.verb("gateway", "stopping"):
            await self._host.stop()
            await self._drop_client()
            self._gateway_gone(Lamp(state="off", reason="stopped", fix=self._host.start_fix))
        self._board.event("gateway", "stopped")
        self._keeper.asked("stop")

    async def follow_log(self, lines: int, *, follow: bool) -> AsyncIterator[str]:
        """The gateway's log, redacted: the last `lines`, then new ones if `follow`."""
        async for line in self._host.log(lines, follow=follow):
            yield line

    # Session -----------------------------------------------------------------------

    async def login(self, answers: Answers, *, factor: str = "") -> None:
        try:
            await self._log_in(answers, factor)
        finally:
            # Also where it was accepted and only the brokerage session is missing.
            if self.status.sso.state == "on":
                self._keeper.asked("login")
                if self._entry.given is not None and self._keeper.hold(self._entry.given):
                    self._entry.given = None
        answers.note(Note(Step.BROKERAGE, done=True))
        answers.note(Note(Step.READY, done=True))

    async def _log_in(self, answers: Answers, factor: str = "") -> None:
        client = await self._connect()
        self._live.stale = True
        self._read_auth(await self._entry.login(answers, client, factor))

    def mean(self, account_type: str) -> None:
        self._entry.mean(account_type=account_type)

    async def enroll(self, answers: Answers, pin: Secret) -> None:
        await self._entry.enroll(answers, pin)

    async def export_key(self, path: Path, passphrase: Secret) -> None:
        await self._entry.export_key(path, passphrase)

    async def logout(self) -> None:
        client = await self._connect()
        with self._board.verb("brokerage", "logging out"):
            try:
                await client.logout()
            finally:
                await self._drop_client()
            self._board.set(sso=Lamp(state="off", reason="logged out", fix=LOG_IN), brokerage=unknown())
        self._board.event("login", "logged out")
        self._keeper.asked("logout")
        await self.refresh()

    async def open_brokerage(self, *, compete: bool) -> None:
        await self.open_again(compete=compete)
        self._keeper.asked("open")

    async def yield_session(self, minutes: int) -> None:
        self._keeper.yield_for(minutes)

    async def stop_keeping(self) -> None:
        self._keeper.stop()

    def hold(self, who: Credentials) -> None:
        """Keep a password in memory for logging in again, where `relogin = "memory"`; else do nothing.

        It is dropped on logout, refusal, `stop_gateway`, `stop_keeping` and `close`.
        """
        self._keeper.hold(who)

    async def start_keeping(self) -> None:
        """Read the time line of before, and begin to watch; any other verb begins to watch too."""
        await self._telling.recall(self._tasks)
        self._watch()

    # The keeper's hands ------------------------------------------------------------

    def seen(self) -> tuple[Sight, Means]:
        return self._looker.sight, means_of(self.profile, self._host, self._entry, self._keeper.held)

    async def open_again(self, *, compete: bool) -> None:
        with self._board.verb("brokerage", "opening"):
            client = await self._connect()
            try:
                self._read_auth(await client.init(compete=compete))
            except Competing as error:
                self._board.lit("brokerage", "warn", error.what, TAKE_OVER)
                raise

    async def log_in_again(self, held: Credentials | None) -> None:
        try:
            await self._log_in(HeldAnswers(held))
        finally:
            self._entry.given = None  # the keeper has it, until it is dropped there

    async def revive(self) -> None:
        await self._start(lambda _: None)

    async def refresh(self) -> Status:
        turn = self._board.turn
        found = await self._looker.look()
        refused = self._looker.refused
        if turn == self._board.turn and not self._board.acting:
            self._board.look(found)
            self._note_loss()
            self._keeper.saw()
        self._watch()
        if refused is not None:
            raise refused
        return self.status

    async def _tickle(self) -> Tickle:
        return await (await self._connect()).tickle()

    def _read_auth(self, found: AuthStatus) -> None:
        self._board.set(brokerage=brokerage_lamp(found, self.status.brokerage, self.clock.now()))

    # Live values -------------------------------------------------------------------

    async def load(self, *parts: str) -> None:
        """Snapshots into the store, by REST alone; `parts` as `IbkrClient.load` has them."""
        await (await self._connect()).load(*parts)

    async def go_live(self) -> None:
        self._wanted = True
        await self._live.begin(await self._connect())
        self._entry.look_at(self._store.accounts)
        self._watch()

    async def settled(self, kind: str, timeout: float = 10.0) -> None:
        """Return when the store holds values of `kind`, or after `timeout` seconds."""
        feed = self.subscribe()
        try:
            async with asyncio.timeout(timeout):
                while kind not in self._store.loaded or not getattr(self._store, kind):
                    await feed.wait()
                    feed.drain()
        except TimeoutError:
            return
        finally:
            feed.close()

    async def request(
        self,
        path: str,
        method: str = "GET",
        data: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        client = await self._connect()
        return await client.request(path, method, data, params)

    async def frames(self, words: Sequence[str]) -> AsyncIterator[Any]:
        """Every message of a socket of its own on which `words` were sent.

        Raises:
            TradingLocked: a frame that trades; nothing was sent.
            IbtuiError: the socket cannot be opened.
        """
        async with contextlib.aclosing(frames(await self._connect(), words)) as messages:
            async for message in messages:
                yield message

    async def close(self) -> None:
        self._closed = True
        self._keeper.held = self._entry.given = None
        await self._tasks.close()
        await self._telling.close()
        await self._drop_client()
        await self._host.close()

    # Inside ------------------------------------------------------------------------

    async def _connect(self) -> IbkrClient:
        async with self._connecting:
            if self._closed:
                raise IbtuiError("ibtui is being closed.")
            if self._client is None:
                self._client = await self._make_client()
                self._client.listeners.append(self._keeper.heard)
            return self._client

    async def _make_client(self) -> IbkrClient:
        """A client of the gateway itself; raises as `Host.door`."""
        door = await self._host.door()
        # The network libraries: a look at a gateway that is down goes without them.
        from ibtui.core.client import IbkrClient

        client = IbkrClient(
            door.oauth or door.url,
            api_host=door.url,
            read_only=not self._profile.trading,
            trust=door.trust,
            clock=self.clock,
            timeout=self._timeout,
            insecure_http=self._profile.insecure_http,
            proxy=self._profile.proxy,
            store=self._store,
            hub=self._hub,
        )
        await asyncio.to_thread(spent.recall, self._profile, client.pacing)
        return client

    async def _drop_client(self) -> None:
        self._live.end()
        client, self._client = self._client, None
        if client is not None:
            await client.close()
            await asyncio.to_thread(spent.note, self._profile, client.pacing)

    def _gateway_gone(self, lamp: Lamp) -> None:
        self._board.set(gateway=lamp, sso=unknown(), brokerage=unknown())
        self._note_loss()

    def _note_loss(self) -> None:
        if "off" in (self.status.gateway.state, self.status.sso.state):
            self._live.stale = True

    # The watch over it all ---------------------------------------------------------

    def _watch(self) -> None:
        """Start the keeper tasks once; a one-shot command closes them again at once."""
        if not self._watching and not self._closed:
            self._watching = True
            self._tasks.start(self._telling.recall(self._tasks), "time line of before")
            self._tasks.start(self._keeper.run(), "keep")
            self._tasks.start(self._follow(), "gateway log")
            self._tasks.start(self._mourn(), "gateway death")

    async def _follow(self) -> None:
        async for line in self._host.log(LOG_KEPT, follow=True):
            self._board.add_log(line)

    async def _mourn(self) -> None:
        while True:
            why = await self._host.death()
            self._board.turn += 1
            self._board.event("gateway", why, "error")
            self._keeper.died()
            self._gateway_gone(Lamp(state="off", reason=why, fix=self._host.start_fix))
            await self._drop_client()

    async def _back(self) -> None:
        """The session is ready: values, if anybody wanted them."""
        if self._wanted:
            await self.go_live()
