"""The verb `install`: from IBKR's address, from a zip, from a folder; and the way back."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from ibtui import config
from ibtui.clock import Clock
from ibtui.config import LOOPBACK, Profile, Settings
from ibtui.errors import IbtuiError
from ibtui.gateway import fetch
from ibtui.gateway.install import Installed, Shelf, built_of
from ibtui.gateway.java import find_java
from ibtui.service.host import INSTALLED, gateway_folder, starts_one

P = ParamSpec("P")
T = TypeVar("T")
Told = Callable[[str, int, int | None], None]
"""Hears what is being done (`downloading`, `unpacking`), bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is installed now."""

    installed: Installed
    previous: Installed | None
    changed: bool
    """Another gateway than before is in use now."""
    java: str
    """Version of the java that would run it; empty when there is none."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is before an installation."""

    address: str
    """Where a download comes from."""
    folder: Path
    """Where installations lie."""
    current: Installed | None
    previous: Installed | None
    warning: str
    """What is to be said about the age of `current`; empty for nothing."""
    begun: int
    """Bytes of a download that was stopped; the next one goes on from there."""
    used: bool
    """Whether the profile starts what is installed here."""
    java: str
    """Version of the java that would run it; empty when there is none."""
    java_trouble: IbtuiError | None
    """Why there is none, and how to get one."""


async def survey(settings: Settings, clock: Clock) -> Survey:
    """Look what is installed, whether a java would run it, and what a download has left. Raises nothing."""
    shelf, profile = Shelf(), settings.chosen()
    java, trouble = "", None
    try:
        java = (await find_java(profile.java, config.environment())).version
    except IbtuiError as error:
        trouble = error
    current, previous, begun = await asyncio.to_thread(
        lambda: (shelf.current, shelf.previous, _size(shelf.part))
    )
    used = not profile.gateway_command and (
        profile.gateway_dir == INSTALLED
        or (not profile.gateway_dir and urlsplit(profile.gateway_url).hostname in LOOPBACK)
    )
    return Survey(
        settings.addresses.gateway_download,
        shelf.root,
        current,
        previous,
        age(current, clock) if current is not None else "",
        begun,
        used and profile.mode == "gateway",
        java,
        trouble,
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


async def install(settings: Settings, source: Path | None, told: Told, clock: Clock) -> Outcome:
    """Install a gateway and make it the one in use.

    Args:
        source: a zip, or a folder that is adopted as it lies; None: the address in the settings.

    Raises:
        Unreachable: the download did not come in whole; the next one goes on from there.
        GatewayFault, UsageError: refused, or the disk; what was there before is unharmed.
    """
    shelf = Shelf()
    before = shelf.current
    with shelf.alone():
        if source is None:
            found = await _from_address(settings, shelf, told, clock)
        else:
            found = await _to_end(_from_here, shelf, source, told)
    return await _outcome(settings, shelf, before, found, clock)


def _from_here(shelf: Shelf, source: Path, told: Told) -> Installed:
    source = source.expanduser()
    return shelf.adopt(source) if source.is_dir() else shelf.add(source, _unpacking(told))


async def _from_address(settings: Settings, shelf: Shelf, told: Told, clock: Clock) -> Installed:
    from ibtui.service.download import fetcher

    address = settings.addresses.gateway_download
    await fetch.download(
        address, shelf.part, fetcher(settings), lambda done, total: told("downloading", done, total), clock
    )
    try:
        return await _to_end(shelf.add, shelf.part, _unpacking(told))
    finally:
        # A bad one would be bad again.
        fetch.forget(shelf.part)


async def rollback(settings: Settings, clock: Clock) -> Outcome:
    """Back to the gateway before the last installation.

    Raises:
        GatewayFault: there is none.
    """
    shelf = Shelf()
    before = shelf.current
    with shelf.alone():
        found = await _to_end(shelf.rollback)
    return await _outcome(settings, shelf, before, found, clock)


async def _to_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking `work` in a thread; who is cancelled waits for its end, so that our lock covers it."""
    running = asyncio.get_running_loop().run_in_executor(None, functools.partial(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def started_by(profile: Profile) -> Installed | None:
    """The installation that `gateway start` runs for this profile; None where there is none, or a command.

    `version` is known of those that were installed; of a `gateway_dir` only where and when built.
    """
    if profile.mode != "gateway" or profile.gateway_command or not starts_one(profile):
        return None
    try:
        folder = gateway_folder(profile)
        found = Shelf().current
        if found is not None and found.folder == folder:
            return found
        return Installed("", str(folder), built_of(folder), adopted=True)
    except IbtuiError:
        return None  # starting it says what is wrong


def age(found: Installed, clock: Clock) -> str:
    """A warning about a gateway that is older than a year; empty for others."""
    if not found.old(clock.now().date()):
        return ""
    return f"This gateway was built on {found.built}, more than a year ago; IBKR may have a newer."


async def _outcome(
    settings: Settings, shelf: Shelf, before: Installed | None, found: Installed, clock: Clock
) -> Outcome:
    warnings = [old] if (old := age(found, clock)) else []
    java = ""
    try:
        java = (await find_java(settings.chosen().java, config.environment())).version
    except IbtuiError as error:
        warnings.append(str(error))
    changed = before is None or (before.version, before.path) != (found.version, found.path)
    return Outcome(found, shelf.previous, changed, java, tuple(warnings))


def _unpacking(told: Told) -> Callable[[int, int], None]:
    return lambda done, total: told("unpacking", done, total)
