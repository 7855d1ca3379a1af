"""What the real gateway asks by itself after a login (login.md §9.4), played over plain HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from ibtui.sim import scenario
from ibtui.sim.handshake import expected
from ibtui.sim.server import Simulator
from tests.sim.platform_stand_in import TinyBrokerage
from tests.sim.platform_tools import Client, frame, started


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: Any
    size: int


class Gateway(Client):
    """Keeps one jar, adds REGION, and speaks for itself with `ClientPortalGW/1` on raw connections."""

    def __init__(self, sim: Simulator) -> None:
        super().__init__(sim)
        self.http.cookies.set("REGION", "", path="/")

    async def own(self, method: str, path: str, body: Any = None) -> Reply:
        """One request as the gateway makes it; fails unless the reply came in one read and closed."""
        url = httpx.URL(self.sim.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        data = b"" if body is None else json.dumps(body).encode()
        cookie = "; ".join(f"{one.name}={one.value}" for one in self.http.cookies.jar)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: ClientPortalGW/1\r\nCookie: {cookie}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        writer.write(head.encode() + b"\r\n" + data)
        first = await asyncio.wait_for(reader.read(65536), 5)
        rest = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert rest == b"", "the reply came in two pieces"
        top, _, content = first.partition(b"\r\n\r\n")
        lines = top.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        assert int(headers["Content-Length"]) == len(content)
        return Reply(
            int(lines[0].split()[1]),
            {name.lower(): value for name, value in headers.items()},
            json.loads(content) if content.startswith(b"{") else content,
            len(first),
        )

    async def handshake(self, *, spoil: bool = False, username: str = "demo123") -> list[Reply]:
        """Rows 1 to 8."""
        replies = [
            await self.own("GET", "/v1/portal/sso/validate?gw=1"),
            await self.own("GET", "/v1/portal/one/user"),
            await self.own("GET", "/v1/portal/ssodh/init"),
            await self.own("GET", "/v1/portal/ssodh/st"),
            await self.own("GET", "/v1/portal/iserver/auth/status"),
        ]
        shared = replies[3].body["st"]
        asked = {"username": username, "machineId": secrets.token_hex(4), "compete": True}
        replies.append(await self.own("POST", "/v1/portal/iserver/auth/ssodh/init", asked))
        challenge = replies[-1].body.get("challenge")
        if challenge is None:
            return replies
        text = f"{int(challenge, 16):x}{int(shared, 16):x}"
        text = text if len(text) % 2 == 0 else "0" + text
        answer = hashlib.sha1(bytes.fromhex(text)).hexdigest()
        if spoil:
            answer = "00" * 20
        replies.append(await self.own("POST", "/v1/portal/iserver/auth/ssodh/response", {"response": answer}))
        replies.append(await self.own("GET", "/v1/portal/iserver/accounts"))
        return replies


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    sim = await started(scenario.load(), plain=True, brokerage=TinyBrokerage())
    try:
        async with Gateway(sim) as gateway:
            yield gateway
    finally:
        await sim.stop()


async def test_the_handshake_opens_the_session_and_nothing_else_does(gateway: Gateway) -> None:
    assert (await gateway.login()).status_code == 302
    # Longer than the delay after which a direct caller's session opens by itself.
    gateway.sim.clock.advance(5)
    assert (await gateway.get("/iserver/auth/status")).json()["authenticated"] is False
    replies = await gateway.handshake()
    assert [one.status for one in replies] == [200] * 8
    assert replies[0].body["USER_NAME"] == replies[1].body["USER_NAME"] == "demo123"
    assert replies[2].body == {"success": True}
    assert replies[4].body["authenticated"] is False
    assert replies[6].body["authenticated"] is True
    assert replies[7].body["accounts"] == ["DU1234567"]
    tickle = await gateway.own("GET", "/v1/portal/tickle")
    assert tickle.body["iserver"]["authStatus"]["authenticated"] is True
    for one in [*replies, tickle]:
        assert one.size <= 1024
        assert one.headers["connection"] == "close"
    # A client behind the gateway still gets the whole object.
    assert "acctProps" in (await gateway.get("/iserver/accounts")).json()


async def test_a_wrong_answer_is_refused_without_a_loop(gateway: Gateway) -> None:
    await gateway.login()
    replies = await gateway.handshake(spoil=True)
    assert replies[6].status == 500
    assert (await gateway.get("/iserver/auth/status")).json()["authenticated"] is False
    # Asked again it refuses at 6, so that a gateway stops; a new handshake may begin at 1.
    again = await gateway.own(
        "POST",
        "/v1/portal/iserver/auth/ssodh/init",
        {"username": "demo123", "machineId": "00000000", "compete": True},
    )
    assert again.body == {"error": "invalid response"}
    assert (await gateway.handshake())[6].body["authenticated"] is True


async def test_another_users_name_is_refused(gateway: Gateway) -> None:
    await gateway.login()
    replies = await gateway.handshake(username="demo456")
    assert "error" in replies[5].body


async def test_the_gateways_own_logout_leaves_the_way_back(gateway: Gateway) -> None:
    await gateway.login()
    await gateway.handshake()
    assert (await gateway.own("GET", "/v1/portal/logout")).body == {"status": True}
    assert (await gateway.get("/iserver/auth/status")).json()["connected"] is True
    assert (await gateway.handshake())[6].body["authenticated"] is True


async def test_a_logout_by_a_client_ends_it(gateway: Gateway) -> None:
    await gateway.login()
    await gateway.handshake()
    assert (await gateway.post("/logout")).json() == {"status": True}
    assert (await gateway.own("GET", "/v1/portal/tickle")).status == 401


async def test_websocket_of_a_gateway_needs_no_message(gateway: Gateway) -> None:
    """Cookie `api` from before a new token, as the gateway's jar keeps it, and no client cookies."""
    await gateway.login()
    await gateway.handshake()
    old = gateway.token
    life = gateway.sim.sessions.jar
    assert life is not None
    gateway.sim.sessions.lose_brokerage(life)
    await gateway.handshake()
    assert gateway.token != old
    options: dict[str, Any] = {"user_agent_header": "ClientPortalGW/1"}
    async with gateway.socket(f"REGION=; api={old}", **options) as ws:
        assert (await frame(ws))["success"] == "demo123"
    async with gateway.socket(None, **options) as ws:
        assert (await frame(ws))["success"] == "demo123"


async def test_two_gateways_keep_their_sessions_apart() -> None:
    sim = await started(scenario.load(), plain=True, brokerage=TinyBrokerage())
    try:
        async with Gateway(sim) as one, Gateway(sim) as two:
            await one.login("demo123")
            await one.handshake()
            await two.login("demo456")
            await two.handshake(username="demo456")
            assert (await one.get("/iserver/accounts")).json()["accounts"] == ["DU1234567"]
            assert (await two.get("/iserver/accounts")).json()["accounts"] == ["DU2345671", "DU2345672"]
            await two.post("/logout")
            assert (await two.get("/iserver/accounts")).status_code == 401
            assert (await one.get("/iserver/accounts")).status_code == 200
    finally:
        await sim.stop()


async def test_the_same_user_twice_competes() -> None:
    sim = await started(scenario.load(), plain=True, brokerage=TinyBrokerage())
    try:
        async with Gateway(sim) as one, Gateway(sim) as two:
            await one.login("demo123")
            await one.handshake()
            await two.login("demo123")
            await two.handshake()
            sim.clock.advance(sim.scenario.settings.compete_delay_s)
            loser = (await one.get("/iserver/auth/status")).json()
            assert (loser["authenticated"], loser["competing"]) == (False, True)
            winner = (await two.get("/iserver/auth/status")).json()
            assert (winner["authenticated"], winner["competing"]) == (True, False)
    finally:
        await sim.stop()


@pytest.mark.parametrize(
    ("challenge", "shared", "data"),
    [(0xAF2, 0x1, "af21"), (0xAF2, 0x10, "0af210"), (0xAB, 0xCD, "abcd"), (0x1, 0x2, "12")],
)
def test_the_answer_is_over_the_bytes_of_both_numbers(challenge: int, shared: int, data: str) -> None:
    assert expected(challenge, shared) == hashlib.sha1(bytes.fromhex(data)).hexdigest()
