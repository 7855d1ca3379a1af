"""Answers known beforehand: the demo's user, or a password from standard input."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Note
from ibtui.auth.factor import plain_name, plain_names
from ibtui.errors import GatewayDown, PersonNeeded
from ibtui.secret import Secret
from ibtui.service import output

BROWSER = "or log in with a browser at the gateway's address; ibtui then sees the session by itself."


def no_choice(offered: tuple[str, ...]) -> PersonNeeded:
    """IBKR offers several second factors, and nobody is here to choose."""
    return PersonNeeded(
        f"IBKR offers several second factors: {plain_names(offered)}.",
        f'Say which to use, in the profile: second_factor = "{offered[0]}"; {BROWSER}',
    )


def no_code(challenge: Challenge) -> PersonNeeded:
    """IBKR wants a second factor, and nobody is here to give it."""
    return PersonNeeded(
        f"IBKR wants a second factor: {plain_name(challenge.code)}. Nobody is here to give it.",
        "Log in at a terminal; or give it with --code-file or --code-command; or set the profile up to"
        f" answer by itself (totp_secret, twilio_sid, ibtui ibkey enroll); {BROWSER}",
    )


class NobodyHere:
    """What is said to every question where no person is."""

    async def ask(self, challenge: Challenge) -> Answer:
        """Raises PersonNeeded: nobody is here to answer."""
        raise no_code(challenge)

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """Raises PersonNeeded: nobody is here to choose."""
        raise no_choice(offered)

    async def confirm(self, text: str) -> bool:
        """Nobody is here to say yes."""
        return False


class FixedAnswers(NobodyHere):
    """Gives one user name and password; has no second factor of its own."""

    has_password = True
    """It was given for this login: no other source is asked."""

    def __init__(self, username: str, password: Secret) -> None:
        self.username = username
        self._password = password

    async def credentials(self, username: str) -> Credentials:
        """The known ones; the profile's user name where none was given.

        Raises:
            PersonNeeded: nobody said which user.
        """
        name = self.username or username
        if not name:
            raise PersonNeeded("No user name was given.", "Add --user NAME, or username to the profile.")
        return Credentials(name, self._password)

    def note(self, note: Note) -> None:
        """Narrate on standard error."""
        if note.text:
            output.say(f"{note.step.value}: {note.text}")


class ReadyAnswers:
    """The demo's own user, as the simulator names it in its ready file; needs nobody."""

    has_password = True

    def __init__(self, ready: Path) -> None:
        self.ready = ready
        """Where the simulator says who and where it is."""

    async def credentials(self, username: str) -> Credentials:
        """The first user without a second factor.

        Raises:
            GatewayDown: the simulator is not running.
        """
        try:
            users = msgspec.json.decode(self.ready.read_bytes())["users"]  # a few hundred bytes
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

    async def confirm(self, text: str) -> bool:
        """It is the demo's own simulator: nothing can be locked."""
        return True

    def note(self, note: Note) -> None:
        """Nobody watches."""
