"""`ibtui ibkey enroll`: a new IB Key for this machine, kept at once, backed up and tried."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ibtui import sources
from ibtui.auth import ocra
from ibtui.auth.effects import Answers, Credentials
from ibtui.auth.vault import Vault
from ibtui.clock import SystemClock, Tasks
from ibtui.errors import IbtuiError, PersonNeeded, UsageError
from ibtui.secret import Secret
from ibtui.service import actions, enrolling, output
from ibtui.service.answers import tty
from ibtui.service.answers.auto import AutoAnswers
from ibtui.service.commands.context import Context, run
from ibtui.service.commands.ibkey import ONE_USER, seal_passphrase, user_name
from ibtui.service.commands.session import _answers as answers_of
from ibtui.service.local import runtime_for
from ibtui.service.vaults import vault_for

PATIENCE_S = 300.0
"""Seconds to wait for another program's login."""
WARNING = (
    "Enrolling makes this machine the IB Key of {user}. An account has one: the IB Key in the phone's app"
    " stops working. You need the text message that IBKR sends now, and the key is good for about"
    " {logins} logins; then it has to be enrolled again."
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the words of the command said."""

    yes: bool = False
    make_pin: bool = False
    pin_file: Path | None = None
    backup: Path | None = None
    test_login: bool = True


def enroll(
    context: Context,
    user: str | None,
    password_stdin: bool = False,
    code_file: Path | None = None,
    code_command: str | None = None,
    **wishes: Any,
) -> int:
    """Enroll IB Key, keep it, offer a sealed backup, log in with it.

    `wishes`: as `Wishes`.

    Raises:
        PersonNeeded: what must be typed cannot be: the warning's yes, PIN, password, code.
        as `enrolling.enroll`, and `Runtime.login` for the test login.
    """
    answers = answers_of(user, password_stdin, code_file, code_command)
    done = run(_Enrolling(context, answers, user, Wishes(**wishes)).work())
    if context.as_json:
        output.dump(done)
    return 0


class _Enrolling:
    def __init__(self, context: Context, answers: Answers, user: str | None, wishes: Wishes) -> None:
        self._context, self._answers, self._wishes = context, answers, wishes
        self._profile = context.profile
        self._person = sys.stdin.isatty()
        self._user = user or ""
        self._clock = SystemClock()

    async def work(self) -> dict[str, Any]:
        first = AutoAnswers(self._context.settings, self._answers, self._clock)
        who = await first.credentials(self._user or self._profile.username)
        name = user_name(self._profile, who.username)
        passphrase = await sources.of(self._profile, "passphrase").read()
        vault = vault_for(self._profile, name, passphrase=passphrase, clock=self._clock)
        vault.person = self._person
        self._check_backup()
        permit = vault.permit()
        await self._warn(name)
        if permit.until is not None and not await self._answers.confirm(
            f"Earlier logins failed. This is attempt {permit.number} of {permit.limit}. Go on?"
        ):
            raise PersonNeeded("Nothing was enrolled; the phone's IB Key is as it was.")
        pin = await self._pin()
        # Made here: only messages from now on may answer.
        answers = AutoAnswers(self._context.settings, self._answers, self._clock)
        async with held(vault):
            await enrolling.enroll(self._context.settings, vault, who, pin, answers, self._clock)
        status = vault.status()
        output.say(
            f"IB Key of {name} is enrolled; {status.logins_left} logins left. It is kept in {status.path}."
        )
        backup = await self._backup(vault)
        login = await self._try(who) if self._wishes.test_login else "skipped"
        return {
            "enrolled": True,
            "user": name,
            "logins_left": status.logins_left,
            "file": str(status.path),
            "backup": str(backup) if backup else None,
            "login": login,
        }

    async def _warn(self, name: str) -> None:
        output.say(WARNING.format(user=name, logins=self._profile.max_counter - 2))
        if self._wishes.yes:
            return
        if not self._person:
            raise PersonNeeded("Enrolling replaces the phone's IB Key; nobody said yes.", "Add --yes.")
        if (await tty.line("Type yes to go on: ")).strip().lower() != "yes":
            raise PersonNeeded("Nothing was enrolled; the phone's IB Key is as it was.")

    async def _pin(self) -> Secret:
        wish = self._wishes
        if wish.make_pin:
            return ocra.make_pin()
        if wish.pin_file is not None:
            pin = Secret(sources.private_line(wish.pin_file).strip())
        elif self._person:
            output.say("Choose a PIN for it, 4 to 6 digits. ibtui keeps it; empty makes one.")
            pin = await _typed_pin()
        else:
            raise PersonNeeded("A PIN for IB Key is needed.", "Add --make-pin, or --pin-file FILE.")
        ocra.check_pin(pin)
        return pin

    def _check_backup(self) -> None:
        """Before anything is spent: is there room for the backup?"""
        path = self._wishes.backup
        if path is not None and path.exists():
            raise UsageError(f"{path} exists already; nothing was enrolled.", "Name a new file.")

    async def _backup(self, vault: Vault) -> Path | None:
        path = self._wishes.backup
        if path is None:
            if not self._person or self._wishes.yes:
                output.say("Make a backup of it: ibtui ibkey export FILE")
                return None
            text = (await tty.line("File for a sealed backup (empty: none): ")).strip()
            if not text:
                return None
            path = _path(text)
        try:
            vault.export(path, await seal_passphrase(vault))
        except IbtuiError as error:
            # The key is safe in the vault; a failed copy must not look like a failed enrolment.
            output.say(f"No backup was made: {error.what} Later: ibtui ibkey export FILE")
            return None
        output.say(f"A sealed backup is in {path}. {ONE_USER}")
        return path

    async def _try(self, who: Credentials) -> str:
        """Log in once with the new key; says how that went."""
        settings = self._context.settings
        profile = replace(self._profile, second_factor="ibkey", username=who.username)
        tried = replace(settings, profiles={**settings.profiles, profile.name: profile})
        async with runtime_for(tried) as runtime:
            found = await actions.refresh_quietly(runtime)
            if found.gateway.state != "on":
                output.say(f"No test login: {found.gateway.reason}. Later: ibtui login")
                return "skipped"
            output.say("A test login with the new key:")
            await runtime.login(_Known(self._answers, who))
            output.say("IB Key works: logged in.")
            return "ready" if runtime.status.ready else "done"


class _Known:
    """Other answers, with credentials that were given before."""

    def __init__(self, inner: Answers, who: Credentials) -> None:
        self._inner, self._who = inner, who

    async def credentials(self, username: str) -> Credentials:
        """Those given before."""
        return self._who

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextlib.asynccontextmanager
async def held(vault: Vault) -> AsyncIterator[None]:
    """Hold the one login of this user name; waits for another program's, and ends that wait when cancelled.

    Raises:
        IbtuiError: the other one took longer than `PATIENCE_S`.
    """
    stop = threading.Event()
    lock = vault.conversation(PATIENCE_S, stop)
    tasks = Tasks()
    entering = tasks.start(asyncio.to_thread(lock.__enter__), "waiting for the login lock")
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([entering])
        if entering.exception() is None:
            lock.__exit__(None, None, None)
        raise
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _path(text: str) -> Path:
    return Path(text).expanduser()


async def _typed_pin() -> Secret:
    """A PIN typed twice; made where nothing is typed."""
    for _ in range(3):
        first = await tty.line("PIN: ", echo=False)
        if not first:
            return ocra.make_pin()
        try:
            ocra.check_pin(Secret(first))
        except UsageError as error:
            output.say(error.what)
            continue
        if first == await tty.line("Once more: ", echo=False):
            return Secret(first)
        output.say("The PINs differ.")
    raise PersonNeeded("A PIN for IB Key is needed; nothing was enrolled.", "Run it again.")
