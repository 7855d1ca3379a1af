"""A small direct client for the simulator's tests, written from oauth.md; shares nothing with the product."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import websockets
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ibtui.sim.server import Simulator

LST = "/v1/api/oauth/live_session_token"
INIT = "/v1/api/iserver/auth/ssodh/init"
REPO = Path(__file__).parents[2]
VECTORS = json.loads((REPO / "tests/data/vectors/oauth1.json").read_text())
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def load_key(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def http_of(sim: Simulator, **options: Any) -> httpx.AsyncClient:
    tls = ssl.create_default_context(cafile=str(sim.cert)) if sim.cert else True
    return httpx.AsyncClient(base_url=sim.url, verify=tls, trust_env=False, timeout=10, **options)


class First:
    """OAuth 1.0a with the seven fields; every step can be made wrong."""

    def __init__(self, sim: Simulator, fields: dict[str, str]) -> None:
        self.sim, self.fields = sim, dict(fields)
        self.http = http_of(sim)
        self.origin = sim.url
        self.lst = b""
        self.clock_off = 0.0
        self.header = ""

    async def __aenter__(self) -> First:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    @property
    def secret(self) -> bytes:
        cipher = base64.b64decode(self.fields["accessTokenSecret"])
        return load_key(self.fields["encryption"]).decrypt(cipher, padding.PKCS1v15())

    def params(self, method: str, **more: str) -> dict[str, str]:
        return {
            "oauth_consumer_key": self.fields["consumerKey"],
            "oauth_nonce": secrets.token_hex(8),
            "oauth_signature_method": method,
            "oauth_timestamp": str(int(time.time() + self.clock_off)),
            "oauth_token": self.fields["accessToken"],
        } | more

    def rsa_header(self, url: str, params: dict[str, str], prepend: str) -> str:
        base = f"{prepend}POST&{quote_plus(url)}&{quote(joined(params))}"
        signed = load_key(self.fields["signature"]).sign(base.encode(), padding.PKCS1v15(), hashes.SHA256())
        return self.as_header(params, signed)

    def as_header(self, params: dict[str, str], signature: bytes) -> str:
        params = {k: quote(v, safe="") for k, v in params.items()}
        values = params | {"oauth_signature": quote(base64.b64encode(signature).decode(), safe="")}
        rest = ", ".join(f'{k}="{v}"' for k, v in sorted(values.items()))
        return f'OAuth realm="{self.fields["realm"]}", {rest}'

    async def ask_token(self, a: int = 0, **more: str) -> tuple[httpx.Response, int]:
        """The reply to the token request, and our random number."""
        a = a or secrets.randbits(256)
        prime = int(self.fields["dhPrime"], 16)
        params = self.params("RSA-SHA256", diffie_hellman_challenge=f"{pow(2, a, prime):x}") | more
        self.header = self.rsa_header(self.origin + LST, params, self.secret.hex())
        return await self.http.post(LST, headers={"Authorization": self.header}), a

    async def token(self) -> bool:
        """Get a live session token; whether the server's proof of it is right."""
        reply, a = await self.ask_token()
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        prime = int(self.fields["dhPrime"], 16)
        shared = pow(int(answer["diffie_hellman_response"], 16), a, prime)
        key = shared.to_bytes(shared.bit_length() // 8 + 1, "big")
        self.lst = hmac.digest(key, self.secret, "sha1")
        proof = hmac.new(self.lst, self.fields["consumerKey"].encode(), hashlib.sha1).hexdigest()
        return bool(proof == answer["live_session_token_signature"])

    def sign(self, method: str, path: str, base: str = "", **more: str) -> str:
        params = self.params("HMAC-SHA256") | more
        base = base or f"{method}&{quote_plus(self.origin + path)}&{quote(joined(params))}"
        return self.as_header(params, hmac.digest(self.lst, base.encode(), "sha256"))

    async def send(self, method: str, path: str, header: str = "", **options: Any) -> httpx.Response:
        """A signed request; the query, if any, is left out of the signature."""
        bare = path.partition("?")[0]
        self.header = header or self.sign(method, bare)
        return await self.http.request(method, path, headers={"Authorization": self.header}, **options)

    async def open(self) -> str:
        """Token, brokerage session and tickle: the websocket's cookie."""
        assert await self.token()
        init = await self.send("POST", INIT, json={"publish": True, "compete": True})
        assert init.json()["authenticated"] is True
        return str((await self.send("POST", "/v1/api/tickle")).json()["session"])

    async def control(self, path: str, body: Any = None) -> Any:
        return await control(self.http, path, body)


class Second:
    """OAuth 2.0 as in oauth.md §11."""

    def __init__(self, sim: Simulator, ready: dict[str, str]) -> None:
        self.sim, self.ready = sim, ready
        self.key = load_key(Path(ready["private_key"]).read_text())
        self.http = http_of(sim)
        self.bearer = ""

    async def __aenter__(self) -> Second:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    def jws(self, claims: dict[str, Any], head: dict[str, Any] | None = None) -> str:
        head = {"alg": "RS256", "typ": "JWT", "kid": self.ready["key_id"]} | (head or {})
        parts = [_url64(json.dumps(one).encode()) for one in (head, claims)]
        signed = self.key.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())
        return ".".join([*parts, _url64(signed)])

    def claims(self, **more: Any) -> dict[str, Any]:
        now, me = int(time.time()), self.ready["client_id"]
        return {"iss": me, "sub": me, "aud": "/token", "iat": now - 10, "exp": now + 20} | more

    async def ask_token(self, jws: str = "", **more: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION,
            "client_assertion": jws or self.jws(self.claims()),
            "scope": "sso-sessions.write sso-sessions.read",
        } | more
        return await self.http.post("/oauth2/api/v1/token", data=form)

    async def ask_session(self, access: str, **more: Any) -> httpx.Response:
        now = int(time.time())
        claims = {
            "ip": "203.0.113.9",
            "credential": self.ready["credential"],
            "iss": self.ready["client_id"],
            "iat": now,
            "exp": now + 86_400,
        } | more
        return await self.http.post(
            "/gw/api/v1/sso-sessions",
            content=self.jws({k: v for k, v in claims.items() if v is not None}),
            headers={"Authorization": f"Bearer {access}", "Content-Type": "application/jwt"},
        )

    async def open(self) -> None:
        """Both tokens and the brokerage session."""
        access = (await self.ask_token()).json()["access_token"]
        reply = await self.ask_session(access)
        assert reply.status_code == 200, reply.text
        self.bearer = reply.json()["access_token"]
        init = await self.send("POST", INIT, json={"publish": True, "compete": True})
        assert init.json()["authenticated"] is True

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.bearer}"}
        return await self.http.request(method, path, headers=headers, **options)


async def control(http: httpx.AsyncClient, path: str, body: Any = None) -> Any:
    reply = await (http.get(f"/sim/{path}") if body is None else http.post(f"/sim/{path}", json=body))
    assert reply.status_code == 200, reply.text
    return reply.json()


def socket(sim: Simulator, query: str = "", cookie: str = "", agent: str | None = "tests") -> Any:
    tls = ssl.create_default_context(cafile=str(sim.cert)) if sim.cert else None
    headers = {"Cookie": cookie} if cookie else {}
    # No limit: with many unread frames this library stops reading, and its own close takes ten seconds.
    return websockets.connect(
        sim.ws + query,
        ssl=tls,
        additional_headers=headers,
        user_agent_header=agent,
        proxy=None,
        max_queue=None,
    )


def joined(params: dict[str, str]) -> str:
    return "&".join(f"{k}={v}" for k, v in sorted(params.items()))


def ready_fields(sim: Simulator) -> dict[str, str]:
    fields: dict[str, str] = json.loads(Path(sim.ready()["oauth1"]).read_text())
    return fields


def said(reply: httpx.Response) -> str:
    """The words of an error in the older shape, without its number."""
    body = reply.json()
    assert body["statusCode"] == reply.status_code
    number, _, words = body["error"].partition(", error: ")
    assert number.startswith("id: ") and number[4:].isdigit()
    return str(words)


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
