"""Opening the brokerage session, and driving a login conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from aiohttp import web

from ibtui import IbkrClient
from ibtui.auth.effects import Ask, Challenge, Code, Credentials, Flow, Note, Send, Spend, Step, Wait
from ibtui.clock import FakeClock, SystemClock
from ibtui.core import drive
from ibtui.core.rest import Rest
from ibtui.core.session import Token
from ibtui.errors import (
    Competing,
    GatewayDown,
    NoBridge,
    NotLoggedIn,
    PersonNeeded,
    Rejected,
    UsageError,
)
from ibtui.secret import Secret
from tests.oauth_tools import mapping
from tests.unit.core.core_servers import Gateway

STATUS = "GET /iserver/auth/status"
INIT = "POST /iserver/auth/ssodh/init"
UP = {"authenticated": True, "connected": True, "competing": False, "established": True}
DOWN = {"authenticated": False, "connected": True, "competing": False}
TAKEN = {"authenticated": False, "connected": True, "competing": True}
OUT = {"authenticated": False, "connected": False, "competing": False}


def scripted(gateway: Gateway) -> IbkrClient:
    gateway.on("GET /iserver/accounts", {"accounts": ["DU1"], "selectedAccount": "DU1"})
    gateway.on("POST /tickle", {"session": "a" * 32, "iserver": {"authStatus": UP}})
    return IbkrClient(gateway.url, clock=FakeClock())


async def test_an_open_session_is_left_alone(gateway: Gateway) -> None:
    gateway.on(STATUS, UP)
    async with scripted(gateway) as client:
        status = await client.init()
        assert status.ready and client.session == "a" * 32
        assert client.store.selected == "DU1"
    assert gateway.routes == [STATUS, "GET /iserver/accounts", "POST /tickle"]


async def test_a_closed_session_is_opened(gateway: Gateway) -> None:
    no_bridge = web.json_response({"error": "Bad Request: no bridge"}, status=400)
    gateway.on(STATUS, DOWN, no_bridge, {**UP, "established": False}, UP)
    gateway.on(INIT, UP)
    async with scripted(gateway) as client:
        assert (await client.init()).ready
    assert gateway.routes.count(INIT) == 1
    assert gateway.bodies[gateway.routes.index(INIT)] == b'{"publish":true,"compete":true}'


async def test_old_builds_without_established(gateway: Gateway) -> None:
    gateway.on(STATUS, {"authenticated": True, "connected": True, "competing": False})
    async with scripted(gateway) as client:
        assert (await client.init()).ready


async def test_half_open_session_is_waited_for_without_init(gateway: Gateway) -> None:
    gateway.on(STATUS, {**UP, "established": False}, UP)
    async with scripted(gateway) as client:
        await client.init()
    assert INIT not in gateway.routes


async def test_competing_is_told_or_taken(gateway: Gateway) -> None:
    gateway.on(STATUS, TAKEN)
    async with scripted(gateway) as client:
        with pytest.raises(Competing) as caught:
            await client.init(compete=False)
        assert caught.value.exit_code == 8 and INIT not in gateway.routes
        gateway.on(STATUS, TAKEN, UP)
        gateway.on(INIT, DOWN)
        assert (await client.init()).ready


async def test_competing_found_out_after_init(gateway: Gateway) -> None:
    gateway.on(STATUS, DOWN, TAKEN)
    gateway.on(INIT, TAKEN)
    async with scripted(gateway) as client:
        with pytest.raises(Competing):
            await client.init(compete=False)


async def test_competing_that_does_not_let_go(gateway: Gateway) -> None:
    gateway.on(STATUS, TAKEN)
    gateway.on(INIT, TAKEN)
    async with scripted(gateway) as client:
        with pytest.raises(Competing):
            await client.init()


async def test_never_up_is_no_bridge(gateway: Gateway) -> None:
    gateway.on(STATUS, DOWN)
    gateway.on(INIT, DOWN)
    async with scripted(gateway) as client:
        with pytest.raises(NoBridge):
            await client.init()


async def test_no_sso_session(gateway: Gateway) -> None:
    async with scripted(gateway) as client:
        gateway.on(STATUS, OUT)
        with pytest.raises(NotLoggedIn):
            await client.init()
        gateway.on(STATUS, text="", status=401)
        with pytest.raises(NotLoggedIn):
            await client.init()
        gateway.on(STATUS, DOWN)
        gateway.on(INIT, {"error": "failed to generate sso dh token"}, status=500)
        with pytest.raises(NotLoggedIn):
            await client.init()


async def test_a_reason_is_told(gateway: Gateway) -> None:
    gateway.on(STATUS, DOWN)
    gateway.on(INIT, {**DOWN, "fail": "Force compete capability"})
    async with scripted(gateway) as client:
        with pytest.raises(Rejected, match="Force compete"):
            await client.init()


async def test_accounts_that_come_late(gateway: Gateway) -> None:
    async with scripted(gateway) as client:
        gateway.on(STATUS, UP)
        no_bridge = web.json_response({"error": "Bad Request: no bridge"}, status=400)
        gateway.on("GET /iserver/accounts", no_bridge, {"accounts": []}, {"accounts": ["DU1"]})
        await client.init()
        assert [account.id for account in client.store.accounts] == ["DU1"]
        gateway.on("GET /iserver/accounts", no_bridge)
        with pytest.raises(NoBridge):
            await client.accounts()


async def test_session_is_settable_and_renewed(gateway: Gateway) -> None:
    async with scripted(gateway) as client:
        assert client.session == ""
        client.session = "b" * 32
        assert client.session == "b" * 32 and "bbbb" not in repr(client)
        assert (await client.tickle()).status.ready
        assert client.session == "a" * 32
        client.session = ""
        assert client.session == ""
        gateway.on("POST /tickle", {"error": "no session"})
        client.session = "c"
        with pytest.raises(NotLoggedIn):
            await client.tickle()
        assert client.session == ""


async def test_select(gateway: Gateway) -> None:
    route = "POST /iserver/account"
    async with scripted(gateway) as client:
        gateway.on(route, {"set": True, "acctId": "DU2"})
        await client.select("DU2")
        assert client.store.selected == "DU2" and gateway.bodies[-1] == b'{"acctId":"DU2"}'
        gateway.on(route, {"error": "Account already set"}, status=500)
        await client.select("DU3")
        assert client.store.selected == "DU3"
        gateway.on(route, {"error": "Invalid account ID"}, status=500)
        with pytest.raises(Rejected):
            await client.select("DU4")
        assert client.store.selected == "DU3"


def test_token_tells_of_changes_only() -> None:
    token, heard = Token(), []
    listener = lambda: heard.append(1)  # noqa: E731
    token.listen(listener)
    assert not token.renew(Secret("a")) and not token.renew(Secret("a")) and not token.renew(None)
    assert token.renew(Secret("b")) and heard == [1]
    token.leave(listener)
    token.leave(listener)
    assert token.renew(Secret("c")) and heard == [1]


def test_mappings_are_checked_before_anything_is_sent() -> None:
    for given, words in (
        ({"consumerKey": "ABCDEFGHI"}, "missing"),
        ({"client_id": "x"}, "lack credential, private_key, ip"),
        ({**mapping(), "realm": "test_realm"}, "realm"),
        ({**mapping(), "consumerKey": "x"}, "nine letters"),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            IbkrClient(given)
        assert caught.value.exit_code == 2
    client = IbkrClient(mapping())
    assert client.rest.address.origin == "https://api.ibkr.com" and client.oauth is not None
    assert client.oauth.grant is None and client.trust.fingerprint == ""


# driving


class Typed:
    """Answers of a test: a code, or nobody there."""

    def __init__(self, code: str | None) -> None:
        self.code = code
        self.notes: list[Note] = []

    async def credentials(self, username: str) -> Credentials:
        return Credentials(username, Secret("x"))

    async def ask(self, challenge: Challenge) -> Code:
        if self.code is None:
            raise PersonNeeded("nobody is there")
        return Code(Secret(self.code))

    def note(self, note: Note) -> None:
        self.notes.append(note)


async def drive_it(
    gateway_url: str, flow: Flow[Any], answers: Typed, spend: drive.Count | None = None
) -> Any:
    clock = FakeClock()
    rest = Rest(gateway_url, clock=clock)
    try:
        return await drive.run(flow, answers, rest, clock, spend)
    finally:
        await rest.close()


async def test_drive_carries_out_every_effect(gateway: Gateway) -> None:
    gateway.on("POST /sso/Dispatcher", text="Client login succeeds")
    spent: list[str] = []

    async def spend(effect: Spend) -> None:
        assert not gateway.seen, "counted before it is sent"
        spent.append(effect.what)

    def flow() -> Flow[tuple[str, str]]:
        yield Note(Step.PASSWORD)
        yield Spend("attempt")
        reply = yield Send("POST", "/sso/Dispatcher", form=(("a", "b"),))
        yield Wait(3)
        answer = yield Ask(Challenge("4", "SWTK"))
        return reply.text, answer.text.reveal()

    answers = Typed("123456")
    assert await drive_it(gateway.url, flow(), answers, spend) == ("Client login succeeds", "123456")
    assert spent == ["attempt"] and len(answers.notes) == 1


async def test_errors_are_thrown_into_the_flow(closed_port: int) -> None:
    def flow() -> Flow[str]:
        try:
            yield Send("GET", "/")
        except GatewayDown:
            pass
        yield Ask(Challenge("4", "SWTK"))
        return "never"

    with pytest.raises(PersonNeeded):
        await drive_it(f"http://127.0.0.1:{closed_port}", flow(), Typed(None))


async def test_counting_needs_a_place_to_count(closed_port: int) -> None:
    def flow() -> Flow[None]:
        yield Spend("counter")

    with pytest.raises(UsageError):
        await drive_it(f"http://127.0.0.1:{closed_port}", flow(), Typed(None))


async def test_cancelling_closes_the_flow() -> None:
    closed = asyncio.Event()

    def flow() -> Generator[Any, Any, None]:
        try:
            yield Wait(60)
        finally:
            closed.set()

    rest = Rest("http://127.0.0.1:1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await drive.run(flow(), Typed(None), rest, SystemClock())
    await rest.close()
    assert closed.is_set()
