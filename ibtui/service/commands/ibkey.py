"""The words of `ibtui ibkey` but `enroll`, which has a file of its own: the IB Key that answers here.

No secret goes to standard output; files with one are made new and private (0600).
"""

from __future__ import annotations

import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from ibtui import config, sources
from ibtui.auth import fields, guard
from ibtui.auth.fields import Status
from ibtui.auth.vault import Vault
from ibtui.config import Profile
from ibtui.errors import PersonNeeded, UsageError
from ibtui.paths import write_private
from ibtui.secret import Secret
from ibtui.service import output
from ibtui.service.answers import tty
from ibtui.service.commands.context import Context, run
from ibtui.service.vaults import OCRA_VARIABLE, UNFINISHED, vault_for

_NODE_FILE = re.compile(r"ib-key-auth-(?P<user>.+)-[0-9]{10,}\.json")
NEVER_USED = (
    f"Its next counter is taken to be {fields.FIRST_COUNTER}, that of a key never used before."
    " If it was used, IBKR refuses its answers: import it again with --counter and --replace."
)
ONE_USER = (
    "Only one program can use this key from now on: each would use up the counters of the other, and"
    " IBKR refuses a counter that it has seen."
)


def status(context: Context, user: str | None = None) -> int:
    """Whether IB Key is enrolled here, how many logins it has left, and the attempts of the guard."""
    profile = context.profile
    vault = vault_for(profile, user_name(profile, user))
    found = vault.status()
    if context.as_json:
        output.dump(status_json(found, profile))
    else:
        _status_text(found, profile)
    return 0


def status_json(found: Status, profile: Profile) -> dict[str, Any]:
    """Everything but the secrets."""
    return {
        "user": found.user,
        "enrolled": found.enrolled,
        "sealed": found.sealed,
        "logins_left": found.logins_left,
        "counter": found.counter if found.enrolled else None,
        "max_counter": found.max_counter,
        "used": found.used.isoformat() if found.used else None,
        "attempts": found.record.attempts,
        "max_attempts": profile.max_attempts,
        "not_before": found.record.not_before.isoformat() if found.record.not_before else None,
        "unfinished": found.unfinished.isoformat() if found.unfinished else None,
        "file": str(found.path),
    }


def _status_text(found: Status, profile: Profile) -> None:
    if found.enrolled:
        sealed = ", sealed with a passphrase" if found.sealed else ""
        output.out(f"IB Key     enrolled for {output.safe(found.user)}{sealed}")
        output.out(
            f"logins     {found.logins_left} left (next counter {found.counter} of {found.max_counter})"
        )
    else:
        output.out(f"IB Key     not enrolled here for {output.safe(found.user)}")
    output.out(f"last use   {_local(found.used) if found.used else 'never'}")
    wait = guard.waiting(found.record, vault_now())
    until = f", an automatic login waits until {_local(wait)}" if wait else ""
    output.out(f"attempts   {found.record.attempts} failed of {profile.max_attempts}{until}")
    output.out(f"file       {found.path}")
    if found.unfinished is not None:
        output.out(f"unfinished {_local(found.unfinished)}: an enrollment was broken off at its last step")
        output.out(f"→ {UNFINISHED}")
    if not found.logins_left:
        output.out("→ enroll: ibtui ibkey enroll")


def vault_now() -> datetime:
    """The time the guard's waits are measured against."""
    from ibtui.clock import SystemClock

    return SystemClock().now()


def _local(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


# Import and export ---------------------------------------------------------------------


def import_(
    context: Context,
    file: Path | None = None,
    user: str | None = None,
    secret_file: Path | None = None,
    pin_file: Path | None = None,
    counter: int | None = None,
    unfinished: bool = False,
    replace: bool = False,
) -> int:
    """Take over an IB Key: `file` is a data.json, an `ib-key-auth-….json` or a backup of `export`.

    `unfinished`: that of an enrolment whose last request IBKR never answered here.

    Without `file`: the text of IB_AUTH_OCRA_SECRET out of `secret_file` or that variable, with
    its PIN out of `pin_file` or typed, and `counter`, the next to use.

    Raises:
        UsageError: nothing usable, another user's, or a key is here already without `replace`.
        PersonNeeded: PIN or passphrase is missing and nobody is there to type it.
    """

    async def work() -> Status:
        profile = context.profile
        name = user or (_user_of(file) if file is not None else "")
        vault = vault_for(
            profile, user_name(profile, name), passphrase=await sources.of(profile, "passphrase").read()
        )
        if unfinished:
            await _opened(vault, lambda: vault.take_unfinished(replace=replace))
        elif file is not None:
            await _opened(vault, lambda: vault.import_file(file, replace=replace))
        else:
            secret = _ocra_text(secret_file)
            pin = await _pin_of(pin_file)
            vault.import_secret(secret, pin, counter or fields.FIRST_COUNTER, replace=replace)
            if counter is None and vault.status().counter == fields.FIRST_COUNTER:
                output.say(NEVER_USED)
        return vault.status()

    found = run(work())
    if context.as_json:
        output.dump(status_json(found, context.profile))
    else:
        output.say(f"IB Key of {found.user} is in {found.path}; {found.logins_left} logins left.")
        output.say(ONE_USER)
    return 0


async def _opened(vault: Vault, work: Any) -> None:
    """Do `work`; ask for the passphrase where it turns out to be needed and somebody is there."""
    try:
        work()
    except PersonNeeded:
        if vault.passphrase is not None or not sys.stdin.isatty():
            raise
        vault.passphrase = Secret(await tty.line("Passphrase: ", echo=False))
        work()


def _user_of(file: Path) -> str:
    """The user name in the name of a node service's file; empty where there is none."""
    found = _NODE_FILE.fullmatch(file.name)
    return found["user"] if found else ""


def _ocra_text(secret_file: Path | None) -> Secret:
    if secret_file is not None:
        return Secret(sources.private_line(secret_file).strip())
    text = config.environment().get(OCRA_VARIABLE, "").strip()
    if not text:
        raise UsageError(
            "Nothing to import was named.",
            f"Name a file (a data.json), or --secret-file FILE, or set {OCRA_VARIABLE}.",
        )
    return Secret(text)


async def _pin_of(pin_file: Path | None) -> Secret:
    if pin_file is not None:
        return Secret(sources.private_line(pin_file).strip())
    if not sys.stdin.isatty():
        raise PersonNeeded("The PIN that belongs to the secret is needed.", "Add --pin-file FILE.")
    return Secret(await tty.line("PIN of this IB Key: ", echo=False))


def export(
    context: Context, file: Path, user: str | None = None, plain: bool = False, secret: bool = False
) -> int:
    """Write the IB Key to a new file (0600): sealed with a passphrase, or `plain` for the node service.

    `secret`: the text for IB_AUTH_OCRA_SECRET alone, which is never sealed.

    Raises:
        UsageError: the file exists. PersonNeeded: not enrolled, or the passphrase is missing.
    """

    async def work() -> Vault:
        profile = context.profile
        vault = vault_for(
            profile, user_name(profile, user), passphrase=await sources.of(profile, "passphrase").read()
        )
        if secret:
            await _opened(vault, lambda: _write_secret(file, vault))
            return vault
        await _opened(vault, vault.key)
        vault.export(file, None if plain else await seal_passphrase(profile))
        return vault

    vault = run(work())
    if context.as_json:
        output.dump({"user": vault.username, "file": str(file), "sealed": not (plain or secret)})
    else:
        how = "unsealed: whoever reads it can log in with it" if plain or secret else "sealed"
        output.say(f"Written to {file} (0600), {how}.")
        output.say(ONE_USER)
    return 0


def seal(context: Context, user: str | None = None, on: bool = True) -> int:
    """Seal the IB Key that is here with a passphrase, or keep it unsealed (`on` false) from now on.

    Raises:
        PersonNeeded: not enrolled, or a passphrase is missing. UsageError: a data.json of other programs.
    """

    async def work() -> Status:
        profile = context.profile
        vault = vault_for(
            profile, user_name(profile, user), passphrase=await sources.of(profile, "passphrase").read()
        )
        await _opened(vault, vault.key)
        if on:
            vault.seal(await seal_passphrase(profile))
        else:
            vault.unseal()
        return vault.status()

    found = run(work())
    if context.as_json:
        output.dump(status_json(found, context.profile))
    else:
        output.say(f"IB Key of {found.user} in {found.path} is {'sealed' if on else 'unsealed'} now.")
        if on and not context.profile.passphrase:
            output.say("A login asks for its passphrase, where the profile has no source of it.")
    return 0


def _write_secret(file: Path, vault: Vault) -> None:
    if os.path.lexists(file):
        raise UsageError(f"{file} exists already; nothing was written.", "Name a new file.")
    write_private(file, f"{vault.export_secret().reveal()}\n".encode())


async def seal_passphrase(profile: Profile) -> Secret:
    """The passphrase to seal with: the profile's, or typed twice.

    Raises:
        PersonNeeded: nobody is there to type it, or it was not typed the same twice.
    """
    given = await sources.of(profile, "passphrase").read()
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise PersonNeeded(
            "A passphrase to seal the file with is needed.",
            "Set a source for it: [profiles.NAME.passphrase]; or --plain leaves it unsealed.",
        )
    return await typed_twice("Passphrase to seal it with", "The passphrases differ.")


async def typed_twice(what: str, differ: str) -> Secret:
    """A secret typed the same two times in a row; three tries.

    Raises:
        PersonNeeded: it was not given.
    """
    for _ in range(3):
        first = await tty.line(f"{what}: ", echo=False)
        if not first:
            break
        if first == await tty.line("Once more: ", echo=False):
            return Secret(first)
        output.say(differ)
    raise PersonNeeded(f"{what}: it was not given.", "Run it again.")


def user_name(profile: Profile, user: str | None) -> str:
    """The user name to work on.

    Raises:
        UsageError: nobody said which.
    """
    name = (user or profile.username).strip()
    if not name:
        raise UsageError("No user name was given.", "Add --user NAME, or username to the profile.")
    return name
