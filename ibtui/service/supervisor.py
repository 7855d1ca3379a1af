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

from aiohttp import web

from ibtui.auth import lock
from ibtui.clock import Clock, SystemClock
from ibtui.config import Settings
from ibtui.errors import IbtuiError, UsageError
from ibtui.service import spawn
from ibtui.service.door import Door, own_user_alone
from ibtui.service.kept import KeptRuntime
from ibtui.service.place import KEEPING, Mark, Place
from ibtui.service.relay import Relay
from ibtui.service.wire import RELOAD

IDLE_S = 180.0
"""Seconds without anything to keep, and nobody attached, until it ends by itself."""
LOOK_S = 5.0
"""How often it looks whether that is so."""
SOON_S = 0.2
"""The same once whoever started it has failed, and is just going."""
LARGEST = 16 * 1024 * 1024
"""Bytes of a request's body that is passed on."""
SHORT_S = 1.0
"""Seconds that open answers have to end."""

MakeDoor = Callable[["Supervisor"], AbstractAsyncContextManager[object]]
"""Opens another door (`ibtui serve`: HTTP), closed with the context."""


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
            self._runtime = await self._made(settings)
            stack.push_async_callback(self._leave)
            for make in self._doors:
                await stack.enter_async_context(make(self))
            while await self._round(path, died, listening) == RELOAD:
                settings, died = await self._reloaded(settings), 0
                before, self._runtime = self.runtime, await self._made(settings)
                self._runtime.follow(before)
                await before.close()
                path = await asyncio.to_thread(_again, stack, place, path)

    async def _made(self, settings: Settings) -> KeptRuntime:
        digest = "" if self._doors else await asyncio.to_thread(spawn.digest, settings)
        return KeptRuntime(settings, self._clock, digest)

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
            await runtime.start_keeping()
            self._begin(runtime, died)
            await stack.enter_async_context(_on_socket(path, door, runtime))
            listening()
            why = await self._over(runtime, door, path)
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

    async def _over(self, runtime: KeptRuntime, door: Door, path: Path) -> str:
        """Wait for the end; says why."""
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
            elif self._idle_s and (runtime.forgone or now - useless_since >= self._idle_s):
                return "nothing to keep"
            look = SOON_S if runtime.forgone else LOOK_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(look, self._idle_s / 2) or LOOK_S):
                    await feed.wait()
            feed.drain()
            if not await asyncio.to_thread(path.exists):
                return RELOAD  # whoever cleans up such folders has locked everybody out

    async def _leave(self) -> None:
        runtime = self.runtime
        try:
            if runtime.profile.stop_gateway_on_exit and self._signalled == _SIGNALS[signal.SIGTERM]:
                with contextlib.suppress(IbtuiError):
                    await runtime.stop_gateway()
        finally:
            await runtime.close()


_SIGNALS = {signal.SIGTERM: "ended by a signal", signal.SIGINT: "interrupted", signal.SIGHUP: RELOAD}


def _take(stack: contextlib.AsyncExitStack, place: Place) -> None:
    """Take the profile's lock for as long as the stack is open."""
    from ibtui.paths import private

    try:
        private(place.lock.parent)
    except OSError as error:
        raise IbtuiError(
            f"{error.filename}: {error.strerror}.", "Look at that folder: the keep-alive's lock goes there."
        ) from None
    try:
        stack.enter_context(lock.held(place.lock, KEEPING, timeout=0))
    except lock.Busy:
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


def _again(stack: contextlib.AsyncExitStack, place: Place, path: Path) -> Path:
    """Where to listen in the next round: as before, unless that place has gone."""
    if path.parent.exists():
        return path
    path = place.new_socket()
    place.write(Mark(os.getpid(), str(path)))
    stack.callback(_clear, place, path)
    return path


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
