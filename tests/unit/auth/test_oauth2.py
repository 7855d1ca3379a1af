"""OAuth 2.0: what is sent for a token and for a session, and what comes of the answers (oauth.md §11)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from ibtui.auth import keys, oauth2, oauth_refusals
from ibtui.errors import TokenRefused, UnknownReply, UsageError
from ibtui.secret import Secret
from tests.oauth_tools import KEYS

NOW = datetime(2026, 4, 24, 14, 32, 10, tzinfo=UTC)
VALUES = {
    "client_id": "client-1",
    "key_id": "",
    "credential": "demo456",
    "private_key": KEYS["signature_private_pem"],
    "ip": "203.0.113.7",
}
CLIENT = oauth2.Client.of(VALUES)


def read(jwt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, after the signature was found right."""
    head, claims, signature = jwt.split(".")
    public = keys.read_public_key(KEYS["signature_public_pem"])
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    public.verify(raw, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    found = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (head, claims)]
    return found[0], found[1]


def test_the_assertion() -> None:
    request = CLIENT.token_request(NOW)
    form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
    head, claims = read(form.pop("client_assertion"))
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "main"}
    at = int(NOW.timestamp())
    assert claims == {
        "iss": "client-1",
        "sub": "client-1",
        "aud": "/token",
        "iat": at - 10,
        "exp": at + 20,
    }
    assert form == {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_id": "client-1",
        "scope": "sso-sessions.write sso-sessions.read",
    }
    assert request.path == "/oauth2/api/v1/token"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_the_session_request_is_the_jwt_itself() -> None:
    request = CLIENT.session_request(Secret("access"), NOW)
    _, claims = read(request.content.decode())
    at = int(NOW.timestamp())
    assert claims == {
        "ip": "203.0.113.7",
        "credential": "demo456",
        "iss": "client-1",
        "iat": at,
        "exp": at + 86400,
    }
    assert request.headers == {"Authorization": "Bearer access", "Content-Type": "application/jwt"}
    assert "Bearer" not in repr(request) and "Bearer" not in repr(CLIENT)


def test_what_is_uncertain_can_be_set() -> None:
    other = oauth2.Client.of({**VALUES, "scope": "sso-sessions.write", "audience": "https://x/token"})
    form = parse_qs(other.token_request(NOW).content.decode())
    assert form["scope"] == ["sso-sessions.write"]
    assert read(form["client_assertion"][0])[1]["aud"] == "https://x/token"


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"access_token": "t", "expires_in": 600}, 600),
        ({"access_token": "t", "expires_in": 10**9}, 86400),
        ({"access_token": "t", "expires_in": "soon"}, 86400),
        ({"access_token": "t", "expires_in": -5}, 86400),
        ({"access_token": "t"}, 86400),
    ],
)
def test_the_token_lasts_as_long_as_is_said(answer: dict[str, Any], seconds: int) -> None:
    grant = oauth2.read_grant(answer, NOW, "It")
    assert grant.expires - NOW == timedelta(seconds=seconds)
    assert grant.secret.reveal() == "t"


@pytest.mark.parametrize("answer", [None, {}, {"access_token": ""}, {"access_token": 3}, "text"])
def test_an_answer_without_a_token_is_told(answer: object) -> None:
    with pytest.raises(UnknownReply, match="without a token"):
        oauth2.read_grant(answer, NOW, "The token request")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="lack credential, ip") as caught:
        oauth2.Client.of({**VALUES, "credential": " ", "ip": ""})
    assert "public address" in caught.value.fix and "user name" in caught.value.fix


def test_a_key_may_have_gone_through_a_variable() -> None:
    flat = Secret(KEYS["signature_private_pem"].replace("\n", "\\n"))
    assert oauth2.Client.of({**VALUES, "private_key": flat}).key.key_size == 2048


def test_keys_that_are_none_are_told() -> None:
    locked = (
        keys.read_private_key(KEYS["signature_private_pem"])
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
        .decode()
    )
    other = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )
    for text, words in (
        (KEYS["signature_public_pem"], "public one"),
        (locked, "passphrase"),
        (other, "no RSA key"),
        (KEYS["signature_private_pem"][:600], "damaged"),
        ("é", "damaged"),
    ):
        with pytest.raises(UsageError, match=words):
            oauth2.read_key(text)


def test_what_refusals_mean() -> None:
    for error, words in (
        (oauth_refusals.access_token(401, "The access token request is invalid"), "oauth2_key_id"),
        (oauth_refusals.access_token(400, ""), "oauth2_audience"),
        (oauth_refusals.access_token(403, "scope"), "oauth2_scope"),
        (oauth_refusals.sso_session(400, "Bad Request"), "oauth2_ip"),
        (oauth_refusals.sso_session(403, ""), "sso-sessions.write"),
    ):
        assert isinstance(error, TokenRefused) and words in error.fix
