"""Session routes (web-api.md §2.2-2.6) and the gateway's own handshake (login.md §9.4)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from ibtui.sim.seam import Call, Needs, Refusal, Route, Session, refuse, reply
from ibtui.sim.sessions import Life, Sessions
from ibtui.sim.sso import own_request

_NO_BRIDGE = "Bad Request: no bridge"
_NO_TOKEN = "failed to generate sso dh token"  # noqa: S105 (an error text of the protocol)

_LONG: dict[str, Any] = {
    "IS_PENDING_APPLICANT": False,
    "HARDWARE_INFO": "",
    "UNIQUE_LOGIN_ID": "99900016",
    "SF_CONFIG": "",
    "CREDENTIAL_TYPE": 1,
    "COUNTERPARTY": "",
    "TOKEN": "",
    "took": 3,
}
"""What a strict client of OAuth 2.0 wants to see in `/sso/validate` besides (oauth.md §11.3)."""


class Handshake:
    """Handlers of everything that opens, asks for or ends a session."""

    def __init__(self, sessions: Sessions, accounts: Callable[[Any, Session], dict[str, Any]]) -> None:
        self._sessions = sessions
        self._accounts = accounts

    def routes(self) -> list[Route]:
        """The table, for both `/v1/api` and `/v1/portal`."""
        both: list[tuple[str, Callable[[Call], Awaitable[web.StreamResponse]], Needs]] = [
            ("/iserver/auth/status", self.status, Needs.NOTHING),
            ("/tickle", self.tickle, Needs.NOTHING),
            ("/iserver/reauthenticate", self.reauthenticate, Needs.SSO),
            ("/logout", self.logout, Needs.SSO),
        ]
        table = [
            Route(method, path, handler, needs) for path, handler, needs in both for method in ("GET", "POST")
        ]
        return [
            *table,
            Route("GET", "/sso/validate", self.validate, Needs.NOTHING),
            Route("GET", "/sso/ping", self.ping, Needs.NOTHING),
            Route("GET", "/one/user", self.one_user, Needs.SSO),
            Route("GET", "/ssodh/init", self.dh_init, Needs.SSO),
            Route("GET", "/ssodh/st", self.dh_st, Needs.SSO),
            Route("POST", "/iserver/auth/ssodh/init", self.ssodh_init, Needs.NOTHING),
            Route("POST", "/iserver/auth/ssodh/response", self.ssodh_response, Needs.SSO),
        ]

    def _life(self, call: Call) -> Life:
        life = self._sessions.of(call.session)
        if life is None:
            raise Refusal(401, None)
        return life

    async def status(self, call: Call) -> web.StreamResponse:
        """GET, POST /iserver/auth/status. 401 before a login and after a logout, else always 200."""
        life = self._life(call)
        if life.over in ("logout", "replaced"):
            raise Refusal(401, None)
        return reply(self._sessions.status(call.session))

    async def tickle(self, call: Call) -> web.StreamResponse:
        """GET, POST /tickle: keeps the session, tells its token and the time left."""
        life = self._life(call)
        if life.over in ("logout", "replaced"):
            raise Refusal(401, None)
        if life.over:
            return reply({"error": "no session"})
        response = reply(
            {
                "session": call.session.token,
                "ssoExpires": self._sessions.sso_left_ms(life),
                "collission": False,
                "userId": call.session.user.user_id,
                "hmds": self._history_status(call),
                "iserver": {"authStatus": self._sessions.status(call.session, fail=False)},
            }
        )
        if not own_request(call.request):
            response.set_cookie(
                "x-sess-uuid", secrets.token_hex(12), path="/v1/api", httponly=True, secure=True
            )
        return response

    def _history_status(self, call: Call) -> dict[str, Any]:
        """`hmds` of tickle: no bridge until the session has asked for history (§2.3)."""
        # The gateway's own tickle must fit into one of its reads (login.md §9.4 'Trap').
        if "hmds" not in call.session.flags or own_request(call.request):
            return {"error": "no bridge"}
        return {"authStatus": self._sessions.status(call.session, fail=False)}

    async def validate(self, call: Call) -> web.StreamResponse:
        """GET /sso/validate: who is logged in; answers after a logout too."""
        life = self._life(call)
        if life.over in ("expired", "reset"):
            raise Refusal(401, None)
        user, now = call.session.user, call.clock.now_ms()
        short: dict[str, Any] = {"USER_ID": user.user_id, "USER_NAME": user.username, "RESULT": not life.over}
        if own_request(call.request):
            # A new handshake begins: the gateway will open the brokerage session, nobody else has to.
            life.auth_at, life.refuse, life.challenge = None, "", None
            return reply(short)
        short |= {
            "AUTH_TIME": int(life.began * 1000),
            "SF_ENABLED": bool(user.factors),
            "IS_FREE_TRIAL": False,
            "CREDENTIAL": user.username,
            "IP": life.ip,
            "EXPIRES": self._sessions.sso_left_ms(life),
            "QUALIFIED_FOR_MOBILE_AUTH": None,
            "LANDING_APP": "UNIVERSAL",
            "IS_MASTER": False,
            "lastAccessed": now,
            "LOGIN_TYPE": 2 if user.paper else 1,
            "PAPER_USER_NAME": user.username if user.paper else "",
            "features": {
                "env": "PROD",
                "wlms": True,
                "realtime": True,
                "bond": True,
                "optionChains": True,
                "calendar": True,
                "newMf": True,
            },
            "region": "NJ",
        }
        return reply(short | _LONG if life.role == "oauth2" else short)

    async def ping(self, call: Call) -> web.StreamResponse:
        """GET /sso/ping below the API's prefix."""
        return reply({"RESULT": not self._life(call).over})

    async def one_user(self, call: Call) -> web.StreamResponse:
        """GET /one/user: the name that the gateway puts into `ssodh/init`."""
        user = call.session.user
        return reply({"USER_NAME": user.username, "USER_ID": user.user_id})

    async def dh_init(self, call: Call) -> web.StreamResponse:
        """GET /ssodh/init: row 3 of the handshake."""
        self._life(call).shared = 0
        return reply({"success": True})

    async def dh_st(self, call: Call) -> web.StreamResponse:
        """GET /ssodh/st: row 4, the shared number T as hex."""
        life = self._life(call)
        life.shared = secrets.randbits(160)
        return reply({"st": f"{life.shared:x}"})

    async def ssodh_init(self, call: Call) -> web.StreamResponse:
        """POST /iserver/auth/ssodh/init: by a client (`publish`, `compete`) or by the gateway (row 6)."""
        life = self._life(call)
        if life.over == "logout":
            raise refuse(410, "Gone", with_status=True)
        if life.over == "reset":
            raise refuse(500, _NO_TOKEN)
        if life.over:
            raise Refusal(401, None)
        body = await call.json()
        if not isinstance(body, dict):
            body = {}
        if "machineId" in body:
            return self._gateway_init(life, body)
        if not body and call.request.query_string:
            raise refuse(400, _NO_BRIDGE, with_status=True)
        for name in ("publish", "compete"):
            if name in body and not isinstance(body[name], bool):
                raise refuse(500, "java.lang.String cannot be cast to java.lang.Boolean")
        if body.get("publish") is not True:
            raise refuse(500, _NO_TOKEN)
        if call.quirks.init_refusal:
            raise refuse(500, call.quirks.init_refusal)
        self._sessions.open_brokerage(life, compete=body.get("compete", False))
        return reply(self._opened(call, life))

    def _opened(self, call: Call, life: Life) -> dict[str, Any]:
        status = self._sessions.status(life.session, fail=False)
        if call.quirks.init_reply == "status":
            return status
        short = {name: status[name] for name in ("authenticated", "connected", "competing", "hardware_info")}
        return {"passed": life.session.authenticated, **short}

    def _gateway_init(self, life: Life, body: dict[str, Any]) -> web.StreamResponse:
        name = life.session.user.username.lower()
        if str(body.get("username", "")).lower() != name:
            life.refuse = "user name does not belong to the session"
        if not life.shared:
            life.refuse = life.refuse or "no shared token"
        if name in self._sessions.rivals and body.get("compete") is not True:
            life.refuse = life.refuse or "competing session"
        if life.refuse:
            # Never `authenticated:false` at row 7: the gateway would ask without a pause.
            return reply({"error": life.refuse})
        life.challenge = secrets.randbits(160)
        return reply({"challenge": f"{life.challenge:x}"})

    async def ssodh_response(self, call: Call) -> web.StreamResponse:
        """POST /iserver/auth/ssodh/response: row 7; the SHA-1 is compared with our own."""
        life = self._life(call)
        body = await call.json()
        given = str(body.get("response", "")) if isinstance(body, dict) else ""
        challenge, life.challenge = life.challenge, None
        if challenge is None or not hmac.compare_digest(
            given.lower().encode(), expected(challenge, life.shared).encode()
        ):
            life.refuse = "invalid response"
            raise refuse(500, "invalid response")
        self._sessions.open_brokerage(life, compete=True)
        return reply(self._sessions.status(life.session))

    async def reauthenticate(self, call: Call) -> web.StreamResponse:
        """GET, POST /iserver/reauthenticate (old): answers at once, opens a little later."""
        life = self._life(call)
        if not life.session.authenticated:
            life.auth_at = call.clock.now() + self._sessions.settings.auth_delay_s
        return reply({"message": "triggered"})

    async def logout(self, call: Call) -> web.StreamResponse:
        """GET, POST /logout: ends both sessions.

        The gateway's own logout, which follows a tickle without a brokerage session, ends only
        that: the way back by `ssodh/init` stays open.
        """
        life = self._life(call)
        if own_request(call.request):
            self._sessions.lose_brokerage(life)
        else:
            self._sessions.logout(life)
        return reply({"status": True})

    async def gateway_accounts(self, call: Call) -> web.StreamResponse:
        """GET /v1/portal/iserver/accounts by the gateway: the same object cut to what fits into one read."""
        full = self._accounts(call.world, call.session)
        call.session.flags.add("accounts")
        return reply(
            {name: full[name] for name in ("accounts", "selectedAccount", "isFT", "isPaper") if name in full}
        )


def expected(challenge: int, shared: int) -> str:
    """The answer to a challenge: SHA-1 over the bytes of hex(challenge) hex(T), one 0 in front if odd."""
    text = f"{challenge:x}{shared:x}"
    return hashlib.sha1(
        bytes.fromhex(text if len(text) % 2 == 0 else f"0{text}"), usedforsecurity=False
    ).hexdigest()
