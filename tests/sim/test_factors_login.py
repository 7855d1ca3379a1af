"""Logging in with every second factor over real sockets: right, wrong, late, too often."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ibtui.sim import scenario, totp
from ibtui.sim.server import Simulator
from tests.sim.factors_tools import FactorClient, default, login_of, response
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import leaves, started

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "vectors" / "login.json").read_text(encoding="utf-8")
)
DONE = "Client login succeeds"
WRONG = {"auth_res": "false", "error": "invalid response"}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    sim = await started(default(), brokerage=TinyBrokerage())
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[FactorClient]:
    async with FactorClient(sim) as client:
        yield client


async def test_totp_of_this_step_and_of_those_beside_it(sim: Simulator, client: FactorClient) -> None:
    secret = login_of(sim, "totp123").device.totp_secret
    for off, right in ((0, True), (-30, True), (30, True), (-60, False), (60, False)):
        solved = await client.proved("totp123")
        assert await client.ask("totp123", solved, "4") == {"type": "SWTK"}
        now = sim.clock.now()
        sim.clock.advance(15 - now % 30)  # the middle of a step, so that the test cannot straddle two
        code = totp.code_at(secret, sim.clock.now() + off)
        verdict = await client.answer("totp123", "4", code)
        assert verdict == ({"auth_res": "true"} if right else WRONG)
        if right:
            assert (await client.dispatch("totp123", solved, code)).text == DONE


async def test_the_date_header_is_the_simulated_clock(sim: Simulator, client: FactorClient) -> None:
    sim.clock.advance(3 * 86_400)
    from email.utils import parsedate_to_datetime

    reply = await client.http.get("/sso/Login")
    assert abs(parsedate_to_datetime(reply.headers["date"]).timestamp() - sim.clock.now()) < 5


async def test_sms_is_sent_by_asking(sim: Simulator, client: FactorClient) -> None:
    solved = await client.proved("sms12345")
    assert await client.control("/sms") == []
    assert await client.ask("sms12345", solved, "4.2") == {"type": "SWTK"}
    (row,) = await client.control("/sms")
    assert (row["user"], row["arrived"]) == ("sms12345", True)
    code = await client.sms()
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    assert await client.answer("sms12345", "4.2", wrong) == WRONG
    assert await client.answer("sms12345", "4.2", code) == {"auth_res": "true"}
    # The Dispatcher wants the very response that was right.
    for other in ("", wrong):
        assert "succeeds" not in (await client.dispatch("sms12345", solved, other)).text
    assert (await client.dispatch("sms12345", solved, code)).text == DONE


async def test_a_second_sms_voids_the_first(client: FactorClient) -> None:
    solved = await client.proved("sms12345")
    await client.ask("sms12345", solved, "4.2")
    first = await client.sms()
    await client.ask("sms12345", solved, "4.2")
    second = await client.sms()
    assert first != second
    assert await client.answer("sms12345", "4.2", first) == WRONG
    assert await client.answer("sms12345", "4.2", second) == {"auth_res": "true"}


async def test_a_code_expires(client: FactorClient) -> None:
    solved = await client.proved("sms12345")
    await client.ask("sms12345", solved, "4.2")
    await client.control("/clock", {"advance_s": 301})
    verdict = await client.answer("sms12345", "4.2", await client.sms())
    assert verdict == {"auth_res": "false", "error": "code expired"}


async def test_too_many_wrong_codes_lock_the_user(sim: Simulator, client: FactorClient) -> None:
    await client.control("/settings", {"max_codes": 3})
    solved = await client.proved("sms12345")
    await client.ask("sms12345", solved, "4.2")
    for _ in range(2):
        assert await client.answer("sms12345", "4.2", "abc") == WRONG
    assert await client.answer("sms12345", "4.2", "") == {**WRONG, "reached_max_login": "true"}
    right = await client.answer("sms12345", "4.2", await client.sms())
    assert (right["auth_res"], right["reached_max_login"]) == ("false", "true")
    _, reply = await client.prove("sms12345", login_of(sim, "sms12345").user.password)
    assert reply == {"M2": "", "reached_max_login": "true"}
    await client.control("/session", {"action": "unlock"})
    await client.proved("sms12345")


async def test_a_right_code_forgets_the_wrong_ones(sim: Simulator, client: FactorClient) -> None:
    solved = await client.proved("sms12345")
    await client.ask("sms12345", solved, "4.2")
    await client.answer("sms12345", "4.2", "1")
    assert sim.factors.wrong == {"sms12345": 1}
    await client.answer("sms12345", "4.2", await client.sms())
    assert sim.factors.wrong == {}


async def test_ibkey_shows_its_challenge_in_two_groups(sim: Simulator, client: FactorClient) -> None:
    solved = await client.proved("ibkey123")
    asked = await client.ask("ibkey123", solved, "5.2a")
    assert asked["type"] == "SWCR"
    first, blank, second = asked["challenge"].partition(" ")
    assert (len(first), blank, len(second)) == (3, " ", 3) and (first + second).isdecimal()
    text = response(sim, "ibkey123", asked["challenge"], 2)
    assert await client.answer("ibkey123", "5.2a", text) == {"auth_res": "true"}
    assert (await client.dispatch("ibkey123", solved, text)).text == DONE


@pytest.mark.parametrize("user", ["iphone12", "every123", "mixed123", "livekey1"])
async def test_the_other_users_with_an_ibkey(sim: Simulator, client: FactorClient, user: str) -> None:
    code = "5.2i" if user == "iphone12" else "5.2a"
    solved = await client.proved(user)
    asked = await client.ask(user, solved, code)
    text = response(sim, user, asked["challenge"], 2)
    assert await client.answer(user, code, text) == {"auth_res": "true"}
    assert (await client.dispatch(user, solved, text)).text == DONE


async def test_a_counter_is_good_once_and_within_the_window(sim: Simulator, client: FactorClient) -> None:
    assert await client.by_ibkey("ibkey123", 2) is not None
    assert await client.by_ibkey("ibkey123", 2) is None
    assert await client.by_ibkey("ibkey123", 1) is None
    assert await client.by_ibkey("ibkey123", 17) is None  # value 23, the last one was 2
    assert await client.by_ibkey("ibkey123", 16) is not None  # value 22 is just inside
    rows = [row for row in await client.control("/logins") if row["action"] == "COMPLETETWOFACT"]
    assert [(row["counter"], row["value"], row["accepted"]) for row in rows] == [
        (2, 2, True),
        (2, 2, False),
        (1, 1, False),
        (17, 23, False),
        (16, 22, True),
    ]


async def test_98_logins_then_never_again(sim: Simulator, client: FactorClient) -> None:
    users = {row["username"]: row for row in sim.ready()["users"]}
    assert users["limit123"]["counter"] == 98
    assert await client.by_ibkey("limit123", 98) is not None
    assert await client.by_ibkey("limit123", 99) is not None
    assert sim.users()[sim.scenario.users.index(login_of(sim, "limit123").user)]["counter"] == 100
    for counter in (100, 101, 120):
        assert await client.by_ibkey("limit123", counter) is None


async def test_counter_57_is_87_unless_the_scenario_follows_the_rfc(client: FactorClient) -> None:
    assert await client.by_ibkey("later123", 57, rfc=True) is None
    assert await client.by_ibkey("later123", 57) is not None
    assert await client.by_ibkey("later123", 58) is not None


async def test_the_rfc_counter() -> None:
    sim = await started(default(ibkey_rfc=True), brokerage=TinyBrokerage())
    try:
        async with FactorClient(sim) as client:
            assert await client.by_ibkey("later123", 57) is None  # 87 is too far from 56
            assert await client.by_ibkey("later123", 57, rfc=True) is not None
            assert login_of(sim, "later123").device.last == 57
            assert (await client.control("/logins"))[-1]["action"] == "DISPATCHER"
            row = (await client.control("/logins"))[-2]
            assert (row["counter"], row["value"]) == (57, 57)
    finally:
        await sim.stop()


@pytest.mark.parametrize(
    ("user", "code"), [("grid1234", "3"), ("token123", "5.2a"), ("card1234", "4.1"), ("novel123", "7.4")]
)
async def test_what_nobody_can_answer(sim: Simulator, client: FactorClient, user: str, code: str) -> None:
    solved = await client.proved(user)
    assert await client.ask(user, solved, code) == {"type": "IBTK"}
    device = login_of(sim, user).device
    text = response(sim, user, "000000", 2) if device.ocra else "123456"
    assert await client.answer(user, code, text) == WRONG
    assert "succeeds" not in (await client.dispatch(user, solved, text)).text


async def test_a_factor_must_be_asked_for_before_it_is_answered(client: FactorClient) -> None:
    solved = await client.proved("mixed123")
    await client.ask("mixed123", solved, "4.2")
    verdict = await client.answer("mixed123", "5.2a", await client.sms())
    assert verdict["auth_res"] == "false"
    # The wrong order costs no attempt: nothing was judged.
    assert (await client.control("/state"))["wrong_codes"] == {}
    reply = await client.authenticator(ACTION="COMPLETEAUTH_1", USER="mixed123", SF="4.2")
    assert reply == {"error": "not authenticated"}  # M1 is missing


async def test_without_a_second_factor_nothing_may_be_answered(client: FactorClient) -> None:
    solved = await client.proved("demo123")
    assert "succeeds" not in (await client.dispatch("demo123", solved, "123456")).text
    assert (await client.dispatch("demo123", solved)).text == DONE


@pytest.mark.parametrize(("user", "paper", "kind"), [("sms12345", "true", 2), ("livesms1", "false", 1)])
async def test_paper_and_live(sim: Simulator, client: FactorClient, user: str, paper: str, kind: int) -> None:
    init = await client.authenticator(ACTION="INIT", USER=user, A="5")
    assert init["paper"] == paper
    await client.control("/quirks", {"paper_element": False})
    assert "paper" not in await client.authenticator(ACTION="INIT", USER=user, A="5")
    solved = await client.proved(user)
    await client.ask(user, solved, "4.2")
    code = await client.sms()
    await client.answer(user, "4.2", code)
    assert (await client.dispatch(user, solved, code)).text == DONE
    assert (await client.get("/sso/validate")).json()["LOGIN_TYPE"] == kind


async def test_what_was_judged_can_be_read_and_holds_no_secret(sim: Simulator, client: FactorClient) -> None:
    password = login_of(sim, "ibkey123").user.password
    await client.prove("ibkey123", "not it")
    solved = await client.proved("ibkey123")
    asked = await client.ask("ibkey123", solved, "5.2a")
    text = response(sim, "ibkey123", asked["challenge"], 2)
    await client.answer("ibkey123", "5.2a", text)
    await client.dispatch("ibkey123", solved, text)
    rows = await client.control("/logins")
    assert [(row["user"], row["action"], row["accepted"], row["counter"]) for row in rows] == [
        ("ibkey123", "INIT", True, None),
        ("ibkey123", "COMPLETEAUTH", False, None),
        ("ibkey123", "INIT", True, None),
        ("ibkey123", "COMPLETEAUTH", True, None),
        ("ibkey123", "COMPLETEAUTH_1", True, None),
        ("ibkey123", "COMPLETETWOFACT", True, 2),
        ("ibkey123", "DISPATCHER", True, None),
    ]
    assert {row["where"] for row in rows} == {"login"}
    seen = str(rows) + str(await client.control("/journal"))
    device = login_of(sim, "ibkey123").device
    for secret in (password, text, device.pin, device.ocra, *solved.values()):
        assert secret not in seen
    assert await client.control(f"/logins?since={rows[-1]['n']}") == []


async def test_a_lost_reply_was_judged_all_the_same(sim: Simulator, client: FactorClient) -> None:
    solved = await client.proved("ibkey123")
    asked = await client.ask("ibkey123", solved, "5.2a")
    text = response(sim, "ibkey123", asked["challenge"], 2)
    await client.control("/faults", {"path": "/sso/Authenticator", "kind": "lose"})
    with pytest.raises(httpx.TransportError):
        await client.answer("ibkey123", "5.2a", text)
    row = (await client.control("/logins"))[-1]
    assert (row["action"], row["accepted"], row["counter"]) == ("COMPLETETWOFACT", True, 2)
    assert (await client.control("/journal"))[-1]["status"] == 200
    assert await client.by_ibkey("ibkey123", 2) is None
    assert await client.by_ibkey("ibkey123", 3) is not None


async def test_a_fault_can_wait_for_a_later_request(client: FactorClient) -> None:
    await client.control(
        "/faults", {"path": "/sso/Authenticator", "kind": "status", "status": 500, "skip": 2}
    )
    solved = await client.proved("sms12345")
    reply = await client.post_form("/sso/Authenticator", ACTION="COMPLETEAUTH_1", M1=solved["M1"])
    assert reply.status_code == 500
    assert await client.control("/faults") == []


async def test_maintenance(client: FactorClient) -> None:
    await client.control("/session", {"action": "maintenance", "seconds": 60})
    for path in ("/sso/Login", "/sso/ping"):
        assert (await client.http.get(path)).status_code == 503
    for path in ("/sso/Authenticator", "/sso/Dispatcher", "/sso/AuthenticatorMgr"):
        assert (await client.post_form(path, ACTION="INIT")).status_code == 503
    assert (await client.http.get("/")).status_code == 302
    assert 50 < (await client.control("/state"))["maintenance_s"] <= 60
    await client.control("/clock", {"advance_s": 61})
    assert (await client.http.get("/sso/Login")).status_code == 200
    await client.control("/session", {"action": "maintenance", "seconds": 60})
    await client.control("/session", {"action": "maintenance", "seconds": 0})
    assert (await client.http.get("/sso/Login")).status_code == 200


async def test_plain_answers_302_after_a_second_factor() -> None:
    sim = await started(default(), plain=True, brokerage=TinyBrokerage())
    try:
        async with FactorClient(sim) as client:
            reply = await client.by_ibkey("ibkey123", 2)
            assert reply is not None and reply.status_code == 302
            await client.ready()
    finally:
        await sim.stop()


# --- transcripts -------------------------------------------------------------------------------


@pytest.mark.parametrize("script", VECTORS["transcripts"], ids=lambda one: one["name"])
async def test_transcript(tmp_path: Path, script: dict[str, Any]) -> None:
    """Every recorded request gets the recorded reply from the second one on.

    The transcripts do not tell the server's random numbers: after INIT the conversation is given
    the recorded B, salt and K. Proofs, session key and second factor are the simulator's own.
    """
    sim = await started(_scenario_of(script, tmp_path), brokerage=TinyBrokerage())
    try:
        async with FactorClient(sim) as client:
            await _replay(sim, client, script)
    finally:
        await sim.stop()


def _scenario_of(script: dict[str, Any], folder: Path) -> scenario.Scenario:
    init = leaves(script["exchanges"][0]["reply"])
    rows = {
        "username": script["user"],
        "password": script["password"],
        "proto": init["proto"],
        "short": init["lp"] == "false",
    }
    if "ocra" in script:
        offer = leaves(script["exchanges"][1]["reply"])["sftypes"].split(",")
        rows |= {name: script[name] for name in ("ocra", "pin", "counter")} | {"factors": offer}
    file = folder / "one.toml"
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in rows.items())
    file.write_text(f"[[users]]\n{text}", encoding="utf-8")
    return scenario.load(str(file))


async def _replay(sim: Simulator, client: FactorClient, script: dict[str, Any]) -> None:
    for place, exchange in enumerate(script["exchanges"]):
        path, fields = exchange["request"].partition(" ")[2], dict(exchange["fields"])
        given = leaves(exchange["reply"]) if exchange["reply"].startswith("<") else {}
        if "challenge" in given:
            sim.factors.draw = lambda text=given["challenge"]: text.replace(" ", "")
        reply = await client.post_form(path, **fields)
        if place:
            assert reply.status_code == 200
            said = leaves(reply.text) if given else reply.text
            assert said == (given or exchange["reply"])
        else:
            ours = leaves(reply.text)
            names = ("N", "g", "proto", "hash", "lp")
            assert [ours.get(name) for name in names] == [given.get(name) for name in names]
            talk = sim.sso._talks[f"user {script['user'].lower()}"]
            talk.proof.salt, talk.proof.b_public = int(given["s"], 16), int(given["B"], 16)
            talk.proof.key = bytes.fromhex(script["K"])
            assert talk.proof.session_key == script["session_key"]
            # EKX was encrypted for a key that nobody has kept.
            sim.sso.keys.open = lambda cipher: script["K"]
            client.http.cookies.set("XYZAB_AM.LOGIN", script["session_key"], path="/")
