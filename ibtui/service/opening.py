"""After the Dispatcher: from an SSO session to a brokerage session that is ready.

login.md §3 'After the login', web-api.md §2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from ibtui.clock import Clock, Tasks
from ibtui.config import Profile
from ibtui.core.client import IbkrClient
from ibtui.core.endpoints import session
from ibtui.core.endpoints.common import integer, mapping
from ibtui.core.models import Accounts, AuthStatus
from ibtui.errors import Competing, IbtuiError, NotLoggedIn, Unreachable, WrongAccountType

LOOKS = (0.4, 1.5, 2.2, 3.1, 3.25, 3.4, 3.6, 3.9, 4.5, 5.5, 7.0, 10.0, 15.0, 21.0, 28.0)
"""Seconds after the login at which to look for the session. Not the even steps of login.md §3: the
gateway is ready after its own 3.1 s (§9.4), and then the next look should be near."""
NEAR_S, NEAR_LOOKS = 0.1, 12
"""So soon, and so often, to look again once it is authenticated but not established yet."""
_LIVE, _PAPER = 1, 2
"""`LOGIN_TYPE` (web-api.md §2.4)."""


@dataclass(slots=True)
class Opening:
    """Opens the brokerage session for a profile after its login.

    `paper`: what the login said about the user name; None when it said nothing.
    """

    client: IbkrClient
    clock: Clock
    profile: Profile
    paper: bool | None = None

    async def run(self) -> AuthStatus:
        """Wait for the session (the gateway opens it by itself, login.md §9.4; else we do), tickle,
        ask for the accounts; beside it, validate.

        Raises:
            WrongAccountType: paper in a live profile or the reverse; it was logged out again.
            Competing: another program has the session, and the profile does not take it.
            NotLoggedIn, NoBridge, Rejected, Unreachable: as `IbkrClient.init`.
        """
        await self._check(self.paper)
        tasks = Tasks()
        # Beside the looks, for it must not hold them up: once a minute is allowed.
        validating = tasks.start(self._login_type(), "validate")
        try:
            # Over OAuth nothing opens it by itself (oauth.md §7).
            status = None if self.profile.direct else await self._settled()
            if status is None:
                status = await self._opened()
            else:
                await self.client.tickle()
            accounts = await self.client.accounts()
            kind = validating.result() if validating.done() else None
        finally:
            await tasks.close()
        await self._check({_PAPER: True, _LIVE: False}.get(kind or 0, _paper(accounts)))
        return status

    async def _login_type(self) -> int | None:
        """The SSO session's kind; None when nobody says so."""
        if self.profile.mode == "oauth1":
            return None  # that route is deaf to it (oauth.md §1)
        try:
            body = await self.client.call(session.validate())
        except IbtuiError:
            return None
        return integer(mapping(body).get("LOGIN_TYPE"))

    async def _opened(self) -> AuthStatus:
        try:
            return await self.client.init(compete=self.profile.competing == "take")
        except Competing:
            raise held_elsewhere(self.profile) from None

    async def _settled(self) -> AuthStatus | None:
        """The session as it came up by itself; None when it has to be opened.

        Raises:
            Competing: as the profile's policy wants it.
        """
        begun, near = self.clock.monotonic(), NEAR_LOOKS
        for at in LOOKS:
            left = begun + at - self.clock.monotonic()
            if left < 0:
                continue  # the near looks went beyond it
            await self.clock.sleep(left)
            found = await self._look()
            while found is not None and found.authenticated and not found.ready and near:
                near -= 1
                await self.clock.sleep(NEAR_S)
                found = await self._look()
            if found is None:
                continue
            if found.competing:
                if self.profile.competing == "take":
                    return None
                raise held_elsewhere(self.profile)
            if found.ready:
                return found
        return None

    async def _look(self) -> AuthStatus | None:
        try:
            return await self.client.status()
        except (NotLoggedIn, Unreachable):
            return None

    async def _check(self, paper: bool | None) -> None:
        """Raises WrongAccountType, after a logout, where what IBKR says is not what the profile means.

        `ibtui serve` means either (empty) where nobody said which.
        """
        if paper is None or self.profile.mode == "demo" or not self.profile.account_type:
            return
        wanted, found = self.profile.account_type, "paper" if paper else "live"
        if wanted == found:
            return
        try:
            await self.client.logout()
        except IbtuiError:
            done = "It could not be logged out again: do it by hand (ibtui logout)."
        else:
            done = "It was logged out again."
        raise WrongAccountType(
            f"This is a {found} user name, and the profile {self.profile.name} is meant for {wanted}. {done}",
            f'If {found} is what you want: account_type = "{found}" in [profiles.{self.profile.name}];'
            f" else log in with the {wanted} user name. The password was right; no attempt was used.",
            wanted=wanted,
            found=found,
        )


def _paper(accounts: Accounts) -> bool | None:
    if accounts.paper is not None:
        return accounts.paper
    return all(name.startswith("D") for name in accounts.ids) if accounts.ids else None


def held_elsewhere(profile: Profile) -> Competing:
    """Another program holds the brokerage session; what comes next is the profile's policy."""
    if profile.competing == "yield":
        return Competing(
            "Another program holds the brokerage session of this user name; it was left there.",
            'The profile says competing = "yield". Take it over: ibtui login --take-over',
        )
    return Competing(
        "Another program holds the brokerage session of this user name.",
        "Close it there, or take it over: ibtui login --take-over",
    )
