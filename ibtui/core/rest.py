"""REST over HTTP: with `signed` the only place that knows httpx (web-api.md §1).

Every request has a time-out of its own (the gateway has none, login.md §9.6), waits for
its pacing slot, follows no redirect, and ends in a decoded body or in one error of
`ibtui.errors`. Order-changing requests of a read-only client never reach the network.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

import ibtui
from ibtui.auth.effects import Reply, Send
from ibtui.clock import Clock, SystemClock
from ibtui.core import failures, relayed
from ibtui.core import trust as tls
from ibtui.core.address import API, Address
from ibtui.core.lean import httpx
from ibtui.core.pacing import Pacing, interval
from ibtui.core.readonly import changes_orders, leads_up
from ibtui.core.relayed import Asked, Given
from ibtui.core.transport import Transport
from ibtui.core.trust import Trust
from ibtui.errors import (
    GatewayDown,
    IbtuiError,
    NotLoggedIn,
    Rejected,
    Stalled,
    TradingLocked,
    UnknownReply,
    Unreachable,
    UsageError,
)
from ibtui.errors import Pacing as PacingError
from ibtui.log import quiet_libraries

if TYPE_CHECKING:
    from ibtui.core.oauth import OAuth

USER_AGENT = f"ibtui/{ibtui.__version__}"
LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30)
RELAYED_S = 80.0
"""Seconds that a request may wait for its slot at the supervisor (`Pacing.max_wait`), and some more."""
CONNECT_S = 5.0
"""Seconds for the connection itself, TLS included."""
RETRY_AFTER = (1.0, 2.0)
"""Pauses before a GET is tried again when IBKR is busy (web-api.md §1.5)."""
_REDIRECTS = 5
_SHORT_BUDGET_S = 6.0
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
_encoder = msgspec.json.Encoder(decimal_format="number")


class Rest:
    """A connection pool to one origin.

    `timeout` seconds bound each attempt of a request; waiting for a pacing slot comes on
    top. `read_only` refuses order-changing requests before anything is sent. With `uds` all goes
    over that Unix socket, to a supervisor that waits for slots and times requests itself.

    Raises:
        UsageError: the address is not valid, or plain http would leave this machine.
    """

    def __init__(
        self,
        base_url: str,
        trust: Trust | None = None,
        pacing: Pacing | None = None,
        *,
        read_only: bool = True,
        clock: Clock | None = None,
        timeout: float = 15.0,
        proxy: str = "",
        insecure_http: bool = False,
        uds: str = "",
        oauth: OAuth | None = None,
    ) -> None:
        quiet_libraries()
        self.address = Address.parse(base_url, insecure_http=insecure_http or bool(uds))
        self.trust = trust or tls.for_host(self.address.scheme, self.address.host)
        self.clock = clock or SystemClock()
        self.pacing = pacing or Pacing(self.clock)
        self.read_only = read_only
        # The supervisor always answers, if only to say that the gateway did not.
        self.timeout = timeout + RELAYED_S if uds else timeout
        self._proxy = proxy
        self._uds = uds
        self._api = self._client(CookieJar(DefaultCookiePolicy(allowed_domains=[])))
        self.oauth = oauth
        if oauth is not None:
            from ibtui.core.signed import Signed  # most sessions are the gateway's and need none of it

            oauth.bind(self._post, self.address, self.clock)
            self._api.auth = Signed(oauth, self.pacing)
        self._login: httpx.AsyncClient | None = None

    def _client(self, jar: CookieJar | None) -> httpx.AsyncClient:
        secure = self.address.scheme == "https" or self._proxy.startswith("https")
        context = self.trust.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        through: Any = {"transport": Transport(context, self._uds)}
        if self._proxy and not self._uds:
            through = {"verify": context, "proxy": self._proxy, "limits": LIMITS}
        return httpx.AsyncClient(
            **through,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(self.timeout, connect=min(CONNECT_S, self.timeout)),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json, */*"},
            cookies=jar,
        )

    async def request(
        self,
        path: str,
        method: str = "GET",
        data: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one API request and return its decoded body (None when empty, str when plain text).

        `data` is sent as JSON. In `params` None is dropped, booleans become `true`/`false`,
        lists are joined with commas. Numbers with a fraction come back as the text the
        server sent, whole ones as int. GETs are tried three times while IBKR is busy.

        Raises:
            TradingLocked: the client is read-only and this would change an order; nothing was sent.
            UsageError: path or method make no sense; nothing was sent.
            GatewayDown, CertificateMismatch, NotLoggedIn, NoBridge, Pacing, Stalled,
            Unreachable, Rejected, UnknownReply: see `ibtui.errors` and web-api.md §1.5.
        """
        verb = method.strip().upper()
        self._check(verb, path, headers)
        attempt = 0
        asked_accounts = waited = False
        while True:
            try:
                return await self._once(verb, path, data, params, headers)
            except Rejected as error:
                if failures.ACCOUNTS_FIRST not in error.what.lower() or asked_accounts:
                    raise
                asked_accounts = True
                await self._once("GET", "/iserver/accounts", None, None, None)
                if verb != "GET":
                    raise
            except PacingError:
                # The route has a short budget of its own, and another program (or the command before
                # this one) has just used it: once, wait it out.
                pause = interval(verb, path)
                if verb != "GET" or waited or not 0 < pause <= _SHORT_BUDGET_S:
                    raise
                waited = True
                await self.clock.sleep(pause)
            except Stalled:
                raise
            except Unreachable:
                if verb != "GET" or attempt == len(RETRY_AFTER):
                    raise
                await self.clock.sleep(RETRY_AFTER[attempt])
                attempt += 1

    def _check(self, verb: str, path: str, headers: Mapping[str, str] | None) -> None:
        if verb not in _METHODS:
            raise UsageError(f"{verb or 'An empty word'} is not an HTTP method.")
        self.address.api(path)
        overrides = any("method" in name.lower() for name in headers or ())
        if self.read_only and (overrides or changes_orders(verb, path)):
            raise TradingLocked(
                f"{verb} {path.split('?', 1)[0]} changes orders, but trading is locked; nothing was sent.",
                "Unlock trading for this profile if that is what you want.",
            )
        if leads_up(path):
            raise UsageError("The path leads upwards (..); nothing was sent.", "Write it in full.")

    async def _once(
        self,
        verb: str,
        path: str,
        data: Any,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
    ) -> Any:
        what = f"{verb} {path.split('?', 1)[0]}"
        request = self._built(
            verb,
            self.address.api(path),
            params=_query(path, params),
            content=None if data is None else _encoder.encode(data),
            headers={**({} if data is None else {"Content-Type": "application/json"}), **(headers or {})},
        )
        if self.oauth is not None:
            # Getting a token takes requests of its own, which are not this one's time.
            await self.oauth.ready()
            await self.oauth.followed(path)
        async with self.pacing.slot(verb, path):
            response = await self._exchange(self._api, request, what)
        return self._read(response, what)

    def _built(self, verb: str, url: str, **parts: Any) -> httpx.Request:
        try:
            return self._api.build_request(verb, url, **parts)
        except (httpx.InvalidURL, UnicodeError):
            raise UsageError("The request is too long, or holds what is no text.", "Correct it.") from None

    async def _post(self, url: str, headers: Mapping[str, str], content: bytes) -> tuple[int, bytes]:
        """A token request, which is not signed as the others are; see `oauth.Post`."""
        request = self._api.build_request("POST", url, content=content, headers=headers)
        await self.pacing.frame()
        response = await self._exchange(self._api, request, "The token request", auth=None)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self.pacing.cool_down()
        return response.status_code, response.content

    async def _exchange(
        self, client: httpx.AsyncClient, request: httpx.Request, what: str, **how: Any
    ) -> httpx.Response:
        try:
            # httpx times each read; a server that trickles would never end.
            async with asyncio.timeout(self.timeout + CONNECT_S):
                response = await client.send(request, **how)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, TimeoutError, OSError) as error:
            raise self._transport(error, what) from error
        except RuntimeError as error:
            if not client.is_closed:
                raise
            # Not `Unreachable`: there is no use in asking again over this client.
            raise GatewayDown(f"{what}: the connection was closed meanwhile.", "Try again.") from error
        told = relayed.unpack(response.headers, response.content) if self._uds else None
        if told is not None:
            raise told
        return response

    async def forward(self, asked: Asked, leaving: Callable[[], None] | None = None) -> Given:
        """One attempt of somebody else's request: paced, timed and refused as our own, handed back as it is.

        `leaving` is called when its slot has come. Replies with an error status are no failure here.

        Raises:
            TradingLocked: the client is read-only and this would change an order; nothing was sent.
            UsageError: the path is none of `/v1/` or `/sso/`; nothing was sent.
            GatewayDown, CertificateMismatch, Pacing, Stalled, Unreachable: there was no reply.
        """
        if not asked.path.startswith(("/v1/", "/sso/")):
            raise UsageError("Only paths below /v1/ and /sso/ are passed on.")
        self._check(asked.method, asked.path, None)
        request = self._built(
            asked.method,
            self.address.origin + asked.path,
            content=asked.body or None,
            headers=asked.headers,
        )
        async with self.pacing.slot(asked.method, asked.path):
            if leaving is not None:
                leaving()
            what = f"{asked.method} {asked.path.split('?', 1)[0].removeprefix(API)}"
            response = await self._exchange(self._api, request, what)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self.pacing.cool_down()
        elif response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            self.pacing.fine()
        return Given(response.status_code, response.headers.multi_items(), response.content)

    def _transport(self, error: Exception, what: str) -> IbtuiError:
        where = self.address.where
        found = tls.mismatch(error, where)
        if found is not None:
            return found
        if self._uds and isinstance(error, (httpx.NetworkError, httpx.ProtocolError)):
            return relayed.gone()
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
            if self.oauth is not None:
                return Unreachable(f"Nothing answers at {where}.", "Look at the network, or at api_host.")
            return GatewayDown(f"Nothing answers at {where}.", "Start the gateway, or correct its address.")
        if isinstance(error, (httpx.TimeoutException, TimeoutError)):
            return Stalled(
                f"{what} had no answer within {self.timeout:g} s.",
                "Try again later."
                if self.oauth is not None
                else "The gateway waits without end when IBKR is away: try again later.",
            )
        return Unreachable(
            f"{what}: the connection to {where} broke before the answer came ({type(error).__name__}).",
            "Try again; if it stays so, look whether https and http are mixed up in the address.",
        )

    def _read(self, response: httpx.Response, what: str) -> Any:
        content = response.content
        body: Any = None
        text = False
        try:
            body = failures.decode(content) if content.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = True
        error = failures.failure(response.status_code, content, body, what)
        if isinstance(error, PacingError):
            self.pacing.cool_down()
        elif response.status_code < 500:
            self.pacing.fine()
        if error is not None:
            status = response.status_code
            if self.oauth is not None and type(error) is NotLoggedIn and status in failures.REFUSED:
                url, said = response.request.url, failures.said(content, body)
                verb, path = what.split(" ", 1)
                error = self.oauth.refusal(verb, path, status, said, query=bool(url.query))
            raise error
        if not text:
            return body
        if "json" in response.headers.get("content-type", ""):
            # Taken for text it would pass as an empty list of whatever was asked for.
            raise UnknownReply(
                f"{what}: the answer came broken; it is no JSON although it says so.",
                "Try again.",
                response.status_code,
            )
        if content.lstrip()[:1] == b"<":
            raise UnknownReply(
                f"{what} was answered with a web page: {failures.words(content, 80)!r}.",
                "Is this really the address of the gateway?",
                response.status_code,
            )
        return content.decode("utf-8", "replace")

    async def send(self, send: Send) -> Reply:
        """A login conversation's request, with that conversation's own cookie jar (login.md §3).

        Redirects are followed only if asked, and only on the same origin.

        Raises:
            GatewayDown, CertificateMismatch, Stalled, Unreachable: no reply came.
        """
        if self._login is None:
            self._login = self._client(None)
        client = self._login
        for name, value in send.cookies:
            client.cookies.set(name, value, path="/")
        what = f"{send.method} {send.path.split('?', 1)[0]}"
        form = httpx.QueryParams(send.form) if send.form else None
        request = client.build_request(
            send.method,
            self.address.origin + "/" + send.path.lstrip("/"),
            content=str(form).encode() if form is not None else None,
            headers={"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {},
        )
        for _ in range(_REDIRECTS):
            async with self.pacing.slot(request.method, request.url.path):
                response = await self._exchange(client, request, what)
            following = response.next_request
            if not send.follow_redirects or following is None or not self._same(str(following.url)):
                break
            request = following
        return Reply(response.status_code, response.text, _date(response.headers.get("date")))

    def _same(self, url: str) -> bool:
        ours, theirs = urlsplit(self.address.origin), urlsplit(url)
        return (ours.scheme, ours.netloc.lower()) == (theirs.scheme, theirs.netloc.lower())

    async def new_conversation(self) -> None:
        """Forget the cookies of the last login conversation."""
        if self._login is not None:
            await self._login.aclose()
            self._login = None

    async def close(self) -> None:
        """Close all connections."""
        await self.new_conversation()
        await self._api.aclose()


def _query(path: str, params: Mapping[str, Any] | None) -> httpx.QueryParams | None:
    """Parameters as text; None keeps a query that stands in the path."""
    given = [(name, _text(value)) for name, value in (params or {}).items() if value is not None]
    if not given:
        return None
    return httpx.QueryParams([*httpx.QueryParams(urlsplit(path).query).multi_items(), *given])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_text(item) for item in value)
    return str(value)


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
