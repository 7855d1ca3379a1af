"""When this person last looked at a profile: a small file in the state folder, for "since you left"."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from ibtui import paths


def _file(profile: str) -> Path:
    return paths.state_dir() / "seen" / f"{profile}.txt"


async def last_seen(profile: str) -> datetime | None:
    """When the screen was last open on this profile (aware); None where nobody knows."""
    try:
        found = datetime.fromisoformat((await asyncio.to_thread(_file(profile).read_text)).strip())
    except (OSError, ValueError):
        return None
    return found if found.tzinfo is not None else None


async def mark_seen(profile: str, at: datetime) -> None:
    """The screen is open, or was until now. A disk that refuses costs only this comfort."""
    try:
        await asyncio.to_thread(paths.write_private, _file(profile), at.isoformat().encode())
    except OSError:
        return
