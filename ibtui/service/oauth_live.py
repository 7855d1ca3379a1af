"""The tests of an OAuth registration: what can be known here, then what IBKR says, step by step.

Nobody's session is taken and no kept token is touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ibtui.auth import keys, oauth_fields
from ibtui.auth.oauth_fields import OAuth1Fields
from ibtui.clock import Clock, SystemClock
from ibtui.config import Addresses, Profile
from ibtui.core.models import Accounts
from ibtui.errors import Competing, IbtuiError, LoginRefused, NotLoggedIn, WrongAccountType
from ibtui.service.oauth_host import trust_of
from ibtui.service.oauth_setup import rehearse
from ibtui.service.oauth_state import Check

if TYPE_CHECKING:
    from ibtui.core.client import IbkrClient
    from ibtui.core.oauth import Way

SOME = "AAPL"
"""Asked for in the test of signed queries."""


class Result(NamedTuple):
    """One step, and the error behind it where it failed."""

    check: Check
    error: IbtuiError | None = None


async def offline(given: OAuth1Fields, now: datetime) -> AsyncGenerator[Result, None]:
    """What can be known of an `oauth1.json` without sending anything; takes half a second.

    Goes on after a failure, for each step stands by itself.
    """

    def keys_() -> str:
        signature, encryption = given.signature_key(), given.encryption_key()
        keys.check_differ(signature, encryption)
        return f"signing {keys.fingerprint(signature)}, encryption {keys.fingerprint(encryption)}"

    def secret() -> str:
        oauth_fields.check_opens(given.access_token_secret, given.encryption_key(), given.signature_key())
        return "the encryption key opens it"

    def prime() -> str:
        keys.check_prime(given.prime)
        return f"safe, 2048 bits, {keys.prime_fingerprint(given.prime)}"

    def token() -> str:
        rehearse(given, now)
        return "made and verified here"

    yield Result(Check("Consumer key", detail=f"{given.consumer_key}, realm {given.realm}"))
    steps = {
        "Keys": keys_,
        "Access token secret": secret,
        "Prime": prime,
        "A token and a signature": token,
    }
    for name, step in steps.items():
        yield await _result(name, lambda step=step: asyncio.to_thread(step))  # type: ignore[misc]


async def live(
    way: Way, profile: Profile, addresses: Addresses, clock: Clock | None = None
) -> AsyncGenerator[Result, None]:
    """Ask IBKR: token, a signed request, one with a query, brokerage session, accounts.

    Ends with the first failure, for each step stands on the one before. Another program that holds
    the brokerage session keeps it.
    """
    from ibtui.core.client import IbkrClient
    from ibtui.core.oauth import OAuth

    oauth = OAuth(way)
    client = IbkrClient(
        oauth,
        api_host=addresses.api_host,
        trust=trust_of(addresses),
        clock=clock or SystemClock(),
        proxy=profile.proxy,
    )
    async with client:
        try:
            for name, step in _steps(client, profile):
                result = await _result(name, step)
                yield result
                if result.error is not None:
                    return
        finally:
            if way.name == "oauth2" and oauth.grant is not None:
                # Its session is one of its own, and would compete with the one that is to be used.
                await _result("", client.logout)


Step = Callable[[], Awaitable[str]]


def _steps(client: IbkrClient, profile: Profile) -> list[tuple[str, Step]]:
    async def token() -> str:
        assert client.oauth is not None
        grant = await client.oauth.obtain()
        hours = (grant.expires - grant.obtained).total_seconds() / 3600
        return f"IBKR gave one, good for {hours:.0f} h"

    async def signed() -> str:
        await client.tickle()
        return "taken"

    async def query() -> str:
        found = await client.request("/trsrv/stocks", params={"symbols": f"{SOME},IBM"})
        return "taken" if isinstance(found, dict) and SOME in found else "taken, with an odd answer"

    ours = False

    async def brokerage() -> str:
        nonlocal ours
        try:
            status = await client.init(compete=False)
        except Competing as error:
            ours = await _kept(profile)
            if ours:
                return "open: ibtui's own keep-alive holds it"
            raise Competing(
                error.what, "The registration itself works. Take it over: ibtui login --take-over"
            ) from None
        return f"open at {status.server}" if status.server else "open"

    async def accounts() -> str:
        if ours:
            return "as the keep-alive has them: ibtui accounts"
        return _of(await client.accounts(), profile)

    return [
        ("Token", token),
        ("Signed request", signed),
        ("Signed request with a query", query),
        ("Brokerage session", brokerage),
        ("Accounts", accounts),
    ]


async def _kept(profile: Profile) -> bool:
    """Whether a keep-alive of ours has this profile's session open."""
    from ibtui.service.link import find

    link = await asyncio.to_thread(find, profile.name)
    if link is None:
        return False
    try:
        return (await link.truth(brief=True)).status.ready
    except IbtuiError:
        return False


def _of(found: Accounts, profile: Profile) -> str:
    if not found.ids:
        raise NotLoggedIn("IBKR names no account.", "Try again in a minute.")
    kind = "paper" if found.paper else "live"
    if found.paper is not None and profile.account_type and kind != profile.account_type:
        raise WrongAccountType(
            f"This registration is of a {kind} user name, and the profile {profile.name} is meant for"
            f" {profile.account_type}.",
            f'If {kind} is what you want: account_type = "{kind}" in the profile.',
            wanted=profile.account_type,
            found=kind,
        )
    return f"{len(found.ids)}, {kind}" if found.paper is not None else str(len(found.ids))


async def _result(name: str, step: Callable[[], Awaitable[Any]]) -> Result:
    try:
        detail = await step()
    except IbtuiError as error:
        return Result(Check(name, error.what, _with_patience(error)), error)
    return Result(Check(name, detail=str(detail)))


def _with_patience(error: IbtuiError) -> str:
    waits = isinstance(error, LoginRefused) and getattr(error, "waiting_helps", False)
    return f"Waiting helps. {error.fix}" if waits else error.fix
