"""`ibtui serve`: a profile's supervisor with an HTTP door, in the foreground, until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from ibtui import config, sources
from ibtui.clock import SystemClock, Tasks
from ibtui.config import Settings
from ibtui.errors import IbtuiError
from ibtui.service import http, output
from ibtui.service.commands.context import Context, run
from ibtui.service.http_guard import Guard
from ibtui.service.notify import notify, watchdog_s
from ibtui.service.supervisor import Supervisor

IDLE_S = 120.0
"""Seconds that new settings wait for a login that is at work."""
INTERRUPTED = 130


def serve(context: Context, *, host: str | None, port: int | None) -> int:
    """Serve until SIGTERM; SIGHUP reads the settings anew.

    Raises:
        UsageError: the address lets others in, and nothing keeps them out.
        IbtuiError: the port is taken, or another process keeps this profile.
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
        self._guard = Guard()
        self._settings = self._read()
        self._door: http.HttpDoor | None = None
        self._url = ""
        self._begun = False
        self._exit = 0

    async def run(self) -> int:
        """Until it is told to end; returns the exit status."""
        where = self._settings.serve
        await self._let_in(self._settings)
        # First of all: that the port is taken is told before anything is begun.
        with await http.listen(where.host, where.port) as taken:

            @contextlib.asynccontextmanager
            async def door(supervisor: Supervisor) -> AsyncIterator[None]:
                async with self._open(supervisor, taken):
                    yield

            supervisor = Supervisor(
                self._load, doors=[door], idle_s=0, clock=self._clock, check=self._take_over
            )
            await supervisor.run(lambda: self._listening(supervisor))
        return self._exit

    @contextlib.asynccontextmanager
    async def _open(self, supervisor: Supervisor, taken: socket.socket) -> AsyncIterator[None]:
        """The HTTP door; it is closed before the runtime is."""
        door = self._door = http.HttpDoor(lambda: supervisor.runtime, self._guard, clock=self._clock)
        self._url = await door.open(taken)
        tasks = Tasks()
        every = watchdog_s(self._env, os.getpid())
        if every:
            tasks.start(self._pat(every / 2), "watchdog")
        try:
            yield
        finally:
            notify(self._env, "STOPPING=1")
            await tasks.close()
            await door.close()

    def _listening(self, supervisor: Supervisor) -> None:
        """Callers are heard: at the start, and again after new settings."""
        notify(self._env, "READY=1", f"STATUS=listening at {self._url}")
        if self._begun:
            return
        self._begun = True

        def interrupt() -> None:
            self._exit = INTERRUPTED
            supervisor.end("interrupted")

        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        name = self._settings.chosen().name
        output.say(f"ibtui serve: listening at {self._url}, profile {name}")
        if self._context.as_json:
            output.dump({"url": self._url, "profile": name, "pid": os.getpid()})

    async def _pat(self, every: float) -> None:
        while True:
            notify(self._env, "WATCHDOG=1")
            await self._clock.sleep(every)

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

    def _load(self) -> Settings:
        """For the supervisor: at the start, and on SIGHUP (in a thread)."""
        if not self._begun:
            return self._settings
        notify(self._env, "RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * 1_000_000)}")
        try:
            return self._read()
        except IbtuiError as error:
            output.say(f"ibtui serve: the settings stay as they were. {error}")
            raise

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

    async def _take_over(self, new: Settings) -> None:
        """Whether new settings may be used; who may come in is set at once.

        Raises:
            IbtuiError: they may not, or a login is at work for too long.
        """
        old = self._settings.serve
        try:
            await self._let_in(replace(new, serve=replace(new.serve, host=old.host, port=old.port)))
            if self._door is not None and not await self._door.idle(IDLE_S):
                raise IbtuiError("A login is at work.", "Send SIGHUP again when it is done.")
        except IbtuiError as error:
            output.say(f"ibtui serve: the settings stay as they were. {error}")
            raise
        if (new.serve.host, new.serve.port) != (old.host, old.port):
            output.say("ibtui serve: serve.host and serve.port change with a restart only.")
        output.say("ibtui serve: the settings were read anew.")
