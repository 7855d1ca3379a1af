"""A runtime's way in: login, enrolment of IB Key, and what is known of the user name's attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ibtui.auth.effects import Answers, Credentials, Note, Step
from ibtui.clock import Clock
from ibtui.config import Profile, Settings
from ibtui.core.models import Account, AuthStatus, Lamp, LoginFacts
from ibtui.errors import Competing, IbtuiError, NotLoggedIn, PersonNeeded, WrongAccountType
from ibtui.secret import Secret
from ibtui.service.board import Board
from ibtui.service.host import Host
from ibtui.service.lamps import TAKE_OVER, unknown

if TYPE_CHECKING:
    from ibtui.auth.vault import Vault
    from ibtui.core.client import IbkrClient

JUST_NOW = timedelta(minutes=1)
"""A token this young need not be asked for again: IBKR blocks who asks for ever more (oauth.md §11.3)."""


class Entry:
    """Verbs of `service.runtime.Runtime` that concern logins; writes to the runtime's board.

    Attributes:
        user: who is logged in from here; empty while nobody is.
        by: the second factor of that login (`IB Key`); empty without one, or where nobody knows.
        facts: as `Runtime.login_facts`, at the last look.
    """

    def __init__(self, settings: Settings, clock: Clock, board: Board, host: Host) -> None:
        self.settings = settings
        self.user = self.by = ""
        self.facts = LoginFacts(limit=settings.chosen().max_attempts)
        self._clock = clock
        self._board = board
        self._host = host
        self.given: Credentials | None = None
        """Who logged in here last, kept only where `relogin = "memory"`."""
        self._named = ""
        """Whose login was tried last."""
        self._meant: dict[str, str] = {}
        """Changes of the profile that are not in the settings file yet."""

    @property
    def named(self) -> str:
        """Whose login was tried last; empty for nobody's."""
        return self._named

    @property
    def profile(self) -> Profile:
        """As the settings have it, or as `mean` has changed it."""
        return self.settings.chosen()

    @property
    def who(self) -> str:
        """`demo123 by IB Key`: who is logged in, and how; empty while nobody is."""
        return f"{self.user} by {self.by}" if self.user and self.by else self.user

    def came(self, who: str) -> None:
        """Somebody has logged in elsewhere, as `who` has it there."""
        self.user, _, self.by = who.partition(" by ")

    def mean(self, **changes: str) -> None:
        """Change the profile; it is written to the settings once a login has shown that it is right."""
        self._meant |= changes
        settings = self.settings
        profile = replace(settings.chosen(), **changes)  # type: ignore[arg-type]
        self.settings = replace(settings, profiles={**settings.profiles, profile.name: profile})

    def look_at(self, accounts: Iterable[Account]) -> None:
        """Tell the time line where a session that was opened elsewhere is not what the profile means."""
        found = {"paper" if account.paper else "live" for account in accounts}
        wanted = self.profile.account_type
        if found and wanted and wanted not in found and self.profile.mode != "demo":
            self._board.event(
                "login", f"these are {found.pop()} accounts, and the profile is meant for {wanted}", "warn"
            )

    async def login(self, answers: Answers, client: IbkrClient, factor: str = "") -> AuthStatus:
        """As `Runtime.login`; returns once the brokerage session is ready."""
        if self.profile.direct:
            await self._get_token(answers, client)
            return await self._open(answers, client, None)
        from ibtui.auth.factor import factor as factor_of
        from ibtui.service.login import GuardedLogin

        guarded = GuardedLogin(self.settings, self._clock, self._host.auth_folder)
        with self._board.verb("sso", "logging in"):
            try:
                done = await guarded.run(answers, client.rest, factor)
            except IbtuiError as error:
                self._board.event("login", error.what, "error")
                raise
            finally:
                self.given = guarded.given
                await self.read_facts(guarded.username)
            if self.user not in ("", done.username):
                # The values of the last user name are nobody's business now.
                client.hub.publish(client.store.clear())
            self.user = done.username
            self.by = factor_of(done.factor).name.partition(" (")[0] if done.factor else ""
            how = f", second factor {self.by}" if self.by else ""
            self._board.event("login", f"{done.username} accepted{how}")
            self._board.lit("sso", "on", self.who)
        return await self._open(answers, client, done.paper)

    async def _get_token(self, answers: Answers, client: IbkrClient) -> None:
        """OAuth: what a login is there; needs nobody."""
        with self._board.verb("sso", "getting a token"):
            answers.note(Note(Step.SESSION, "asking IBKR for a token"))
            try:
                oauth = client.oauth
                young = oauth is not None and oauth.age is not None and oauth.age < JUST_NOW
                if oauth is not None and not young:
                    await oauth.obtain()
                try:
                    await client.tickle()
                except NotLoggedIn:
                    if oauth is None or not young:
                        raise
                    await oauth.obtain()
                    await client.tickle()
            except IbtuiError as error:
                self._board.event("login", error.what, "error")
                raise
            self._board.event("login", "IBKR gave a token")
            if oauth is not None:
                self._board.set(gateway=await self._host.look())
            self._board.lit("sso", "on", "token valid")

    async def _open(self, answers: Answers, client: IbkrClient, paper: bool | None) -> AuthStatus:
        from ibtui.service.opening import Opening

        with self._board.verb("brokerage", "opening"):
            answers.note(Note(Step.BROKERAGE, "waiting for the brokerage session"))
            try:
                status = await Opening(client, self._clock, self.profile, paper).run()
            except Competing as error:
                self._board.lit("brokerage", "warn", error.what, TAKE_OVER)
                raise
            except WrongAccountType as error:
                self.user = ""
                self._board.event("login", error.what, "error")
                self._board.set(sso=Lamp(state="off", reason=error.what, fix=error.fix), brokerage=unknown())
                raise
        await self._remember()
        return status

    async def _remember(self) -> None:
        """Write what the profile means now; a login that works does not fail over it."""
        if not self._meant:
            return
        from ibtui import rewrite

        path, profile = self.settings.path, self.profile
        changes = {f"profiles.{profile.name}.{key}": value for key, value in self._meant.items()}
        said = ", ".join(f'{key} = "{value}"' for key, value in self._meant.items())
        self._meant = {}
        try:
            await asyncio.to_thread(rewrite.set_keys, path, changes)
        except IbtuiError as error:
            self._board.event("ibtui", f"{error.what} Put {said} there yourself.", "warn")
        else:
            self._board.event("ibtui", f"{said} was written to {path}")

    async def enroll(self, answers: Answers, pin: Secret) -> None:
        """As `Runtime.enroll`."""
        from ibtui.service.login import GuardedLogin

        guarded = GuardedLogin(self.settings, self._clock, self._host.auth_folder)
        try:
            await guarded.enroll(answers, pin)
        except IbtuiError as error:
            self._board.event("ibkey", error.what, "error")
            raise
        finally:
            await self.read_facts(guarded.username)
        self._board.event("ibkey", f"IB Key of {guarded.username} is enrolled here")

    async def export_key(self, path: Path, passphrase: Secret) -> None:
        """As `Runtime.export_key`."""
        vault = await self._vault()
        await asyncio.to_thread(vault.export, path, passphrase)
        self._board.event("ibkey", f"a sealed backup was written to {path}")

    async def _vault(self) -> Vault:
        from ibtui import sources
        from ibtui.service.vaults import vault_for

        name = self._named or self.profile.username
        if not name:
            raise PersonNeeded("Nobody said whose IB Key is meant.", "Add username to the profile.")
        given = await sources.of(self.profile, "passphrase").read()
        return vault_for(
            self.profile, name, folder=self._host.auth_folder, passphrase=given, clock=self._clock
        )

    async def read_facts(self, user: str = "") -> LoginFacts:
        """Read anew what is on disk about `user`, else about whoever tried last, else the profile's."""
        from ibtui.service.vaults import facts_of

        self._named = user or self._named or self.profile.username
        self.facts = await asyncio.to_thread(
            facts_of, self.profile, self._named, folder=self._host.auth_folder, clock=self._clock
        )
        return self.facts
