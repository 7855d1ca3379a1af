"""Logging in over real TLS with a client written from the notes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ibtui.sim import scenario
from ibtui.sim.server import Simulator
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import Client, SrpClient, started


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    sim = await started(scenario.load(), brokerage=TinyBrokerage())
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.mark.parametrize(
    "user", ["demo123", "demo456", "group123", "three123", "short123", "Capital1", "live1234", "CAPITAL1"]
)
async def test_every_form_of_the_proof_logs_in(sim: Simulator, user: str) -> None:
    async with Client(sim) as client:
        reply = await client.login(user)
        assert (reply.status_code, reply.text) == (200, "Client login succeeds")
        await client.ready()
        status = (await client.get("/iserver/auth/status")).json()
        assert status["authenticated"] is status["connected"] is True


async def test_brokerage_session_opens_after_the_delay(sim: Simulator) -> None:
    async with Client(sim) as client:
        await client.login()
        assert (await client.get("/iserver/auth/status")).json()["authenticated"] is False
        assert (await client.get("/iserver/accounts")).status_code == 400
        await client.ready()
        assert (await client.get("/iserver/accounts")).json()["accounts"] == ["DU1234567"]


async def test_wrong_password_then_locked(sim: Simulator) -> None:
    async with Client(sim) as client:
        for attempt in range(6):
            _, reply = await client.prove("demo123", "not it")
            assert reply["M2"] == ""
            assert reply["reached_max_login"] == ("true" if attempt == 5 else "false")
        found = sim.scenario.find("demo123")
        assert found is not None
        _, reply = await client.prove("demo123", found.user.password)
        assert (reply["M2"], reply["reached_max_login"]) == ("", "true")
        await client.control("/session", {"action": "unlock"})
        assert (await client.login()).text == "Client login succeeds"


async def test_a_right_password_forgets_the_wrong_ones(sim: Simulator) -> None:
    async with Client(sim) as client:
        await client.prove("demo123", "not it")
        assert sim.sso.attempts == {"demo123": 1}
        await client.login()
        assert sim.sso.attempts == {}


async def test_unknown_user_looks_like_a_wrong_password(sim: Simulator) -> None:
    async with Client(sim) as client:
        _, reply = await client.prove("nobody99", "secret")
        assert reply == {"M2": "", "reached_max_login": "false"}


async def test_dispatcher_wants_both_proofs_and_the_session_key(sim: Simulator) -> None:
    found = sim.scenario.find("demo123")
    assert found is not None
    async with Client(sim) as client:
        solved, _ = await client.prove("demo123", found.user.password)
        for wrong in ({"M1": "00"}, {"M2": "00"}):
            reply = await client.dispatch("demo123", {**solved, **wrong})
            assert "succeeds" not in reply.text
        client.http.cookies.set("XYZAB_AM.LOGIN", "ab" * 20, path="/")
        assert "succeeds" not in (await client.dispatch("demo123", solved)).text
        client.http.cookies.set("XYZAB_AM.LOGIN", solved["key"], path="/")
        assert (await client.dispatch("demo123", solved)).text == "Client login succeeds"
        # The proof is used up.
        assert "succeeds" not in (await client.dispatch("demo123", solved)).text


async def test_ekx_is_decrypted_and_compared(sim: Simulator) -> None:
    found = sim.scenario.find("demo123")
    assert found is not None
    async with Client(sim) as client:
        srp = SrpClient("demo123", found.user.password)
        init = await client.authenticator(ACTION="INIT", USER="demo123", A=srp.A)
        solved = srp.solve(init)
        reply = await client.authenticator(
            ACTION="COMPLETEAUTH", USER="demo123", M1=solved["M1"], EKX=solved["EKX"][:-2] + "11"
        )
        assert reply["M2"] == ""


async def test_a_of_zero_is_refused(sim: Simulator) -> None:
    async with Client(sim) as client:
        for value in ("0", "", "xyz"):
            assert "error" in await client.authenticator(ACTION="INIT", USER="demo123", A=value)


@pytest.mark.parametrize(
    ("user", "offer", "code", "kind"),
    [
        ("totp123", "4", "4", "SWTK"),
        ("sms12345", "4.2", "4.2", "SWTK"),
        ("ibkey123", "5.2a", "5.2a", "SWCR"),
        ("every123", "4,4.2,5.2a", "5.2a", "SWCR"),
        ("card1234", "4.1,5.1", "4.1", "IBTK"),
    ],
)
async def test_second_factors_are_offered_and_refused(
    sim: Simulator, user: str, offer: str, code: str, kind: str
) -> None:
    found = sim.scenario.find(user)
    assert found is not None
    async with Client(sim) as client:
        solved, reply = await client.prove(user, found.user.password)
        assert reply["sftypes"] == offer
        assert "succeeds" not in (await client.dispatch(user, solved)).text
        asked = await client.authenticator(
            ACTION="COMPLETEAUTH_1", APP_NAME="", USER=user, ACCT="", M1=solved["M1"], VERSION="1", SF=code
        )
        assert asked["type"] == kind
        assert ("challenge" in asked) == (kind == "SWCR")
        answered = await client.authenticator(
            ACTION="COMPLETETWOFACT", USER=user, RESPONSE="123456", VERSION="1", SF=code
        )
        assert answered == {"auth_res": "false", "error": "invalid response"}
        assert "succeeds" not in (await client.dispatch(user, solved)).text


async def test_a_factor_that_was_not_offered(sim: Simulator) -> None:
    found = sim.scenario.find("sms12345")
    assert found is not None
    async with Client(sim) as client:
        solved, _ = await client.prove("sms12345", found.user.password)
        reply = await client.authenticator(
            ACTION="COMPLETEAUTH_1", USER="sms12345", M1=solved["M1"], SF="5.2a"
        )
        assert reply == {"error": "second factor not available"}


async def test_journal_holds_no_secret(sim: Simulator) -> None:
    found = sim.scenario.find("demo123")
    assert found is not None
    async with Client(sim) as client:
        solved, _ = await client.prove("demo123", found.user.password)
        await client.dispatch("demo123", solved)
        await client.post("/iserver/echo/x", {"password": "Hunter2", "deep": [{"access_token": "Hunter2"}]})
        rows = await client.control("/journal")
        text = str(rows)
        for secret in (found.user.password, "Hunter2", *solved.values(), client.token):
            assert secret not in text
        assert {"n", "t", "method", "path", "status", "via", "body_redacted"} <= set(rows[0])
        init = next(row for row in rows if "ACTION=INIT" in row["body_redacted"])
        assert (init["method"], init["path"], init["status"], init["via"]) == (
            "POST",
            "/sso/Authenticator",
            200,
            "direct",
        )
        assert not any(row["path"].startswith("/sim/") for row in rows)


async def test_plain_answers_the_dispatcher_with_302_and_still_opens_the_session() -> None:
    sim = await started(scenario.load(), plain=True, brokerage=TinyBrokerage())
    try:
        async with Client(sim) as client:
            reply = await client.login()
            assert reply.status_code == 302
            await client.ready()
            assert (await client.get("/iserver/accounts")).status_code == 200
    finally:
        await sim.stop()


async def test_a_second_login_replaces_the_first(sim: Simulator) -> None:
    async with Client(sim) as client:
        await client.login("demo123")
        await client.login("demo456")
        await client.ready()
        assert [life.session.user.username for life in sim.sessions.alive()] == ["demo456"]
        assert (await client.get("/iserver/accounts")).json()["accounts"] == ["DU2345671", "DU2345672"]
