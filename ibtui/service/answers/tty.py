"""Answers typed at a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import termios

from ibtui.auth.effects import (
    Answer,
    Cancel,
    Challenge,
    Code,
    Credentials,
    Note,
    OtherFactor,
    Resend,
)
from ibtui.auth.factor import CHALLENGED, factor, plain_name
from ibtui.errors import PersonNeeded
from ibtui.secret import Secret
from ibtui.service import output
from ibtui.service.answers.fixed import no_choice, no_code


class TtyAnswers:
    """Asks on the terminal; the password is not echoed."""

    def __init__(self, username: str = "") -> None:
        self.username = username

    async def credentials(self, username: str) -> Credentials:
        """Ask for what is not known.

        Raises:
            PersonNeeded: standard input is no terminal.
        """
        name = self.username or username
        if not sys.stdin.isatty():
            raise PersonNeeded(
                "A password is needed and standard input is no terminal.",
                "Pipe it in (… | ibtui login --user NAME --password-stdin), or say in the profile where it"
                " comes from ([profiles.NAME.password]).",
            )
        if not name:
            name = (await line("User name: ")).strip()
        password = await line(f"Password of {name}: ", echo=False) if name else ""
        if not name or not password:
            raise PersonNeeded("User name and password are needed.", "Run ibtui login again.")
        return Credentials(name, Secret(password))

    async def ask(self, challenge: Challenge) -> Answer:
        """Ask for a code, or for the response to a challenge.

        Raises:
            PersonNeeded: standard input is no terminal.
        """
        if not sys.stdin.isatty():
            raise no_code(challenge)
        if challenge.problem:
            output.say(challenge.problem)
        asked = factor(challenge.code)
        output.say(f"{asked.label}. {asked.todo}")
        if challenge.kind == CHALLENGED:
            output.say(f"The challenge: {challenge.challenge}")
        ways = [f"r {asked.again}"] if asked.again else []
        ways += ["o another method"] if challenge.others else []
        word = "Response" if challenge.kind == CHALLENGED else "Code"
        prompt = f"{word} ({', '.join([*ways, 'empty line stops'])}): "
        while True:
            typed = (await line(prompt)).strip()
            if not typed:
                return Cancel()
            if typed.lower() == "r" and asked.again:
                return Resend()
            if typed.lower() != "o":
                return Code(Secret(typed))
            answer = await self._other(challenge)
            if answer is not None:
                return answer

    async def _other(self, challenge: Challenge) -> OtherFactor | None:
        others = challenge.others
        if not others:
            output.say("IBKR offers no other method.")
            return None
        code = others[0] if len(others) == 1 else await self.choose(others)
        return OtherFactor(code) if isinstance(code, str) else None

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """A menu; an empty line stops.

        Raises:
            PersonNeeded: standard input is no terminal.
        """
        if not sys.stdin.isatty():
            raise no_choice(offered)
        output.say("IBKR offers these second factors:")
        for number, code in enumerate(offered, 1):
            output.say(f"  {number}  {plain_name(code)}")
        while True:
            typed = (await line(f"Which one (1 to {len(offered)}, empty line stops): ")).strip()
            if not typed:
                return Cancel()
            if typed in offered:
                return typed
            if typed.isascii() and typed.isdecimal() and 1 <= int(typed) <= len(offered):
                return offered[int(typed) - 1]

    async def confirm(self, text: str) -> bool:
        """Yes or no; no where standard input is no terminal."""
        if not sys.stdin.isatty():
            return False
        return (await line(f"{text} [y/N] ")).strip().lower() in ("y", "yes")

    async def secret(self, text: str) -> Secret | None:
        """Something that is not echoed; None where standard input is no terminal, or nothing was typed."""
        typed = await line(text, echo=False) if sys.stdin.isatty() else ""
        return Secret(typed) if typed else None

    def note(self, note: Note) -> None:
        """Narrate on standard error."""
        if note.text:
            output.say(f"{note.step.value}: {note.text}")


async def line(prompt: str, *, echo: bool = True) -> str:
    """One line typed at standard input, which is a terminal; empty at its end.

    Read by the event loop and not in a thread, so that Ctrl+C and signals end it at once;
    the terminal is left as it was found.
    """
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
        # Only now: whoever answers the prompt at once would see the first letters, and they would be lost.
        output.prompt(prompt)
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
