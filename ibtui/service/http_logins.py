"""Logins asked for over HTTP: equal ones share one, others wait for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import parse_qs

import msgspec

from ibtui.auth.effects import Credentials
from ibtui.clock import Tasks
from ibtui.errors import IbtuiError, UsageError
from ibtui.secret import Secret
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.http_texts import REQUIRED

WAITING = 16
"""Different logins that may wait for their turn."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The body of a PUT."""

    username: str
    password: Secret
    totp: Secret | None = None

    def same(self, other: Asked) -> bool:
        """Whether it asks for the same login."""
        return (self.username, self.password, self.totp) == (other.username, other.password, other.totp)

    @property
    def credentials(self) -> Credentials:
        """User name and password."""
        return Credentials(self.username, self.password)


class PutAnswers(FixedAnswers):
    """What the body of a PUT gives; the TOTP secret is used for this login alone."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked.username, asked.password)
        self.totp_secret = asked.totp


def read(body: bytes, content_type: str) -> Asked:
    """The body of a PUT, JSON or a form (login.md §7).

    Raises:
        UsageError: it is neither, or user name or password are missing; nothing was tried.
    """
    found: object = {}
    if content_type == "application/json" or content_type.endswith("+json"):
        try:
            found = msgspec.json.decode(body) if body.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UsageError("The body is not JSON.") from None
    elif content_type == "application/x-www-form-urlencoded":
        try:
            form = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
        except ValueError:  # it may hold the password, so it is not repeated
            raise UsageError("The body is not a form in UTF-8.") from None
        found = {name: values[0] for name, values in form.items() if len(values) == 1}
    fields = found if isinstance(found, dict) else {}
    name, password, totp = (fields.get(key) for key in ("username", "password", "totpSecret"))
    if not isinstance(name, str) or not isinstance(password, str) or not name.strip() or not password:
        raise UsageError(REQUIRED)
    if not name.strip().isprintable():
        # Whatever IBKR leaves out of it would be another name to the guard.
        raise UsageError("username holds characters that no user name has.")
    if totp and not isinstance(totp, str):
        raise UsageError("totpSecret must be a text.")
    return Asked(name, Secret(password), Secret(totp) if totp else None)


@dataclass(slots=True)
class Shared(Generic[T]):
    """One thing at a time; whoever asks meanwhile gets its outcome."""

    tasks: Tasks
    name: str
    _now: asyncio.Task[T] | None = None

    @property
    def busy(self) -> bool:
        """Whether it is being done."""
        return self._now is not None and not self._now.done()

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, or wait for the one that is being done. A caller that leaves ends nothing.

        Raises:
            IbtuiError: `work` did, or `cancel` was called.
        """
        if self._now is None or self._now.done():
            self._now = self.tasks.start(_work(work), self.name)
        return await outcome(self._now)

    async def settled(self) -> None:
        """Return when nothing is being done, however it ended."""
        if self._now is not None:
            await asyncio.wait([self._now])

    async def cancel(self) -> None:
        """End what is being done."""
        if self._now is not None:
            self._now.cancel()
            await asyncio.wait([self._now])


async def _work(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


async def outcome(task: asyncio.Task[T]) -> T:
    """What the task ends with; that somebody cancelled it is an error like others.

    Raises:
        IbtuiError: the task did, or it was cancelled.
    """
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            raise  # it is the caller that was cancelled
        raise IbtuiError("It was stopped meanwhile.", "Ask again.") from None


@dataclass(slots=True)
class Logins:
    """`login` is called for one PUT after the other.

    Equal PUTs that come while one waits or runs get its outcome (login.md §7, the first of the
    faults).
    """

    tasks: Tasks
    login: Callable[[Asked], Awaitable[object]]
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _asked: list[tuple[Asked, asyncio.Task[object]]] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether one waits or runs."""
        return bool(self._asked)

    async def put(self, asked: Asked) -> object:
        """Log in, or wait for the equal login.

        Raises:
            IbtuiError: as `login`, or too many wait.
        """
        for other, task in self._asked:
            if other.same(asked):
                return await outcome(task)
        if len(self._asked) >= WAITING:
            raise IbtuiError("Too many logins are waiting.", "Ask again when they are done.")
        entry = asked, self.tasks.start(self._one(asked), "login over HTTP")
        self._asked.append(entry)
        entry[1].add_done_callback(lambda _: self._asked.remove(entry))
        return await outcome(entry[1])

    async def _one(self, asked: Asked) -> object:
        async with self._turn:
            return await self.login(asked)
