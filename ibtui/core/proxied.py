"""Connections through an HTTP proxy: what `transport` does not do, httpx does."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy

from ibtui.core.address import Address
from ibtui.core.http import Answer, NoConnection, Request, Shut, TooSlow, Trouble, unpacked
from ibtui.core.lean import httpx

_LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30)


class Proxied:
    """A `Carrier` through `proxy` (`http://proxy:3128`)."""

    def __init__(self, address: Address, context: ssl.SSLContext, proxy: str) -> None:
        self._origin = address.origin
        self._client = httpx.AsyncClient(
            verify=context,
            proxy=proxy,
            limits=_LIMITS,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def exchange(self, request: Request, connect_s: float, read_s: float) -> Answer:
        """As `http.Carrier`."""
        asked = httpx.Request(
            request.method, self._origin + request.path, headers=list(request.headers), content=request.body
        )
        asked.extensions["timeout"] = httpx.Timeout(read_s, connect=connect_s).as_dict()
        try:
            response = await self._client.send(asked, stream=True)
            try:
                raw = b"".join([chunk async for chunk in response.aiter_raw()])
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise NoConnection(str(error)) from error
        except httpx.TimeoutException as error:
            raise TooSlow(str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Trouble(type(error).__name__) from error
        except RuntimeError as error:
            if not self._client.is_closed:
                raise
            raise Shut("the connection was closed meanwhile") from error
        headers = tuple(response.headers.multi_items())
        return Answer(response.status_code, headers, unpacked(headers, raw))

    async def close(self) -> None:
        """As `http.Carrier`."""
        await self._client.aclose()
