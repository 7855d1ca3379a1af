"""The life of a session, the gate, pacing and faults over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import httpx
import pytest

from ibtui.sim import scenario
from ibtui.sim.server import Simulator
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import Client, started

INIT = "/iserver/auth/ssodh/init"


async def make(logged_in: str = "demo123", **settings: float) -> Simulator:
    chosen = scenario.load()
    chosen.settings.auth_delay_s = 0.1
    chosen.settings.compete_delay_s = 0.2
    for name, value in settings.items():
        setattr(chosen.settings, name, value)
    return await started(chosen, logged_in=logged_in, brokerage=TinyBrokerage())


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    sim = await make()
    try:
        yield sim
    finally:
        await sim.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[Client]:
    async with Client(sim) as client:
        yield client


async def until(sim: Simulator, **wanted: bool) -> None:
    async with asyncio.timeout(5):
        while True:
            assert sim.sessions.jar is not None
            if all(getattr(sim.sessions.jar.session, name) == value for name, value in wanted.items()):
                return
            await asyncio.sleep(0.02)


async def test_before_any_login_everything_is_401() -> None:
    sim = await make(logged_in="")
    try:
        async with Client(sim) as client:
            for path in ("/iserver/auth/status", "/sso/validate", "/iserver/accounts", "/nothing"):
                reply = await client.get(path)
                assert (reply.status_code, reply.content) == (401, b"")
            assert (await client.post("/tickle")).status_code == 401
    finally:
        await sim.stop()


async def test_tickle_status_validate_bodies(client: Client) -> None:
    reply = await client.post("/tickle")
    body = reply.json()
    assert list(body) == ["session", "ssoExpires", "collission", "userId", "hmds", "iserver"]
    assert len(body["session"]) == 32
    assert 590_000 < body["ssoExpires"] <= 600_000
    assert body["userId"] == 99900016
    assert "fail" not in body["iserver"]["authStatus"]
    assert "x-sess-uuid" in reply.headers["set-cookie"]
    status = (await client.post("/iserver/auth/status")).json()
    assert list(status) == [
        "authenticated",
        "established",
        "competing",
        "connected",
        "message",
        "MAC",
        "serverInfo",
        "hardware_info",
        "fail",
    ]
    validate = (await client.get("/sso/validate")).json()
    assert (validate["USER_NAME"], validate["RESULT"], validate["LOGIN_TYPE"]) == ("demo123", True, 2)


async def test_headers(client: Client) -> None:
    reply = await client.get("/iserver/accounts")
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache, no-store"
    assert reply.headers["x-response-time"].endswith("ms")
    assert (await client.get("/nothing")).headers["x-cnection"] == "close"


async def test_edge_refusals(sim: Simulator, client: Client) -> None:
    reply = await client.get("/iserver/auth/status", headers={"User-Agent": ""})
    assert reply.status_code == 403
    reply = await client.get("/no/such/path")
    assert (reply.status_code, reply.text) == (404, "<html><body><h1>Resource not found</h1></body></html>")
    assert reply.headers["content-type"].startswith("text/html")
    assert (await client.post("/reauthenticate")).status_code == 404
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(sim.url).port, ssl=client.tls)
    writer.write(b"POST /v1/api/tickle HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\n\r\n")
    assert b" 411 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_portal_is_the_same_as_api(client: Client) -> None:
    reply = await client.http.get("/v1/portal/iserver/auth/status")
    assert reply.json()["authenticated"] is True


async def test_a_broken_handler_is_a_500_and_the_connection_lives(client: Client) -> None:
    reply = await client.get("/iserver/broken")
    assert (reply.status_code, reply.text) == (500, "Internal Server Error")
    assert (await client.get("/iserver/accounts")).status_code == 200


async def test_gate_texts(sim: Simulator, client: Client) -> None:
    reply = await client.get("/iserver/account/orders")
    assert reply.status_code == 400
    assert reply.json() == {"error": "Bad Request: Please query /accounts first", "statusCode": 400}
    reply = await client.get("/iserver/marketdata/snapshot")
    assert (reply.status_code, reply.json()) == (500, {"error": "Please query /accounts first"})
    await client.get("/iserver/accounts")
    assert (await client.get("/iserver/marketdata/snapshot")).status_code == 200
    assert sim.sessions.jar is not None
    sim.sessions.lose_brokerage(sim.sessions.jar)
    reply = await client.get("/iserver/accounts")
    assert (reply.status_code, reply.json()) == (400, {"error": "Bad Request: no bridge", "statusCode": 400})
    assert (await client.get("/portfolio/DU1234567/ledger")).status_code == 200


async def test_malformed_json_is_worded_by_the_notes(client: Client) -> None:
    reply = await client.http.post("/v1/api/iserver/echo/DU1", content=b"{nope")
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("Failed to parse body as JSON.")


async def test_ssodh_init_arguments(sim: Simulator, client: Client) -> None:
    assert sim.sessions.jar is not None
    sim.sessions.lose_brokerage(sim.sessions.jar)
    reply = await client.http.post(f"/v1/api{INIT}?publish=true&compete=true")
    assert (reply.status_code, reply.json()["error"]) == (400, "Bad Request: no bridge")
    for body in ({}, {"publish": False}, {"compete": True}):
        assert (await client.post(INIT, body)).status_code == 500
    reply = await client.post(INIT, {"publish": True, "compete": True})
    assert reply.status_code == 200
    assert list(reply.json())[:3] == ["authenticated", "established", "competing"]
    assert reply.json()["authenticated"] is True


async def test_a_bridge_that_takes_time(sim: Simulator, client: Client) -> None:
    await client.control("/quirks", {"bridge_delay_s": 5.0})
    assert sim.sessions.jar is not None
    sim.sessions.lose_brokerage(sim.sessions.jar)
    assert (await client.post(INIT, {"publish": True, "compete": True})).json()["authenticated"] is True
    assert (await client.get("/iserver/accounts")).json()["error"] == "Bad Request: no bridge"
    await client.control("/clock", {"advance_s": 5})
    assert (await client.get("/iserver/accounts")).status_code == 200


async def test_competing_session_is_lost_and_taken_back(sim: Simulator, client: Client) -> None:
    await client.control("/session", {"action": "compete"})
    status = (await client.get("/iserver/auth/status")).json()
    assert (status["competing"], status["authenticated"]) == (True, True)
    await until(sim, authenticated=False, competing=True)
    reply = await client.get("/iserver/accounts")
    assert (reply.status_code, reply.json()) == (401, {"error": "not authenticated", "statusCode": 401})
    body = (await client.post(INIT, {"publish": True, "compete": False})).json()
    assert (body["authenticated"], body["competing"]) == (False, True)
    body = (await client.post(INIT, {"publish": True, "compete": True})).json()
    assert (body["authenticated"], body["competing"]) == (True, False)
    assert (await client.get("/iserver/accounts")).status_code == 200


async def test_a_login_does_not_take_a_rivals_session() -> None:
    sim = await make(logged_in="")
    try:
        async with Client(sim) as client:
            await client.control("/session", {"action": "compete", "username": "demo123"})
            await client.login()
            await until(sim, competing=True, authenticated=False)
            await client.post(INIT, {"publish": True, "compete": True})
            await client.ready()
    finally:
        await sim.stop()


async def test_idle_then_expired(client: Client) -> None:
    await client.control("/clock", {"advance_s": 340})
    status = (await client.get("/iserver/auth/status")).json()
    assert (status["authenticated"], status["connected"]) == (False, True)
    await client.post(INIT, {"publish": True, "compete": True})
    await client.control("/clock", {"advance_s": 200})
    assert (await client.get("/iserver/auth/status")).json()["authenticated"] is True
    await client.control("/clock", {"advance_s": 601})
    status = await client.get("/iserver/auth/status")
    assert status.status_code == 200
    assert status.json() == {
        "authenticated": False,
        "established": False,
        "competing": False,
        "connected": False,
        "MAC": "02:1A:7C:40:5E:91",
    }
    assert (await client.post("/tickle")).json() == {"error": "no session"}
    assert (await client.get("/iserver/accounts")).status_code == 401
    assert (await client.login()).text == "Client login succeeds"


async def test_sso_expires_counts_down(sim: Simulator, client: Client) -> None:
    await client.post("/tickle")
    await client.control("/clock", {"advance_s": 100})
    assert sim.sessions.jar is not None
    assert 498_000 < sim.sessions.sso_left_ms(sim.sessions.jar) <= 500_000


async def test_the_regions_midnight_ends_it(sim: Simulator, client: Client) -> None:
    before = client.token
    life = sim.sessions.jar
    assert life is not None
    local = datetime.fromtimestamp(life.midnight, UTC).astimezone(ZoneInfo("America/New_York"))
    assert (local.hour, local.minute) == (0, 0)
    left = life.midnight - sim.clock.now()
    while left > 240:
        # Keep it alive by hand: only the date may end it.
        step = min(240.0, left - 100)
        sim.clock.advance(step)
        sim.sessions.touch(life)
        sim.sessions.look()
        left -= step
    assert life.session.authenticated
    sim.clock.advance(left + 1)
    assert (await client.get("/iserver/accounts")).status_code == 401
    assert life.over == "reset"
    assert client.token != before


async def test_no_time_zone_database_is_no_obstacle(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim.scenario.settings, "region", "Nowhere/At_All")
    assert 0 < sim.sessions.midnight(sim.clock.now()) - sim.clock.now() <= 86_400


async def test_reset_and_logout(sim: Simulator, client: Client) -> None:
    await client.control("/session", {"action": "reset"})
    assert (await client.post("/tickle")).json() == {"error": "no session"}
    assert (await client.post(INIT, {"publish": True})).json() == {"error": "failed to generate sso dh token"}
    await client.login()
    await client.ready()
    assert (await client.post("/logout")).json() == {"status": True}
    assert (await client.post("/tickle")).status_code == 401
    assert (await client.post(INIT, {"publish": True})).status_code == 410
    assert (await client.get("/sso/validate")).status_code == 200


async def test_clear_ends_it_for_everybody(client: Client) -> None:
    assert (await client.http.get("/clear")).text == "cleared"
    assert (await client.get("/iserver/auth/status")).status_code == 401


async def test_reauthenticate(sim: Simulator, client: Client) -> None:
    assert sim.sessions.jar is not None
    sim.sessions.lose_brokerage(sim.sessions.jar)
    assert (await client.post("/iserver/reauthenticate")).json() == {"message": "triggered"}
    await until(sim, authenticated=True)


async def test_global_pacing(client: Client) -> None:
    replies = await asyncio.gather(*(client.get("/portfolio/DU1/ledger") for _ in range(14)))
    codes = sorted(one.status_code for one in replies)
    assert codes == [200] * 10 + [429] * 4
    limited = next(one for one in replies if one.status_code == 429)
    assert limited.json() == {"error": "Too Many Requests", "statusCode": 429}
    await client.control("/quirks", {"pacing": False})
    replies = await asyncio.gather(*(client.get("/portfolio/DU1/ledger") for _ in range(14)))
    assert {one.status_code for one in replies} == {200}


async def test_pacing_of_a_route_and_the_penalty_box(client: Client) -> None:
    await client.get("/iserver/accounts")
    # Published clients ask up to four times in a row: empty, full, and again to subscribe.
    replies = [await client.get("/iserver/account/orders") for _ in range(5)]
    assert [one.status_code for one in replies] == [200] * 4 + [429]
    await client.control("/clock", {"advance_s": 5})
    assert (await client.get("/iserver/account/orders")).status_code == 200
    await client.control("/quirks", {"penalty_box": True})
    assert (await client.get("/iserver/account/orders")).status_code == 429
    await client.control("/clock", {"advance_s": 60})
    assert (await client.get("/iserver/accounts")).status_code == 429


async def test_five_histories_at_once(client: Client) -> None:
    replies = await asyncio.gather(*(client.get("/iserver/marketdata/history") for _ in range(7)))
    assert sorted(one.status_code for one in replies) == [200] * 5 + [429] * 2


async def test_faults(client: Client) -> None:
    path = "/v1/api/portfolio/DU1/ledger"
    await client.control("/faults", {"path": path, "kind": "delay", "seconds": 0.4})
    begin = time.monotonic()
    assert (await client.get("/portfolio/DU1/ledger")).status_code == 200
    assert time.monotonic() - begin >= 0.4
    await client.control("/faults", {"path": path, "kind": "status", "count": 2})
    for _ in range(2):
        reply = await client.get("/portfolio/DU1/ledger")
        assert (reply.status_code, reply.json()["statusCode"]) == (503, 503)
    assert (await client.get("/portfolio/DU1/ledger")).status_code == 200
    await client.control("/faults", {"path": "/portfolio/*", "kind": "garble"})
    with pytest.raises(ValueError):
        (await client.get("/portfolio/DU1/ledger")).json()
    await client.control("/faults", {"path": path, "kind": "cut"})
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await client.get("/portfolio/DU1/ledger")
    await client.control("/faults", {"path": path, "kind": "hang"})
    with pytest.raises(httpx.ReadTimeout):
        await client.get("/portfolio/DU1/ledger", timeout=0.3)
    assert await client.control("/faults") == []
    assert (await client.get("/portfolio/DU1/ledger")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"path": "/x", "kind": "explode"}),
        ("/faults", {"kind": "cut"}),
        ("/rate", {"messages_per_s": 5001}),
        ("/positions", {"count": -1}),
        ("/clock", {"advance_s": "soon"}),
        ("/session", {"action": "sleep"}),
        ("/sockets", {"action": "sing"}),
        ("/quirks", {"binary_frames": 1}),
        ("/quirks", {"no_such": True}),
        ("/prices", {"conid": "x", "price": 1}),
        ("/pause", {"paused": "yes"}),
    ],
)
async def test_control_refuses_nonsense(client: Client, path: str, body: dict[str, object]) -> None:
    reply = await client.http.post(f"/sim{path}", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]


async def test_control_reaches_the_world(sim: Simulator, client: Client) -> None:
    await client.control("/rate", {"messages_per_s": 500})
    await client.control("/positions", {"count": 10})
    await client.control("/prices", {"conid": 265598, "price": 190.5})
    await client.control("/pause", {"paused": True})
    assert sim.world.calls == [  # type: ignore[attr-defined]
        ("rate", 500),
        ("positions", (10, "DU1234567")),
        ("price", (265598, 190.5)),
        ("pause", True),
    ]
    assert await client.control("/books") == {"sequence": 7}
    assert await client.control("/sms") == []
    assert (await client.control("/orders", {"conid": 1}))["conid"] == 1
