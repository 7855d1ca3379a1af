"""OAuth 2.0 as IBKR does it: private_key_jwt, then an SSO session (oauth.md §11).

Pure: makes the two requests and reads their answers. What no document settles (scope, audience, address)
is a field of `Client`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ibtui.auth.grant import LIFE, Grant
from ibtui.errors import UnknownReply, UsageError
from ibtui.secret import Secret

TOKEN_ROUTE = "/oauth2/api/v1/token"  # noqa: S105 - a path
SESSION_ROUTE = "/gw/api/v1/sso-sessions"
SCOPE = "sso-sessions.write sso-sessions.read"
AUDIENCE = "/token"
FIELDS = ("client_id", "key_id", "credential", "private_key", "ip")
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_BACK_S, _AHEAD_S = 10, 20
"""The assertion's life before and after now (§11.1)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One POST, its path below the origin."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client with its key loaded; see `Client.of`."""

    client_id: str
    key_id: str
    credential: str
    key: rsa.RSAPrivateKey = field(repr=False)
    ip: str
    scope: str = SCOPE
    audience: str = AUDIENCE

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Client:
        """From `client_id`, `key_id`, `credential`, `private_key` (PEM), `ip`; `scope`, `audience` if given.

        Raises:
            UsageError: one is missing, or the key is none.
        """
        texts = {
            name: value.reveal() if isinstance(value := values.get(name, ""), Secret) else str(value or "")
            for name in (*FIELDS, "scope", "audience")
        }
        texts["key_id"] = texts["key_id"] or "main"
        missing = [name for name in FIELDS if not texts[name].strip()]
        if missing:
            raise UsageError(
                f"The OAuth 2.0 settings lack {', '.join(missing)}.",
                "\n".join(_HELP[name] for name in missing),
            )
        return cls(
            client_id=texts["client_id"].strip(),
            key_id=texts["key_id"].strip(),
            credential=texts["credential"].strip(),
            key=read_key(texts["private_key"]),
            ip=texts["ip"].strip(),
            scope=texts["scope"] or SCOPE,
            audience=texts["audience"] or AUDIENCE,
        )

    def jwt(self, claims: Mapping[str, Any]) -> str:
        """A compact JWS of these claims, RS256."""
        head = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        text = f"{_b64(_json(head))}.{_b64(_json(claims))}"
        return f"{text}.{_b64(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def token_request(self, now: datetime) -> Request:
        """For an access token (§11.1)."""
        at = int(now.timestamp())
        assertion = self.jwt(
            {
                "iss": self.client_id,
                "sub": self.client_id,
                "aud": self.audience,
                "iat": at - _BACK_S,
                "exp": at + _AHEAD_S,
            }
        )
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _JWT_BEARER,
            "client_assertion": assertion,
            "client_id": self.client_id,
            "scope": self.scope,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return Request(TOKEN_ROUTE, headers, urlencode(form).encode())

    def session_request(self, access_token: Secret, now: datetime) -> Request:
        """For an SSO session (§11.2): the body is the JWS itself."""
        at = int(now.timestamp())
        claims = {
            "ip": self.ip,
            "credential": self.credential,
            "iss": self.client_id,
            "iat": at,
            "exp": at + int(LIFE.total_seconds()),
        }
        headers = {
            "Authorization": f"Bearer {access_token.reveal()}",
            "Content-Type": "application/jwt",
        }
        return Request(SESSION_ROUTE, headers, self.jwt(claims).encode())


def read_grant(body: Any, now: datetime, what: str) -> Grant:
    """The token in an answer of either request; it lasts `expires_in` seconds, 24 h where none are said.

    Raises:
        UnknownReply: there is none. `what` names the request.
    """
    answer = body if isinstance(body, dict) else {}
    token = answer.get("access_token")
    if not isinstance(token, str) or not token:
        raise UnknownReply(f"{what} was answered without a token.", "Try again later.", 200)
    seconds = answer.get("expires_in")
    try:
        life = min(timedelta(seconds=int(seconds)), LIFE) if seconds is not None else LIFE
    except (TypeError, ValueError, OverflowError):
        life = LIFE
    return Grant(Secret(token), now, now + (life if life > timedelta() else LIFE))


def read_key(text: str) -> rsa.RSAPrivateKey:
    """The client's RSA key, PKCS#1 or PKCS#8, of 2048 bits or more (IBKR's sample has 3072).

    Raises:
        UsageError: it is none.
    """
    clean = text.replace("\\n", "\n").replace("\r\n", "\n").strip()
    if "PUBLIC KEY" in clean[:40]:
        raise UsageError("Where the private key should be, there is a public one.", _HELP["private_key"])
    try:
        key = serialization.load_pem_private_key(clean.encode(), None)
    except TypeError:
        raise UsageError(
            "The private key is locked with a passphrase.", "Unlock a copy: openssl pkey -in FILE -out NEW"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError("The private key is no PEM file, or is damaged.", _HELP["private_key"]) from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise UsageError("The private key is no RSA key of 2048 bits or more.", _HELP["private_key"])
    return key


_HELP = {
    "client_id": "oauth2_client_id: the client id that IBKR gave at registration.",
    "key_id": "oauth2_key_id: main, unless IBKR named another.",
    "credential": "oauth2_credential: the IBKR user name that is acted for.",
    "private_key": "oauth2_key_file: the private key (PEM, RSA) whose public one is registered at IBKR.",
    "ip": "oauth2_ip: this machine's public address as IBKR sees it; the session is tied to it.",
}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
