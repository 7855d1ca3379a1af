"""IB Key enrolled anew: by a person's wish, or by itself where that was switched on (login.md §6, §7).

The callers hold the login's lock (`Vault.conversation`) and have looked at the guard's permit;
attempts are counted here as in a login.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ibtui import sources
from ibtui.auth import ocra
from ibtui.auth.effects import Answers, Credentials, Enrolled, Note, Spend, Step
from ibtui.auth.fields import Prepared
from ibtui.auth.vault import Vault
from ibtui.clock import Clock, SystemClock
from ibtui.config import Profile, Settings
from ibtui.errors import IbtuiError, Rejected
from ibtui.secret import Secret

if TYPE_CHECKING:
    from ibtui.core.drive import Count
    from ibtui.core.rest import Rest

NO_SMS = "SMS credentials are not set, cannot automatically setup IBKey"
"""login.md §8."""
ACTIVE = "IBKR has activated the new IB Key; it is kept as an unfinished one."
NOT_YET = "IBKR was not asked to activate the new IB Key: the old one still works."


async def enroll(
    settings: Settings,
    vault: Vault,
    who: Credentials,
    pin: Secret,
    answers: Answers,
    clock: Clock | None = None,
) -> Enrolled:
    """Enroll IB Key at IBKR's login host and keep it in `vault`, synced, as soon as it is active.

    `answers` is asked for the code of the text message alone.

    Raises:
        as `auth.enroll.enroll`; LoginLocked, Backoff, IbtuiError: the vault counted no attempt.
        CertificateMismatch: the login host is not trusted; nothing was sent.
    """
    from ibtui.auth.enroll import enroll as flow
    from ibtui.core import drive

    clock = clock or SystemClock()
    rest = login_host(settings, clock)

    prepared = False

    async def store(enrolled: Enrolled) -> None:
        nonlocal prepared
        await keep(vault, enrolled, answers)
        prepared = True

    spend = counting(vault, answers)
    try:
        return await drive.run(flow(who, pin), answers, rest, clock, spend, store=store, login_host=rest)
    except Rejected:
        if prepared:
            await asyncio.to_thread(vault.forget_unfinished)
        raise
    finally:
        await rest.close()


def counting(vault: Vault, answers: Answers) -> Count:
    """Counts in `vault`; that a success could not be written is told, and is no failure.

    Its attempt then stays counted, which is the safe side; the session, or the key, is there.
    """

    async def spend(effect: Spend) -> None:
        try:
            await asyncio.to_thread(vault.spend, effect.what)
        except IbtuiError as error:
            if effect.what != "success":
                raise
            answers.note(Note(Step.SESSION, f"this worked, but still counts as an attempt: {error.what}"))

    return spend


async def keep(vault: Vault, enrolled: Enrolled, answers: Answers) -> None:
    """Write a new key to disk; where that fails a person may make room and have it tried again.

    Raises:
        IbtuiError: it could not be written. A prepared one is not activated then; an active one
            stays where it was prepared.
    """
    active = not isinstance(enrolled, Prepared)
    while True:
        try:
            return await asyncio.to_thread(vault.store, enrolled)
        except IbtuiError as error:
            text = f"{error.what} {ACTIVE if active else NOT_YET}"
            if await answers.confirm(f"{text} {error.fix} Try again to write it?"):
                continue
            error.what = text
            error.fix += f" Then run: ibtui ibkey {'import --unfinished --replace' if active else 'enroll'}"
            raise


def login_host(settings: Settings, clock: Clock) -> Rest:
    """A connection to IBKR's login host, with a trust of its own: the system's CAs or `login_ca_file`.

    Raises:
        UsageError: the address or the file make no sense.
    """
    from ibtui.core.rest import Rest
    from ibtui.core.trust import Trust

    where = settings.addresses
    trust = Trust.ca(where.login_ca_file) if where.login_ca_file else Trust.system()
    return Rest(where.login_host, trust, clock=clock, proxy=settings.chosen().proxy)


async def ensure_enrolled(
    settings: Settings,
    vault: Vault,
    who: Credentials,
    answers: Answers,
    clock: Clock | None = None,
) -> bool:
    """Enroll IB Key if it is due: at first, and when its counter is used up.

    Only where the profile says `use_ibkey` and Twilio is set up, for it replaces the phone's
    IB Key. Returns whether it was done.

    Raises:
        PersonNeeded: the present key is sealed and its passphrase is missing. Else as `enroll`.
    """
    profile = settings.chosen()
    if not profile.use_ibkey:
        return False
    status = await asyncio.to_thread(vault.status)
    if status.logins_left:
        return False
    if not has_twilio(profile):
        answers.note(Note(Step.FACTOR, NO_SMS))
        return False
    if vault.passphrase is None and not vault.plain:
        # It opens the present key, and seals the new one.
        vault.passphrase = await sources.of(profile, "passphrase").read()
    if status.enrolled:
        answers.note(Note(Step.PASSWORD, f"IB Key's counter is at {status.counter}: enrolling it again"))
        pin = (await asyncio.to_thread(vault.key)).pin
    else:
        answers.note(Note(Step.PASSWORD, "IB Key is not enrolled yet: enrolling it"))
        lying_ready = await asyncio.to_thread(vault.made_pin)
        pin = lying_ready or ocra.make_pin()
    await enroll(settings, vault, who, pin, answers, clock)
    return True


def has_twilio(profile: Profile) -> bool:
    """Whether the profile can read text messages."""
    return bool(profile.twilio_sid and profile.twilio_token)
