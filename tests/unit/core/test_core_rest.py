"""REST: each kind of trouble has its own error, and nothing is sent that must not be."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from aiohttp import web

from ibtui.auth.effects import Send
from ibtui.clock import FakeClock
from ibtui.core.rest import Rest
from ibtui.errors import (
    GatewayDown,
    IbtuiError,
    NoBridge,
    NotLoggedIn,
    Pacing,
    Rejected,
    Stalled,
    TradingLocked,
    UnknownReply,
    Unreachable,
    UsageError,
)
from tests.unit.core.core_servers import Gateway


async def ask(gateway: Gateway, path: str = "/x", method: str = "GET", **more: object) -> object:
    rest = Rest(gateway.url, clock=FakeClock(), timeout=2, read_only=False)
    try:
        return await rest.request(path, method, **more)  # type: ignore[arg-type]
    finally:
        await rest.close()


async def test_numbers_keep_their_text_and_whole_ones_stay_ints(gateway: Gateway) -> None:
    gateway.on("GET /x", web.Response(body=b'{"a":1.50,"b":9.718696E5,"c":1834567001,"d":"7"}'))
    assert await ask(gateway) == {"a": "1.50", "b": "9.718696E5", "c": 1834567001, "d": "7"}


async def test_parameters(gateway: Gateway) -> None:
    gateway.on("GET /x", {})
    await ask(gateway, "/x?z=1", params={"a": None, "b": True, "c": False, "d": [1, 2], "e": "ü&"})
    assert dict(gateway.seen[0].query) == {"z": "1", "b": "true", "c": "false", "d": "1,2", "e": "ü&"}


async def test_post_always_has_a_length_and_a_user_agent(gateway: Gateway) -> None:
    gateway.on("POST /x", {})
    await ask(gateway, method="POST")
    assert gateway.seen[0].headers["Content-Length"] == "0"
    assert gateway.seen[0].headers["User-Agent"].startswith("ibtui/")
    await ask(gateway, method="POST", data={"price": Decimal("185.00")})
    assert gateway.bodies[1] == b'{"price":185.00}'
    assert gateway.seen[1].headers["Content-Type"] == "application/json"
    assert "Transfer-Encoding" not in gateway.seen[1].headers


async def test_cookies_of_api_replies_are_not_sent_back(gateway: Gateway) -> None:
    gateway.on("GET /x", web.Response(text="{}", headers={"Set-Cookie": "x-sess-uuid=1; Path=/"}))
    rest = Rest(gateway.url, clock=FakeClock())
    await rest.request("/x")
    await rest.request("/x")
    await rest.close()
    assert "Cookie" not in gateway.seen[1].headers


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (401, "", NotLoggedIn),
        (401, '{"error":"not authenticated","statusCode":401}', NotLoggedIn),
        (302, "", NotLoggedIn),
        (200, '{"error":"no session"}', NotLoggedIn),
        (410, "", NotLoggedIn),
        (500, '{"error":"failed to generate sso dh token"}', NotLoggedIn),
        (400, '{"error":"Bad Request: no bridge","statusCode":400}', NoBridge),
        (503, '{"error":"Service Unavailable","statusCode":503}', Unreachable),
        (500, "Internal Server Error", Unreachable),
        (500, '{"error":"Not ready"}', Unreachable),
        (502, "", Unreachable),
        (504, "<html>", Unreachable),
        (423, '{"status":"waiting for reply"}', Unreachable),
        (429, '{"error":"Too Many Requests","statusCode":429}', Pacing),
        (404, "Access Denied", GatewayDown),
        (403, "Access Denied", GatewayDown),
        (403, '{"error":"not permitted"}', Rejected),
        (404, "<html><body><h1>Resource not found</h1></body></html>", Rejected),
        (503, '{"error":"Order 1 is not found","statusCode":503}', Rejected),
        (200, '{"error":"Order not confirmed "}', Rejected),
        (400, '{"error":"Invalid Side"}', Rejected),
        (418, "", UnknownReply),
        (200, "<html>hello</html>", UnknownReply),
    ],
)
async def test_each_trouble_has_its_error(
    gateway: Gateway, status: int, text: str, kind: type[IbtuiError]
) -> None:
    gateway.on("GET /x", text=text, status=status)
    with pytest.raises(IbtuiError) as caught:
        await ask(gateway)
    assert type(caught.value) is kind
    assert str(caught.value)


async def test_json_inside_an_error(gateway: Gateway) -> None:
    gateway.on("GET /x", {"error": '{"reason":"Details currently unavailable."}'}, status=500)
    with pytest.raises(Rejected) as caught:
        await ask(gateway)
    assert caught.value.what == "Details currently unavailable."
    assert caught.value.status == 500


async def test_error_null_is_no_error(gateway: Gateway) -> None:
    gateway.on("GET /x", {"error": None, "amount": {}})
    assert await ask(gateway) == {"error": None, "amount": {}}


async def test_plain_text_and_nothing(gateway: Gateway) -> None:
    gateway.on("GET /x", text="Success")
    assert await ask(gateway) == "Success"
    gateway.on("GET /x", text="")
    assert await ask(gateway) is None


async def test_errors_show_no_secrets(gateway: Gateway) -> None:
    gateway.on("GET /x", {"error": "session=4be07c51d9a2463f8e1b6f0a97c3d25e is bad"}, status=400)
    with pytest.raises(Rejected) as caught:
        await ask(gateway)
    assert "4be07c51" not in str(caught.value)


async def test_busy_gets_are_tried_three_times_posts_once(gateway: Gateway) -> None:
    busy = web.json_response({"error": "Service Unavailable", "statusCode": 503}, status=503)
    gateway.on("GET /x", busy, busy, {"ok": 1})
    assert await ask(gateway) == {"ok": 1}
    gateway.on("GET /y", busy)
    with pytest.raises(Unreachable):
        await ask(gateway, "/y")
    assert gateway.routes.count("GET /y") == 3
    gateway.on("POST /x", busy)
    with pytest.raises(Unreachable):
        await ask(gateway, method="POST")
    assert gateway.routes.count("POST /x") == 1


@pytest.mark.parametrize(
    ("status", "text"),
    [(400, "Bad Request: Please query /accounts first"), (500, "please Query /ACCOUNTS first")],
)
async def test_accounts_first(gateway: Gateway, status: int, text: str) -> None:
    gateway.on("GET /iserver/accounts", {"accounts": []})
    gateway.on("GET /x", web.json_response({"error": text}, status=status), {"ok": 1})
    assert await ask(gateway) == {"ok": 1}
    assert gateway.routes == ["GET /x", "GET /iserver/accounts", "GET /x"]


async def test_accounts_first_again_or_for_a_post_is_told(gateway: Gateway) -> None:
    refusal = web.json_response({"error": "Please query /accounts first"}, status=500)
    gateway.on("GET /iserver/accounts", {"accounts": []})
    gateway.on("GET /x", refusal)
    with pytest.raises(Rejected):
        await ask(gateway)
    assert gateway.routes.count("GET /x") == 2
    gateway.on("POST /x", refusal)
    with pytest.raises(Rejected):
        await ask(gateway, method="POST")
    assert gateway.routes.count("POST /x") == 1


async def test_hang_is_stalled_and_not_tried_again(gateway: Gateway) -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    gateway.on("GET /x", hang)
    rest = Rest(gateway.url, timeout=0.3)
    with pytest.raises(Stalled):
        await rest.request("/x")
    await rest.close()
    assert len(gateway.seen) == 1


async def test_cut_connection_is_unreachable() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.transport.abort()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    rest = Rest(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", clock=FakeClock())
    with pytest.raises(Unreachable):
        await rest.request("/x", "POST")
    await rest.close()
    server.close()


async def test_nobody_there(closed_port: int) -> None:
    rest = Rest(f"http://127.0.0.1:{closed_port}")
    with pytest.raises(GatewayDown) as caught:
        await rest.request("/x")
    await rest.close()
    assert caught.value.exit_code == 3


async def test_https_to_a_plain_http_port_is_an_error_of_ours(gateway: Gateway) -> None:
    rest = Rest(gateway.url.replace("http", "https"), clock=FakeClock())
    with pytest.raises((GatewayDown, Unreachable)):
        await rest.request("/x")
    await rest.close()


async def test_429_cools_down(gateway: Gateway) -> None:
    clock = FakeClock()
    gateway.on("GET /x", web.json_response({}, status=429), {"ok": 1})
    rest = Rest(gateway.url, clock=clock)
    with pytest.raises(Pacing):
        await rest.request("/x")
    assert await rest.request("/x") == {"ok": 1}
    await rest.close()
    assert sum(clock.slept) >= 2.0


async def test_a_short_budget_that_another_program_used_is_waited_out_once(gateway: Gateway) -> None:
    clock = FakeClock()
    busy = web.json_response({}, status=429)
    gateway.on("GET /iserver/account/orders", busy, {"orders": []})
    rest = Rest(gateway.url, clock=clock)
    assert await rest.request("/iserver/account/orders") == {"orders": []}
    assert sum(clock.slept) >= 5.0
    await rest.close()


async def test_a_budget_used_up_for_good_is_told(gateway: Gateway) -> None:
    gateway.on("GET /iserver/account/trades", *(web.json_response({}, status=429) for _ in range(3)))
    rest = Rest(gateway.url, clock=FakeClock())
    with pytest.raises(Pacing):
        await rest.request("/iserver/account/trades")
    await rest.close()


async def test_read_only_sends_nothing(gateway: Gateway) -> None:
    rest = Rest(gateway.url)
    with pytest.raises(TradingLocked) as caught:
        await rest.request("//iserver/account/DU1/%6frders/", "post", {"orders": []})
    with pytest.raises(TradingLocked):
        await rest.request("/tickle", headers={"X-HTTP-Method-Override": "DELETE"})
    await rest.close()
    assert caught.value.exit_code == 7
    assert gateway.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example:5000",
        "ftp://x",
        "localhost:5000",
        "https://u:p@localhost",
        "",
        "https://h:x",
        "https://h/?q=1",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Rest(url)
    assert "u:p" not in str(caught.value)


async def test_plain_http_elsewhere_only_if_allowed() -> None:
    await Rest("http://gateway.example:5000", insecure_http=True).close()
    await Rest("http://127.0.0.2:5000").close()
    await Rest("http://[::1]:5000").close()


@pytest.mark.parametrize("path", ["https://evil.example/x", "/a b", "/a\r\nX: y", "/../../gw/x", "/%2e%2e/x"])
async def test_paths_that_are_refused(gateway: Gateway, path: str) -> None:
    with pytest.raises(UsageError):
        await ask(gateway, path)
    assert gateway.seen == []


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/" + "a" * 70_000, {}),
        ("/\udcff", {}),
        ("/x", {"params": {"a": "\udcff"}}),
        ("/x", {"headers": {"x": "\u2028"}}),
    ],
)
async def test_what_http_cannot_carry(gateway: Gateway, path: str, parts: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="too long, or holds"):
        await ask(gateway, path, **parts)
    assert gateway.seen == []


async def test_unknown_method(gateway: Gateway) -> None:
    with pytest.raises(UsageError):
        await ask(gateway, method="BREW")


async def test_path_spellings_reach_the_same_route(gateway: Gateway) -> None:
    gateway.on("GET /tickle", {"ok": 1})
    for path in ("tickle", "/tickle", "/v1/api/tickle"):
        rest = Rest(gateway.url + "/v1/api/", clock=FakeClock())
        assert await rest.request(path) == {"ok": 1}
        await rest.close()


async def test_login_conversation_keeps_its_own_cookies_and_order(gateway: Gateway) -> None:
    gateway.on("GET /", web.Response(status=302, headers={"Location": "/sso/Login?forwardTo=22"}))
    gateway.on("GET /sso/Login", web.Response(text="page", headers={"Set-Cookie": "JSESSIONID=j1; Path=/"}))
    gateway.on("POST /sso/Authenticator", web.Response(text="<xml/>"))
    rest = Rest(gateway.url, clock=FakeClock())
    reply = await rest.send(Send("GET", "/", follow_redirects=True))
    assert (reply.status, reply.text) == (200, "page")
    assert reply.date is not None and reply.date.tzinfo is not None
    form = (("ACTION", "INIT"), ("APP_NAME", ""), ("USER", "a b&c"))
    reply = await rest.send(Send("POST", "/sso/Authenticator?48249", form=form, cookies=(("SBID", "abc"),)))
    assert reply.text == "<xml/>"
    last = gateway.seen[-1]
    assert last.query_string == "48249"
    assert gateway.bodies[-1] == b"ACTION=INIT&APP_NAME=&USER=a+b%26c"
    assert last.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert last.cookies["JSESSIONID"] == "j1" and last.cookies["SBID"] == "abc"
    await rest.new_conversation()
    await rest.send(Send("POST", "/sso/Authenticator?1"))
    assert not gateway.seen[-1].cookies
    assert gateway.seen[-1].headers["Content-Length"] == "0"
    await rest.close()


async def test_login_redirects_stay_on_the_origin(gateway: Gateway) -> None:
    gateway.on("GET /", web.Response(status=302, headers={"Location": "https://elsewhere.example/"}))
    rest = Rest(gateway.url, clock=FakeClock())
    assert (await rest.send(Send("GET", "/", follow_redirects=True))).status == 302
    assert (await rest.send(Send("GET", "/"))).status == 302
    await rest.close()
    assert len(gateway.seen) == 2
