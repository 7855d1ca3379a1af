"""`ibtui ibkey enroll`: a new IB Key for this machine, kept at once, backed up and tried."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibtui import sources
from ibtui.auth import ocra
from ibtui.auth.effects import Answers, Credentials
from ibtui.clock import SystemClock
from ibtui.errors import IbtuiError, PersonNeeded, UsageError
from ibtui.secret import Secret
from ibtui.service import actions, output
from ibtui.service.answers import tty
from ibtui.service.answers.auto import AutoAnswers
from ibtui.service.commands.context import Context, run
from ibtui.service.commands.ibkey import ONE_USER, seal_passphrase, user_name
from ibtui.service.commands.session import answers_of
from ibtui.service.runtime import Runtime
from ibtui.service.runtimes import runtime_for
from ibtui.service.vaults import vault_for

WARNING = (
    "Enrolling makes this machine the IB Key of {user}. An account has one: the IB Key in the phone's app"
    " stops working. You need the text message that IBKR sends now, and the key is good for about"
    " {logins} logins; then it has to be enrolled again."
)
AS_IT_WAS = "Nothing was enrolled; the phone's IB Key is as it was."


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
        as `Runtime.enroll`, and `Runtime.login` for the test login.
    """
    answers = answers_of(user, password_stdin, code_file, code_command)
    done = run(_Enrolling(context, answers, user or "", Wishes(**wishes)).work())
    if context.as_json:
        output.dump(done)
    return 0


class _Enrolling:
    def __init__(self, context: Context, answers: Answers, user: str, wishes: Wishes) -> None:
        self._context, self._answers, self._user, self._wishes = context, answers, user, wishes
        self._profile = context.profile
        self._person = sys.stdin.isatty()

    async def work(self) -> dict[str, Any]:
        settings = self._context.settings
        given = AutoAnswers(settings, self._answers, SystemClock())
        who = await given.credentials(self._user or self._profile.username)
        name = user_name(self._profile, who.username)
        self._check_backup()
        await self._warn(name)
        pin = await self._pin()
        known = _Known(self._answers, who)
        async with runtime_for(settings) as runtime:
            await actions.enroll(runtime, known, pin)
            status = vault_for(self._profile, name).status()
            output.say(f"IB Key of {name} is enrolled; {status.logins_left} logins left.")
            output.say(f"It is kept in {status.path}.")
            backup = await self._backup(runtime)
            login = await self._try(runtime, known) if self._wishes.test_login else "skipped"
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
            raise PersonNeeded(AS_IT_WAS)

    async def _pin(self) -> Secret:
        wish = self._wishes
        if wish.make_pin:
            return ocra.make_pin()
        if wish.pin_file is not None:
            pin = Secret(sources.private_line(wish.pin_file).strip())
            ocra.check_pin(pin)
            return pin
        if not self._person:
            raise PersonNeeded("A PIN for IB Key is needed.", "Add --make-pin, or --pin-file FILE.")
        output.say("Choose a PIN for it, 4 to 6 digits. ibtui keeps it; empty makes one.")
        return await _typed_pin()

    def _check_backup(self) -> None:
        """Before anything is spent: is there room for the backup?"""
        path = self._wishes.backup
        if path is not None and os.path.lexists(path):
            raise UsageError(f"{path} exists already; nothing was enrolled.", "Name a new file.")

    async def _backup(self, runtime: Runtime) -> Path | None:
        path = self._wishes.backup
        if path is None and self._person and not self._wishes.yes:
            path = _path(await tty.line("File for a sealed backup (empty: none): "))
        if path is None:
            output.say("Make a backup of it: ibtui ibkey export FILE")
            return None
        try:
            await actions.export_key(runtime, path, await seal_passphrase(self._profile))
        except IbtuiError as error:
            # The key is safe in the vault; a failed copy must not look like a failed enrolment.
            output.say(f"No backup was made: {error.what} Later: ibtui ibkey export FILE")
            return None
        output.say(f"A sealed backup is in {path}. {ONE_USER}")
        return path

    async def _try(self, runtime: Runtime, answers: Answers) -> str:
        """Log in once with the new key; says how that went."""
        found = await actions.refresh_quietly(runtime)
        if found.gateway.state != "on":
            output.say(
                f"No test login: the gateway is not there ({found.gateway.reason}). Later: ibtui login"
            )
            return "skipped"
        output.say("A test login with the new key:")
        await runtime.login(answers, factor="ibkey")
        output.say("IB Key works: logged in.")
        return "ready" if runtime.status.ready else "done"


class _Known:
    """Other answers, with credentials that were given before."""

    has_password = True

    def __init__(self, inner: Answers, who: Credentials) -> None:
        self.username = who.username
        self._inner, self._who = inner, who

    async def credentials(self, username: str) -> Credentials:
        """Those given before."""
        return self._who

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _path(typed: str) -> Path | None:
    return Path(typed.strip()).expanduser() if typed.strip() else None


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
    raise PersonNeeded(AS_IT_WAS, "Run it again, and type a PIN of 4 to 6 digits twice.")
