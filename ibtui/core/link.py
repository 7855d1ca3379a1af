"""What keeping a socket open needs of a socket library, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from ibtui.core.wire import decode as wire
from ibtui.errors import IbtuiError
from ibtui.secret import Secret


class Link(Protocol):
    """One open connection. `send` raises `Unreachable` when it is gone; the rest never raises."""

    async def send(self, frame: str) -> None: ...

    async def wait_closed(self) -> None: ...

    def abort(self) -> None: ...

    async def close(self) -> None: ...


Dial = Callable[[str, Secret | None, Callable[[wire.Frame], None]], Awaitable[Link]]
"""Opens a link to a URL with a session; frames go to the callable. Raises `IbtuiError` only."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """`open`, `closed` (coming back) or `ended`, and why."""

    state: str
    reason: str = ""
    error: IbtuiError | None = None
