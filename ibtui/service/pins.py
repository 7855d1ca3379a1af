"""Certificates pinned on first use, by address (DESIGN: TLS to the gateway)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from ibtui import paths
from ibtui.auth import lock
from ibtui.gateway import health


def _file() -> Path:
    return paths.state_dir() / "pins.json"


def known(origin: str) -> str:
    """The fingerprint pinned for `origin`; empty when there is none."""
    return _read().get(origin, "")


def _read() -> dict[str, str]:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}


def remember(origin: str, fingerprint: str) -> None:
    """Pin `fingerprint` (SHA-256, hex) for `origin`; an empty one forgets it. For callers in threads.

    Raises:
        IbtuiError: another process has been writing for seconds. OSError: the disk said no.
    """
    paths.private(paths.state_dir())
    with lock.held(_file().with_name(".pins.lock"), "remembering a certificate"):
        pins = {**_read(), origin: fingerprint}
        kept = {where: what for where, what in sorted(pins.items()) if what}
        paths.write_private(_file(), msgspec.json.encode(kept))


async def renew(origin: str) -> None:
    """Pin what answers now, where that is a process that we have started: some make a new one each time."""
    if origin.startswith("https:"):
        found = await health.probe(origin)
        if found.fingerprint:
            await asyncio.to_thread(remember, origin, found.fingerprint)
