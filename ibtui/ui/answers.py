"""Login answers that come from a screen: the wizard shows a page, the login waits for it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Note, OtherFactor


class Pages(Protocol):
    """What the wizard can be asked to show."""

    def show_credentials(self, username: str) -> None:
        """The page for user name and password."""
        ...

    def show_challenge(self, challenge: Challenge) -> None:
        """The page for a second factor."""
        ...

    def show_note(self, note: Note) -> None:
        """Where the login is."""
        ...


class ScreenAnswers:
    """`auth.effects.Answers` over a screen; a question is open until the person answers or leaves."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._credentials: asyncio.Future[Credentials] | None = None
        self._answer: asyncio.Future[Answer] | None = None

    async def credentials(self, username: str) -> Credentials:
        """Show the page and wait; cancelled with the login."""
        self._credentials = asyncio.get_running_loop().create_future()
        self._pages.show_credentials(username)
        try:
            return await self._credentials
        finally:
            self._credentials = None  # the password lives no longer than the login that asked for it

    async def ask(self, challenge: Challenge) -> Answer:
        """Show the second factor's page and wait."""
        self._answer = asyncio.get_running_loop().create_future()
        self._pages.show_challenge(challenge)
        try:
            return await self._answer
        finally:
            self._answer = None

    async def choose(self, offered: tuple[str, ...]) -> str | Cancel:
        """Show what IBKR offers on the second factor's page and wait; only another factor is a choice."""
        answer = await self.ask(Challenge(offered[0], "", others=offered[1:]))
        return answer.code if isinstance(answer, OtherFactor) else Cancel()

    def note(self, note: Note) -> None:
        """Pass it on."""
        self._pages.show_note(note)

    def give_credentials(self, who: Credentials) -> None:
        """The person has filled the page in; nothing happens if nobody waits any more."""
        if self._credentials is not None and not self._credentials.done():
            self._credentials.set_result(who)

    def give_answer(self, answer: Answer) -> None:
        """The person has answered the second factor."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)
