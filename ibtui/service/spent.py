"""What a command has sent, for the one that comes right after it: IBKR counts them together.

Where a keep-alive runs, everything is counted there; this is for profiles without one. A small file
that may be lost. Synchronous, for callers in threads.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ibtui import paths
from ibtui.config import Profile
from ibtui.core.pacing import Pacing


class _Spent(msgspec.Struct, frozen=True):
    sent: list[float]
    blocked_until: float


def _file(profile: str) -> Path:
    return paths.state_dir() / "spent" / f"{profile}.json"


def recall(profile: Profile, pacing: Pacing) -> None:
    """Let `pacing` know what was sent just before."""
    try:
        found = msgspec.json.decode(_file(profile.name).read_bytes(), type=_Spent)
    except (OSError, msgspec.DecodeError):
        return
    pacing.recall(found.sent, found.blocked_until)


def note(profile: Profile, pacing: Pacing) -> None:
    """Write down what was sent; a disk that refuses costs a pause at most. A demo leaves nothing behind."""
    sent, blocked_until = pacing.recent
    if not sent or profile.mode == "demo":
        return
    try:
        paths.private(paths.state_dir())
        paths.write_private(_file(profile.name), msgspec.json.encode(_Spent(sent, blocked_until)))
    except OSError:
        return
