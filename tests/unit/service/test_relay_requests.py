"""Requests through the supervisor's relay: replies unchanged, errors in kind, one budget."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from aiohttp import web

from ibtui import errors
from ibtui.auth.effects import Send
from ibtui.core import relayed
from ibtui.core.client import IbkrClient
from ibtui.core.endpoints import orders
from ibtui.core.rest import Rest
from tests.unit.core.core_servers import Gateway
from tests.unit.service.relay_tools import between, relaying

ORDERS = "/iserver/account/orders"


def attached(path: str, **more: Any) -> IbkrClient:
    return IbkrClient("http://ibtui", uds=path, **more)


def raw(path: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=path), base_url="http://ibtui", trust_env=False
    )


async def test_replies_are_handed_back_as_they_came(gateway: Gateway) -> None:
    refusals = {
        "/a": (400, '{"error":"Bad Request: no bridge","statusCode":400}', errors.NoBridge),
        "/b": (401, "", errors.NotLoggedIn),
        "/c": (500, '{"error":"{\\"reason\\":\\"Details unavailable\\"}"}', errors.Rejected),
        "/d": (404, "<html><body><h1>Resource not found</h1></body></html>", errors.Rejected),
        "/e": (410, "", errors.NotLoggedIn),
        "/f": (429, '{"error":"Too Many Requests","statusCode":429}', errors.Pacing),
    }
    for path, (status, text, _) in refusals.items():
        gateway.on(f"GET {path}", text=text, status=status)
    gateway.on("GET /ok", text='{"price": 1.50, "n": 1e3}')
    async with between(gateway) as (_, path, _), attached(path) as client, raw(path) as plain:
        assert await client.request("/ok", params={"b": [1, 2]}) == {"price": "1.50", "n": "1e3"}
        assert gateway.seen[-1].path_qs == "/v1/api/ok?b=1%2C2"
        for name, (status, text, kind) in refusals.items():
            found = await plain.get(f"/v1/api{name}")
            assert (found.status_code, found.text) == (status, text)
            assert relayed.HEADER not in found.headers
            if status != 429:
                with pytest.raises(kind):
                    await client.request(name)


async def test_bodies_and_kinds_pass_and_strangers_headers_do_not(gateway: Gateway) -> None:
    gateway.on("POST /thing", {"ok": True})
    gateway.on("DELETE /thing", {"gone": True})
    async with between(gateway, read_only=False) as (_, path, _), attached(path, read_only=False) as client:
        headers = {"X-HTTP-Method-Override": "DELETE", "Cookie": "a=b", "Authorization": "Bearer x"}
        assert await client.request("/thing", "POST", {"a": [1, "ü"]}, headers=headers) == {"ok": True}
        seen = gateway.seen[-1]
        assert gateway.bodies[-1] == '{"a":[1,"ü"]}'.encode()
        assert seen.headers["Content-Type"] == "application/json"
        assert not {"X-HTTP-Method-Override", "Cookie", "Authorization"} & set(seen.headers)
        assert await client.request("/thing", "DELETE") == {"gone": True}
        gateway.on("POST /v1/portal/thing", {"old": True})
        assert await client.request("/v1/portal/thing", "POST") == {"old": True}


async def test_the_supervisor_itself_refuses_what_changes_orders(gateway: Gateway) -> None:
    async with (
        between(gateway) as (_, path, _),
        attached(path, read_only=False) as client,
        raw(path) as plain,
    ):
        with pytest.raises(errors.TradingLocked) as caught:
            await client.call(orders.place("DU1", [{}]))
        assert "nothing was sent" in caught.value.what and caught.value.exit_code == 7
        odd = await plain.post("/v1/api/iserver//account/DU1/%6frders", json={})
        assert odd.status_code == 403 and odd.headers[relayed.HEADER] == "TradingLocked"
        assert gateway.seen == []


async def test_no_reply_is_the_error_a_local_client_would_raise(gateway: Gateway, closed_port: int) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        raise AssertionError

    gateway.on("GET /hang", hang)
    async with between(gateway, timeout=0.3) as (_, path, _), attached(path) as client:
        with pytest.raises(errors.Stalled, match="GET /hang had no answer within 0.3 s"):
            await client.request("/hang")
    async with between(Gateway(f"http://127.0.0.1:{closed_port}")) as (_, path, _), attached(path) as client:
        with pytest.raises(errors.GatewayDown, match="Nothing answers"):
            await client.request("/tickle")
        with pytest.raises(errors.GatewayDown, match="Nothing answers"):
            await client.socket().open(3)


@pytest.mark.parametrize(
    "error",
    [
        errors.GatewayDown("The gateway is stopped.", "Start it."),
        errors.PersonNeeded("A code is needed."),
        errors.CertificateMismatch("Another certificate."),
        errors.Rejected("No.", status=500),
    ],
)
async def test_without_a_client_the_reason_reaches_the_terminal(error: errors.IbtuiError) -> None:
    async def connect() -> IbkrClient:
        raise error

    async with relaying(connect) as (_, path), attached(path) as client:
        for attempt in (client.request("/iserver/accounts"), client.socket().open(3)):
            with pytest.raises(errors.IbtuiError) as caught:
                await attempt
            assert type(caught.value) is type(error)
            assert (caught.value.what, caught.value.fix) == (error.what, error.fix)


async def test_without_a_supervisor_a_sentence(tmp_path: Any) -> None:
    async with attached(str(tmp_path / "none")) as client:
        with pytest.raises(errors.GatewayDown, match="background process"):
            await client.request("/tickle")
        with pytest.raises(errors.GatewayDown, match="background process"):
            await client.socket().open(3)


async def test_only_the_gateways_paths(gateway: Gateway) -> None:
    async with between(gateway) as (_, path, client), raw(path) as plain:
        assert (await plain.get("/sim/books")).status_code == 404
        with pytest.raises(errors.UsageError):
            await client.rest.forward(relayed.Asked("GET", "http://elsewhere/v1/x", {}))
        with pytest.raises(errors.UsageError):
            await client.rest.forward(relayed.Asked("BREW", "/v1/api/x", {}))
    assert gateway.seen == []


async def test_a_login_conversation_keeps_its_own_cookies(gateway: Gateway) -> None:
    async def authenticate(request: web.Request) -> web.Response:
        reply = web.json_response({"cookies": request.headers.get("Cookie", "")})
        reply.headers.add("Set-Cookie", "JSESSIONID=1; Path=/; Secure; HttpOnly; Domain=localhost")
        reply.headers.add("Set-Cookie", "second=2; Path=/sso")
        return reply

    gateway.on("POST /sso/Authenticator", authenticate)
    gateway.on("POST /sso/Dispatcher", web.Response(status=302, headers={"Location": f"{gateway.url}/sso/x"}))
    gateway.on("GET /sso/x", text="Client login succeeds")
    async with between(gateway) as (_, path, _):
        rest, other = Rest("http://ibtui", uds=path), Rest("http://ibtui", uds=path)
        step = Send("POST", "/sso/Authenticator", form=(("ACTION", "INIT"),), cookies=(("XYZAB", "key"),))
        await rest.send(step)
        assert gateway.bodies[-1] == b"ACTION=INIT"
        assert "form" in gateway.seen[-1].headers["Content-Type"]
        second = await rest.send(Send("POST", "/sso/Authenticator"))
        assert set(second.text.split('"')[3].split("; ")) == {"XYZAB=key", "JSESSIONID=1", "second=2"}
        assert (
            "cookies" in (await other.send(step)).text
            and "JSESSIONID" not in gateway.seen[-1].headers["Cookie"]
        )
        end = await rest.send(Send("POST", "/sso/Dispatcher", follow_redirects=True))
        assert (end.status, end.text) == (200, "Client login succeeds")
        await rest.close()
        await other.close()


async def test_the_supervisors_limiter_counts_for_all(gateway: Gateway) -> None:
    gateway.on("GET /x", {"ok": 1})
    async with between(gateway) as (_, path, _), attached(path) as one, attached(path) as two:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(
            *(client.request(f"/x?n={n}{client is one}") for client in (one, two) for n in range(10))
        )
        assert 1.0 < loop.time() - begun < 5
        assert len(gateway.seen) == 20
        assert len({id(client.pacing) for client in (one, two)}) == 2


async def test_somebody_elses_tickle_renews_the_supervisors_token(gateway: Gateway) -> None:
    gateway.on("POST /tickle", {"session": "first"}, {"session": "second"}, "no object")
    async with between(gateway) as (relay, path, ours), attached(path) as client:
        changed: list[str] = []
        ours.token.listen(lambda: changed.append(ours.session))
        await client.tickle()
        assert ours.session == client.session == "first"
        relay.forget()
        await asyncio.sleep(1.1)
        await client.tickle()
        assert changed == ["second"] and ours.session == "second"
