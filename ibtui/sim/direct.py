"""The API host for callers without a gateway: which role a request plays, and its session (oauth.md §12)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web

from ibtui.errors import UsageError
from ibtui.sim import oauth_keys
from ibtui.sim.faults import bare
from ibtui.sim.oauth1 import OAuth1
from ibtui.sim.oauth2 import OAuth2
from ibtui.sim.oauth_third import ThirdParty
from ibtui.sim.scenario import Scenario
from ibtui.sim.seam import SIGNED, Refusal, SimClock
from ibtui.sim.sessions import LIFE, Life, Sessions
from ibtui.sim.sso import api_cookie, cookies, through_gateway

SOCKET = "/v1/api/ws"
_OWN = ("/v1/api/oauth/", "/oauth2/", "/gw/")
"""Where a caller shows who he is; not there through a gateway (oauth.md §1)."""


class Direct:
    """Both generations of OAuth in front of the same sessions and the same world."""

    def __init__(self, scenario: Scenario, sessions: Sessions, clock: SimClock) -> None:
        self.registry = oauth_keys.default_registry(scenario.users, scenario.seed)
        self.first = OAuth1(self.registry, sessions, clock, scenario.settings, scenario.quirks)
        self.third = ThirdParty(self.first)
        self.second = OAuth2(self.registry, sessions, clock, scenario.settings, scenario.quirks)
        self._sessions = sessions
        self._scenario = scenario
        self._clock = clock
        for consumer in self.registry.consumers.values():
            consumer.active_from = self.active_from()

    def active_from(self, when: str | None = None) -> float:
        """When a consumer that is registered now becomes active: `when`, else the scenario's word for it.

        Raises UsageError.
        """
        now, when = self._clock.now(), when or self._scenario.quirks.oauth_activation
        if when == "now":
            return now
        if when not in ("midnight", "weekend"):
            raise UsageError("activation must be now, midnight or weekend")
        reset = self._sessions.midnight(now)
        # The reset of the weekend: the one in which Saturday becomes Sunday.
        while when == "weekend" and not self._sessions.is_weekend_reset(reset):
            reset = self._sessions.midnight(reset + 1)
        return reset

    def listen(self, url: str) -> None:
        """The server is reached there: clients may have signed any of its names."""
        scheme, _, rest = url.partition("://")
        port = rest.rpartition(":")[2]
        own = [f"{scheme}://localhost:{port}", f"{scheme}://127.0.0.1:{port}", url]
        self.first.addresses = list(dict.fromkeys(own))

    def ready(self, folder: Path) -> dict[str, Any]:
        """`oauth1` and `oauth2` of the ready object; writes the files they name. Raises OSError."""
        return oauth_keys.write_ready(self.registry, folder)

    def routes(self) -> list[web.RouteDef]:
        """Where sessions begin."""
        return [
            web.post("/v1/api/oauth/live_session_token", self.first.live_session_token),
            web.post("/v1/api/oauth/request_token", self.third.request_token),
            web.post("/v1/api/oauth/access_token", self.third.access_token),
            web.post("/oauth2/api/v1/token", self.second.token),
            web.post("/gw/api/v1/sso-sessions", self.second.sso_session),
        ]

    def admit(self, request: web.Request) -> None:
        """Put the session of a direct caller into `request[LIFE]`; others pass as they are.

        Raises Refusal: 401 for a caller whose signature, bearer or websocket does not fit; 404 where a
        gateway has nothing.
        """
        if request.path.startswith(_OWN):
            if through_gateway(request) and "REGION" in cookies(request):
                raise Refusal(404, None)
            return
        if request.path == SOCKET:
            life = self._socket(request)
        else:
            role = _role(request)
            if not role or not request.path.startswith("/v1/"):
                return
            one = self.first if role == "oauth" else self.second
            life = one.authenticate(request)
            if role == "oauth" and bare(request.path) == "/sso/validate":
                # Not for 1.0a, says the documentation (oauth.md §1).
                raise Refusal(401, None)
        if life is not None:
            request[LIFE] = life
            request[SIGNED] = request.get(SIGNED, life.role)

    def _socket(self, request: web.Request) -> Life | None:
        query, cookie = request.query, api_cookie(request)
        if "oauth_token" in query:
            return self.first.socket(query["oauth_token"], cookie)
        if "bearer_token" in query:
            return self.second.socket(query["bearer_token"], cookie)
        life = self._sessions.find(cookie)
        if life is None or not life.role:
            return None
        # IBKR's own sample for 2.0 sends the cookie alone; with 1.0a the access token is a must.
        return self.second.socket("", cookie)


def tell_refusal(request: web.Request, refusal: Refusal) -> None:
    """For the journal: why a caller who showed something was not let in."""
    shown = is_direct(request) or _role(request) or request.path == SOCKET
    if shown and LIFE not in request:
        body = refusal.body if isinstance(refusal.body, dict) else {}
        request[SIGNED] = f"refused: {body.get('error') or body.get('detail') or refusal.status}"


def is_direct(request: web.Request) -> bool:
    """Whether this is for the API host: it has its own answers to a missing User-Agent or length."""
    return request.path.startswith(_OWN)


def _role(request: web.Request) -> str:
    scheme = request.headers.get("Authorization", "").strip().partition(" ")[0].lower()
    return scheme if scheme in ("oauth", "bearer") else ""
