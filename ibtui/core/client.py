"""The library's front door: `IbkrClient` (DESIGN §3, core).

async with IbkrClient("https://localhost:5000") as client:
    await client.init()
    print(await client.request("/portfolio/accounts"))
    async for message in client.socket().market_data(265598, ["31", "84", "86"]):
        print(message)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ibtui.clock import Clock, SystemClock
from ibtui.core import session as sessions
from ibtui.core.endpoints import session
from ibtui.core.endpoints.common import Call
from ibtui.core.feed import Hub
from ibtui.core.models import Accounts, AuthStatus, Tickle
from ibtui.core.pacing import Pacing
from ibtui.core.rest import Rest
from ibtui.core.store import Store
from ibtui.core.trust import Trust
from ibtui.errors import NotLoggedIn, UsageError
from ibtui.secret import Secret

OAUTH_FIELDS = (
    "consumerKey",
    "accessToken",
    "accessTokenSecret",
    "encryption",
    "signature",
    "dhPrime",
    "realm",
)
"""The members of an `oauth1.json` (oauth.md §4.1)."""


class IbkrClient:
    """A client of the IBKR Web API through a Client Portal Gateway; usable from any asyncio program.

    `target` is the gateway's address (`https://localhost:5000`), or a mapping with the
    seven OAuth fields. `read_only` (the default) refuses requests that change orders.
    With https on loopback and no `trust`, the certificate of the first connection is
    pinned for this client's life (`client.trust.fingerprint`); elsewhere the system's
    CAs decide. `timeout` is in seconds, per attempt. Nothing is read from the environment.

    Raises:
        UsageError: the address or mapping is not valid, or plain http would leave this machine.
    """

    def __init__(
        self,
        target: str | Mapping[str, Any],
        *,
        read_only: bool = True,
        trust: Trust | None = None,
        clock: Clock | None = None,
        timeout: float = 15.0,
        insecure_http: bool = False,
        proxy: str = "",
    ) -> None:
        if not isinstance(target, str):
            raise _oauth(target)
        self.clock: Clock = clock or SystemClock()
        self.pacing = Pacing(self.clock)
        self.rest = Rest(
            target,
            trust,
            self.pacing,
            read_only=read_only,
            clock=self.clock,
            timeout=timeout,
            proxy=proxy,
            insecure_http=insecure_http,
        )
        self.store = Store(self.clock)
        self.hub = Hub()
        self.token = sessions.Token()

    async def __aenter__(self) -> IbkrClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        locked = "read-only" if self.rest.read_only else "trading"
        return f"IbkrClient({self.rest.address.origin!r}, {locked})"

    @property
    def trust(self) -> Trust:
        """What its TLS connections trust."""
        return self.rest.trust

    @property
    def session(self) -> str:
        """The WebSocket's token, renewed by `tickle`; empty before. A secret: do not print it."""
        found = self.token.secret
        return found.reveal() if found is not None else ""

    @session.setter
    def session(self, token: str) -> None:
        if token:
            self.token.renew(Secret(token))
        else:
            self.token.forget()

    async def call(self, call: Call) -> Any:
        """Send a request built by one of `ibtui.core.endpoints`; returns and raises as `request`."""
        return await self.rest.request(call.path, call.method, call.data, call.params)

    async def request(
        self,
        path: str,
        method: str = "GET",
        data: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Any REST call; see `Rest.request` for encoding, results and errors.

        >>> await client.request("/iserver/marketdata/snapshot", params={"conids": [265598], "fields": 31})
        """
        return await self.rest.request(path, method, data, params, headers)

    async def tickle(self) -> Tickle:
        """Keep the session alive and renew `session`; call it about once a minute (web-api.md §2.3).

        Raises:
            NotLoggedIn: there is no SSO session. Further as `request`.
        """
        try:
            body = await self.call(session.tickle())
        except NotLoggedIn:
            self.token.forget()
            raise
        self.token.renew(session.read_token(body))
        return session.read_tickle(body)

    async def status(self) -> AuthStatus:
        """The brokerage session's state (web-api.md §2.2); raises as `request`."""
        return session.read_status(await self.call(session.auth_status()))

    async def init(self, compete: bool = True, publish: bool = True, settle: float = 1.0) -> AuthStatus:
        """Open the brokerage session unless it is open, then ask for the accounts and tickle.

        `compete` takes the session from another program. `settle` is the pause in seconds
        after asking for the session. Follows web-api.md §2.1.

        Raises:
            NotLoggedIn: log in first. Competing: another program holds the session.
            NoBridge: the session did not come up in a minute. Further as `request`.
        """
        status = await sessions.open_brokerage(
            self.call, self.clock, compete=compete, publish=publish, settle=settle
        )
        await self.accounts()
        await self.tickle()
        return status

    async def accounts(self) -> Accounts:
        """The accounts of the brokerage session, into the store too (web-api.md §3.1)."""
        found = await sessions.first_accounts(self.call, self.clock)
        self.hub.publish(self.store.replace_brokerage_accounts(found))
        return found

    async def close(self) -> None:
        """Close sockets and connections; the session itself lives on at the gateway."""
        await self.rest.close()


def _oauth(target: Mapping[str, Any]) -> UsageError:
    missing = [name for name in OAUTH_FIELDS if not target.get(name)]
    if missing:
        return UsageError(
            f"The OAuth settings lack {', '.join(missing)}.", "An oauth1.json has seven fields, all needed."
        )
    return UsageError(
        "This version connects through a gateway only, not by OAuth.", "Give the gateway's address."
    )
