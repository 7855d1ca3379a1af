"""The simulator's OAuth 1.0a arithmetic: known answers, and the header's many forms."""

from __future__ import annotations

import base64
import hmac
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from ibtui.sim import scenario
from ibtui.sim.oauth1 import base_strings, make_token, parse_header, shared_bytes
from ibtui.sim.oauth_keys import Consumer, read_dh, uploaded_dh, uploaded_key
from tests.sim.oauth_tools import VECTORS

KEYS = VECTORS["keys"]
HOST = "https://api.ibkr.com"


def vectors(kind: str) -> list[Any]:
    return [pytest.param(one, id=one["id"]) for one in VECTORS["vectors"] if one["kind"] == kind]


# --- known answers -------------------------------------------------------------------------


def vector_consumer(key: str) -> Consumer:
    user = scenario.load().users[0]
    return Consumer(
        key,
        user,
        uploaded_key(KEYS["signature_public_pem"], "signing key"),
        uploaded_key(KEYS["encryption_public_pem"], "encryption key"),
        uploaded_dh(KEYS["dhparam_pem"]),
    )


@pytest.mark.parametrize("vector", vectors("live_session_token"))
def test_known_tokens(vector: dict[str, Any]) -> None:
    given, expected = vector["inputs"], vector["expected"]
    consumer = vector_consumer(KEYS["consumer_key"])
    secret = bytes.fromhex(VECTORS["access_token_secrets"][given["access_token_secret"]]["plain_hex"])
    exponent = int(given["server_exponent_hex"], 16)
    challenge = int(expected["diffie_hellman_challenge"], 16)
    answer, key, proof = make_token(consumer, secret, challenge, exponent)
    assert answer == int(given["diffie_hellman_response"], 16)
    assert shared_bytes(int(expected["K_hex"], 16)).hex() == expected["K_bytes_hex"]
    assert base64.b64encode(key).decode() == expected["live_session_token"]
    assert proof == expected["live_session_token_signature"]
    path = given["url"].removeprefix(HOST)
    for header in expected["authorization"].values():
        pairs = parse_header(header)
        tried = base_strings("POST", path, [HOST], pairs, expected["prepend"])
        assert expected["base_string"] in [one.text for one in tried]
        assert pairs["oauth_signature"] == expected["rsa_signature_base64"]


@pytest.mark.parametrize("vector", vectors("request"))
def test_known_requests(vector: dict[str, Any]) -> None:
    given, expected = vector["inputs"], vector["expected"]
    key = base64.b64decode(given["live_session_token"])
    for name, form in expected["forms"].items():
        sent = f"{urlsplit(given['url']).path}"
        written = form.get("query_as_sent") or urlsplit(given["url"]).query
        if not written and given["params"] and name != "no_query":
            written = urlencode(wire_words(given["params"]))
        target = f"{sent}?{written}" if written else sent
        for header in expected["authorization"].values():
            pairs = parse_header(header) | {"oauth_signature": "not signed"}
            tried = {one.text: one for one in base_strings(given["method"], target, [HOST], pairs)}
            found = tried.get(form["base_string"])
            assert found is not None, f"{name}: {form['base_string']}\n" + "\n".join(tried)
            signed = hmac.digest(key, found.text.encode(), "sha256")
            assert base64.b64encode(signed).decode() == form["hmac_signature_base64"]


def wire_words(params: dict[str, Any]) -> dict[str, str]:
    words = {True: "true", False: "false"}
    return {
        k: words[v] if isinstance(v, bool) else str(v) for k, v in params.items() if v is not None
    }  # fmt: skip


def test_dh_parameters_are_read() -> None:
    assert read_dh(KEYS["dhparam_pem"]) == (int(KEYS["dh_prime_hex"], 16), 2)


# --- the header ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'OAuth realm="limited_poa", oauth_nonce="a%2Bb", oauth_token="c"',
        "OAuth oauth_token=c,oauth_nonce=a%2Bb,realm=limited_poa",
        'oauth  oauth_nonce = "a%2Bb" ,realm="limited_poa",  oauth_token="c"',
    ],
)
def test_header_forms(text: str) -> None:
    assert parse_header(text) == {"realm": "limited_poa", "oauth_nonce": "a+b", "oauth_token": "c"}


@pytest.mark.parametrize("text", ["", "Bearer x", 'OAuth a="1" b="2"', 'OAuth a="1", a="2"', "OAuth ,"])
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="OAuth header"):
        parse_header(text)


def test_a_plus_in_a_value_stays_a_plus() -> None:
    assert parse_header("OAuth a=b+c")["a"] == "b+c"
