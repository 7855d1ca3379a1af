"""What a profile's keeper passes on of its board: to the time line on disk, and to the person's hook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ibtui import config
from ibtui.clock import Tasks
from ibtui.config import Profile
from ibtui.core.models import Event
from ibtui.service.board import Board
from ibtui.service.hook import SOURCE, Hook
from ibtui.service.timeline import Scribe, Timeline, path_of


class Telling:
    """Begins with `recall`; `mode` is the keep-alive's at the moment.

    `on`: this is the profile's keeper; else nothing is passed on, and nothing of the demo ever is.
    """

    def __init__(self, board: Board, profile: Profile, mode: Callable[[], str], *, on: bool) -> None:
        self._board = board
        self._timeline = Timeline(path_of(profile.name))
        self._scribe = Scribe(self._timeline)
        self._hook: Hook | None = None
        if profile.hook:
            self._hook = Hook(
                profile.hook,
                profile.name,
                config.environment(),
                lambda: (board.status, mode()),
                self._of_hook,
            )
        self._on = on and profile.mode != "demo"
        self._begun = False

    async def recall(self, tasks: Tasks) -> None:
        """Put the time line of before on the board, then pass on what is new, in `tasks`; once."""
        if self._begun or not self._on:
            return
        self._begun = True
        # What was written on the board before this moment, too.
        for event in self._board.events:
            self._heard(event)
        self._board.listeners.append(self._heard)
        self._board.recall(await asyncio.to_thread(self._timeline.read))
        tasks.start(self._scribe.run(), "time line")
        if self._hook is not None:
            tasks.start(self._hook.run(), "hook")

    async def close(self) -> None:
        """Write what still waits; after the tasks have ended."""
        if self._begun:
            await self._scribe.flush()

    def _heard(self, event: Event) -> None:
        self._scribe.put(event)
        if self._hook is not None:
            self._hook.put(event)

    def _of_hook(self, text: str, level: str) -> None:
        self._board.event(SOURCE, text, level)
