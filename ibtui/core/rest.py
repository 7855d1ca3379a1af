"""REST: the gateway's or IBKR's own, over the connections of `transport` or `proxied` (web-api.md §1).

Every request has a time-out of its own (the gateway has none, login.md §9.6), waits for
its pacing slot, follows no redirect, and ends in a decoded body or in one error of
`ibtui.errors`. Order-changing requests of a read-only client never reach the network.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

import ibtui
from ibtui.auth.effects import Reply, Send
from ibtui.clock import Clock, SystemClock
from ibtui.core import failures, relayed
from ibtui.core import trust as tls
from ibtui.core.address import API, Address
from ibtui.core.http import (
    UNSENDABLE,
    Answer,
    Carrier,
    Jar,
    NoConnection,
    Request,
    Shut,
    TooSlow,
    Trouble,
    following,
    moment,
    target,
)
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
    from ibtui.core.signed import Signed

USER_AGENT = f"ibtui/{ibtui.__version__}"
RELAYED_S = 80.0
"""Seconds that a request may wait for its slot at the supervisor (`Pacing.max_wait`), and some more."""
CONNECT_S = 5.0
"""Seconds for the connection itself, TLS included."""
RETRY_AFTER = (1.0, 2.0)
"""Pauses before a GET is tried again when IBKR is busy (web-api.md §1.5)."""
_REDIRECTS = 5
_SHORT_BUDGET_S = 6.0
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Their length is told even where it is 0: the gateway wants it (login.md §9)."""
_TOO_MANY, _FAILED = 429, 500
_OURS = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"}
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
        self._host = self.address.where.removesuffix({"https": ":443", "http": ":80"}[self.address.scheme])
        self._uds = uds
        secure = self.address.scheme == "https" or proxy.startswith("https")
        self._context = self.trust.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._api = self._carrier()
        self.oauth = oauth
        self._signed: Signed | None = None
        if oauth is not None:
            from ibtui.core.signed import Signed  # most sessions are the gateway's and need none of it

            oauth.bind(self._post, self.address, self.clock)
            self._signed = Signed(oauth, self.pacing, self.address.origin)
        self._login: tuple[Carrier, Jar] | None = None

    def _carrier(self) -> Carrier:
        context = self._context
        if self._proxy and not self._uds:
            from ibtui.core.proxied import Proxied

            return Proxied(self.address, context, self._proxy)
        return Transport(self.address, context, self._uds)

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
            target(self.address.api(path).removeprefix(self.address.origin), params),
            None if data is None else _encoder.encode(data),
            {**({} if data is None else {"Content-Type": "application/json"}), **(headers or {})},
        )
        if self.oauth is not None:
            # Getting a token takes requests of its own, which are not this one's time.
            await self.oauth.ready()
            await self.oauth.followed(path)
        async with self.pacing.slot(verb, path):
            response = await self._exchange(self._api, request, what, self._signed)
        return self._read(response, what, query="?" in request.path)

    def _built(
        self, verb: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Request:
        ours = {"Host": self._host, "Accept": "application/json, */*", **_OURS}
        if body is not None or verb in _WITH_BODY:
            ours["Content-Length"] = str(len(body or b""))
        if not all(" " <= char <= "~" for it in (headers or {}).items() for char in "".join(it)):
            raise UsageError(UNSENDABLE, "Correct it.")
        given = {name.lower() for name in headers or ()}
        plain = {name: value for name, value in ours.items() if name.lower() not in given}
        return Request(verb, path, (*plain.items(), *(headers or {}).items()), body)

    async def _post(self, url: str, headers: Mapping[str, str], content: bytes) -> tuple[int, bytes]:
        """A token request, which is not signed as the others are; see `oauth.Post`."""
        request = self._built("POST", target(url.removeprefix(self.address.origin)), content, headers)
        await self.pacing.frame()
        response = await self._exchange(self._api, request, "The token request")
        if response.status == _TOO_MANY:
            self.pacing.cool_down()
        return response.status, response.content

    async def _exchange(
        self, carrier: Carrier, request: Request, what: str, signed: Signed | None = None
    ) -> Answer:
        async def once(asked: Request) -> Answer:
            return await carrier.exchange(asked, min(CONNECT_S, self.timeout), self.timeout)

        try:
            # Each step has a time-out of its own; a token and a second try are not this one's time.
            async with asyncio.timeout(self.timeout + CONNECT_S):
                response = await (once(request) if signed is None else signed.exchange(request, once))
        except (Trouble, ssl.SSLError, TimeoutError, OSError) as error:
            raise self._transport(error, what) from error
        told = (
            relayed.unpack(response.header(relayed.HEADER.lower()), response.content) if self._uds else None
        )
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
        request = self._built(asked.method, target(asked.path), asked.body or None, asked.headers)
        async with self.pacing.slot(asked.method, asked.path):
            if leaving is not None:
                leaving()
            what = f"{asked.method} {asked.path.split('?', 1)[0].removeprefix(API)}"
            response = await self._exchange(self._api, request, what, self._signed)
        if response.status == _TOO_MANY:
            self.pacing.cool_down()
        elif response.status < _FAILED:
            self.pacing.fine()
        return Given(response.status, list(response.headers), response.content)

    def _transport(self, error: Exception, what: str) -> IbtuiError:
        where = self.address.where
        found = tls.mismatch(error, where)
        if found is not None:
            return found
        if isinstance(error, Shut):
            # Not `Unreachable`: there is no use in asking again over this client.
            return GatewayDown(f"{what}: the connection was closed meanwhile.", "Try again.")
        if self._uds and isinstance(error, Trouble) and not isinstance(error, TooSlow):
            return relayed.gone()
        if isinstance(error, NoConnection):
            if self.oauth is not None:
                return Unreachable(f"Nothing answers at {where}.", "Look at the network, or at api_host.")
            return GatewayDown(f"Nothing answers at {where}.", "Start the gateway, or correct its address.")
        if isinstance(error, (TooSlow, TimeoutError)):
            return Stalled(
                f"{what} had no answer within {self.timeout:g} s.",
                "Try again later."
                if self.oauth is not None
                else "The gateway waits without end when IBKR is away: try again later.",
            )
        return Unreachable(
            f"{what}: the connection to {where} broke before the answer came ({error}).",
            "Try again; if it stays so, look whether https and http are mixed up in the address.",
        )

    def _read(self, response: Answer, what: str, *, query: bool = False) -> Any:
        content = response.content
        body: Any = None
        text = False
        try:
            body = failures.decode(content) if content.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = True
        error = failures.failure(response.status, content, body, what)
        if isinstance(error, PacingError):
            self.pacing.cool_down()
        elif response.status < 500:
            self.pacing.fine()
        if error is not None:
            status = response.status
            if self.oauth is not None and type(error) is NotLoggedIn and status in failures.REFUSED:
                said = failures.said(content, body)
                verb, path = what.split(" ", 1)
                error = self.oauth.refusal(verb, path, status, said, query=query)
            raise error
        if not text:
            return body
        if "json" in response.header("content-type"):
            # Taken for text it would pass as an empty list of whatever was asked for.
            raise UnknownReply(
                f"{what}: the answer came broken; it is no JSON although it says so.",
                "Try again.",
                response.status,
            )
        if content.lstrip()[:1] == b"<":
            raise UnknownReply(
                f"{what} was answered with a web page: {failures.words(content, 80)!r}.",
                "Is this really the address of the gateway?",
                response.status,
            )
        return content.decode("utf-8", "replace")

    async def send(self, send: Send) -> Reply:
        """A login conversation's request, with that conversation's own cookie jar (login.md §3).

        Redirects are followed only if asked, and only on the same origin.

        Raises:
            GatewayDown, CertificateMismatch, Stalled, Unreachable: no reply came.
        """
        if self._login is None:
            self._login = self._carrier(), Jar(self.address.host, secure=self.address.scheme == "https")
        carrier, jar = self._login
        for name, value in send.cookies:
            jar.put(name, value)
        what = f"{send.method} {send.path.split('?', 1)[0]}"
        form = urlencode(send.form).encode() if send.form else None
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        request = self._built(send.method, target("/" + send.path.lstrip("/")), form, kind)
        for _ in range(_REDIRECTS):
            cookies = jar.header(request.path)
            asked = request.having("Cookie", cookies) if cookies else request
            async with self.pacing.slot(request.method, request.path):
                response = await self._exchange(carrier, asked, what)
            jar.take(request, response)
            further = following(request, response, self.address.origin) if send.follow_redirects else None
            if further is None:
                break
            request = further
        return Reply(response.status, response.text, moment(response.header("date")))

    async def new_conversation(self) -> None:
        """Forget the cookies of the last login conversation."""
        if self._login is not None:
            await self._login[0].close()
            self._login = None

    async def close(self) -> None:
        """Close all connections."""
        await self.new_conversation()
        await self._api.close()
