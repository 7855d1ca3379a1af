"""What the gateway answers without IBKR: unknown paths, web pages of elsewhere, its cookie jar."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ibtui.sim import scenario
from ibtui.sim.server import Simulator
from tests.sim.platform_tools import Client, started

PAGE = {"Origin": "https://page.example"}
PREFLIGHT = {**PAGE, "Access-Control-Request-Method": "POST"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    sim: Simulator = await started(scenario.load(), logged_in="demo123")
    try:
        async with Client(sim) as client:
            yield client
    finally:
        await sim.stop()


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("path", ["/nothing", "/nothing/deep", "/v1/portalx", "/ssox/y", "/demo/more"])
async def test_an_unknown_path_leads_away(client: Client, path: str, method: str) -> None:
    reply = await client.http.request(method, f"{path}?x=1", headers=PAGE)
    assert (reply.status_code, reply.text) == (302, "")
    assert reply.headers["location"] == f"https://api.ibkr.com{path}"
    assert (await client.control("/journal"))[-1]["status"] == 302


async def test_unknown_paths_of_the_other_parts_stay_missing(client: Client) -> None:
    for path in ("/v1/api/nothing", "/sso/nothing", "/2010-04-01/nothing", "/oauth2/nothing", "/gw/nothing"):
        assert (await client.http.get(path)).status_code in (401, 404), path
    # The Java gateway in front has done that itself; a caller with a token is at another host.
    assert (await client.http.get("/nothing", headers={"Cookie": "REGION="})).status_code == 404
    assert (await client.http.get("/nothing", headers={"Authorization": "Bearer x"})).status_code != 302


async def test_pages_without_a_login(client: Client) -> None:
    assert (await client.http.get("/clear")).text == "cleared"
    for method in ("GET", "OPTIONS"):
        root = await client.http.request(method, "/", headers=PAGE)
        assert (root.status_code, root.text) == (302, "")
    assert (await client.http.get("/demo")).status_code == 200
    assert (await client.http.get("/demo/")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/api/tickle", "/v1/api/iserver/orders", "/sso/Login", "/nothing"])
async def test_every_page_may_ask_as_delivered(client: Client, path: str) -> None:
    reply = await client.http.request("OPTIONS", path, headers=PREFLIGHT)
    assert (reply.status_code, reply.text) == (204, "")
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-allow-methods"] == "POST,GET,OPTIONS,DELETE,PUT"
    assert reply.headers["access-control-allow-headers"] == "Content-Type,portal,Cookie"
    assert (await client.control("/journal"))[-1]["method"] == "OPTIONS"


async def test_replies_say_who_may_read_them(client: Client) -> None:
    reply = await client.get("/iserver/auth/status", headers=PAGE)
    assert reply.status_code == 200 and reply.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in (await client.get("/iserver/auth/status")).headers
    assert (await client.http.request("OPTIONS", "/v1/api/tickle", headers=PAGE)).status_code != 204


async def test_an_expression_for_the_whole_origin(client: Client) -> None:
    await client.control("/settings", {"cors_origin": r"https://localhost:\d+"})
    for method in ("OPTIONS", "GET"):
        refused = await client.http.request(method, "/v1/api/iserver/auth/status", headers=PREFLIGHT)
        assert (refused.status_code, refused.text) == (403, "")
        assert refused.reason_phrase == "CORS Rejected - Invalid origin"
        assert "access-control-allow-origin" not in refused.headers
    assert (await client.get("/iserver/auth/status")).status_code == 200
    ours = {**PREFLIGHT, "Origin": "https://localhost:5000"}
    allowed = await client.http.request("OPTIONS", "/v1/api/tickle", headers=ours)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, ours["Origin"])
    longer = {"Origin": "https://localhost:5000.page.example"}
    assert (await client.get("/iserver/auth/status", headers=longer)).status_code == 403


@pytest.mark.parametrize("expression", ["", "(not one"])
async def test_an_empty_expression_lets_nobody_in(client: Client, expression: str) -> None:
    await client.control("/settings", {"cors_origin": expression})
    assert (await client.http.request("OPTIONS", "/", headers=PAGE)).status_code == 403


async def test_clear_ends_the_session_of_all_and_is_written_down(client: Client) -> None:
    reply = await client.http.post("/clear")
    assert (reply.status_code, reply.text) == (200, "cleared")
    assert (await client.get("/iserver/auth/status")).status_code == 401
    assert any(one["path"] == "/clear" for one in await client.control("/journal"))
