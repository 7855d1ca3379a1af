"""The simulator's side of OAuth 2.0: both token endpoints, the bearer, the websocket, what is refused."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from ibtui.sim import scenario
from ibtui.sim.server import Simulator
from tests.sim.oauth_tools import INIT, VECTORS, Second, control, http_of, load_key, socket
from tests.sim.platform_tools import frame, frame_with, started

TOKEN_URL = "https://api.ibkr.com/oauth2/api/v1/token"


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    sim = await started(scenario.load("calm", 7))
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.fixture
async def second(sim: Simulator) -> AsyncIterator[Second]:
    async with Second(sim, sim.ready()["oauth2"]) as second:
        yield second


def problem(reply: httpx.Response) -> tuple[int, str]:
    """Status and detail of `application/problem+json`."""
    assert reply.headers["content-type"].startswith("application/problem+json")
    body = reply.json()
    assert body["status"] == reply.status_code and body["title"]
    return reply.status_code, body.get("detail", "")


INVALID = (401, "The access token request is invalid")
ENDED = (401, "Access token expired")


async def test_ready_object(sim: Simulator) -> None:
    told = sim.ready()["oauth2"]
    assert set(told) == {"client_id", "key_id", "credential", "private_key"}
    assert told["key_id"] == "main" and told["credential"] == "demo456"
    key = Path(told["private_key"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert load_key(key.read_text()).key_size == 3072


async def test_the_whole_way(second: Second, sim: Simulator) -> None:
    sim.log_in("demo123")
    reply = (await second.ask_token()).json()
    assert reply["token_type"] == "Bearer" and reply["expires_in"] == 86_399
    assert set(reply["scope"].split()) == {"sso-sessions.write", "sso-sessions.read"}
    assert len(reply["access_token"].split(".")) == 3
    session = (await second.ask_session(reply["access_token"])).json()
    assert session["token_type"] == "Bearer" and session["active"] is True
    second.bearer = session["access_token"]
    valid = (await second.send("GET", "/v1/api/sso/validate")).json()
    assert valid["RESULT"] is True and valid["USER_NAME"] == "demo456" and valid["IP"] == "203.0.113.9"
    assert valid["EXPIRES"] > 0
    strict = {
        "IS_PENDING_APPLICANT", "HARDWARE_INFO", "UNIQUE_LOGIN_ID", "SF_CONFIG", "CREDENTIAL_TYPE",
        "COUNTERPARTY", "TOKEN", "took",
    }  # fmt: skip
    assert strict <= set(valid)
    assert isinstance(valid["UNIQUE_LOGIN_ID"], str) and isinstance(valid["took"], int)
    assert {"env", "wlms", "realtime", "bond", "optionChains", "calendar", "newMf"} <= set(valid["features"])
    tickle = await second.send("GET", "/v1/api/tickle")
    assert len(tickle.json()["session"]) == 32
    init = await second.send("POST", INIT, json={"publish": True, "compete": True})
    assert init.json()["authenticated"] is True
    status = (await second.send("POST", "/v1/api/iserver/auth/status")).json()
    assert status["authenticated"] is True and status["MAC"]
    await second.send("GET", "/v1/api/iserver/accounts")
    accounts = (await second.send("GET", "/v1/api/portfolio/accounts")).json()
    assert [one["id"] for one in accounts] == ["DU2345671", "DU2345672"]
    held = (await second.send("GET", "/v1/api/portfolio/DU2345671/positions/0")).json()
    assert len(held) > 1
    # The gateway's jar is somebody else's.
    others = await second.http.get("/v1/api/portfolio/accounts")
    assert [one["id"] for one in others.json()] == ["DU1234567"]
    rows = sim.journal.rows()
    assert {row["signed"] for row in rows if row["path"] == "/v1/api/tickle"} == {"oauth2"}
    assert not any(secret in str(rows) for secret in (second.bearer, reply["access_token"]))


@pytest.mark.parametrize(
    "variant",
    [
        {"client_id": "mine"},
        {"scope": "sso-sessions.write"},
        {"claims": {"aud": TOKEN_URL, "jti": "x1"}},
        {"claims": {"exp": int(time.time()) + 600}},
    ],
)
async def test_variants_of_clients(second: Second, variant: dict[str, Any]) -> None:
    claims = variant.pop("claims", {})
    if "client_id" in variant:
        variant = {"client_id": second.ready["client_id"]}
    reply = await second.ask_token(second.jws(second.claims(**claims)), **variant)
    assert reply.status_code == 200
    extra = {"service": "AM.LOGIN", "alternativeIps": ["203.0.113.10"]}
    session = await second.ask_session(reply.json()["access_token"], **extra)
    assert session.status_code == 200


async def test_token_requests_that_are_refused(second: Second) -> None:
    for field, value in (("grant_type", "password"), ("client_assertion_type", "x")):
        assert problem(await second.ask_token(**{field: value})) == (400, "")
    now = int(time.time())
    for claims in (
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"aud": "https://elsewhere.example"},
        {"exp": now - 400, "iat": now - 500},
        {"iat": now + 900},
        {"exp": None},
    ):
        assert problem(await second.ask_token(second.jws(second.claims(**claims)))) == INVALID, claims
    right = second.claims()
    for jws in (
        "no.jws",
        "a.b.c",
        second.jws(right, {"kid": "other"}),
        second.jws(right, {"alg": "HS256"}),
        second.jws(right)[:-8],
    ):
        assert problem(await second.ask_token(jws)) == INVALID
    assert problem(await second.ask_token(client_id="somebody")) == INVALID
    second.key = load_key(VECTORS["keys"]["signature_private_pem"])
    assert problem(await second.ask_token()) == INVALID


async def test_session_requests_that_are_refused(second: Second, sim: Simulator) -> None:
    access = (await second.ask_token()).json()["access_token"]
    narrow = (await second.ask_token(scope="sso-sessions.read")).json()["access_token"]
    assert problem(await second.ask_session("unknown")) == INVALID
    assert problem(await second.ask_session(narrow)) == (
        403, "The access token fails to have sufficient scope",
    )  # fmt: skip
    assert problem(await second.ask_session(access, iss="somebody")) == INVALID
    for changes, names in (
        ({"ip": None}, ["ip"]),
        ({"credential": None}, ["credential"]),
        ({"credential": "demo123"}, ["credential"]),
        ({"credential": "nobody", "ip": None}, ["credential", "ip"]),
    ):
        reply = await second.ask_session(access, **changes)
        assert problem(reply) == (400, "")
        assert reply.json()["invalidArguments"] == names and reply.json()["type"] == "/invalid-argument"
    sim.quirks.oauth2_ip = "203.0.113.1"
    assert (await second.ask_session(access)).json()["invalidArguments"] == ["ip"]
    assert (await second.ask_session(access, ip="203.0.113.1")).status_code == 200
    await control(second.http, "oauth", {"action": "expire"})
    assert problem(await second.ask_session(access)) == INVALID


async def test_a_session_that_has_ended(second: Second, sim: Simulator) -> None:
    second.bearer = "unknown"
    assert problem(await second.send("GET", "/v1/api/portfolio/accounts")) == ENDED
    await second.open()
    sim.quirks.oauth2_ip = "203.0.113.1"  # the caller has moved
    assert problem(await second.send("GET", "/v1/api/portfolio/accounts")) == ENDED
    sim.quirks.oauth2_ip = ""
    await control(second.http, "session", {"action": "reset"})
    assert problem(await second.send("POST", INIT, json={"publish": True, "compete": True})) == (410, "")
    assert problem(await second.send("POST", "/v1/api/tickle")) == ENDED
    await second.open()
    assert (await second.send("POST", "/v1/api/logout")).json() == {"status": True}
    assert problem(await second.send("POST", "/v1/api/tickle")) == ENDED
    await second.open()
    await control(second.http, "oauth", {"action": "expire"})
    assert problem(await second.send("POST", "/v1/api/tickle")) == ENDED


@pytest.mark.parametrize("how", ["bearer", "cookie", "both"])
async def test_websocket(second: Second, sim: Simulator, how: str) -> None:
    await second.open()
    async with asyncio.timeout(5):
        while not (await second.send("POST", "/v1/api/iserver/auth/status")).json()["established"]:
            await asyncio.sleep(0.1)
    await second.send("GET", "/v1/api/iserver/accounts")
    session = (await second.send("POST", "/v1/api/tickle")).json()["session"]
    query = f"?bearer_token={second.bearer}" if how != "cookie" else ""
    cookie = f"api={session}" if how != "bearer" else ""
    async with socket(sim, query, cookie) as ws:
        assert (await frame(ws))["success"] == "demo456"
        await ws.send(f'{{"session":"{session}"}}')  # as one program does; it is no topic
        await ws.send("sor+{}")
        assert "args" in await frame_with(ws, "sor")


async def test_websockets_that_are_refused(second: Second, sim: Simulator) -> None:
    await second.open()
    for query, agent, status in (
        ("?bearer_token=wrong", "t", 401),
        (f"?bearer_token={second.bearer}", None, 403),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with socket(sim, query, agent=agent):
                pass
        assert refused.value.response.status_code == status


async def test_another_registration(sim: Simulator) -> None:
    keys = VECTORS["keys"]
    async with http_of(sim) as http:
        body = {"action": "register2", "client_id": "office", "public_key": keys["signature_public_pem"]}
        told = await control(http, "oauth", body | {"key_id": "k2", "username": "live1234"})
        clients = (await control(http, "oauth"))["clients"]
        bad = await http.post("/sim/oauth", json=body | {"public_key": keys["signature_private_pem"]})
        assert bad.status_code == 400
    assert told == {"client_id": "office", "key_id": "k2", "credential": "live1234"}
    assert {"client_id": "office", "key_ids": ["k2"], "credentials": ["live1234"]} in clients
    async with Second(sim, told | {"private_key": sim.ready()["oauth2"]["private_key"]}) as mine:
        mine.key = load_key(keys["signature_private_pem"])
        await mine.open()
        accounts = (await mine.send("GET", "/v1/api/portfolio/accounts")).json()
        assert [one["id"] for one in accounts] == ["U7654321"]


async def test_no_user_agent(second: Second) -> None:
    reply = await second.http.post("/oauth2/api/v1/token", headers={"User-Agent": ""})
    assert reply.status_code == 403 and reply.headers["content-type"].startswith("text/html")
