"""`ibtui serve`: keeps a profile and serves it over HTTP, until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import Any

from ibtui import config, sources
from ibtui.clock import SystemClock, Tasks
from ibtui.config import Settings
from ibtui.errors import IbtuiError
from ibtui.service import http, output
from ibtui.service.commands.context import Context, run
from ibtui.service.http_guard import Guard
from ibtui.service.local import LocalRuntime
from ibtui.service.notify import notify, watchdog_s

IDLE_S = 120.0
"""Seconds that new settings wait for a login that is at work."""


def serve(context: Context, *, host: str | None, port: int | None) -> int:
    """Serve until SIGTERM; SIGHUP reads the settings anew.

    Raises:
        UsageError: the address lets others in, and nothing keeps them out.
        IbtuiError: the port is taken.
    """
    given = {"serve.host": host, "serve.port": port}
    return run(Service(context, {key: value for key, value in given.items() if value is not None}).run())


class Service:
    """One run of `ibtui serve`; `flags` are settings from the command line, dotted."""

    def __init__(self, context: Context, flags: dict[str, Any]) -> None:
        self._context = context
        self._flags = {"profile": context.settings.profile, **flags}
        self._env = config.environment()
        self._clock = SystemClock()
        self._ending = asyncio.Event()
        self._guard = Guard()
        self._settings = self._read()
        self._runtime = LocalRuntime(self._settings, self._clock, keeper=True)
        self._door = http.HttpDoor(lambda: self._runtime, self._guard, clock=self._clock)
        self._tasks = Tasks(self._failed)
        self._reloading = asyncio.Lock()

    async def run(self) -> int:
        """Until it is told to end; returns the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.start(self._reload(), "reload"))
        try:
            await self._let_in(self._settings)
            url = await self._door.open(self._settings.serve.host, self._settings.serve.port)
            await self._runtime.start_keeping()
            self._ready(url)
            await self._ending.wait()
        finally:
            notify(self._env, "STOPPING=1")
            await self._close()
        return 0

    def _ready(self, url: str) -> None:
        name = self._settings.chosen().name
        output.say(f"ibtui serve: listening at {url}, profile {name}")
        if self._context.as_json:
            output.dump({"url": url, "profile": name, "pid": os.getpid()})
        notify(self._env, "READY=1", f"STATUS=listening at {url}")
        every = watchdog_s(self._env, os.getpid())
        if every:
            self._tasks.start(self._pat(every / 2), "watchdog")

    async def _pat(self, every: float) -> None:
        while True:
            notify(self._env, "WATCHDOG=1")
            await self._clock.sleep(every)

    async def _close(self) -> None:
        await self._tasks.close()
        await self._door.close()
        try:
            if self._settings.chosen().stop_gateway_on_exit:
                await self._runtime.stop_gateway()
        except IbtuiError as error:
            output.say(f"ibtui serve: {error}")
        finally:
            await self._runtime.close()

    def _failed(self, error: BaseException) -> None:
        output.say(f"ibtui serve: {error if isinstance(error, IbtuiError) else type(error).__name__}")

    # Settings ------------------------------------------------------------------------

    def _read(self) -> Settings:
        """The settings, read anew; where nobody said paper or live, either is meant, as there."""
        settings = config.load(self._context.settings.path, flags=self._flags)
        profile = settings.chosen()
        if f"profiles.{profile.name}.account_type" in settings.origins:
            return settings
        return replace(
            settings, profiles={**settings.profiles, profile.name: replace(profile, account_type="")}
        )

    async def _let_in(self, settings: Settings) -> None:
        """Set who may come in.

        Raises:
            UsageError: others could, and nothing keeps them out; or the token cannot be read.
        """
        serve = settings.serve
        token = await sources.of(settings.chosen(), "serve_token").read()
        problem = http.problem_of(serve.host, token=token is not None, insecure=serve.insecure_bind)
        if problem is not None:
            raise problem
        if risk := http.risk_of(serve.host, token=token is not None):
            output.say(f"ibtui serve: {risk}")
        self._guard.token = token
        self._guard.allow(serve.host, serve.allowed_hosts)

    async def _reload(self) -> None:
        """SIGHUP: what cannot be taken over is said; with an error everything stays as it was."""
        async with self._reloading:
            self._notify_reload()
            try:
                await self._take_over(await asyncio.to_thread(self._read))
            except IbtuiError as error:
                output.say(f"ibtui serve: the settings were not taken over. {error}")
            finally:
                notify(self._env, "READY=1")

    def _notify_reload(self) -> None:
        notify(self._env, "RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1_000_000)}")

    async def _take_over(self, new: Settings) -> None:
        old = self._settings
        fixed = replace(new.serve, host=old.serve.host, port=old.serve.port)
        if fixed != new.serve:
            output.say("ibtui serve: serve.host and serve.port change with a restart only.")
        new = replace(new, serve=fixed)
        await self._let_in(new)
        if (new.chosen(), new.addresses) != (old.chosen(), old.addresses):
            await self._renew(new)
        self._settings = new
        output.say("ibtui serve: the settings were read anew.")

    async def _renew(self, new: Settings) -> None:
        """The profile has changed: another runtime on the same gateway, when no login is at work.

        Raises:
            IbtuiError: one was, for too long; or the new settings cannot be used.
        """
        if not await self._door.idle(IDLE_S):
            raise IbtuiError("A login is at work.", "Send SIGHUP again when it is done.")
        fresh = LocalRuntime(new, self._clock, keeper=True)
        old, self._runtime = self._runtime, fresh
        self._door.renewed()
        await old.close()
        await fresh.start_keeping()
