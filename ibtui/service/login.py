"""The guarded login: one at a time for each user name, counted on disk before anything leaves.

What a screen and `ibtui login` do alike (DESIGN §3, data flow a).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ibtui import sources
from ibtui.auth.effects import Answers, Credentials, Enrolled, Note, Step
from ibtui.auth.lock import Busy
from ibtui.auth.login import Draw, LoggedIn
from ibtui.auth.login import login as login_flow
from ibtui.auth.vault import Vault
from ibtui.clock import Clock
from ibtui.config import Settings
from ibtui.core import drive
from ibtui.core.rest import Rest
from ibtui.errors import (
    Backoff,
    CodeRefused,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    PersonNeeded,
)
from ibtui.secret import Secret
from ibtui.service.answers.auto import AutoAnswers
from ibtui.service.enrolling import counting, enroll, ensure_enrolled
from ibtui.service.vaults import Memory, vault_for

OTHER_S = 900.0
"""Seconds to wait for another process's login; a person may sit before it."""
UNLOCK = "Unlock it in IBKR's Client Portal or by phone, then run: ibtui login --reset-attempts"


@dataclass(frozen=True, slots=True)
class Done:
    """The SSO session is open."""

    username: str
    factor: str = ""
    """SF code; empty without one, or when another process logged in."""
    paper: bool | None = None
    """Whether IBKR calls it a paper user name; None when nobody knows."""
    shared: bool = False
    """Another process logged in meanwhile; nothing was sent from here."""


class GuardedLogin:
    """Logs a profile's user in.

    `folder` takes the place of our own folders for auth data and memory.
    """

    def __init__(self, settings: Settings, clock: Clock, folder: Path | None = None) -> None:
        self._settings = settings
        self._profile = settings.chosen()
        self._clock = clock
        self._folder = folder
        self.username = ""
        """Whose login it is, once that is known."""
        self.given: Credentials | None = None
        """What was accepted, where the profile says `relogin = "memory"`."""

    async def run(self, person: Answers, rest: Rest, factor: str = "") -> Done:
        """Ask for credentials, wait for the turn, look whether it may be tried, log in.

        `factor` is the second factor to use, in place of the profile's setting.

        Raises:
            LoginRefused, CodeRefused, LoginLocked, Backoff: see `errors`.
            PersonNeeded: nobody gave what is needed. UsageError: settings or auth data are wrong.
            GatewayDown, Unreachable, UnknownReply: as `auth.login.login`.
        """
        answers, who, vault, memory = await self._begin(person)
        async with self._alone(vault, answers) as waited:
            if waited is not None and await self._reported(memory, waited):
                return Done(who.username, shared=True)
            who = await self._password(who, answers, vault, memory)
            await self._permit(answers, vault)
            done = await self._talk(who, answers, rest, vault, memory, factor)
            if self._profile.relogin == "memory":
                self.given = who
            return done

    async def enroll(self, person: Answers, pin: Secret) -> Enrolled:
        """Enroll IB Key, with the same turns and limits.

        Raises:
            as `run`, and as `auth.enroll.enroll`.
        """
        answers, who, vault, memory = await self._begin(person)
        vault.passphrase = await sources.of(self._profile, "passphrase").read()
        async with self._alone(vault, answers):
            who = await self._password(who, answers, vault, memory)
            await self._permit(answers, vault)
            try:
                enrolled = await enroll(self._settings, vault, who, pin, answers, self._clock)
            except IbtuiError as error:
                await asyncio.to_thread(memory.judged, error, source=answers.from_source)
                raise
            await asyncio.to_thread(memory.judged, None, source=answers.from_source)
            return enrolled

    async def _begin(self, person: Answers) -> tuple[AutoAnswers, Credentials, Vault, Memory]:
        answers = AutoAnswers(self._settings, person, self._clock)
        who = await answers.credentials(self._profile.username)
        self.username = who.username
        vault = vault_for(self._profile, who.username, folder=self._folder, clock=self._clock)
        memory = Memory(self._profile, who.username, self._folder and self._folder / "state")
        answers.use(vault, memory)
        return answers, who, vault, memory

    # One at a time ---------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _alone(self, vault: Vault, answers: Answers) -> AsyncIterator[datetime | None]:
        """Hold the user name's one login; yields when we began to wait for another's, else None."""
        began, waited = self._clock.now(), None
        try:
            held = await _hold(vault, 0.0)
        except Busy:  # all else is wrong with the folder, and waiting mends nothing
            waited = began
            answers.note(Note(Step.PASSWORD, "another ibtui is logging in: waiting for its outcome"))
            held = await _hold(vault, OTHER_S)
        try:
            yield waited
        finally:
            held.close()

    async def _reported(self, memory: Memory, waited: datetime) -> bool:
        """Whether the other one has logged in. False: nobody knows, so we try ourselves.

        Raises:
            IbtuiError: what the other one's login ended with.
        """
        outcome = await asyncio.to_thread(memory.outcome)
        if outcome is None or outcome.at < waited or isinstance(outcome.error, PersonNeeded):
            return False
        if outcome.error is not None:
            raise outcome.error
        return outcome.here

    # Whether it may be tried -------------------------------------------------------------

    async def _password(
        self, who: Credentials, answers: AutoAnswers, vault: Vault, memory: Memory
    ) -> Credentials:
        """A password that was refused is not sent again by itself, and none where IBKR allows no more."""
        used = (await asyncio.to_thread(vault.status)).record.attempts
        if await asyncio.to_thread(memory.locked, used):
            what = "IBKR allowed no further attempt at the last login."
            if not await answers.confirm(f"{what} Is the account unlocked there, and is it to be tried?"):
                raise LoginLocked(f"{what} Nothing was sent.", UNLOCK)
        if not answers.from_source or not await asyncio.to_thread(memory.refused, used):
            return who
        what = f"IBKR refused the password that came from its source ({self._profile.password})."
        if await answers.confirm(f"{what} Have you corrected it, and is it to be sent?"):
            return who
        try:
            return await answers.typed_credentials(who.username)
        except PersonNeeded:
            raise LoginRefused(
                f"{what} It is not sent again by itself.",
                "Correct it there, then log in at a terminal, or run: ibtui login --reset-attempts",
            ) from None

    async def _permit(self, answers: AutoAnswers, vault: Vault) -> None:
        try:
            permit = await asyncio.to_thread(vault.permit)
        except Backoff as wait:
            vault.person = True
            permit = await asyncio.to_thread(vault.permit)
            left = max(1, round((wait.until - self._clock.now()).total_seconds()))
            text = (
                f"The last {_logins(permit.number - 1)} failed; an automatic login would wait {_span(left)}"
                f" more. This is {permit.text} - go on?"
            )
            if not await answers.confirm(text):
                raise wait from None
        answers.note(Note(Step.PASSWORD, attempt=permit.number))

    # The login -----------------------------------------------------------------------------

    async def _talk(
        self,
        who: Credentials,
        answers: AutoAnswers,
        rest: Rest,
        vault: Vault,
        memory: Memory,
        factor: str,
    ) -> Done:
        spend = counting(vault, answers)
        await asyncio.to_thread(memory.begun)
        try:
            await ensure_enrolled(self._settings, vault, who, answers, self._clock)
            prefer = [factor] if factor else await answers.prefer()
            answers.renew()
            flow = login_flow(who, self._draw(), prefer=prefer)
            done: LoggedIn = await drive.run(flow, answers, rest, self._clock, spend)
        except IbtuiError as error:
            await asyncio.to_thread(memory.ended, self._clock.now(), error, source=answers.from_source)
            await self._explain(error, vault)
            raise
        chosen = done.factor if answers.chosen else ""
        await asyncio.to_thread(
            memory.ended, self._clock.now(), None, factor=chosen, source=answers.from_source
        )
        return Done(done.username, done.factor, done.paper)

    def _draw(self) -> Draw:
        return Draw(now_ms=lambda: int(self._clock.now().timestamp() * 1000))

    async def _explain(self, error: IbtuiError, vault: Vault) -> None:
        """A refusal says how many attempts are left."""
        if type(error) not in (LoginRefused, CodeRefused) or isinstance(error, LoginLocked | Backoff):
            return
        try:
            used = (await asyncio.to_thread(vault.status)).record.attempts
        except IbtuiError:
            return
        if used:
            error.fix = f"{error.fix} {used} of {vault.policy.limit} attempts are used.".strip()


async def _hold(vault: Vault, timeout: float) -> contextlib.ExitStack:
    """Take the lock in a thread; whatever cancels the wait, nothing stays locked."""
    stop = threading.Event()

    def take() -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        stack.enter_context(vault.conversation(timeout, stop))
        return stack

    taking = asyncio.get_running_loop().run_in_executor(None, take)
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        stop.set()
        taking.add_done_callback(_let_go)
        raise


def _let_go(taking: asyncio.Future[contextlib.ExitStack]) -> None:
    if not taking.cancelled() and taking.exception() is None:
        taking.result().close()


def _logins(number: int) -> str:
    return "login" if number == 1 else f"{number} logins"


def _span(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
