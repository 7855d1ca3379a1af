"""OAuth on its way through httpx: each request carries the token (oauth.md §6, §11.3)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ibtui.auth.grant import Grant
from ibtui.core.failures import REFUSED
from ibtui.core.lean import httpx
from ibtui.core.oauth import OAuth
from ibtui.core.pacing import Pacing


class Signed(httpx.Auth):
    """Puts the token on each request, and once more with a new one where IBKR refuses it (oauth.md §7)."""

    def __init__(self, oauth: OAuth, pacing: Pacing) -> None:
        self._oauth = oauth
        self._pacing = pacing

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        grant = await self._oauth.ready()
        response = yield self._sign(request, grant)
        url = request.url
        query, refused = bool(url.query), response.status_code in REFUSED
        if refused:
            await response.aread()
            again = await self._oauth.after(grant, request.method, url.path, response.text, query=query)
            if again is None:
                return
            await self._pacing.frame()
            grant = again
            response = yield self._sign(request, grant)
            refused = response.status_code in REFUSED
        self._oauth.went(grant, refused=refused, query=query)

    def _sign(self, request: httpx.Request, grant: Grant) -> httpx.Request:
        url, _, query = str(request.url).partition("?")
        door = self._oauth.door
        request.headers["Authorization"] = self._oauth.way.header(
            grant, request.method, url, query, door.clock.now()
        )
        return request
