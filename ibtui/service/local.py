"""A profile at work in this process: gateway process, login, client, time line.

The one implementation of `service.runtime.Runtime` for now; screens and commands do
not know it by name (commands make it through `runtime_for`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ibtui.auth.effects import Answers, Note, Step
from ibtui.auth.login import login as login_flow
from ibtui.clock import Clock, SystemClock, Tasks
from ibtui.config import Profile, Settings
from ibtui.core import drive
from ibtui.core.client import IbkrClient
from ibtui.core.feed import Change, Feed, Hub
from ibtui.core.models import AuthStatus, Event, Lamp, Status
from ibtui.core.store import Store
from ibtui.core.topics import Subscription
from ibtui.core.wire.frames import opposite
from ibtui.errors import (
    Competing,
    GatewayDown,
    IbtuiError,
    NotLoggedIn,
    Unreachable,
    UsageError,
)
from ibtui.service.host import LOG_IN, Host, host_for
from ibtui.service.lamps import after_login, brokerage_lamp, sso_lamp, unknown
from ibtui.service.runtime import Progress

EVENTS_KEPT = 500
LOG_KEPT = 500
TICKLE_S = 60.0
"""Keep-alive (web-api.md §2.7)."""
LOOK_S = 5.0
"""How often a session that is not ready is looked at."""
SETTLE = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
"""Waits before each look for `authenticated` after a login (login.md §3 'After the login')."""


def runtime_for(settings: Settings) -> contextlib.AbstractAsyncContextManager[LocalRuntime]:
    """A runtime on the chosen profile that is closed at the end.

    Raises:
        UsageError: no such profile, or one whose mode this version does not offer.
    """

    @contextlib.asynccontextmanager
    async def manage() -> AsyncIterator[LocalRuntime]:
        runtime = LocalRuntime(settings)
        try:
            yield runtime
        finally:
            await runtime.close()

    return manage()


class LocalRuntime:
    """See `service.runtime.Runtime`."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._profile = settings.chosen()
        if self._profile.mode.startswith("oauth"):
            raise UsageError("This version does not speak OAuth yet.", 'Use mode = "gateway" or "demo".')
        self._hub = Hub()
        self._store = Store()
        self._status = Status()
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._log: deque[str] = deque(maxlen=LOG_KEPT)
        self._tasks = Tasks(self._failed)
        self._host: Host = host_for(self._profile)
        self._client: IbkrClient | None = None
        self._live = False
        self._user = ""
        self._wake = asyncio.Event()
        self._watching = False
        self._busy = asyncio.Lock()

    # What is known -----------------------------------------------------------------

    @property
    def profile(self) -> Profile:
        return self._profile

    @property
    def store(self) -> Store:
        return self._store

    @property
    def status(self) -> Status:
        return self._status

    @property
    def events(self) -> Sequence[Event]:
        return self._events

    @property
    def log_lines(self) -> Sequence[str]:
        return self._log

    def subscribe(self) -> Feed:
        return self._hub.subscribe()

    def unattended(self) -> Answers | None:
        return self._host.answers()

    # Gateway -----------------------------------------------------------------------

    async def start_gateway(self, progress: Progress) -> None:
        lamp = await self._host.look()
        if lamp.state != "on":
            self._set(gateway=Lamp(state="busy", since=self.clock.now(), reason="starting"))
            try:
                lamp = await self._host.start(progress)
            except IbtuiError as error:
                self._set(gateway=Lamp(state="off", since=self.clock.now(), reason=error.what, fix=error.fix))
                raise
            self._event("gateway", lamp.reason)
        self._set(gateway=lamp)
        self._watch()

    async def stop_gateway(self) -> None:
        await self._drop_client()
        await self._host.stop()
        self._event("gateway", "stopped")
        self._set(
            gateway=Lamp(state="off", since=self.clock.now(), reason="stopped", fix=self._host.start_fix),
            sso=unknown(),
            brokerage=unknown(),
        )

    async def follow_log(self, lines: int, *, follow: bool) -> AsyncIterator[str]:
        """The gateway's log, redacted: the last `lines`, then new ones if `follow`."""
        async for line in self._host.log(lines, follow=follow):
            yield line

    # Session -----------------------------------------------------------------------

    async def login(self, answers: Answers) -> None:
        who = await answers.credentials(self._profile.username)
        client = await self._connect()
        self._set(sso=Lamp(state="busy", since=self.clock.now(), reason=f"logging in {who.username}"))
        try:
            done = await drive.run(login_flow(who), answers, client.rest, self.clock)
        except (IbtuiError, asyncio.CancelledError) as error:
            why = error.what if isinstance(error, IbtuiError) else "the login was cancelled"
            fix = error.fix if isinstance(error, IbtuiError) else ""
            self._event("login", why, "error" if isinstance(error, IbtuiError) else "info")
            self._set(sso=Lamp(state="off", since=self.clock.now(), reason=why, fix=fix))
            raise
        self._user = done.username
        self._event("login", f"{done.username} accepted")
        self._set(sso=Lamp(state="on", since=self.clock.now(), reason=done.username))
        answers.note(Note(Step.BROKERAGE, "waiting for the brokerage session"))
        await self._await_brokerage(client)
        answers.note(Note(Step.BROKERAGE, done=True))
        answers.note(Note(Step.READY, done=True))

    async def _await_brokerage(self, client: IbkrClient) -> None:
        """The gateway opens it by itself within seconds (login.md §9.4); else we do."""
        self._set(brokerage=Lamp(state="busy", since=self.clock.now(), reason="opening"))
        for pause in SETTLE:
            await self.clock.sleep(pause)
            try:
                found = await client.status()
            except NotLoggedIn:
                continue
            self._read_auth(found)
            if found.ready:
                return
            if found.competing:
                break
        await self.open_brokerage(compete=self._profile.compete)

    async def logout(self) -> None:
        client = await self._connect()
        try:
            await client.logout()
        finally:
            await self._drop_client()
        self._event("login", "logged out")
        await self.refresh()

    async def open_brokerage(self, *, compete: bool) -> None:
        client = await self._connect()
        self._set(brokerage=Lamp(state="busy", since=self.clock.now(), reason="opening"))
        try:
            self._read_auth(await client.init(compete=compete))
        except IbtuiError as error:
            state = "warn" if isinstance(error, Competing) else "off"
            self._set(brokerage=Lamp(state=state, since=self.clock.now(), reason=error.what, fix=error.fix))
            raise

    async def refresh(self) -> Status:
        before = self._status
        lamp = await self._host.look()
        if lamp.state != "on":
            self._set(gateway=lamp, sso=unknown(), brokerage=unknown())
        else:
            self._set(gateway=lamp)
            await self._look_at_session()
        self._tell_changes(before)
        self._watch()
        return self._status

    async def _look_at_session(self) -> None:
        try:
            client = await self._connect()
            tickle = await client.tickle()
        except NotLoggedIn as error:
            self._set(sso=sso_lamp(error, LOG_IN), brokerage=unknown())
        except GatewayDown as error:
            self._set(
                gateway=Lamp(state="off", since=self.clock.now(), reason=error.what, fix=error.fix),
                sso=unknown(),
                brokerage=unknown(),
            )
        except (Unreachable, IbtuiError) as error:
            lamp = Lamp(state="unknown", since=self.clock.now(), reason=error.what, fix=error.fix)
            self._set(sso=lamp, brokerage=unknown())
        else:
            self._set(sso=after_login(tickle, self._user, self._status.sso, self.clock.now()))
            self._read_auth(tickle.status)

    def _read_auth(self, found: AuthStatus) -> None:
        self._set(brokerage=brokerage_lamp(found, self._status.brokerage, self.clock.now()))

    # Live values -------------------------------------------------------------------

    async def load(self, *parts: str) -> None:
        """Snapshots into the store, by REST alone; `parts` as `IbkrClient.load` has them."""
        await (await self._connect()).load(*parts)

    async def go_live(self) -> None:
        async with self._busy:
            if self._live:
                return
            client = await self._connect()
            # Quick parts first: orders and trades answer only after a pause (web-api.md §1.6).
            await client.load("accounts", "positions", "amounts")
            await asyncio.gather(client.watch(tickle_every=0), client.load("orders", "trades", "pnl"))
            self._live = True
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
        """Every message of a socket of its own on which `words` were sent."""
        client = await self._connect()
        socket = client.socket()
        async with socket.multiplex(None, None, lambda message: True) as messages:
            for word in words:
                await socket.add(Subscription(word, opposite(word)))
            async for message in messages:
                yield message

    async def close(self) -> None:
        await self._tasks.close()
        await self._drop_client()
        await self._host.close()

    # Inside ------------------------------------------------------------------------

    async def _connect(self) -> IbkrClient:
        if self._client is None:
            door = await self._host.door()
            self._client = IbkrClient(
                door.url,
                read_only=not self._profile.trading,
                trust=door.trust,
                clock=self.clock,
                insecure_http=self._profile.insecure_http,
                proxy=self._profile.proxy,
                store=self._store,
                hub=self._hub,
            )
            self._client.listeners.append(self._heard)
        return self._client

    async def _drop_client(self) -> None:
        self._live = False
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _set(self, **lamps: Lamp) -> None:
        old = self._status
        values = {name: lamps.get(name, getattr(old, name)) for name in ("gateway", "sso", "brokerage")}
        new = Status(**values)
        if new != old:
            self._status = new
            self._hub.publish([Change("status", "*")])

    def _event(self, source: str, text: str, level: str = "info") -> None:
        if self._events and (self._events[-1].source, self._events[-1].text) == (source, text):
            return
        self._events.append(Event(at=self.clock.now(), source=source, text=text, level=level))
        self._hub.publish([Change("event", "*")])

    def _heard(self, event: Event) -> None:
        """News of the stream, for the time line; what concerns the session is looked at at once."""
        self._event(event.source, event.text, event.level)
        if event.source == "brokerage" or event.level != "info":
            self._wake.set()

    def _tell_changes(self, before: Status) -> None:
        for name, source in (("gateway", "gateway"), ("sso", "login"), ("brokerage", "brokerage")):
            old, new = getattr(before, name), getattr(self._status, name)
            if old.state in (new.state, "busy"):
                continue
            # From unknown to off is no news: nothing was lost.
            if new.state == "on" or (old.state in ("on", "warn") and new.state in ("off", "warn")):
                level = "info" if new.state == "on" else "warn"
                self._event(source, new.reason or new.state, level)

    def _failed(self, error: BaseException) -> None:
        text = error.what if isinstance(error, IbtuiError) else f"internal error ({type(error).__name__})"
        self._event("ibtui", text, "error")

    # The watch over it all ---------------------------------------------------------

    def _watch(self) -> None:
        """Start the keeper tasks once; a one-shot command closes them again at once."""
        if not self._watching:
            self._watching = True
            self._tasks.start(self._keep(), "keep")
            self._tasks.start(self._follow(), "gateway log")
            self._tasks.start(self._mourn(), "gateway death")

    async def _follow(self) -> None:
        async for line in self._host.log(LOG_KEPT, follow=True):
            self._log.append(line)
            self._hub.publish([Change("log", "*")])

    async def _mourn(self) -> None:
        while True:
            why = await self._host.death()
            self._event("gateway", why, "error")
            await self._drop_client()
            self._set(
                gateway=Lamp(state="off", since=self.clock.now(), reason=why, fix=self._host.start_fix),
                sso=unknown(),
                brokerage=unknown(),
            )

    async def _keep(self) -> None:
        """Tickle what lives, look for what does not, and go live again when it is back."""
        while True:
            ready = self._status.ready
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICKLE_S / 4 if ready else LOOK_S):
                    await self._wake.wait()
            if ready and not self._profile.keep_alive:
                continue
            try:
                status = await self.refresh()
                if status.ready and not self._live and self._client is not None and self._store.accounts:
                    await self.go_live()
            except IbtuiError as error:
                # Shown and tried again: the keep-alive never gives up on a passing error.
                self._event("keep-alive", error.what, "warn")
