"""OAuth on its way: each request carries the token (oauth.md §6, §11.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ibtui.auth.grant import Grant
from ibtui.core.failures import REFUSED
from ibtui.core.http import Answer, Request
from ibtui.core.oauth import OAuth
from ibtui.core.pacing import Pacing

Ask = Callable[[Request], Awaitable[Answer]]
"""One exchange."""


class Signed:
    """Puts the token on each request, and once more with a new one where IBKR refuses it (oauth.md §7)."""

    def __init__(self, oauth: OAuth, pacing: Pacing, origin: str) -> None:
        self._oauth = oauth
        self._pacing = pacing
        self._origin = origin

    async def exchange(self, request: Request, ask: Ask) -> Answer:
        """Ask with the token; raises as `ask`, and what getting a token raises."""
        path, _, query = request.path.partition("?")
        grant = await self._oauth.ready()
        answer = await ask(self._sign(request, grant))
        refused = answer.status in REFUSED
        if refused:
            again = await self._oauth.after(grant, request.method, path, answer.text, query=bool(query))
            if again is None:
                return answer
            await self._pacing.frame()
            grant = again
            answer = await ask(self._sign(request, grant))
            refused = answer.status in REFUSED
        self._oauth.went(grant, refused=refused, query=bool(query))
        return answer

    def _sign(self, request: Request, grant: Grant) -> Request:
        path, _, query = request.path.partition("?")
        door = self._oauth.door
        return request.having(
            "Authorization",
            self._oauth.way.header(grant, request.method, self._origin + path, query, door.clock.now()),
        )
