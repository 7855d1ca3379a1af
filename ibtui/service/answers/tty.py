"""Answers typed at a terminal."""

from __future__ import annotations

import asyncio
import getpass
import sys

from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Note
from ibtui.auth.factor import plain_name
from ibtui.errors import PersonNeeded
from ibtui.secret import Secret
from ibtui.service import output


class TtyAnswers:
    """Asks on the terminal; the password is not echoed."""

    def __init__(self, username: str = "") -> None:
        self._username = username

    async def credentials(self, username: str) -> Credentials:
        """Ask for what is not known.

        Raises:
            PersonNeeded: standard input is no terminal.
        """
        name = self._username or username
        if not sys.stdin.isatty():
            raise PersonNeeded(
                "A password is needed and standard input is no terminal.",
                "Pipe it in: … | ibtui login --user NAME --password-stdin",
            )
        # A thread, because the prompt blocks and the loop must not.
        if not name:
            name = (await asyncio.to_thread(_line, "User name: ")).strip()
        password = await asyncio.to_thread(getpass.getpass, f"Password of {name}: ")
        if not name or not password:
            raise PersonNeeded("User name and password are needed.", "Run ibtui login again.")
        return Credentials(name, Secret(password))

    async def ask(self, challenge: Challenge) -> Answer:
        """Say what IBKR wants; this version cannot answer it."""
        offered = ", ".join(map(plain_name, (challenge.code, *challenge.others)))
        output.say(f"IBKR asks for a second factor: {offered}.")
        return Cancel()

    def note(self, note: Note) -> None:
        """Narrate on standard error."""
        if note.text:
            output.say(f"{note.step.value}: {note.text}")


def _line(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)  # noqa: T201 - a prompt, not data
    return sys.stdin.readline()
