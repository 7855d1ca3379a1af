"""From the runtime's feed to messages for the screen in front, at most `refresh_hz` times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ibtui.ui.messages import BY_KIND, Changed

if TYPE_CHECKING:
    from ibtui.core.feed import Change, Feed

BURST_S = 0.02
"""How long the first of several changes waits for the others."""


def messages(changes: Iterable[Change]) -> list[Changed]:
    """One message for each kind of message in `changes`, with all its keys."""
    keys: dict[type[Changed], set[str]] = {}
    for change in changes:
        kind = BY_KIND.get(change.kind)
        if kind is not None:
            keys.setdefault(kind, set()).add(change.key)
    return [kind(frozenset(found)) for kind, found in keys.items()]


async def carry(feed: Feed, refresh_hz: int, post: Callable[[Changed], None]) -> None:
    """Hand over what changes until cancelled; waits a moment first, so that a burst is one message,
    and longer while the last messages are younger than `1 / refresh_hz` seconds.

    Screens that are hidden get nothing: they read the store when they come back.
    """
    pause = 1 / refresh_hz
    clock = asyncio.get_running_loop().time
    last = -pause
    try:
        while True:
            await feed.wait()
            await asyncio.sleep(max(min(BURST_S, pause), last + pause - clock()))
            last = clock()
            for message in messages(feed.drain()):
                post(message)
    finally:
        feed.close()
