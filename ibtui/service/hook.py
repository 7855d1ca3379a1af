"""The person's own program, told of each change: argument list, no shell, one JSON object on its input."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from ibtui.core.models import Event, Status
from ibtui.sources import scrubbed

HOOK_S = 10.0
"""Seconds it may take; then it is killed with everything it has started."""
QUEUE = 50
"""Changes that may wait for it; the oldest are dropped."""
SOURCE = "hook"
"""Under which the time line tells of it. It is never told of itself: a failure would call it again."""


class Hook:
    """Runs `command` for each event, one at a time.

    `now` gives the lamps and the keep-alive's mode, which it is told beside the event. `tell(text,
    level)` hears of its failures, each once. `env` is ours; it gets an allow-list of it.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        profile: str,
        env: Mapping[str, str],
        now: Callable[[], tuple[Status, str]],
        tell: Callable[[str, str], None],
        *,
        timeout: float = HOOK_S,
    ) -> None:
        self._command = command
        self._profile = profile
        self._env = scrubbed(env)
        self._now = now
        self._tell = tell
        self._timeout = timeout
        self._waiting: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._dropped = False
        self._said = ""

    def put(self, event: Event) -> None:
        """Tell it of an event soon."""
        if event.source == SOURCE:
            return
        if len(self._waiting) >= QUEUE:
            self._waiting.popleft()
            if not self._dropped:
                self._dropped = True
                self._tell("it is too slow: the oldest changes are not told to it", "warn")
        self._waiting.append(event)
        self._wake.set()

    def _message(self, event: Event) -> bytes:
        status, mode = self._now()
        return msgspec.json.encode(
            {
                "profile": self._profile,
                "at": event.at,
                "source": event.source,
                "level": event.level,
                "text": event.text,
                "ready": status.ready,
                "gateway": status.gateway.state,
                "sso": status.sso.state,
                "brokerage": status.brokerage.state,
                "keep_alive": mode,
            }
        )

    async def run(self) -> None:
        """Until cancelled; a program that is at work then is killed."""
        while True:
            await self._wake.wait()
            if not self._waiting:
                self._wake.clear()
                self._dropped = False
                continue
            trouble = await self._once(self._message(self._waiting.popleft()))
            if trouble and trouble != self._said:
                self._tell(trouble, "warn")
            self._said = trouble

    async def _once(self, message: bytes) -> str:
        """Run it for one event; what went wrong, empty for nothing."""
        name = self._command[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._env,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a program's name"
            return f"{name} cannot be started: {why}"
        try:
            async with asyncio.timeout(self._timeout):
                await process.communicate(message + b"\n")
        except TimeoutError:
            return f"{name} took longer than {self._timeout:g} s and was ended"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return f"{name} failed (exit status {process.returncode})" if process.returncode else ""
