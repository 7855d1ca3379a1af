"""What every command gets: settings, profile, the form of its output."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ibtui import config, log, paths
from ibtui.config import Profile, Settings
from ibtui.service import output

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """One run of one command."""

    settings: Settings
    as_json: bool
    debug: bool

    @property
    def profile(self) -> Profile:
        """The profile it works on; raises UsageError when there is none of that name."""
        return self.settings.chosen()

    @classmethod
    def make(cls, path: Path | None, profile: str | None, *, as_json: bool, debug: bool) -> Context:
        """Read the settings; raises UsageError."""
        output.called_with(profile, path)
        flags = {"profile": profile} if profile else {}
        settings = config.load(path, flags=flags)
        log.set_up(paths.log_dir(), debug=debug)
        return cls(settings, as_json, debug)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; TERM and HUP cancel it like Ctrl+C, so that it cleans up."""

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        stop: Callable[[], object] = task.cancel
        for name in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(name, stop)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
