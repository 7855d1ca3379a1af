"""What is known of a gateway process, and how one ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

Progress = Callable[[str], None]
"""Hears one short line about what is being done now."""


class State(StrEnum):
    """Whose process it is and whether it lives."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    """A process of ours, started or adopted."""
    EXTERNAL = "external"
    """Somebody else's gateway answers at our address."""


@dataclass(frozen=True, slots=True)
class Info:
    """What is known of the process. `rss` in bytes; `restarts`: starts after the first, by this object."""

    state: State
    url: str
    port: int
    pid: int | None = None
    since: datetime | None = None
    rss: int | None = None
    restarts: int = 0
    tied: bool = False
    outdated: bool = False
    """It runs with a command line from before a change of the settings."""
    program: str = ""
    """Name of the program behind somebody else's gateway, where the system tells."""


@dataclass(frozen=True, slots=True)
class Death:
    """How the process ended. `code`: as in `subprocess`, None when it was not our child."""

    when: datetime
    code: int | None
    reason: str
    lines: tuple[str, ...]
    """Its last words, redacted."""
    asked: bool
    """It was stopped by `stop`."""
