"""The simulator's portal: registrations, uploads that fail, and the third-party flow."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ibtui.sim import scenario
from ibtui.sim.oauth_keys import read_dh, uploaded_dh
from ibtui.sim.server import Simulator
from tests.sim.oauth_tools import VECTORS, First, http_of, ready_fields, said
from tests.sim.platform_tools import started

KEYS = VECTORS["keys"]


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
