"""Starts a profile's supervisor, detached from the terminal, and ends one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

import ibtui
from ibtui import config, paths, sources
from ibtui.config import Profile, Settings
from ibtui.errors import IbtuiError
from ibtui.gateway import launch
from ibtui.profile import SECRETS
from ibtui.service import wire
from ibtui.service.host import starts_one
from ibtui.service.link import Link, Lost, find
from ibtui.service.place import Mark, Place

if TYPE_CHECKING:
    from pathlib import Path

START_S = 20.0
"""Seconds until a new one must listen."""
RELOAD_S = 5.0
"""Seconds one may take to read its settings anew."""
END_S = 15.0
"""Seconds one may take to end when asked."""
AGAIN_S = 0.2
"""Pause before one is started that could not be, because another one was still there."""
_POLL_S = 0.05
_PASSED_ON = ("JAVA_HOME", "CREDENTIALS_DIRECTORY")
_OURS = ("IBTUI_", "IB_", "IBEAM_", "TWILIO_")


def wanted(profile: Profile) -> bool:
    """Whether a profile is kept by a process of its own; the demo never is, it ends with its terminal."""
    return profile.keep_alive and profile.mode != "demo"


async def ensure(settings: Settings) -> Link:
    """The profile's supervisor with these settings, started if there is none.

    Raises:
        IbtuiError: it could not be started; says why.
    """
    return await up_to_date(await asyncio.to_thread(ensure_now, settings), settings)


async def up_to_date(link: Link, settings: Settings) -> Link:
    """A supervisor that began with other settings reads them anew, one of another version is replaced.

    One that has settings of its own (`ibtui serve`) is left as it is.

    Raises:
        IbtuiError: it does not answer, or no other one could be started.
    """
    ours = await asyncio.to_thread(digest, settings)
    theirs = await link.truth(brief=True)
    if not theirs.digest:
        return link
    if theirs.version != ibtui.__version__:
        await end(theirs.profile, wire.REPLACED)
        return await asyncio.to_thread(ensure_now, settings)
    if theirs.digest == ours:
        return link
    await link.do("reload", variables=variables(settings, config.environment()))
    with contextlib.suppress(TimeoutError):  # it kept its own, and its time line says why
        async with asyncio.timeout(RELOAD_S):
            await _come_back(link, ours)
    return link


async def _come_back(link: Link, ours: str) -> None:
    while True:
        await asyncio.sleep(_POLL_S)
        try:
            if (await link.truth(brief=True)).digest == ours:
                return
        except Lost:
            continue  # just between two rounds


def digest(settings: Settings) -> str:
    """What a supervisor works with: profile, addresses, and whether there is a gateway to start."""
    profile = settings.chosen()
    what = (profile, settings.addresses, starts_one(profile))
    return hashlib.sha256(repr(what).encode()).hexdigest()


def ensure_now(settings: Settings) -> Link:
    """As `ensure`, in this thread."""
    name = settings.chosen().name
    deadline = time.monotonic() + START_S
    while (found := find(name)) is None:
        report = _begin(settings, deadline)
        if report is None or (report.trouble is None and find(name) is None):
            raise IbtuiError("The keep-alive could not be started.", f"Look at {log_path(name)}.")
        if report.trouble is None:
            continue
        # Another terminal starts one at the same moment, or one is just ending.
        if report.trouble.kind != "Taken" or time.monotonic() >= deadline:
            raise report.trouble.error()
        _nap(AGAIN_S)
    return found


def _begin(settings: Settings, deadline: float) -> wire.Report | None:
    """Start one; what it says of itself, None when it ended without a word or said nothing in time."""
    launch.reap()
    child = _start(settings)
    try:
        return _report(child, deadline)
    finally:
        assert child.stdout is not None
        child.stdout.close()
        launch.leave(child)


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    """The process: a session of its own, settings on standard input, its report on standard output."""
    name = settings.chosen().name
    env = config.environment()
    orders = wire.Orders(profile=name, variables=variables(settings, env))
    log = log_path(name)
    paths.private(log.parent)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", "ibtui", "supervise", "--profile", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            cwd="/",
            env=environment(env),
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(out)
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(msgspec.json.encode(orders))
        child.stdin.close()
    return child


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """What of an environment the supervisor sees: nothing that may be a secret."""
    more = {name: env[name] for name in _PASSED_ON if name in env}
    return {**sources.scrubbed(env), **more}


def variables(settings: Settings, env: Mapping[str, str]) -> dict[str, str]:
    """What of an environment the settings are made of; it goes through the pipe."""
    profile = settings.chosen()
    named = {getattr(profile, secret).env for secret in SECRETS}
    found = {name: value for name, value in env.items() if name in named or name.startswith(_OURS)}
    return {**found, "IBTUI_CONFIG": str(settings.path)}


def log_path(profile: str) -> Path:
    """What a supervisor says that it cannot say elsewhere."""
    return paths.log_dir() / f"keep-{profile}.log"


def _report(child: subprocess.Popen[bytes], deadline: float) -> wire.Report | None:
    """What the child says of itself; None when it ended, or said nothing in time."""
    assert child.stdout is not None
    said = b""
    while not said.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            return None
        more = os.read(child.stdout.fileno(), 65536)
        if not more:
            return None
        said += more
    try:
        return msgspec.json.decode(said, type=wire.Report)
    except msgspec.DecodeError:
        return None


def _nap(seconds: float) -> None:
    select.select([], [], [], seconds)


async def end(profile: str, why: str) -> int:
    """End a profile's supervisor, the gateway lives on; returns its pid, 0 when there was none.

    One that does not answer gets the signal.

    Raises:
        IbtuiError: it does not end.
    """
    link = await asyncio.to_thread(find, profile)
    place = Place.of(profile)
    mark = place.mark()
    if mark is None or (link is None and not await asyncio.to_thread(place.taken)):
        return 0
    try:
        if link is None:
            os.kill(mark.pid, signal.SIGTERM)  # it lives, but its socket has gone
        else:
            await link.do("end", why=why)
    except (Lost, ProcessLookupError):
        pass  # it went meanwhile
    except IbtuiError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(mark.pid, signal.SIGTERM)
    if not await asyncio.to_thread(_gone, place, mark):
        raise IbtuiError(f"The keep-alive (pid {mark.pid}) does not end.", f"Run: kill -9 {mark.pid}")
    return mark.pid


def _gone(place: Place, mark: Mark) -> bool:
    deadline = time.monotonic() + END_S
    while place.mark() == mark and place.taken():
        if time.monotonic() >= deadline:
            return False
        _nap(_POLL_S)
    return True
