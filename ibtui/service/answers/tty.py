"""Answers typed at a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import termios

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
        if not name:
            name = (await line("User name: ")).strip()
        password = await line(f"Password of {name}: ", echo=False) if name else ""
        if not name or not password:
            raise PersonNeeded("User name and password are needed.", "Run ibtui login again.")
        return Credentials(name, Secret(password))

    async def ask(self, challenge: Challenge) -> Answer:
        """Say what IBKR wants; this version cannot answer it."""
        offered = ", ".join(map(plain_name, (challenge.code, *challenge.others)))
        output.say(f"IBKR asks for a second factor: {offered}.")
        return Cancel()

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """Say what IBKR offers; this version cannot answer any of it here."""
        output.say(f"IBKR offers second factors: {', '.join(map(plain_name, offered))}.")
        return Cancel()

    def note(self, note: Note) -> None:
        """Narrate on standard error."""
        if note.text:
            output.say(f"{note.step.value}: {note.text}")


async def line(prompt: str, *, echo: bool = True) -> str:
    """One line typed at standard input, which is a terminal; empty at its end.

    Read by the event loop and not in a thread, so that Ctrl+C and signals end it at once;
    the terminal is left as it was found.
    """
    output.prompt(prompt)
    fd = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[bytes] = loop.create_future()
    before = termios.tcgetattr(fd)
    mute = [*before]
    mute[3] &= ~termios.ECHO

    def read() -> None:
        loop.remove_reader(fd)
        if not typed.done():
            typed.set_result(_read(fd))

    try:
        if not echo:
            termios.tcsetattr(fd, termios.TCSAFLUSH, mute)
        loop.add_reader(fd, read)
        found = await typed
    finally:
        loop.remove_reader(fd)
        if not echo:
            termios.tcsetattr(fd, termios.TCSAFLUSH, before)
            output.say("")
    return found.decode(sys.stdin.encoding or "utf-8", "replace").rstrip("\r\n")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""  # the terminal has gone
