"""The session's token and the opening of the brokerage session (web-api.md §2, §7.9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ibtui.clock import Clock
from ibtui.core.endpoints import accounts, session
from ibtui.core.endpoints.common import Call
from ibtui.core.models import Accounts, AuthStatus
from ibtui.errors import Competing, NoBridge, NotLoggedIn, Rejected, Unreachable
from ibtui.secret import Secret

Ask = Callable[[Call], Awaitable[Any]]
"""Sends a request and returns its decoded body."""

PATIENCE_S = 60.0
"""How long the brokerage session may take to come up (§2.1: 60 to 90 s)."""
_POLL_S = 1.5
_BREATH_S = 3.0
_NO_DH = "failed to generate sso dh token"


class Token:
    """The tickle's session token; tells whoever opened a socket with an older one.

    A new token means that open WebSockets are dead even if they still beat (§7.9).
    """

    def __init__(self) -> None:
        self._secret: Secret | None = None
        self._had = False
        """A token after a lost session is another one too, however long there was none."""
        self._listeners: list[Callable[[], None]] = []

    @property
    def secret(self) -> Secret | None:
        """The latest token, None before the first tickle."""
        return self._secret

    def renew(self, secret: Secret | None) -> bool:
        """Take over the token of a tickle; True (and listeners are called) when it is another one."""
        if secret is None or secret == self._secret:
            return False
        first, self._had = not self._had, True
        self._secret = secret
        if not first:
            for listener in list(self._listeners):
                listener()
        return not first

    def forget(self) -> None:
        """There is no token any more."""
        self._secret = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def leave(self, listener: Callable[[], None]) -> None:
        """Call `listener` no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)


async def open_brokerage(
    ask: Ask,
    clock: Clock,
    *,
    compete: bool = True,
    publish: bool = True,
    settle: float = 1.0,
    patience: float = PATIENCE_S,
    direct: bool = False,
) -> AuthStatus:
    """Bring the brokerage session to `ready` by the sequence of web-api.md §2.1.

    `settle` is the pause in seconds after the session was asked for, before the first look. `direct`:
    over OAuth, where nothing is connected before the session was asked for (oauth.md §7).

    Raises:
        NotLoggedIn: there is no SSO session to open it on.
        Competing: another program has it and `compete` is false, or it does not let go.
        NoBridge: it did not come up within `patience` seconds.
        Rejected: IBKR gives a reason.
    """
    status = await _now(ask, direct)
    if status.ready and not status.competing:
        return status
    if status.competing and not compete:
        raise _competing()
    if not status.connected and not status.authenticated and not direct:
        raise NotLoggedIn("There is no SSO session.", "Log in first.")
    deadline = clock.monotonic() + patience
    if not status.authenticated or status.competing:
        start = partial(_initialise, ask, compete=compete, publish=publish)
        status = await (_directly(start, ask, clock) if direct else start())
        await clock.sleep(settle)
    while True:
        status = await _look(ask, status)
        if status.ready and not status.competing:
            return status
        if status.competing and not compete:
            raise _competing()
        if clock.monotonic() >= deadline:
            break
        await clock.sleep(_POLL_S)
    if status.competing:
        raise _competing()
    raise NoBridge(
        f"The brokerage session did not come up within {patience:.0f} s.",
        status.fail or status.message or "Try again in a minute.",
    )


async def _initialise(ask: Ask, *, compete: bool, publish: bool) -> AuthStatus:
    status = session.read_status(await ask(session.ssodh_init(compete=compete, publish=publish)))
    if status.fail and not status.authenticated:
        raise Rejected(f"IBKR did not open the brokerage session: {status.fail}.")
    return status


async def _now(ask: Ask, direct: bool) -> AuthStatus:
    try:
        return session.read_status(await ask(session.auth_status()))
    except NoBridge:
        if not direct:
            raise
        return AuthStatus()


async def _directly(start: Callable[[], Awaitable[AuthStatus]], ask: Ask, clock: Clock) -> AuthStatus:
    """`start` over OAuth: what helps against `failed to generate sso dh token` is done once (oauth.md §9).

    Raises:
        Rejected: it fails again.
    """
    try:
        return await start()
    except NotLoggedIn as error:
        if _NO_DH not in error.what.lower():
            raise
    await clock.sleep(_BREATH_S)
    await ask(session.tickle())
    try:
        return await start()
    except NotLoggedIn as error:
        if _NO_DH not in error.what.lower():
            raise
        raise Rejected(
            "IBKR cannot open the brokerage session (failed to generate sso dh token).",
            "Another session of this user name may be open, or the account is not (yet) allowed to use OAuth;"
            " new paper accounts take one to two weeks. Else ask IBKR's support.",
            500,
        ) from None


async def _look(ask: Ask, before: AuthStatus) -> AuthStatus:
    try:
        return session.read_status(await ask(session.auth_status()))
    except (NoBridge, Unreachable):
        # For a few seconds after a good start the routes still say `no bridge` (§2.5).
        return AuthStatus(competing=before.competing)


async def first_accounts(ask: Ask, clock: Clock, patience: float = 20.0) -> Accounts:
    """Ask for the accounts, which arms the routes of §1.7, until there are some (§3.1).

    Raises:
        NoBridge: the brokerage session still refuses after `patience` seconds.
    """
    deadline = clock.monotonic() + patience
    while True:
        late = clock.monotonic() >= deadline
        try:
            found = accounts.read_brokerage(await ask(accounts.brokerage()))
        except NoBridge:
            if late:
                raise
        else:
            if found.ids or late:
                return found
        await clock.sleep(_POLL_S)


def _competing() -> Competing:
    return Competing(
        "Another program holds the brokerage session of this user name.",
        "Close it there, or take the session over (compete).",
    )
