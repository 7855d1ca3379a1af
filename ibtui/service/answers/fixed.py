"""Answers known beforehand: the demo's user, or a password from standard input."""

from __future__ import annotations

from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Note
from ibtui.errors import PersonNeeded
from ibtui.secret import Secret
from ibtui.service import output


class FixedAnswers:
    """Gives one user name and password; has no second factor."""

    def __init__(self, username: str, password: Secret, *, narrate: bool = True) -> None:
        self._username = username
        self._password = password
        self._narrate = narrate

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

    def note(self, note: Note) -> None:
        """Narrate on standard error."""
        if self._narrate and note.text:
            output.say(f"{note.step.value}: {note.text}")
