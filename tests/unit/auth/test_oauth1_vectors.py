"""OAuth 1.0a against known answers, each by its name (tests/data/vectors/oauth1.json)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from ibtui.auth import keys, oauth1
from ibtui.auth.oauth_fields import OAuth1Fields, open_secret
from ibtui.errors import UsageError
from ibtui.secret import Secret
from tests.oauth_tools import KEYS, SECRETS, VECTORS, fields, signer

FORMS = {
    "no_query": "left_out",
    "query_left_out": "left_out",
    "query_raw": "raw",
    "query_raw_python_quoting": "raw_python",
    "url_with_query": "url",
    "rfc5849": "rfc5849",
}


def of(kind: str) -> list[Any]:
    return [pytest.param(vector, id=vector["id"]) for vector in VECTORS if vector["kind"] == kind]


def test_no_vector_is_left_out() -> None:
    known = {
        "dh_params",
        "oauth1_json",
        "prepend",
        "live_session_token",
        "validation",
        "key_error",
        "request",
    }
    assert {vector["kind"] for vector in VECTORS} == known and len(VECTORS) == 34


@pytest.mark.parametrize("vector", of("dh_params"))
def test_dh_parameters(vector: Any) -> None:
    prime, generator = keys.read_dh(vector["inputs"]["dhparam_pem"])
    expected = vector["expected"]
    assert (prime, generator) == (int(expected["prime_hex"], 16), expected["generator"])
    assert prime.bit_length() == expected["prime_bits"]


@pytest.mark.parametrize("vector", of("oauth1_json"))
def test_the_file_of_the_published_configure_script(vector: Any) -> None:
    written = vector["expected"]["oauth1_json"]
    found = OAuth1Fields.parse(json.dumps(written))
    assert found.mapping() == written
    files = vector["inputs"]["files"]
    assert found.prime == keys.read_dh(files["dhparam.pem"])[0]


@pytest.mark.parametrize("vector", of("prepend"))
def test_prepend(vector: Any) -> None:
    key = keys.read_private_key(KEYS["encryption_private_pem"])
    plain = open_secret(Secret(vector["inputs"]["access_token_secret"]), key)
    assert plain is not None and plain.hex() == vector["expected"]["prepend"]
    assert len(plain) == vector["expected"]["bytes"]


@pytest.mark.parametrize("vector", of("key_error"))
def test_a_secret_that_another_key_opens_is_told(vector: Any) -> None:
    secret = vector["inputs"]["access_token_secret"]
    swapped = fields(
        accessTokenSecret=secret,
        encryption=KEYS["signature_private_pem"],
        signature=KEYS["encryption_private_pem"],
    )
    with pytest.raises(UsageError, match="swapped"):
        oauth1.Signer(swapped)


@pytest.mark.parametrize("vector", of("live_session_token"))
def test_live_session_token(vector: Any) -> None:
    given, expected = vector["inputs"], vector["expected"]
    signed = signer(accessTokenSecret=SECRETS[given["access_token_secret"]]["cipher_base64"])
    now = datetime.fromtimestamp(int(given["timestamp"]), UTC)
    challenge = signed.challenge(
        given["url"], now, exponent=int(given["client_random_hex"], 16), nonce=given["nonce"]
    )
    assert challenge.header == expected["authorization"]["ibind"]
    key = keys.read_public_key(KEYS["signature_public_pem"])
    key.verify(
        base64.b64decode(expected["rsa_signature_base64"]),
        expected["base_string"].encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    shared = int(expected["K_hex"], 16)
    assert oauth1.two_complement(shared).hex() == expected["K_bytes_hex"]
    answer = {
        "diffie_hellman_response": given["diffie_hellman_response"],
        "live_session_token_signature": expected["live_session_token_signature"],
        "live_session_token_expiration": int(now.timestamp() + 3600) * 1000,
    }
    grant = signed.finish(challenge, answer, now)
    assert grant.secret.reveal() == expected["live_session_token"]
    assert (grant.expires - now).total_seconds() == 3600


@pytest.mark.parametrize("vector", of("validation"))
def test_validation(vector: Any) -> None:
    given = vector["inputs"]
    token = base64.b64decode(given["live_session_token"])
    found = oauth1.is_valid(token, given["consumer_key"], given["live_session_token_signature"])
    assert found is vector["expected"]["signature_is_valid"]


@pytest.mark.parametrize("vector", of("request"))
def test_request(vector: Any) -> None:
    given, forms = vector["inputs"], vector["expected"]["forms"]
    now = datetime.fromtimestamp(int(given["timestamp"]), UTC)
    changed = {"consumerKey": given.get("consumer_key", KEYS["consumer_key"]), "realm": given["realm"]}
    url, _, inside = given["url"].partition("?")
    wire = (vector["expected"]["wire_url"] or {}).get("ibkr-client", "")
    for name, form in forms.items():
        signed = signer(FORMS[name], **changed)
        grant = signed.grant(Secret(given["live_session_token"]), now, now)
        query = form.get("query_as_sent") or inside or wire.partition("?")[2]
        header = signed.sign(grant, given["method"], url, query, now, nonce=given["nonce"])
        assert f'oauth_signature="{form["oauth_signature"]}"' in header, name
        if "ibind 0.2.2" in form["produced_by"]:
            assert header == vector["expected"]["authorization"]["ibind"]
        oauth = signed._oauth("HMAC-SHA256", now, given["nonce"])
        assert oauth1.base_string(given["method"], url, oauth, query, FORMS[name]) == form["base_string"], (
            name
        )
