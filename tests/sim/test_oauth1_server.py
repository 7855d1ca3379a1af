"""The simulator's side of OAuth 1.0a: vectors, registrations, what is refused and how it is said."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import httpx
import pytest
import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding

from ibtui.sim import scenario
from ibtui.sim.oauth1 import base_strings, make_token, parse_header, shared_bytes
from ibtui.sim.oauth_keys import Consumer, default_registry, read_dh, uploaded_dh, uploaded_key
from ibtui.sim.server import Simulator
from tests.sim.oauth_tools import INIT, LST, VECTORS, First, http_of, load_key, ready_fields, socket
from tests.sim.platform_tools import frame, frame_with, started

KEYS = VECTORS["keys"]
HOST = "https://api.ibkr.com"


def vectors(kind: str) -> list[Any]:
    return [pytest.param(one, id=one["id"]) for one in VECTORS["vectors"] if one["kind"] == kind]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    sim = await started(scenario.load("calm", 7))
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.fixture
async def first(sim: Simulator) -> AsyncIterator[First]:
    async with First(sim, ready_fields(sim)) as first:
        yield first


def said(reply: httpx.Response) -> str:
    """The words of an error in the older shape, without its number."""
    body = reply.json()
    assert body["statusCode"] == reply.status_code
    number, _, words = body["error"].partition(", error: ")
    assert number.startswith("id: ") and number[4:].isdigit()
    return str(words)


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


# --- ready object --------------------------------------------------------------------------


async def test_ready_files(sim: Simulator) -> None:
    ready = sim.ready()
    file = Path(ready["oauth1"])
    fields = json.loads(file.read_text())
    assert set(fields) == {
        "realm", "dhPrime", "consumerKey", "accessToken", "accessTokenSecret", "signature", "encryption",
    }  # fmt: skip
    assert fields["realm"] == "limited_poa" and len(fields["accessToken"]) == 20
    assert fields["consumerKey"].isalpha() and fields["consumerKey"].isupper()
    assert len(fields["consumerKey"]) == 9 and len(fields["accessTokenSecret"]) == 344
    for name in ("signature", "encryption"):
        beside = file.with_name(f"private_{name}.pem").read_text()
        assert beside == fields[name]
        public = load_key(beside).public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )  # fmt: skip
        assert file.with_name(f"public_{name}.pem").read_bytes() == public
    assert read_dh(file.with_name("dhparam.pem").read_text()) == (int(fields["dhPrime"], 16), 2)
    for one in file.parent.iterdir():
        assert stat.S_IMODE(os.stat(one).st_mode) == 0o600
    again = default_registry(scenario.load("calm", 7).users, 7).consumers[fields["consumerKey"]]
    assert again.tokens[fields["accessToken"]].cipher == fields["accessTokenSecret"]
    other = default_registry(scenario.load("calm", 8).users, 8)
    assert fields["consumerKey"] not in other.consumers


async def test_plain_has_files_too_and_they_go_with_it() -> None:
    sim = await started(scenario.load("calm", 7), plain=True)
    file = Path(sim.ready()["oauth1"])
    try:
        async with First(sim, ready_fields(sim)) as first:
            assert await first.token()
            assert (await first.send("GET", "/v1/api/portfolio/accounts")).status_code == 200
    finally:
        await sim.stop()
    assert not file.exists()


# --- what goes right -----------------------------------------------------------------------


async def test_a_session_of_its_own_in_the_same_world(first: First, sim: Simulator) -> None:
    sim.log_in("demo456")
    before = sim.sessions.jar
    cookie = await first.open()
    assert sim.sessions.jar is before
    assert len(cookie) == 32 and cookie != before.session.token if before else False
    told = (await first.send("GET", "/v1/api/iserver/accounts")).json()
    assert told["selectedAccount"] == "DU1234567"
    await first.send("GET", "/v1/api/portfolio/accounts")
    held = (await first.send("GET", "/v1/api/portfolio/DU1234567/positions/0")).json()
    assert len(held) > 3
    assert (await first.send("GET", "/v1/api/trsrv/stocks?symbols=AAPL%2CMSFT")).json().keys() == {
        "AAPL", "MSFT",
    }  # fmt: skip
    unsigned = await first.http.get("/v1/api/portfolio/accounts")
    assert [one["id"] for one in unsigned.json()] == ["DU2345671", "DU2345672"]


async def test_the_brokerage_session_is_asked_for(first: First) -> None:
    assert await first.token()
    assert (await first.send("GET", "/v1/api/portfolio/accounts")).status_code == 200
    early = await first.send("GET", "/v1/api/iserver/accounts")
    assert (early.status_code, early.json()["error"]) == (400, "Bad Request: no bridge")
    assert (await first.send("GET", "/v1/api/sso/validate")).status_code == 401


async def test_the_journal_tells_which_form_fitted(first: First, sim: Simulator) -> None:
    assert await first.token()
    query, path = "symbols=AAPL%2CA+B", "/v1/api/trsrv/stocks"
    url = {"api": HOST, "own": sim.url, "name": sim.url.replace("127.0.0.1", "localhost")}

    async def ask(name: str, origin: str, target: str, extra: str, lower: bool = False) -> None:
        params = first.params("HMAC-SHA256")
        pairs = "&".join(sorted([*(f"{k}={v}" for k, v in params.items()), *([extra] if extra else [])]))
        full = (origin + target).lower() if lower else origin + target
        base = f"GET&{quote_plus(full)}&{quote_plus(pairs)}"
        signed = first.as_header(params, hmac.digest(first.lst, base.encode(), "sha256"))
        reply = await first.send("GET", f"{path}?{query}", signed)
        assert reply.status_code == 200, (name, reply.text)
        assert sim.journal.rows()[-1]["signed"] == f"{name} {origin}"

    await ask("query_left_out", url["api"], path, "")
    await ask("query_left_out", url["name"], path, "")
    await ask("query_raw", url["own"], path, "symbols=AAPL,A B")
    await ask("url_with_query", url["api"], f"{path}?{query}", "")
    await ask("url_with_query_lower_case", url["own"], f"{path}?{query}", "", lower=True)
    params = first.params("HMAC-SHA256")
    pairs = "&".join(sorted([*(f"{k}={v}" for k, v in params.items()), "symbols=AAPL%2CA%20B"]))
    base = f"GET&{quote(HOST + path, safe='')}&{quote(pairs, safe='')}"
    header = first.as_header(params, hmac.digest(first.lst, base.encode(), "sha256"))
    assert (await first.send("GET", f"{path}?{query}", header)).status_code == 200
    assert sim.journal.rows()[-1]["signed"] == f"rfc5849 {HOST}"
    sim.quirks.oauth_forms = "query_left_out"
    assert (await first.send("GET", f"{path}?{query}")).status_code == 200
    repeated = first.params("HMAC-SHA256")
    base = base.replace(params["oauth_nonce"], repeated["oauth_nonce"])
    header = first.as_header(repeated, hmac.digest(first.lst, base.encode(), "sha256"))
    assert said(await first.send("GET", f"{path}?{query}", header)) == "invalid signature"


async def test_the_newest_two_tokens_are_good(first: First) -> None:
    tokens = []
    for _ in range(3):
        assert await first.token()
        tokens.append(first.lst)
    for lst, status in zip(tokens, (401, 200, 200), strict=True):
        first.lst = lst
        assert (await first.send("GET", "/v1/api/portfolio/accounts")).status_code == status


@pytest.mark.parametrize(("how", "digits"), [("bare", 512), ("short", 511)])
async def test_shapes_of_the_reply(first: First, sim: Simulator, how: str, digits: int) -> None:
    sim.quirks.oauth_reply = how
    reply, _ = await first.ask_token()
    assert len(reply.json()["diffie_hellman_response"]) <= digits
    assert await first.token()


async def test_logout_ends_the_tokens(first: First) -> None:
    old = await first.open()
    assert (await first.send("POST", "/v1/api/logout")).json() == {"status": True}
    assert said(await first.send("POST", "/v1/api/tickle")) == "no live session token"
    assert await first.open() != old


async def test_the_token_outlives_the_session(first: First, sim: Simulator) -> None:
    old = await first.open()
    sim.clock.advance(700)
    sim.sessions.look()
    again = await first.send("POST", "/v1/api/tickle")
    assert again.status_code == 200 and again.json()["session"] != old
    assert again.json()["iserver"]["authStatus"]["authenticated"] is False


async def test_a_day_later_the_token_has_expired(first: First, sim: Simulator) -> None:
    assert await first.token()
    sim.clock.advance(86_401)
    late = await first.send("GET", "/v1/api/portfolio/accounts")
    assert late.status_code == 401 and late.headers["content-type"].startswith("application/problem+json")
    assert late.json() == {
        "type": "/simple", "title": "Unauthorized", "status": 401, "detail": "Access token expired",
    }  # fmt: skip
    assert await first.token()
    assert (await first.send("GET", "/v1/api/portfolio/accounts")).status_code == 200


# --- the websocket -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["api={}", 'api={{"session":"{}"}}'])
async def test_websocket(first: First, sim: Simulator, form: str) -> None:
    cookie = await first.open()
    async with asyncio.timeout(5):
        while not (await first.send("POST", "/v1/api/iserver/auth/status")).json()["established"]:
            await asyncio.sleep(0.1)
    await first.send("GET", "/v1/api/iserver/accounts")
    query = f"?oauth_token={first.fields['accessToken']}"
    async with socket(sim, query, form.format(cookie)) as ws:
        assert (await frame(ws))["success"] == "demo123"
        assert (await frame_with(ws, "sts"))["args"]["authenticated"] is True
        await ws.send("sor+{}")
        assert (await frame_with(ws, "sor"))["args"]
    row = next(one for one in sim.journal.rows() if one["path"] == "/v1/api/ws")
    assert (row["status"], row["via"], row["signed"]) == (101, "api", "oauth1")
    assert first.fields["accessToken"] not in json.dumps(sim.journal.rows())


async def test_websockets_that_are_refused(first: First, sim: Simulator) -> None:
    cookie = await first.open()
    sim.log_in("demo456")
    right = f"?oauth_token={first.fields['accessToken']}"
    rows = [
        (right, "", "t", 401),
        (right, "api=" + "0" * 32, "t", 401),
        ("?oauth_token=" + "0" * 20, f"api={cookie}", "t", 401),
        ("", f"api={cookie}", "t", 401),
        (right, f"api={cookie}", None, 403),
    ]
    for query, shown, agent, status in rows:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with socket(sim, query, shown, agent):
                pass
        assert refused.value.response.status_code == status, (query, shown)


# --- what is refused -----------------------------------------------------------------------


async def test_no_user_agent_and_no_length(first: First) -> None:
    assert await first.token()
    header = {"Authorization": first.sign("GET", "/v1/api/portfolio/accounts"), "User-Agent": ""}
    reply = await first.http.get("/v1/api/portfolio/accounts", headers=header)
    assert reply.status_code == 403 and reply.headers["content-type"].startswith("text/html")
    nameless = await first.http.post(LST, headers={"User-Agent": ""})
    assert nameless.status_code == 403

    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    assert (await first.http.post(LST, content=body())).status_code == 411


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("consumerKey", "lower", "invalid consumer"),
        ("realm", "test_realm", "invalid consumer"),
        ("accessToken", "f" * 20, "invalid token"),
        ("signature", KEYS["signature_private_pem"], "LST failed, error: invalid signature"),
        ("accessTokenSecret", "another", "LST failed, error: invalid signature"),
    ],
)
async def test_wrong_values(first: First, field: str, value: str, words: str) -> None:
    if value == "lower":
        value = first.fields["consumerKey"].lower()
    elif value == "another":
        key = load_key(first.fields["encryption"]).public_key()
        value = base64.b64encode(key.encrypt(b"x" * 32, padding.PKCS1v15())).decode()
    first.fields[field] = value
    reply, _ = await first.ask_token()
    assert (reply.status_code, said(reply)) == (401, words)


async def test_a_wrong_prime_is_seen_by_the_client_alone(first: First) -> None:
    first.fields["dhPrime"] = KEYS["dh_prime_hex"]
    assert await first.token() is False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"oauth_timestamp": "1763712008"}, "stale timestamp"),
        ({"oauth_timestamp": "1763712008123"}, "invalid timestamp"),
        ({"oauth_timestamp": "now"}, "invalid timestamp"),
        ({"oauth_signature_method": "HMAC-SHA256"}, "LST failed, error: signature method must be RSA-SHA256"),
        ({"diffie_hellman_challenge": "1"}, "LST failed, error: invalid diffie_hellman_challenge"),
        ({"diffie_hellman_challenge": "xyz"}, "LST failed, error: invalid diffie_hellman_challenge"),
        ({"oauth_nonce": ""}, "missing oauth_nonce"),
    ],
)
async def test_wrong_parameters(first: First, changes: dict[str, str], words: str) -> None:
    reply, _ = await first.ask_token(**changes)
    assert (reply.status_code, said(reply)) == (401, words)


async def test_a_repeated_nonce(first: First) -> None:
    reply, _ = await first.ask_token()
    assert reply.status_code == 200
    again = await first.http.post(LST, headers={"Authorization": first.header})
    assert said(again) == "nonce already used"
    assert await first.token()
    await first.send("GET", "/v1/api/portfolio/accounts")
    again = await first.send("GET", "/v1/api/portfolio/accounts", first.header)
    assert (again.status_code, said(again)) == (401, "nonce already used")


async def test_truncated_and_foreign_signatures(first: First, sim: Simulator) -> None:
    assert said(await first.send("GET", "/v1/api/portfolio/accounts")) == "no live session token"
    assert await first.token()
    header = first.sign("GET", "/v1/api/portfolio/accounts")
    start = header.index('oauth_signature="') + len('oauth_signature="')
    rows = {
        header[: start + 20] + header[header.index('"', start) :]: "invalid signature",
        header[:start] + "%%%" + header[header.index('"', start) :]: "invalid signature",
        first.sign("POST", "/v1/api/portfolio/accounts"): "invalid signature",
        first.sign("GET", "/v1/api/portfolio/accounts", oauth_signature_method="RSA-SHA256"): (
            "signature method must be HMAC-SHA256"
        ),
        "OAuth nothing": "malformed OAuth header",
    }
    for sent, words in rows.items():
        assert said(await first.send("GET", "/v1/api/portfolio/accounts", sent)) == words
        assert sim.journal.rows()[-1]["signed"].endswith(words)
    # An unknown parameter is signed like the others.
    extra = first.sign("GET", "/v1/api/portfolio/accounts", oauth_version="1.0")
    assert (await first.send("GET", "/v1/api/portfolio/accounts", extra)).status_code == 200


async def test_clock_skew_is_told_by_the_date(first: First, sim: Simulator) -> None:
    await first.control("settings", {"oauth_skew_s": 900})
    reply, _ = await first.ask_token()
    assert said(reply) == "stale timestamp"
    first.clock_off = 900
    assert await first.token()
    reply = await first.send("GET", "/v1/api/portfolio/accounts")
    shown = httpx.Headers(reply.headers)["date"]
    from email.utils import parsedate_to_datetime

    assert abs(parsedate_to_datetime(shown).timestamp() - sim.clock.real() - 900) < 5


# --- the portal ----------------------------------------------------------------------------


async def test_switches_of_a_registration(first: First) -> None:
    for off, on in (("deactivate", "activate"), ("disable", "enable")):
        assert (await first.control("oauth", {"action": off}))["active"] is False
        reply, _ = await first.ask_token()
        assert said(reply) == "invalid consumer"
        assert (await first.control("oauth", {"action": on}))["active"] is True
        assert await first.token()
    assert (await first.control("oauth", {"action": "expire"}))["live_session_tokens"] == 2
    late = await first.send("GET", "/v1/api/portfolio/accounts")
    assert late.json()["detail"] == "Access token expired"
    await first.control("oauth", {"action": "forget"})
    reply, _ = await first.ask_token()
    key = first.fields["consumerKey"]
    assert said(reply) == f"LST failed, error: No access secret key found for {key}"
    first.fields |= fields_of(await first.control("oauth", {"action": "token"}))
    assert await first.token()
    shown = (await first.control("oauth"))["consumers"][0]
    assert shown["live_session_tokens"] == 1 and shown["username"] == "demo123"


def fields_of(answer: dict[str, Any]) -> dict[str, str]:
    return {"accessToken": answer["access_token"], "accessTokenSecret": answer["access_token_secret"]}


UPLOADS = {
    "signature": KEYS["signature_public_pem"],
    "encryption": KEYS["encryption_public_pem"],
    "dhparam": KEYS["dhparam_pem"],
}


async def test_a_new_registration_and_its_night(first: First, sim: Simulator) -> None:
    body = {"action": "register", "consumer_key": "myownname", "username": "live1234", **UPLOADS}
    answer = await first.control("oauth", body | {"activation": "midnight"})
    assert answer["consumer_key"] == "MYOWNNAME" and answer["active"] is False
    first.fields |= fields_of(answer) | {
        "consumerKey": "MYOWNNAME",
        "signature": KEYS["signature_private_pem"],
        "encryption": KEYS["encryption_private_pem"],
        "dhPrime": KEYS["dh_prime_hex"],
    }
    reply, _ = await first.ask_token()
    assert said(reply) == "invalid consumer"
    await first.control("clock", {"advance_s": 86_400})
    cookie = await first.open()
    assert len(cookie) == 32
    told = (await first.send("GET", "/v1/api/portfolio/accounts")).json()
    assert [one["id"] for one in told] == ["U7654321"]
    again = await first.control("oauth", {"action": "token", "consumer_key": "MYOWNNAME"})
    assert again["access_token"] == first.fields["accessToken"]
    assert again["access_token_secret"] != first.fields["accessTokenSecret"]
    weekend = await first.control("oauth", body | {"activation": "weekend"})
    assert weekend["active"] is False
    active_from = sim.direct.registry.consumers["MYOWNNAME"].active_from
    assert sim.sessions.is_weekend_reset(active_from)
    assert 0 < active_from - sim.clock.now() <= 7 * 86_400


async def test_a_scenario_whose_registration_sleeps(tmp_path: Path) -> None:
    file = tmp_path / "sleeps.toml"
    file.write_text('[quirks]\noauth_activation = "midnight"\n')
    sim = await started(scenario.load(str(file), 7))
    try:
        async with First(sim, ready_fields(sim)) as first:
            reply, _ = await first.ask_token()
            assert said(reply) == "invalid consumer"
            await first.control("clock", {"advance_s": 86_400})
            assert await first.token()
    finally:
        await sim.stop()


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": KEYS["signature_private_pem"]},
        {"encryption": KEYS["encryption_public_pem"].replace("\n", "\r\n")},
        {"signature": "-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----\n"},
        {"dhparam": KEYS["dhparam_pem"][:300]},
        {"dhparam": KEYS["dhparam_pem"].replace("\n", "\r\n")},
        {"dhparam": KEYS["signature_public_pem"]},
        {"consumer_key": "EIGHTLET"},
        {"consumer_key": None},
        {"activation": "never"},
        {"username": "nobody"},
        {"action": "dance"},
        {"action": "token", "consumer_key": "UNKNOWNXX"},
        {"action": "authorize", "oauth_token": "unknown"},
    ],
)
async def test_uploads_that_fail(sim: Simulator, changes: dict[str, Any]) -> None:
    body = {"action": "register", "consumer_key": "MYOWNNAME", **UPLOADS} | changes
    async with http_of(sim) as http:
        reply = await http.post("/sim/oauth", json=body)
    assert reply.status_code == 400
    if {"signature", "encryption", "dhparam"} & set(changes):
        assert "failed to put consumer info" in reply.json()["error"]
    assert "MYOWNNAME" not in sim.direct.registry.consumers


def test_a_prime_without_its_sign_byte_is_refused() -> None:
    der = base64.b64decode("".join(KEYS["dhparam_pem"].splitlines()[1:-1]))
    at = der.index(b"\x02\x82\x01\x01\x00")
    body = b"\x02\x82\x01\x00" + der[at + 5 :]
    bent = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    pem = f"-----BEGIN DH PARAMETERS-----\n{base64.b64encode(bent).decode()}\n-----END DH PARAMETERS-----\n"
    assert read_dh(pem)[0] < 0
    with pytest.raises(Exception, match="failed to put consumer info"):
        uploaded_dh(pem)


# --- the third-party flow ------------------------------------------------------------------


async def test_third_party(first: First, sim: Simulator) -> None:
    body = {"action": "register", "consumer_key": "TESTCONS", **UPLOADS}
    assert await first.control("oauth", body) == {
        "consumer_key": "TESTCONS", "realm": "test_realm", "active": True,
    }  # fmt: skip
    mine = dict(first.fields)
    first.fields |= {
        "consumerKey": "TESTCONS",
        "realm": "test_realm",
        "signature": KEYS["signature_private_pem"],
        "encryption": KEYS["encryption_private_pem"],
        "dhPrime": KEYS["dh_prime_hex"],
    }

    async def ask(path: str, drop: str = "", **more: str) -> httpx.Response:
        # Signed as IBKR's sample has it: the address raw, quoted once, its slashes not at all.
        params = first.params("RSA-SHA256", **more)
        params.pop(drop, None)
        header = first.rsa_header(f"{sim.url}/v1/api/oauth/{path}", params, "")
        return await first.http.post(f"/v1/api/oauth/{path}", headers={"Authorization": header})

    name = (await ask("request_token", "oauth_token", oauth_callback="oob")).json()["oauth_token"]
    assert len(name) == 20
    early = await ask("access_token", oauth_token=name, oauth_verifier="0" * 20)
    assert said(early) == "invalid verifier"
    yes = await first.control("oauth", {"action": "authorize", "oauth_token": name, "username": "demo456"})
    given = await ask("access_token", oauth_token=name, oauth_verifier=yes["oauth_verifier"])
    told = given.json()
    assert told["is_paper"] is True
    first.fields |= {"accessToken": told["oauth_token"], "accessTokenSecret": told["oauth_token_secret"]}
    await first.open()
    accounts = (await first.send("GET", "/v1/api/portfolio/accounts")).json()
    assert [one["id"] for one in accounts] == ["DU2345671", "DU2345672"]
    # Not for a live account, and not for who has a token of his own already.
    callback = "https://me.example/back"
    name = (await ask("request_token", "oauth_token", oauth_callback=callback)).json()["oauth_token"]
    yes = await first.control("oauth", {"action": "authorize", "oauth_token": name, "username": "live1234"})
    reply = await ask("access_token", oauth_token=name, oauth_verifier=yes["oauth_verifier"])
    assert said(reply) == "invalid account"
    first.fields = mine
    assert (await ask("request_token", "oauth_token", oauth_callback="oob")).status_code == 401


# --- beside the gateway --------------------------------------------------------------------


async def test_not_through_a_gateway(sim: Simulator) -> None:
    async with http_of(sim) as http:
        for path in (LST, "/oauth2/api/v1/token", "/gw/api/v1/sso-sessions"):
            reply = await http.post(path, headers={"Cookie": "REGION=us"})
            assert reply.status_code == 404, path


async def test_one_brokerage_session_for_a_user_name(first: First, sim: Simulator) -> None:
    sim.scenario.settings.compete_delay_s = 0.0
    sim.log_in("demo123")
    assert await first.token()
    meek = await first.send("POST", INIT, json={"publish": True, "compete": False})
    assert meek.json()["authenticated"] is False and meek.json()["competing"] is True
    bold = await first.send("POST", INIT, json={"publish": True, "compete": True})
    assert bold.json()["authenticated"] is True
    sim.sessions.look()
    assert sim.sessions.jar is not None and sim.sessions.jar.session.authenticated is False
