"""Answers of the keep-alive: a password that is held, or the profile's sources; no person is there."""

from __future__ import annotations

from ibtui.auth.effects import Credentials, Note
from ibtui.errors import PersonNeeded
from ibtui.service.answers.fixed import NobodyHere


class HeldAnswers(NobodyHere):
    """Gives what is held; without it `AutoAnswers` asks the profile's source before coming here."""

    def __init__(self, held: Credentials | None) -> None:
        self._held = held
        self.has_password = held is not None
        self.username = held.username if held is not None else ""

    async def credentials(self, username: str) -> Credentials:
        """What is held.

        Raises:
            PersonNeeded: nothing is.
        """
        if self._held is None:
            raise PersonNeeded(
                "No password is at hand to log in again.",
                "Log in; a password source in the profile makes that unnecessary.",
            )
        return self._held

    def note(self, note: Note) -> None:
        """Nobody watches; the outcome goes to the time line."""
