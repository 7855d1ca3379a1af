"""OAuth 2.0 with private_key_jwt, the server's side (oauth.md §11): access token, SSO session, bearer."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from ibtui.sim.oauth_keys import Client, Registry
from ibtui.sim.scenario import Settings
from ibtui.sim.seam import Quirks, Refusal, SimClock, User, problem, reply
from ibtui.sim.sessions import Life, Sessions

_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SCOPE = "sso-sessions.write"
_AUDIENCE = "/token"
_INVALID = "The access token request is invalid"


@dataclass(slots=True)
class Access:
    """An access token that was handed out."""

    client: Client
    scopes: set[str]
    expires: float


@dataclass(slots=True)
class Bearer:
    """An SSO bearer and the session behind it."""

    life: Life
    expires: float


class OAuth2:
    """The two token endpoints and the bearer of every other request."""

    def __init__(
        self, registry: Registry, sessions: Sessions, clock: SimClock, settings: Settings, quirks: Quirks
    ) -> None:
        self.registry = registry
        self.access: dict[str, Access] = {}
        self.bearers: dict[str, Bearer] = {}
        self._sessions = sessions
        self._clock = clock
        self._settings = settings
        self._quirks = quirks
        self._secret = secrets.token_bytes(32)

    # --- the two endpoints -----------------------------------------------------------------

    async def token(self, request: web.Request) -> web.StreamResponse:
        """POST /oauth2/api/v1/token (oauth.md §11.1)."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        if (
            form.get("grant_type") != "client_credentials"
            or form.get("client_assertion_type") != _TYPE
            or not form.get("client_assertion")
        ):
            raise problem(400, "Bad Request")
        opened = self._opened(form["client_assertion"])
        if opened is None:
            raise problem(401, "Unauthorized", _INVALID)
        client, claims = opened
        audience = str(claims.get("aud", ""))
        # The whole address is used by one client; nobody says that it is refused.
        right = (
            claims.get("sub") == client.client_id
            and form.get("client_id", client.client_id) == client.client_id
            and (audience == _AUDIENCE or audience.endswith("/oauth2/api/v1/token"))
        )
        if not right:
            raise problem(401, "Unauthorized", _INVALID)
        scopes = set(form.get("scope", _SCOPE).split())
        lasts = self._settings.oauth2_token_s
        text = self._jwt({"sub": client.client_id, "scope": " ".join(sorted(scopes))}, lasts)
        self.access[text] = Access(client, scopes, self._clock.now() + lasts)
        return reply(
            {
                "access_token": text,
                "token_type": "Bearer",
                "scope": " ".join(sorted(scopes)),
                "expires_in": int(lasts),
            }
        )

    async def sso_session(self, request: web.Request) -> web.StreamResponse:
        """POST /gw/api/v1/sso-sessions (oauth.md §11.2)."""
        access = self.access.get(bearer_of(request))
        if access is None or access.expires <= self._clock.now():
            raise problem(401, "Unauthorized", _INVALID)
        if _SCOPE not in access.scopes:
            raise problem(403, "Forbidden", "The access token fails to have sufficient scope")
        opened = self._opened((await request.text()).strip())
        if opened is None or opened[0] is not access.client:
            raise problem(401, "Unauthorized", _INVALID)
        claims = opened[1]
        missing = [name for name in ("credential", "ip") if not isinstance(claims.get(name), str)]
        user = access.client.users.get(str(claims.get("credential", "")).lower())
        if user is None and "credential" not in missing:
            missing.append("credential")
        if self._quirks.oauth2_ip and claims.get("ip") != self._quirks.oauth2_ip and "ip" not in missing:
            missing.append("ip")
        if missing or user is None:
            raise _invalid(missing)
        text = self._start(user, str(claims["ip"]), float(claims["exp"]))
        return reply({"access_token": text, "token_type": "Bearer", "active": True})

    def _start(self, user: User, ip: str, expires: float) -> str:
        life = self._sessions.begin(user, replaces=None, by_itself=False, role="oauth2")
        life.ip = ip
        text = self._jwt({"sub": user.username, "ip": ip}, 0)
        self.bearers[text] = Bearer(life, expires)
        return text

    # --- every other request ---------------------------------------------------------------

    def authenticate(self, request: web.Request) -> Life:
        """The session of a bearer. Raises Refusal: 401, or 410 where a stale session is opened (§11.4)."""
        life = self._of(bearer_of(request))
        if life is None:
            raise problem(401, "Unauthorized", "Access token expired")
        if life.over and life.over != "logout" and request.path.endswith("/iserver/auth/ssodh/init"):
            raise problem(410, "Gone")
        if life.over or (self._quirks.oauth2_ip and life.ip != self._quirks.oauth2_ip):
            raise problem(401, "Unauthorized", "Access token expired")
        return life

    def socket(self, text: str, cookie: str) -> Life:
        """The session of a websocket: by `bearer_token` or by cookie (oauth.md §11.3). Raises Refusal."""
        life = self._of(text) if text else self._sessions.find(cookie)
        if life is None or life.over or life.role != "oauth2":
            raise Refusal(401, None)
        return life

    def _of(self, text: str) -> Life | None:
        bearer = self.bearers.get(text)
        return None if bearer is None or bearer.expires <= self._clock.now() else bearer.life

    # --- JWS -------------------------------------------------------------------------------

    def _opened(self, text: str) -> tuple[Client, dict[str, Any]] | None:
        """Client and claims of a compact JWS that is signed and dated as it must be, else None."""
        parts = text.split(".")
        if len(parts) != 3:
            return None
        head, claims = _object(parts[0]), _object(parts[1])
        if head is None or claims is None or head.get("alg") != "RS256":
            return None
        client = self.registry.clients.get(str(claims.get("iss", "")))
        key = client.keys.get(str(head.get("kid", "main"))) if client is not None else None
        if client is None or key is None:
            return None
        try:
            key.verify(
                _bytes(parts[2]), f"{parts[0]}.{parts[1]}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except (InvalidSignature, ValueError):
            return None
        return (client, claims) if self._dated(claims) else None

    def _dated(self, claims: dict[str, Any]) -> bool:
        made, ends = claims.get("iat"), claims.get("exp")
        if not isinstance(made, int | float) or not isinstance(ends, int | float):
            return False
        window, skew = self._settings.oauth_window_s, self._settings.oauth_skew_s
        # As with the timestamps of 1.0a: the simulated clock or the machine's.
        return any(
            made <= now + skew + window and ends > now + skew
            for now in (self._clock.now(), self._clock.real())
        )

    def _jwt(self, claims: dict[str, Any], lasts: float) -> str:
        now = int(self._clock.now())
        claims |= {"iat": now, "jti": secrets.token_hex(12)} | ({"exp": now + int(lasts)} if lasts else {})
        parts = [
            base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=")
            for one in ({"alg": "HS256", "typ": "JWT"}, claims)
        ]
        signed = hmac.digest(self._secret, b".".join(parts), "sha256")
        return b".".join([*parts, base64.urlsafe_b64encode(signed).rstrip(b"=")]).decode()


def bearer_of(request: web.Request) -> str:
    """The token of `Authorization: Bearer`, else empty."""
    scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _invalid(names: list[str]) -> Refusal:
    refusal = problem(400, "Bad Request", invalidArguments=sorted(names))
    refusal.body["type"] = "/invalid-argument"
    return refusal


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(_bytes(text))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
