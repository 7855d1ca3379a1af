"""Pacing: nothing leaves faster than the budgets of web-api.md §1.6."""

from __future__ import annotations

import asyncio

import pytest

from ibtui.clock import FakeClock
from ibtui.core.pacing import Pacing, route
from ibtui.errors import Pacing as PacingError


async def stamps(pacing: Pacing, clock: FakeClock, calls: list[tuple[str, str]]) -> list[float]:
    out = []
    for method, path in calls:
        async with pacing.slot(method, path):
            out.append(clock.monotonic())
    return out


async def test_never_more_than_ten_in_any_second() -> None:
    clock = FakeClock()
    times = await stamps(Pacing(clock), clock, [("GET", f"/x/{n}") for n in range(45)])
    for time in times:
        assert sum(time <= other < time + 1.0 for other in times) <= 10
    assert times[-1] < 5.0


@pytest.mark.parametrize(
    ("method", "path", "gap"),
    [
        ("GET", "/iserver/account/orders", 5),
        ("GET", "/v1/api/iserver/account/orders?force=true", 5),
        ("GET", "/iserver/account/trades", 5),
        ("GET", "/iserver/account/pnl/partitioned", 5),
        ("GET", "/portfolio/accounts", 5),
        ("GET", "/portfolio/subaccounts", 5),
        ("POST", "/tickle", 1),
        ("GET", "//Tickle/", 1),
        ("GET", "/fyi/unreadnumber", 1),
        ("POST", "/iserver/scanner/run", 1),
        ("GET", "/sso/validate", 60),
    ],
)
async def test_a_route_keeps_its_own_distance(method: str, path: str, gap: float) -> None:
    clock = FakeClock()
    first, second = await stamps(Pacing(clock), clock, [(method, path)] * 2)
    assert gap <= second - first < gap * 1.1


async def test_routes_do_not_wait_for_each_other() -> None:
    clock = FakeClock()
    calls = [("GET", "/iserver/account/orders"), ("GET", "/iserver/account/trades"), ("POST", "/tickle")]
    assert await stamps(Pacing(clock), clock, calls) == [0, 0, 0]


async def test_placing_orders_has_no_budget_of_its_own() -> None:
    clock = FakeClock()
    assert await stamps(Pacing(clock), clock, [("POST", "/iserver/account/DU1/orders")] * 2) == [0, 0]


async def test_too_long_a_wait_fails_at_once() -> None:
    clock = FakeClock()
    pacing = Pacing(clock)
    await stamps(pacing, clock, [("POST", "/pa/performance")])
    with pytest.raises(PacingError) as caught:
        await stamps(pacing, clock, [("POST", "/pa/performance")])
    assert caught.value.exit_code == 75
    assert clock.slept == []
    clock.advance(901)
    await stamps(pacing, clock, [("POST", "/pa/performance")])


async def test_five_histories_at_once() -> None:
    pacing = Pacing(FakeClock())
    inside, most = 0, 0

    async def one() -> None:
        nonlocal inside, most
        async with pacing.slot("GET", "/iserver/marketdata/history"):
            inside += 1
            most = max(most, inside)
            for _ in range(5):
                await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(one())
    assert most == 5


async def test_cool_down_doubles_and_ends() -> None:
    clock = FakeClock()
    pacing = Pacing(clock)
    pacing.cool_down()
    assert (await stamps(pacing, clock, [("GET", "/x")]))[0] >= 2.0
    pacing.cool_down()
    assert (await stamps(pacing, clock, [("GET", "/x")]))[0] >= 6.0
    pacing.fine()
    start = clock.monotonic()
    pacing.cool_down()
    assert (await stamps(pacing, clock, [("GET", "/x")]))[0] - start < 3.0
    for _ in range(12):
        pacing.cool_down()
    with pytest.raises(PacingError):
        await stamps(pacing, clock, [("GET", "/x")])


async def test_a_cancelled_wait_gives_its_place_back() -> None:
    class Stuck(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    pacing = Pacing(Stuck())

    async def orders() -> None:
        async with pacing.slot("GET", "/iserver/account/orders"):
            pass

    await orders()
    budget = pacing._budgets["GET /iserver/account/orders"]
    before = budget.free
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await orders()
    assert (budget.free, budget.waiting) == (before, 0)


async def test_a_budget_counts_from_when_a_request_leaves() -> None:
    clock = FakeClock()
    pacing = Pacing(clock)
    left: list[float] = []

    async def orders() -> None:
        async with pacing.slot("GET", "/iserver/account/orders"):
            left.append(clock.monotonic())

    for _ in range(10):
        await pacing.frame()
    await orders()
    await orders()
    # The first was held back by the others, and the second is five seconds behind it all the same.
    assert left[0] >= 1.0 and left[1] - left[0] >= 5.0


async def test_frames_count() -> None:
    clock = FakeClock()
    pacing = Pacing(clock)
    for _ in range(10):
        await pacing.frame()
    assert clock.monotonic() == 0
    await pacing.frame()
    assert clock.monotonic() >= 1.0


def test_route() -> None:
    assert route("get", "//v1/portal//iserver/Account/orders/?a=1#b") == "GET /iserver/account/orders"


async def test_what_another_process_has_sent_counts() -> None:
    clock = FakeClock()
    first = Pacing(clock)
    before = await stamps(first, clock, [("GET", f"/x/{n}") for n in range(10)])
    first.cool_down()
    second = Pacing(clock)
    second.recall(*first.recent)
    (after,) = await stamps(second, clock, [("GET", "/y")])
    assert after >= before[-1] + 2.0, "it was told to wait"
    third = Pacing(clock)
    third.recall([clock.monotonic() + 5, clock.monotonic() - 60], clock.monotonic() + 10_000)
    assert third.recent == ([], 0.0), "of another time"
