"""Codes of the second factor out of a file or a program, for logins that nobody watches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ibtui import config, sources
from ibtui.auth.effects import Answer, Answers, Cancel, Challenge, Code, Credentials, Note, Step
from ibtui.auth.factor import plain_name
from ibtui.clock import Clock
from ibtui.errors import PersonNeeded, UsageError
from ibtui.secret import Secret

PATIENCE_S = 180.0
"""Seconds to wait for the file, or for the program."""
FRESH_S = 30.0
"""A file that was there before the login began may be so old."""
_POLL_S = 0.5


def read_command(text: str) -> tuple[str, ...]:
    """An argument list out of JSON: `["oathtool", "--totp", "…"]`; a shell is never asked.

    Raises:
        UsageError: it is none.
    """
    try:
        found = msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        found = []
    if not found or not found[0]:
        raise UsageError(
            "--code-command is not a JSON list of a program and its arguments.",
            """Write it like this: --code-command '["pass", "otp", "ibkr"]'""",
        )
    return tuple(found)


@dataclass(slots=True)
class CodeSource:
    """Where codes come from: one of the two."""

    file: Path | None = None
    command: tuple[str, ...] = ()

    async def code(self, challenge: Challenge, clock: Clock, since: float) -> Secret:
        """A code; the program sees IBTUI_FACTOR and IBTUI_CHALLENGE.

        Raises:
            PersonNeeded: none came in time. UsageError: others may read the file, or no such program.
        """
        if self.file is not None:
            return Secret(await _from_file(self.file, clock, since))
        more = {"IBTUI_FACTOR": challenge.code, "IBTUI_CHALLENGE": challenge.challenge}
        env: Mapping[str, str] = config.environment()
        found = await sources.first_line(self.command, env, "the code", PATIENCE_S, **more)
        if not found.strip():
            raise PersonNeeded(f"{self.command[0]} printed no code.", "Run it by hand to see why.")
        return Secret(found)


async def _from_file(path: Path, clock: Clock, since: float) -> str:
    """The first line of a file that is written while the login waits, or just before it."""
    end = clock.monotonic() + PATIENCE_S
    while True:
        if _written(path) >= since - FRESH_S:
            found = sources.private_line(path).strip()
            if found:
                return found
        if clock.monotonic() >= end:
            raise PersonNeeded(
                f"No code came into {path} within {PATIENCE_S:.0f} s.",
                "Write it there (mode 0600) while the login waits; one that lay there before is not used.",
            )
        await clock.sleep(_POLL_S)


def _written(path: Path) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


class CodeAnswers:
    """Another's answers, but codes out of a file or a program, once each factor."""

    def __init__(self, person: Answers, source: CodeSource, clock: Clock) -> None:
        self._person = person
        self._source = source
        self._clock = clock
        self._since = clock.now().timestamp()
        self._used = False
        self.username: str = getattr(person, "username", "")
        self.has_password: bool = getattr(person, "has_password", False)

    async def credentials(self, username: str) -> Credentials:
        """The other's."""
        return await self._person.credentials(username)

    async def ask(self, challenge: Challenge) -> Answer:
        """The code; only once, for a second one would be the same.

        Raises:
            PersonNeeded, UsageError: as `CodeSource.code`.
        """
        if self._used:
            raise PersonNeeded(
                f"The {plain_name(challenge.code)} was not accepted: {challenge.problem}",
                "Look at what --code-file or --code-command gives.",
            )
        self._used = True
        self.note(Note(Step.FACTOR, f"{plain_name(challenge.code)}: waiting for the code"))
        return Code(await self._source.code(challenge, self._clock, self._since))

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """The other's."""
        return await self._person.choose(offered)

    async def confirm(self, text: str) -> bool:
        """The other's."""
        return await self._person.confirm(text)

    def note(self, note: Note) -> None:
        """The other's."""
        self._person.note(note)
