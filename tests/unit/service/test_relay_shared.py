"""What may be shared of equal requests, and what may not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ibtui.clock import FakeClock, SystemClock
from ibtui.core.client import IbkrClient
from ibtui.core.relayed import Asked, Given
from ibtui.errors import GatewayDown
from ibtui.service.shared import Shared
from tests.unit.core.core_servers import Gateway
from tests.unit.service.relay_tools import between

ORDERS = "/v1/api/iserver/account/orders"
TRADES = "/v1/api/iserver/account/trades"
PNL = "/v1/api/iserver/account/pnl/partitioned"


class Server:
    """Answers with the number of the request; held back while `gate` is closed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.body: Any = None
        self.status = 200
        self.error: Exception | None = None
        self.slot = asyncio.Event()
        self.gate = asyncio.Event()
        self.slot.set()
        self.gate.set()

    async def send(self, asked: Asked, leaving: Callable[[], None]) -> Given:
        await self.slot.wait()
        leaving()
        self.asked.append(f"{asked.method} {asked.path.rsplit('/', 1)[1]}")
        number = len(self.asked)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        body = {"n": number} if self.body is None else self.body
        return Given(self.status, [], msgspec.json.encode(body))


def get(path: str) -> Asked:
    return Asked("GET", path, {})


def number(given: Given) -> int:
    return int(msgspec.json.decode(given.content)["n"])


async def test_askers_share_a_flight_and_then_its_reply() -> None:
    clock, server = FakeClock(), Server()
    shared = Shared(clock)
    server.gate.clear()
    waiting = [asyncio.create_task(shared.ask(get(ORDERS), server.send)) for _ in range(5)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    server.gate.set()
    assert [number(one) for one in await asyncio.gather(*waiting[1:])] == [1, 1, 1, 1]
    clock.advance(5.0)
    assert number(await shared.ask(get(ORDERS), server.send)) == 1
    clock.advance(0.2)
    assert number(await shared.ask(get(ORDERS), server.send)) == 2
    assert number(await shared.ask(get(ORDERS + "?filters=Filled"), server.send)) == 3
    assert number(await shared.ask(get(ORDERS), server.send)) == 2
    await shared.close()


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        (get("/v1/api/tickle"), True),
        (Asked("POST", "/v1/api/tickle", {}), True),
        (get("/v1/api/portfolio/accounts"), True),
        (get("/v1/portal/sso/validate"), False),
        (Asked("POST", "/v1/api/pa/performance", {}, b"{}"), True),
        (get("/v1/api/iserver/accounts"), False),
        (get("/v1/api/portfolio/DU1/positions/0"), False),
        (get(ORDERS + "?force=true"), False),
        (Asked("POST", "/v1/api/iserver/scanner/run", {}, b"{}"), False),
        (Asked("POST", "/v1/api/iserver/account/DU1/orders", {}, b"{}"), False),
        (Asked("DELETE", "/v1/api/fyi/notifications/1", {}), False),
    ],
)
async def test_which_requests_are_shared(asked: Asked, same: bool) -> None:
    shared, server = Shared(FakeClock()), Server()
    found = [number(await shared.ask(asked, server.send)) for _ in range(2)]
    assert found == ([1, 1] if same else [1, 2])
    await shared.close()


async def test_a_request_that_waits_for_its_slot_is_joined_whatever_it_asks() -> None:
    shared, server = Shared(FakeClock()), Server()
    server.slot.clear()
    paths = ["/v1/api/portfolio/DU1/positions/0", "/v1/api/iserver/accounts", "/sso/Login"]
    waiting = [asyncio.create_task(shared.ask(get(path), server.send)) for path in paths * 2]
    await asyncio.sleep(0.01)
    server.gate.clear()
    server.slot.set()
    await asyncio.sleep(0.01)
    # These have left: what they bring may be older than the next asker's knowledge.
    waiting += [asyncio.create_task(shared.ask(get(path), server.send)) for path in paths]
    await asyncio.sleep(0.01)
    server.gate.set()
    await asyncio.gather(*waiting)
    assert sorted(server.asked) == sorted(
        ["GET 0", "GET accounts", "GET Login", "GET Login"] + ["GET 0", "GET accounts", "GET Login"]
    )
    assert not shared._flights
    await shared.close()


@pytest.mark.parametrize(
    ("path", "cold", "warm"),
    [
        (ORDERS, {"orders": [], "snapshot": False}, {"orders": [], "snapshot": True}),
        (TRADES, [], [{"execution_id": "1"}]),
        (PNL, {"upnl": {}}, {"upnl": {"DU1.Core": {"dpl": 1.5}}}),
        ("/v1/api/portfolio/accounts", [], [{"id": "DU1"}]),
        (ORDERS, {"error": "no"}, {"orders": [{}], "snapshot": True}),
        ("/v1/api/tickle", "half a", {"session": "x"}),
    ],
)
async def test_cold_replies_are_not_kept(path: str, cold: Any, warm: Any) -> None:
    shared, server = Shared(FakeClock()), Server()
    server.body = cold if path != "/v1/api/tickle" else ""
    for _ in range(2):
        await shared.ask(get(path), server.send)
    server.body = warm
    for _ in range(3):
        await shared.ask(get(path), server.send)
    assert len(server.asked) == 3
    await shared.close()


async def test_refusals_and_errors_reach_all_who_wait_and_are_not_kept() -> None:
    shared, server = Shared(FakeClock()), Server()
    server.status = 429
    for _ in range(2):
        assert (await shared.ask(get(ORDERS), server.send)).status == 429
    server.error = GatewayDown("Nothing there.")
    server.gate.clear()
    waiting = [asyncio.create_task(shared.ask(get(ORDERS), server.send)) for _ in range(2)]
    await asyncio.sleep(0.01)
    server.gate.set()
    for one in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(one, GatewayDown)
    assert len(server.asked) == 3
    await shared.close()


@pytest.mark.parametrize(
    ("topic", "stale"), [("sor", {ORDERS}), ("str", {ORDERS, TRADES}), ("spl", {PNL}), ("ntf", set())]
)
async def test_news_of_the_stream_make_replies_old(topic: str, stale: set[str]) -> None:
    shared, server = Shared(FakeClock()), Server()
    server.body = {"upnl": {"DU1.Core": {}}, "snapshot": True}
    for path in (ORDERS, TRADES, PNL):
        await shared.ask(get(path), server.send)
    shared.heard(topic)
    server.asked.clear()
    for path in (ORDERS, TRADES, PNL):
        await shared.ask(get(path), server.send)
    assert server.asked == [
        f"GET {path.rsplit('/', 1)[1]}" for path in (ORDERS, TRADES, PNL) if path in stale
    ]
    await shared.close()


async def test_a_flight_that_has_left_is_not_joined_after_news() -> None:
    shared, server = Shared(FakeClock()), Server()
    server.gate.clear()
    first = asyncio.create_task(shared.ask(get(ORDERS), server.send))
    await asyncio.sleep(0.01)
    shared.heard("sor")
    server.slot.clear()
    second = asyncio.create_task(shared.ask(get(ORDERS), server.send))
    await asyncio.sleep(0.01)
    # This one waits for its slot: it will see what happens until then.
    shared.heard("sor")
    shared.clear()
    third = asyncio.create_task(shared.ask(get(ORDERS), server.send))
    await asyncio.sleep(0.01)
    server.slot.set()
    server.gate.set()
    assert [number(await one) for one in (first, second, third)] == [1, 2, 2]
    await shared.close()


async def test_what_is_no_reading_clears_everything_before_and_after() -> None:
    shared, server = Shared(SystemClock()), Server()
    assert number(await shared.ask(get(ORDERS), server.send)) == 1
    server.gate.clear()
    order = asyncio.create_task(
        shared.ask(Asked("POST", "/v1/api/iserver/account/DU1/orders", {}, b"{}"), server.send)
    )
    await asyncio.sleep(0.01)
    during = asyncio.create_task(shared.ask(get(ORDERS), server.send))
    await asyncio.sleep(0.01)
    server.gate.set()
    assert number(await during) == 3 and number(await order) == 2
    assert number(await shared.ask(get(ORDERS), server.send)) in (3, 4)
    await shared.close()


async def test_the_gateway_sees_one_request_for_all(gateway: Gateway) -> None:
    gateway.on("GET /iserver/account/orders", {"orders": [], "snapshot": True})
    gateway.on("POST /logout", {"status": True})
    gateway.on("GET /iserver/accounts", {}, status=401)
    async with between(gateway) as (_, path, _):
        clients = [IbkrClient("http://ibtui", uds=path) for _ in range(3)]
        for _ in range(3):
            await asyncio.gather(*(one.request("/iserver/account/orders") for one in clients))
        assert len(gateway.seen) == 1
        await clients[0].request("/logout", "POST")
        again = asyncio.create_task(clients[1].request("/iserver/account/orders"))
        await asyncio.sleep(0.1)
        # It is asked for anew, when the budget allows.
        assert not again.done()
        again.cancel()
        for one in clients:
            await one.close()
