"""The library's front door: `IbkrClient` (DESIGN §3, core).

async with IbkrClient("https://localhost:5000") as client:
    await client.init()
    print(await client.request("/portfolio/accounts"))
    async for message in client.socket().market_data(265598, ["31", "84", "86"]):
        print(message)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ibtui.clock import Clock, SystemClock, Tasks
from ibtui.core import session as sessions
from ibtui.core.endpoints import accounts, session
from ibtui.core.endpoints.common import Call
from ibtui.core.feed import Hub
from ibtui.core.link import StreamState
from ibtui.core.load import PARTS, Loader
from ibtui.core.models import Accounts, AuthStatus, Event, Tickle
from ibtui.core.pacing import Pacing, Unpaced
from ibtui.core.rest import Rest
from ibtui.core.store import Store
from ibtui.core.trust import Trust
from ibtui.errors import IbtuiError, NotLoggedIn, Rejected
from ibtui.log import redact
from ibtui.secret import Secret

if TYPE_CHECKING:  # a login opens no WebSocket
    from ibtui.core.live import OnFrame
    from ibtui.core.oauth import OAuth
    from ibtui.core.stream import Stream
    from ibtui.core.watch import Watcher

API_HOST = "https://api.ibkr.com"
FRESH_S = 2.0
"""So long a tickle's token counts as fresh: asking once more takes a second (web-api.md §1.6)."""


class IbkrClient:
    """A client of the IBKR Web API through a Client Portal Gateway; usable from any asyncio program.

    `target` is the gateway's address (`https://localhost:5000`); or, to talk to IBKR without one, the
    content of an `oauth1.json` (seven fields, keys as PEM text, oauth.md §4.1), or `client_id`, `key_id`,
    `credential`, `private_key`, `ip` for OAuth 2.0 (§11); then `api_host` is asked, and tokens are got and
    renewed by themselves (`client.oauth`). `oauth_query` is how a query is signed
    (`auth.oauth1.FORMS`). `read_only` (the default) refuses requests that change orders.
    With https on loopback and no `trust`, the certificate of the first connection is
    pinned for this client's life (`client.trust.fingerprint`); elsewhere the system's
    CAs decide. `timeout` is in seconds, per attempt. A `store` and `hub` handed in outlive
    the client. With `uds` everything goes over that Unix socket, the door of a supervisor, which
    counts requests for all its clients and keeps the token where there is no gateway behind it (`direct`).
    Nothing is read from the environment.

    Raises:
        UsageError: the address or mapping is not valid, or plain http would leave this machine.
    """

    def __init__(
        self,
        target: str | Mapping[str, Any] | OAuth,
        *,
        read_only: bool = True,
        trust: Trust | None = None,
        clock: Clock | None = None,
        timeout: float = 15.0,
        insecure_http: bool = False,
        proxy: str = "",
        store: Store | None = None,
        hub: Hub | None = None,
        uds: str = "",
        api_host: str = API_HOST,
        oauth_query: str = "left_out",
        direct: bool = False,
    ) -> None:
        self.oauth = None if isinstance(target, str) else _oauth(target, oauth_query)
        """The token of direct access, with its age and what is left; None through a gateway."""
        self._direct = direct or self.oauth is not None
        self.clock: Clock = clock or SystemClock()
        self.pacing = Unpaced(self.clock) if uds else Pacing(self.clock)
        self.rest = Rest(
            target if isinstance(target, str) else api_host,
            trust,
            self.pacing,
            read_only=read_only,
            clock=self.clock,
            timeout=timeout,
            proxy=proxy,
            insecure_http=insecure_http,
            uds=uds,
            oauth=self.oauth,
        )
        self.store = store or Store(self.clock)
        self.hub = hub or Hub()
        self.token = sessions.Token()
        self._tickled = 0.0
        self.listeners: list[Callable[[Event], None]] = []
        """Hear of what happens while watching: the socket, gaps, notices."""
        self._proxy = proxy
        self._uds = uds
        self._loader = Loader(self.call, self.store, self.hub, self.clock)
        self._streams: dict[Stream, Callable[[], None]] = {}
        self._watcher: Watcher | None = None
        self._tasks = Tasks(
            lambda error: self._tell("session", f"the keep-alive stopped: {error!r}", "error")
        )
        self._opened = False
        if self.oauth is not None:
            self.oauth.renewed.append(self._renewed)

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
        self.tickled(body)
        found = session.read_tickle(body, direct=self._direct)
        self._opened = found.status.ready and not found.status.competing
        return found

    def tickled(self, body: Any) -> None:
        """Take in a tickle's reply: our own, or one that was passed on for another program."""
        self.token.renew(session.read_token(body))
        self._tickled = self.clock.monotonic()
        self.store.touch("tickle")

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
            self.call, self.clock, compete=compete, publish=publish, settle=settle, direct=self._direct
        )
        self._opened = True
        await self.accounts()
        await self.tickle()
        return status

    def _renewed(self) -> None:
        self._tell("session", "the token was renewed", "info")
        assert self.oauth is not None
        self.oauth.following = self._tasks.start(self._follow_token(self._opened), "token renewed")

    async def _follow_token(self, had: bool) -> None:
        """The brokerage session, if we `had` it, and the sockets belonged to the last token (oauth.md §7)."""
        try:
            if had:
                # Whom it competes with is ourselves, with the last token.
                await sessions.open_brokerage(self.call, self.clock, compete=True, direct=True)
                await self.accounts()
        except IbtuiError as error:
            self._tell("session", str(error), "warn")
        for stream in list(self._streams):
            stream.reconnect("the token was renewed")

    async def accounts(self) -> Accounts:
        """The accounts of the brokerage session, into the store too (web-api.md §3.1)."""
        found = await sessions.first_accounts(self.call, self.clock)
        self.hub.publish(self.store.replace_brokerage_accounts(found))
        return found

    def socket(
        self,
        debug: Iterable[str] = (),
        *,
        write: Callable[[str], None] | None = None,
        cookie: str = "",
        on_frame: OnFrame | None = None,
        on_state: Callable[[StreamState], None] | None = None,
    ) -> Stream:
        """A WebSocket that opens with its first reader and keeps itself open until `close`.

        `debug` is any of `open`, `close`, `send`, `receive`, `error`; these are written,
        without cookies or tokens, to `write` or the log `ibtui.socket`. `cookie` is a word of
        `stream.COOKIES`; empty: what suits the connection. `on_frame` hears each frame
        as it came and says whether it is dealt with, `on_state` of opening and closing.

        Raises:
            UsageError: an unknown debug word.
        """
        return self._stream(debug=debug, write=write, cookie=cookie, on_frame=on_frame, on_state=on_state)

    def _stream(self, *, cookie: str = "", **more: Any) -> Stream:
        from ibtui.core.stream import Stream

        stream = Stream(
            self.rest.address.socket,
            self.trust,
            self._presenter(),
            clock=self.clock,
            pacing=self.pacing,
            read_only=self.rest.read_only,
            proxy=self._proxy,
            uds=self._uds,
            cookie=cookie or ("plain" if self.oauth is not None else "json"),
            query=self._socket_query if self.oauth is not None else None,
            **more,
        )
        listener = self._streams[stream] = lambda: stream.token_changed(self.token.secret)
        self.token.listen(listener)
        return stream

    def _socket_query(self) -> str:
        grant = self.oauth.grant if self.oauth is not None else None
        return self.oauth.way.socket_query(grant) if self.oauth is not None and grant is not None else ""

    async def end(self, stream: Stream) -> None:
        """Close a socket of `socket` for good and forget it; harmless when that is done."""
        listener = self._streams.pop(stream, None)
        if listener is not None:
            self.token.leave(listener)
        await stream.close()

    def _presenter(self) -> Callable[[], Awaitable[Secret | None]]:
        """Gives the session for a socket that opens."""
        opened = False

        async def present() -> Secret | None:
            nonlocal opened
            fresh = self.clock.monotonic() - self._tickled < FRESH_S
            # A reconnect may follow a re-login, so its token is always a new one.
            if opened or not fresh or self.token.secret is None:
                await self.tickle()
            opened = True
            return self.token.secret

        return present

    async def load(self, *parts: str) -> None:
        """Read accounts, positions, orders, executions and amounts into the store.

        `parts` are any of `accounts`, `positions`, `amounts`, `orders`, `trades`, `pnl`; none
        means all, accounts first. All takes some six seconds, for orders and trades answer only
        to a second call and may be asked once in five (web-api.md §1.6, §1.7); `hub` tells of each
        part as it comes in. `daily`, only when named, asks market data for the positions' P&L of the
        day, which otherwise the stream alone tells.

        Raises:
            IbtuiError: the first failure, after everything else was read. As `request`.
        """
        await self._loader.load(parts or PARTS)

    async def watch(self, *, tickle_every: float = 60.0) -> None:
        """Keep the store up to date from the WebSocket until `close`; returns once it is open.

        Orders, executions, P&L, summary, ledger and market data of the open positions (at
        most 100 lines). After each gap, and every two minutes while orders work, orders
        and executions are read anew. `tickle_every` seconds the session is kept alive (0: not).

        Raises:
            IbtuiError: the socket cannot be opened now; it goes on trying until `close`.
        """
        if self._watcher is not None:
            return
        from ibtui.core.watch import Watcher

        watcher: Watcher
        stream = self._stream(
            on_event=lambda event: watcher.on_event(event),
            on_gap=lambda: watcher.on_gap(),
            on_state=lambda state: watcher.on_state(state),
        )
        watcher = self._watcher = Watcher(
            stream, self.call, self._loader, self.store, self.hub, self.clock, self._tell
        )
        if tickle_every:
            self._tasks.start(self._keep_alive(tickle_every), "keep-alive")
        await watcher.start()

    async def _keep_alive(self, seconds: float) -> None:
        while True:
            await self.clock.sleep(seconds)
            try:
                await self.tickle()
            except IbtuiError as error:
                self._tell("session", str(error), "warn")

    def _tell(self, source: str, text: str, level: str) -> None:
        event = Event(at=self.clock.now(), source=source, text=redact(text), level=level)
        for listener in list(self.listeners):
            listener(event)

    async def unwatch(self) -> None:
        """Stop watching; the store keeps its last values."""
        await self._tasks.close()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await watcher.close()
            await self.end(watcher.stream)

    async def logout(self) -> None:
        """End the brokerage session and the login (web-api.md §2.6); raises as `request`."""
        try:
            await self.call(session.logout())
            self.token.forget()
        finally:
            self._opened = False
            if self.oauth is not None:
                await self.oauth.forget()

    async def select(self, account: str) -> None:
        """Make `account` the one that orders and trades are read of (web-api.md §3.2).

        Raises:
            Rejected: there is no such account. Further as `request`.
        """
        try:
            await self.call(accounts.select(account))
        except Rejected as error:
            # One build answers so, with status 500, where others say `success`.
            if "already set" not in error.what.lower():
                raise
        self.hub.publish(self.store.select(account))

    async def close(self) -> None:
        """Close sockets and connections; the session itself lives on at the gateway."""
        if self.oauth is not None and self._renewed in self.oauth.renewed:
            self.oauth.renewed.remove(self._renewed)
        await self.unwatch()
        for stream in list(self._streams):
            await self.end(stream)
        await self.rest.close()


def _oauth(target: Mapping[str, Any] | OAuth, query_form: str) -> OAuth:
    # These and cryptography take a while to load; through a gateway they are not needed.
    from ibtui.core.oauth import OAuth

    if isinstance(target, OAuth):
        return target
    from ibtui.core.ways import way_of

    return OAuth(way_of(target, query_form))
