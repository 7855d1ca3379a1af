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
from urllib.parse import quote, quote_plus

import httpx
import pytest
import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding

from ibtui.sim import scenario
from ibtui.sim.oauth_keys import default_registry, read_dh
from ibtui.sim.server import Simulator
from tests.sim.oauth_tools import INIT, LST, VECTORS, First, http_of, load_key, ready_fields, said, socket
from tests.sim.platform_tools import frame, frame_with, started

KEYS = VECTORS["keys"]
HOST = "https://api.ibkr.com"


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


async def test_refusals_on_demand(first: First) -> None:
    await first.control("quirks", {"oauth_refusal": "LST failed, error: "})
    reply, _ = await first.ask_token()
    assert reply.status_code == 401 and reply.json()["error"].endswith("error: LST failed, error: ")
    words = "failed to generate sso dh token"
    await first.control("quirks", {"oauth_refusal": "", "init_refusal": words})
    assert await first.token()
    reply = await first.send("POST", INIT, json={"publish": True, "compete": True})
    assert (reply.status_code, reply.json()) == (500, {"error": words})


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
