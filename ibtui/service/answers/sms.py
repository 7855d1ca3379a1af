"""Codes out of text messages that arrive at a Twilio number (login.md §4).

Twilio's own client makes the requests and reads the replies; the bytes go over an HTTP client of
ours, so that address, trust and time-outs are settings. Neither reads the environment, and neither
logs addresses or parameters.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ibtui.clock import Clock, SystemClock, Tasks
from ibtui.errors import CertificateMismatch, IbtuiError, Unreachable, UsageError
from ibtui.secret import Secret

if TYPE_CHECKING:
    import httpx
    from twilio.rest import Client

API = "https://api.twilio.com"
WAITS_S = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
"""Seconds before each look for the message."""
MOST = 20
"""So many of the newest messages are looked at."""
_CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")
_OURS = re.compile(r"(?is)authentication code|(?=.*\bcode\b).*(\bIBKR\b|interactive brokers)")
"""IBKR's wording, and whatever speaks of IBKR and of a code; not every alert of the broker's."""
_SETTINGS = "Correct twilio_sid and the token's source in the profile; both stand in Twilio's console."


class TwilioReader:
    """Waits for the code that IBKR sends to a Twilio number.

    Args:
        sid: the account id, `AC…`. token: its auth token.
        url: Twilio's address. ca_file: certificates to trust there (PEM); empty: the system's.
        timeout: seconds one look may take.

    Raises:
        UsageError: account id, token or address are missing or make no sense.
    """

    def __init__(
        self,
        sid: str,
        token: Secret,
        *,
        url: str = API,
        ca_file: str = "",
        timeout: float = 10.0,
        proxy: str = "",
        clock: Clock | None = None,
    ) -> None:
        if not sid or not token:
            raise UsageError("Twilio needs an account id and a token.", _SETTINGS)
        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
            raise UsageError("Twilio's address must begin with https://.", f"The real one is {API}.")
        self._sid, self._token = sid, token
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._ca_file, self._timeout, self._proxy = ca_file, timeout, proxy
        self._clock = clock or SystemClock()

    async def code(
        self,
        since: datetime,
        stop: asyncio.Event | None = None,
        looking: Callable[[int, int], None] | None = None,
    ) -> Secret | None:
        """The six digits of the newest message sent since `since` (aware; whole seconds, inclusive).

        Looks six times, for 15 s in all. A message that does not look like IBKR's is taken only
        at the last look, because a wrong code costs an attempt. `looking` hears which look it is,
        of how many.

        Returns:
            None when there was none, or when `stop` was set meanwhile.

        Raises:
            UsageError: Twilio refused account id or token. CertificateMismatch, Unreachable: it was
                away at the last look.
        """
        stop = stop or asyncio.Event()
        start = since.astimezone(UTC).replace(microsecond=0)
        trouble: Unreachable | None = None
        async with self._http() as http:
            client = _client(self._sid, self._token, self._origin, http)
            for number, wait in enumerate(WAITS_S, 1):
                if await self._stopped(stop, wait):
                    return None
                if looking is not None:
                    looking(number, len(WAITS_S))
                try:
                    bodies = await self._unless(stop, self._bodies(client, start))
                except Unreachable as error:
                    trouble = error  # a later look may work
                    continue
                trouble = None
                if bodies is None:
                    return None
                found = find(bodies, anything=wait == WAITS_S[-1])
                if found is not None:
                    return found
        if trouble is not None:
            raise trouble
        return None

    async def _stopped(self, stop: asyncio.Event, seconds: float) -> bool:
        """Wait; True at once when `stop` is set."""
        if stop.is_set():
            return True
        return await self._unless(stop, self._pause(seconds)) is None

    async def _pause(self, seconds: float) -> bool:
        await self._clock.sleep(seconds)
        return True

    async def _unless(self, stop: asyncio.Event, work: Any) -> Any:
        """The result of `work`; None when `stop` came first."""
        tasks = Tasks()
        task = tasks.start(work, "twilio")
        try:
            await asyncio.wait((task, tasks.start(stop.wait(), "stop")), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            await tasks.close()

    async def _bodies(self, client: Client, start: datetime) -> list[str]:
        """What the messages since `start` say, newest first."""
        from twilio.base.exceptions import TwilioException

        try:
            async with asyncio.timeout(self._timeout):
                found = await client.messages.list_async(date_sent_after=start, limit=MOST, page_size=MOST)
        except TimeoutError:
            raise Unreachable(f"Twilio gave no answer within {self._timeout:g} s.", _TYPE) from None
        except (TwilioException, ValueError, KeyError, TypeError):
            raise Unreachable("Twilio gave an answer that cannot be read.", _TYPE) from None
        return [
            one.body
            for one in found
            if one.body
            and not str(one.direction or "").startswith("outbound")
            and (one.date_sent is None or one.date_sent >= start)
        ]

    def _http(self) -> httpx.AsyncClient:
        import httpx

        from ibtui.core.trust import Trust
        from ibtui.log import quiet_libraries

        quiet_libraries()
        trust = Trust.ca(self._ca_file) if self._ca_file else Trust.system()
        secure = self._origin.startswith("https") or self._proxy.startswith("https")
        context = trust.context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.AsyncClient(
            verify=context, trust_env=False, proxy=self._proxy or None, timeout=self._timeout
        )


_TYPE = "Type the code yourself, or try again."


def find(bodies: Iterable[str], *, anything: bool) -> Secret | None:
    """The first run of six digits in the first message (newest first) that has one.

    Messages that look like IBKR's come first, others only with `anything`.
    """
    coded = [(body, match[0]) for body in bodies if (match := _CODE.search(body))]
    ours = [code for body, code in coded if _OURS.search(body)]
    chosen = ours or ([code for _, code in coded] if anything else [])
    return Secret(chosen[0]) if chosen else None


def _refused(status: int) -> IbtuiError:
    if status in (401, 403):
        return UsageError(f"Twilio refused the account id or the token ({status}).", _SETTINGS)
    if status == 404:
        return UsageError("Twilio does not know this account id (404).", _SETTINGS)
    if status == 429:
        return Unreachable("Twilio says that there were too many requests (429).", _TYPE)
    return Unreachable(f"Twilio answered with an error of its own ({status}).", _TYPE)


def _client(sid: str, token: Secret, origin: str, http: httpx.AsyncClient) -> Client:
    """Twilio's client over `http`, at `origin` instead of its own address."""
    import httpx as httpx_
    from twilio.http import AsyncHttpClient
    from twilio.http.response import Response
    from twilio.rest import Client

    from ibtui.core.trust import mismatch

    class Ours(AsyncHttpClient):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(logging.getLogger("twilio"), True, None)

        async def request(
            self,
            method: str,
            uri: str,
            params: dict[str, object] | None = None,
            data: dict[str, object] | None = None,
            headers: dict[str, str] | None = None,
            auth: tuple[str, str] | None = None,
            timeout: float | None = None,
            allow_redirects: bool = False,
        ) -> Response:
            # The replies name the next page; the token must not follow it to another host.
            if not uri.startswith(f"{API}/"):
                raise Unreachable("Twilio's answer points to another host; it was not followed.", _TYPE)
            sent: Any = params
            try:
                reply = await http.request(
                    method, origin + uri.removeprefix(API), params=sent, headers=headers, auth=auth
                )
            except (httpx_.HTTPError, ssl.SSLError, OSError) as error:
                found: CertificateMismatch | None = mismatch(error, origin)
                raise found or Unreachable(f"Twilio cannot be reached at {origin}.", _TYPE) from None
            if reply.status_code != 200:
                raise _refused(reply.status_code)  # the package's own error holds the address
            return Response(reply.status_code, reply.text, reply.headers)

    # An empty mapping would count as none given, and the process's environment would be read.
    return Client(sid, token.reveal(), http_client=Ours(), environment={"TWILIO_EDGE": ""})
