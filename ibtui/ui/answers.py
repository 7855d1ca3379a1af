"""Login answers that come from a screen: the wizard shows a page, the login waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Note, Step
from ibtui.secret import Secret

T = TypeVar("T")


class Pages(Protocol):
    """What the wizard can be asked to show."""

    def show_credentials(self, username: str) -> None:
        """The page for user name and password."""
        ...

    def show_challenge(self, challenge: Challenge) -> None:
        """The page for a second factor."""
        ...

    def show_choice(self, offered: tuple[str, ...]) -> None:
        """The page for one of several second factors."""
        ...

    def show_question(self, text: str) -> None:
        """The page for yes or no."""
        ...

    def show_secret(self, prompt: str) -> None:
        """The page for a secret such as a passphrase."""
        ...

    def show_working(self) -> None:
        """Nobody is asked any more: IBKR has the word."""
        ...

    def show_note(self, note: Note) -> None:
        """Where the login is."""
        ...


class _Question(Generic[T]):
    """One question on the screen; what is answered while nobody waits is dropped."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._open: asyncio.Future[T] | None = None

    async def put(self, show: Callable[[], None]) -> T:
        """Show the page and wait; cancelled with the login, or by an answer from elsewhere."""
        self._open = asyncio.get_running_loop().create_future()
        show()
        try:
            return await self._open
        finally:
            self._open = None  # a password lives no longer than the login that asked for it
            self._pages.show_working()

    def give(self, value: T) -> None:
        """The person has answered."""
        if self._open is not None and not self._open.done():
            self._open.set_result(value)


class ScreenAnswers:
    """`auth.effects.Answers` over a screen; a question is open until the person answers or leaves."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._credentials: _Question[Credentials] = _Question(pages)
        self._answer: _Question[Answer] = _Question(pages)
        self._choice: _Question[str | Cancel] = _Question(pages)
        self._yes: _Question[bool] = _Question(pages)
        self._secret: _Question[Secret] = _Question(pages)

    async def credentials(self, username: str) -> Credentials:
        """Show the page for user name and password."""
        return await self._credentials.put(lambda: self._pages.show_credentials(username))

    async def ask(self, challenge: Challenge) -> Answer:
        """Show the second factor's page."""
        return await self._answer.put(lambda: self._pages.show_challenge(challenge))

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """Show what IBKR offers."""
        return await self._choice.put(lambda: self._pages.show_choice(offered))

    async def confirm(self, text: str) -> bool:
        """Show a question; True only where the person said yes to it."""
        return await self._yes.put(lambda: self._pages.show_question(text))

    async def secret(self, prompt: str) -> Secret:
        """Show the page for a secret; empty where the person has none."""
        return await self._secret.put(lambda: self._pages.show_secret(prompt))

    def looking(self, number: int, of: int) -> None:
        """Twilio is asked for the message for the `number`th time."""
        text = f"Twilio is set up: looking for the message too (try {number} of {of})."
        self._pages.show_note(Note(Step.FACTOR, text))

    def note(self, note: Note) -> None:
        """Pass it on."""
        self._pages.show_note(note)

    def give_credentials(self, who: Credentials) -> None:
        """The person has filled the page in."""
        self._credentials.give(who)

    def give_answer(self, answer: Answer) -> None:
        """The person has answered the second factor."""
        self._answer.give(answer)

    def give_choice(self, code: str) -> None:
        """The person has chosen a second factor (SF code)."""
        self._choice.give(code)

    def give_yes(self, yes: bool) -> None:
        """The person has said yes or no."""
        self._yes.give(yes)

    def give_secret(self, secret: Secret) -> None:
        """The person has typed the secret."""
        self._secret.give(secret)

    def leave(self) -> None:
        """The person goes away: whatever is open is answered with no."""
        self._answer.give(Cancel())
        self._choice.give(Cancel())
        self._yes.give(False)
        self._secret.give(Secret(""))
