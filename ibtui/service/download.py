"""Files over HTTPS for `gateway.fetch`: ranges, redirects that stay safe, errors as sentences."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ibtui import __version__
from ibtui.config import LOOPBACK, Settings
from ibtui.core.trust import Trust
from ibtui.errors import GatewayFault, IbtuiError, Stalled, Unreachable, UsageError
from ibtui.gateway.fetch import Fetch, Reply

CONNECT_S, READ_S = 10.0, 20.0
"""Seconds to connect, and without a byte."""
_HOPS = 5
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_LATER = (408, 425, 429, 500, 502, 503, 504)


def fetcher(settings: Settings) -> Fetch:
    """A `Fetch` that trusts the system's CAs, or `addresses.gateway_download_ca_file`.

    It raises Unreachable for what may go better later, GatewayFault for other answers than
    the file, UsageError for an address that is not safe.
    """
    file = settings.addresses.gateway_download_ca_file
    trust = Trust.ca(Path(file).expanduser()) if file else Trust.system()
    proxy = settings.chosen().proxy or None

    def fetch(url: str, offset: int, tag: str) -> AbstractAsyncContextManager[Reply]:
        return _fetch(url, offset, tag, trust, proxy)

    return fetch


@asynccontextmanager
async def _fetch(url: str, offset: int, tag: str, trust: Trust, proxy: str | None) -> AsyncIterator[Reply]:
    client = httpx.AsyncClient(
        verify=trust.context(),
        trust_env=False,
        proxy=proxy,
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
        headers={"User-Agent": f"ibtui/{__version__}", "Accept-Encoding": "identity"},
    )
    response: httpx.Response | None = None
    async with client:
        try:
            response = await _ask(client, url, offset, tag)
            reply = _read(response, offset, url)
            if reply is None:  # not the range that was asked for: all of it, then
                await response.aclose()
                response = await _ask(client, url, 0, "")
                reply = _read(response, 0, url)
            if reply is None:
                raise GatewayFault(
                    f"{url} answers with a piece of the file alone.", "Use --from FILE instead."
                )
            yield reply
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise _why(error, url) from None
        finally:
            if response is not None:
                await response.aclose()


async def _ask(client: httpx.AsyncClient, url: str, offset: int, tag: str) -> httpx.Response:
    headers = {"Range": f"bytes={offset}-", "If-Range": tag} if offset else {}
    request = client.build_request("GET", _safe(url), headers=headers)
    for _ in range(_HOPS):
        response = await client.send(request, stream=True, follow_redirects=False)
        if response.next_request is None:
            return response
        await response.aclose()
        request = response.next_request
        _safe(str(request.url))
    raise GatewayFault(f"{url} leads from one address to the next.", "Check addresses.gateway_download.")


def _safe(url: str) -> str:
    """A program comes from there: nobody on the way may change it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    ):
        return url
    raise UsageError(
        f"{url!r} is no https:// address; a program is downloaded from there.",
        "Correct addresses.gateway_download, or use --from FILE.",
    )


def _read(response: httpx.Response, offset: int, url: str) -> Reply | None:
    """The answer as `Reply`; None when it is another range than the one asked for."""
    status, headers = response.status_code, response.headers
    tag = headers.get("ETag", "")
    if not tag or tag.startswith("W/"):
        # Only a strong tag promises the same bytes; a date is the next best.
        tag = headers.get("Last-Modified", "")
    chunks = response.aiter_raw()  # as they come: what httpx would gather is lost when the connection breaks
    if status == 200:
        length = headers.get("Content-Length", "")
        return Reply(int(length) if length.isdecimal() else None, _broken(chunks, url), False, tag)
    if status == 206:
        found = _RANGE.fullmatch(headers.get("Content-Range", ""))
        if offset and found and int(found[1]) == offset:
            return Reply(int(found[2]), _broken(chunks, url), True, tag)
        return None
    if status == 416 and offset:
        return None
    if status in _LATER:
        raise Unreachable(f"{url} answers with status {status}.", "Try again later.")
    raise GatewayFault(
        f"{url} answers with status {status}.", "Check addresses.gateway_download, or use --from FILE."
    )


async def _broken(chunks: AsyncIterator[bytes], url: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    except (httpx.HTTPError, ssl.SSLError) as error:
        raise _why(error, url) from None


def _why(error: Exception, url: str) -> IbtuiError:
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return UsageError(f"{url!r} is not an address.", "Correct addresses.gateway_download.")
    host = _host(error, url)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return GatewayFault(
                f"The certificate of {host} is not trusted: {cause.verify_message}.",
                "Name its CA in addresses.gateway_download_ca_file, or use --from FILE.",
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return Stalled(f"{host} does not answer.", "Try again later.")
    if isinstance(error, httpx.ConnectError):
        return Unreachable(f"{host} cannot be reached.", "Is this machine on the network?")
    return Unreachable(f"The connection to {host} broke.", "Try again.")


def _host(error: Exception, url: str) -> str:
    """Who failed: not always the one who was asked first."""
    try:
        return (
            error.request.url.netloc.decode() if isinstance(error, httpx.HTTPError) else urlsplit(url).netloc
        )
    except RuntimeError:  # it belongs to no request
        return urlsplit(url).netloc
