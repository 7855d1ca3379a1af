"""What outlives a terminal: one detached process a profile, which keeps its session alive.

It runs the keeper and answers at a Unix socket (`service.door`, `service.relay`); `ibtui serve`
is the same with doors of its own beside it. It ends when told to, or when there is nothing
left to keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ibtui.auth import lock
from ibtui.clock import Clock, SystemClock
from ibtui.config import Settings
from ibtui.core.feed import Change
from ibtui.core.models import Event, Lamp, Status
from ibtui.errors import IbtuiError, UsageError
from ibtui.service import wire
from ibtui.service.board import Told
from ibtui.service.door import Door, own_user_alone
from ibtui.service.local import LocalRuntime
from ibtui.service.place import KEEPING, Mark, Place
from ibtui.service.relay import Relay
from ibtui.service.runtime import Progress

if TYPE_CHECKING:
    from ibtui.core.client import IbkrClient

IDLE_S = 180.0
"""Seconds without anything to keep, and nobody attached, until it ends by itself."""
LOOK_S = 5.0
"""How often it looks whether that is so."""
FRESH_S = 2.0
"""So old a look may be for somebody who only asks how things are."""
LARGEST = 16 * 1024 * 1024
"""Bytes of a request's body that is passed on."""
SHORT_S = 1.0
"""Seconds that open answers have to end."""

MakeDoor = Callable[["Supervisor"], AbstractAsyncContextManager[object]]
"""Opens another door (`ibtui serve`: HTTP), closed with the context."""


class KeptRuntime(LocalRuntime):
    """The supervisor's runtime: the profile's keeper, with verbs for callers from elsewhere."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        super().__init__(settings, clock, keeper=True)
        self.idle = True
        """Nothing is to be kept: no gateway was seen yet, or a person has ended it or logged out."""
        self.ended = ""
        """Why a caller wants it all to end."""
        self._looked = -FRESH_S

    @property
    def user(self) -> str:
        """Who is logged in, as far as it is known here."""
        return self._entry.user

    @property
    def recent(self) -> tuple[list[Event], list[str], int]:
        """Time line, end of the log, and how many lines the log has had."""
        return list(self._board.events), list(self._board.log), self._board.logged

    def wake(self) -> None:
        """Let everybody who follows look again."""
        self._hub.publish([Change("status", "*")])

    def event(self, source: str, text: str, level: str = "info") -> None:
        """A line for the time line."""
        self._board.event(source, text, level)

    async def refresh(self) -> Status:
        found = await super().refresh()
        self._looked = self.clock.monotonic()
        return found

    async def look(self) -> None:
        """A look, unless one was taken just now; raises as `refresh`."""
        if self.clock.monotonic() - self._looked > FRESH_S:
            await self.refresh()

    async def client(self) -> IbkrClient:
        """The one connection to the gateway; raises as `Host.door`."""
        return await self._connect()

    async def do(self, verb: str, wish: wire.Wish, progress: Progress) -> None:
        """A verb that a terminal asks for; raises what it raises, UsageError for an unknown one."""
        match verb:
            case "refresh":
                await self.refresh()
            case "start":
                self.idle = False
                await self.start_gateway(progress)
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
                await self._facts()
            case "facts":
                await self._facts()
            case "mean":
                self.mean(wish.account_type)
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
        self._board.news.set()

    async def conversed(self, begun: int) -> None:
        """A terminal has told everything, or died with `begun` verbs open: look how things are."""
        if begun > 0:
            self._verb_over(begun)
            for name in ("sso", "brokerage"):
                lamp: Lamp = getattr(self.status, name)
                if lamp.state == "busy":
                    self._board.lit(name, "unknown", "the terminal that was logging in has gone")
        await self._facts()
        with contextlib.suppress(IbtuiError):
            await self.refresh()

    async def _facts(self) -> None:
        await self._entry.read_facts(self._entry.user)
        self.wake()

    @property
    def useless(self) -> bool:
        """Whether there is nothing to keep."""
        if self.status.ready:
            self.idle = False
        return self.idle and not self._board.acting


class Supervisor:
    """One for each profile; `load` reads the settings, at the start and on SIGHUP.

    `doors` are opened beside the socket, once. `idle_s` seconds with nothing to keep end it (0: never).
    `check` looks at settings read anew; with an error of it they stay as they were.
    """

    def __init__(
        self,
        load: Callable[[], Settings],
        *,
        doors: Sequence[MakeDoor] = (),
        idle_s: float = IDLE_S,
        clock: Clock | None = None,
        check: Callable[[Settings], Awaitable[None]] | None = None,
    ) -> None:
        self._load = load
        self._doors = doors
        self._idle_s = idle_s
        self._clock: Clock = clock or SystemClock()
        self._check = check
        self._signalled = ""
        self._trouble: IbtuiError | None = None
        self._since = self._clock.now()
        self._runtime: KeptRuntime | None = None

    @property
    def runtime(self) -> KeptRuntime:
        """At work now; another one after new settings."""
        assert self._runtime is not None, "run comes first"
        return self._runtime

    async def run(self, listening: Callable[[], None] = lambda: None) -> None:
        """Keep the profile until told to end; `listening` is called once callers are heard.

        Raises:
            Taken: another one keeps this profile.
            IbtuiError: there is no place for the socket, or a door cannot be opened.
            UsageError: wrong settings.
        """
        settings = await asyncio.to_thread(self._load)
        place = Place.of(settings.chosen().name)
        async with contextlib.AsyncExitStack() as stack:
            await asyncio.to_thread(_take, stack, place)
            path, died = await asyncio.to_thread(_prepare, place)
            stack.callback(_clear, place, path)
            self._on_signals(stack)
            self._runtime = KeptRuntime(settings, self._clock)
            stack.push_async_callback(self._leave)
            for make in self._doors:
                await stack.enter_async_context(make(self))
            while await self._round(path, died, listening) == "reload":
                settings, died = await self._reloaded(settings), 0
                await self.runtime.close()
                self._runtime = KeptRuntime(settings, self._clock)

    def end(self, why: str) -> None:
        """End in good order."""
        self._signalled = why
        if self._runtime is not None:
            self._runtime.wake()

    def _on_signals(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        for number, why in _SIGNALS.items():
            try:
                loop.add_signal_handler(number, self.end, why)
            except (NotImplementedError, RuntimeError, ValueError):
                return  # not the main thread: whoever runs us there ends us
            stack.callback(loop.remove_signal_handler, number)

    async def _reloaded(self, old: Settings) -> Settings:
        try:
            new = await asyncio.to_thread(self._load)
            if new.chosen().name != old.chosen().name:
                raise UsageError("the profile cannot be another while it is kept")
            if self._check is not None:
                await self._check(new)
        except IbtuiError as error:
            self._trouble = error
            return old
        return new

    async def _round(self, path: Path, died: int, listening: Callable[[], None]) -> str:
        """Until it ends, or the settings are to be read anew; says which."""
        runtime, self._signalled = self.runtime, ""
        door = Door(runtime, self._since)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(door.close)
            await stack.enter_async_context(_on_socket(path, door, runtime))
            await runtime.start_keeping()
            self._begin(runtime, died)
            listening()
            why = await self._over(runtime, door)
            door.end(why)
        return why

    def _begin(self, runtime: KeptRuntime, died: int) -> None:
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            runtime.event("keep-alive", f"the settings stay as they were: {trouble.what}", "error")
        elif died:
            runtime.event("keep-alive", f"started again: the one before (pid {died}) had died", "warn")
        else:
            runtime.event("keep-alive", f"runs on its own (pid {os.getpid()})")

    async def _over(self, runtime: KeptRuntime, door: Door) -> str:
        feed = runtime.subscribe()
        useless_since: float | None = None
        while True:
            if self._signalled or runtime.ended:
                return self._signalled or runtime.ended
            now = self._clock.monotonic()
            if door.attached or not runtime.useless:
                useless_since = None
            elif useless_since is None:
                useless_since = now
            elif self._idle_s and now - useless_since >= self._idle_s:
                return "nothing to keep"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await feed.wait()
            feed.drain()

    async def _leave(self) -> None:
        runtime = self.runtime
        try:
            if runtime.profile.stop_gateway_on_exit and self._signalled == _SIGNALS[signal.SIGTERM]:
                with contextlib.suppress(IbtuiError):
                    await runtime.stop_gateway()
        finally:
            await runtime.close()


_SIGNALS = {signal.SIGTERM: "ended by a signal", signal.SIGINT: "interrupted", signal.SIGHUP: "reload"}


def _take(stack: contextlib.AsyncExitStack, place: Place) -> None:
    """Take the profile's lock for as long as the stack is open."""
    from ibtui.paths import private

    private(place.lock.parent)
    try:
        stack.enter_context(lock.held(place.lock, KEEPING, timeout=0))
    except IbtuiError as error:
        if type(error) is not IbtuiError or "Another program" not in error.what:
            raise
        mark = place.mark()
        whose = f" (pid {mark.pid})" if mark is not None else ""
        raise Taken(f"Another ibtui{whose} keeps this profile already.", "End it: ibtui keep stop") from None


class Taken(IbtuiError):
    """Another supervisor keeps the profile."""


def _prepare(place: Place) -> tuple[Path, int]:
    """The socket's path, free; and the pid of one before us that died, 0 for none."""
    before = place.mark()
    if before is not None:
        Path(before.socket).unlink(missing_ok=True)
    path = place.new_socket()
    path.unlink(missing_ok=True)
    place.write(Mark(os.getpid(), str(path)))
    return path, before.pid if before is not None else 0


def _clear(place: Place, path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        place.write(None)


@contextlib.asynccontextmanager
async def _on_socket(path: Path, door: Door, runtime: KeptRuntime) -> AsyncIterator[None]:
    """The door and the relay at their Unix socket."""
    relay = Relay(runtime.client, runtime.clock)
    app = web.Application(middlewares=[own_user_alone], client_max_size=LARGEST)
    app.add_routes([*door.routes(), *relay.routes()])
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=SHORT_S)
    await runner.setup()
    try:
        await web.SockSite(runner, await asyncio.to_thread(listen, path)).start()
        yield
    finally:
        await relay.close()
        await runner.cleanup()


def listen(path: Path) -> socket.socket:
    """A Unix socket of ours, 0600, in its private folder."""
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(str(path))
        path.chmod(0o600)
        made.listen(64)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
