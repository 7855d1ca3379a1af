"""Answers known beforehand: the demo's user, or a password from standard input."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Note
from ibtui.errors import GatewayDown, PersonNeeded
from ibtui.secret import Secret
from ibtui.service import output


class FixedAnswers:
    """Gives one user name and password; has no second factor."""

    def __init__(self, username: str, password: Secret) -> None:
        self._username = username
        self._password = password

    async def credentials(self, username: str) -> Credentials:
        """The known ones; the profile's user name where none was given.

        Raises:
            PersonNeeded: nobody said which user.
        """
        name = self._username or username
        if not name:
            raise PersonNeeded("No user name was given.", "Add --user NAME, or username to the profile.")
        return Credentials(name, self._password)

    async def ask(self, challenge: Challenge) -> Answer:
        """Nobody is here to answer."""
        return Cancel()

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """Nobody is here to choose."""
        return Cancel()

    def note(self, note: Note) -> None:
        """Narrate on standard error."""
        if note.text:
            output.say(f"{note.step.value}: {note.text}")


class ReadyAnswers:
    """The demo's own user, as the simulator names it in its ready file; needs nobody."""

    def __init__(self, ready: Path) -> None:
        self._ready = ready

    async def credentials(self, username: str) -> Credentials:
        """The first user without a second factor.

        Raises:
            GatewayDown: the simulator is not running.
        """
        try:
            users = msgspec.json.decode(self._ready.read_bytes())["users"]  # a few hundred bytes
        except (OSError, msgspec.DecodeError):
            raise GatewayDown("The simulator is not running.", "Start it: s") from None
        user = next(user for user in users if not user["factors"])
        return Credentials(user["username"], Secret(user["password"]))

    async def ask(self, challenge: Challenge) -> Answer:
        """This user has no second factor."""
        return Cancel()

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """This user has no second factor."""
        return Cancel()

    def note(self, note: Note) -> None:
        """Nobody watches."""
