"""The runtime against a simulator in trouble: every failure has a sentence, and it comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ibtui.config import Profile, Settings
from ibtui.errors import (
    Backoff,
    Competing,
    GatewayDown,
    GatewayFault,
    IbtuiError,
    LoginRefused,
    TradingLocked,
)
from ibtui.secret import Secret
from ibtui.service import actions, keeper
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.local import LocalRuntime
from tests.conftest import Sim, StartSim
from tests.headless.test_headless_words import free_port

AAPL = "DU1234567:265598"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly, so that tests need not wait."""
    monkeypatch.setattr(keeper, "LOOK_S", 0.4)
    monkeypatch.setattr(keeper, "TICKLE_S", 1.2)
    monkeypatch.setattr(keeper, "BREATH_S", 0.2)


@contextlib.asynccontextmanager
async def runtime_at(
    sim: Sim, *, live: bool = False, timeout: float = 15.0, alone: bool = True, **more: Any
) -> AsyncIterator[LocalRuntime]:
    values: dict[str, Any] = {"gateway_url": sim.url, "ca_file": sim.cert or "", **more}
    settings = Settings(profiles={"default": Profile(**values)})
    runtime = LocalRuntime(settings, live=live, timeout=timeout)
    try:
        yield runtime
    finally:
        async with asyncio.timeout(10):
            await runtime.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert others == [] or not alone, "nothing goes on after close"


def answers_of(sim: Sim, password: str = "") -> FixedAnswers:
    user = sim.user()
    return FixedAnswers(user["username"], Secret(password or user["password"]))


async def until(wanted: Callable[[], bool], timeout: float = 15.0) -> None:
    end = asyncio.get_running_loop().time() + timeout
    while not wanted():
        assert asyncio.get_running_loop().time() < end, "it never came"
        await asyncio.sleep(0.05)


async def control(sim: Sim, path: str, body: dict[str, Any] | None = None) -> Any:
    return await asyncio.to_thread(sim.control, path, body)


async def streams(sim: Sim, runtime: LocalRuntime, price: float = 300.0) -> None:
    """Wait until a price set now arrives in the store by the stream."""
    end = asyncio.get_running_loop().time() + 30
    while asyncio.get_running_loop().time() < end:
        price += 30
        await control(sim, "prices", {"conid": 265598, "price": price})
        for _ in range(20):
            await asyncio.sleep(0.05)
            found = runtime.store.positions.get(AAPL)
            # The market goes on moving by itself, a little.
            if found is not None and abs(float(found.market_price or 0) - price) < 14:
                return
    raise AssertionError(f"no live price:\n{words(runtime)}")


def words(runtime: LocalRuntime) -> str:
    return "\n".join(f"{event.level} {event.source}: {event.text}" for event in runtime.events)


async def test_from_nothing_to_live_and_out_again(sim: Sim) -> None:
    async with runtime_at(sim) as runtime:
        told: list[str] = []
        status = await actions.bring_up(runtime, answers_of(sim), told.append)
        assert status.ready and "logging in" in told
        assert len(runtime.store.positions) >= 8 and len(runtime.store.orders) >= 6
        await streams(sim, runtime)
        await actions.logout(runtime)
        assert runtime.status.sso.state == "off" and runtime.status.sso.fix


async def test_another_user_finds_nothing_of_the_last_one(sim: Sim) -> None:
    other = next(user for user in sim.ready["users"] if user["username"] == "demo456")
    async with runtime_at(sim) as runtime:
        await actions.bring_up(runtime, answers_of(sim))
        before = {account.id for account in runtime.store.accounts}
        await actions.logout(runtime)
        await actions.bring_up(runtime, FixedAnswers("demo456", Secret(other["password"])))
        after = {account.id for account in runtime.store.accounts}
        assert len(after) == 2 and not before & after
        assert {position.account for position in runtime.store.positions.values()} <= after
        assert {order.account for order in runtime.store.orders.values()} <= after


async def test_nobody_to_ask(sim: Sim) -> None:
    async with runtime_at(sim) as runtime:
        with pytest.raises(IbtuiError) as raised:
            await actions.bring_up(runtime, None)
        assert raised.value.exit_code == 6


async def test_wrong_password_leaves_its_reason_on_the_lamp(sim: Sim) -> None:
    async with runtime_at(sim, live=True) as runtime:
        with pytest.raises(LoginRefused):
            await actions.bring_up(runtime, answers_of(sim, "wrong"))
        await until(lambda: "attempts used: 1 of 4" in runtime.status.sso.reason)
        assert "refused" in runtime.status.sso.reason and runtime.status.sso.state == "off"
        assert "try again" in runtime.status.sso.fix
        assert runtime.login_facts.attempts == 1 and runtime.login_facts.wait_until is not None
        with pytest.raises(Backoff):
            await actions.bring_up(runtime, answers_of(sim))
        person = answers_of(sim)
        asked = []

        async def confirm(text: str) -> bool:
            asked.append(text)
            return True

        person.confirm = confirm  # type: ignore[method-assign]
        await actions.bring_up(runtime, person)
        assert runtime.status.ready and runtime.login_facts.attempts == 0
        assert len(asked) == 1 and "attempt 2 of 4 - go on?" in asked[0]


async def test_killed_and_started_again(start_sim: StartSim) -> None:
    port = free_port()
    said = ("--plain", "--port", str(port), "--logged-in", "demo123")
    sim = start_sim(*said)
    async with runtime_at(sim) as runtime:
        await actions.refresh(runtime)
        await streams(sim, runtime)
        await asyncio.to_thread(sim.stop)
        await until(lambda: runtime.status.gateway.state == "off", 5)
        assert "nothing answers" in runtime.status.gateway.reason.lower() and runtime.status.gateway.fix
        assert runtime.status.sso.state == runtime.status.brokerage.state == "unknown"
        await asyncio.sleep(3)
        assert len(runtime.events) < 15, words(runtime)
        with pytest.raises(GatewayDown):
            await actions.bring_up(runtime, answers_of(sim))
        again = await asyncio.to_thread(start_sim, *said)
        await until(lambda: runtime.status.ready, 20)
        await streams(again, runtime, 700.0)
        assert len((await control(again, "state"))["sockets"]) == 1


async def test_started_again_with_another_certificate(start_sim: StartSim) -> None:
    port = free_port()
    sim = start_sim("--port", str(port), "--logged-in", "demo123")
    async with runtime_at(sim, ca_file="") as runtime:
        await actions.refresh(runtime)
        await asyncio.to_thread(sim.stop)
        await until(lambda: runtime.status.gateway.state == "off", 5)
        again = await asyncio.to_thread(start_sim, "--port", str(port), "--logged-in", "demo123")
        await until(lambda: "another certificate" in runtime.status.gateway.reason)
        assert "fingerprint" in runtime.status.gateway.fix
        await asyncio.sleep(2)
        assert [e for e in await control(again, "journal") if not e["path"].startswith("/sim")] == []


async def test_garbage_on_the_socket_harms_nothing(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "faults", {"path": "/ws", "kind": "garble", "count": 200})
        await control(live_sim, "rate", {"messages_per_s": 500})
        await asyncio.sleep(1.5)
        await control(live_sim, "rate", {"messages_per_s": 50})
        await streams(live_sim, runtime, 800.0)
        assert runtime.status.ready and len(runtime.events) < 15, words(runtime)


@pytest.mark.parametrize(("kind", "said"), [("garble", "broken"), ("hang", "no answer")])
async def test_a_keep_alive_in_trouble_says_so_and_recovers(live_sim: Sim, kind: str, said: str) -> None:
    async with runtime_at(live_sim, timeout=1.0) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "faults", {"path": "/tickle", "kind": kind, "count": None, "seconds": 30})
        await until(lambda: runtime.status.sso.state == "unknown")
        assert said in runtime.status.sso.reason
        assert not runtime.status.ready
        await asyncio.to_thread(_clear, live_sim)
        await until(lambda: runtime.status.ready)
        await streams(live_sim, runtime, 900.0)
        assert len(runtime.events) < 15, words(runtime)


def _clear(sim: Sim) -> None:
    import ssl
    import urllib.request

    request = urllib.request.Request(f"{sim.url}/sim/faults", method="DELETE")
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=sim.cert), timeout=5).close()


async def test_the_session_expires_and_a_login_brings_everything_back(live_sim: Sim) -> None:
    async with runtime_at(live_sim, keep_alive=True) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "clock", {"advance_s": 2 * 86_400})
        await until(lambda: runtime.status.sso.state == "off")
        assert "Log in" in runtime.status.sso.fix
        await actions.login(runtime, answers_of(live_sim))
        await streams(live_sim, runtime, 600.0)
        sockets = (await control(live_sim, "state"))["sockets"]
        assert len([one for one in sockets if not one["dead"]]) == 1


async def test_a_login_elsewhere_is_seen(sim: Sim) -> None:
    async with runtime_at(sim, live=True) as runtime, runtime_at(sim, alone=False) as browser:
        await actions.refresh(runtime)
        assert runtime.status.sso.state == "off"
        await browser.login(answers_of(sim))
        await until(lambda: runtime.status.ready)
        await streams(sim, runtime)


async def test_logged_out_elsewhere_and_back(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime, runtime_at(live_sim, alone=False) as browser:
        await actions.refresh(runtime)
        await control(live_sim, "session", {"action": "logout"})
        await until(lambda: runtime.status.sso.state == "off")
        await browser.login(answers_of(live_sim))
        await until(lambda: runtime.status.ready)
        await streams(live_sim, runtime, 650.0)


async def test_another_program_takes_the_session(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await actions.refresh(runtime)
        await control(live_sim, "session", {"action": "compete"})
        await until(lambda: runtime.status.brokerage.state == "warn")
        assert "another program" in runtime.status.brokerage.reason
        assert "--take-over" in runtime.status.brokerage.fix
        await asyncio.sleep(2)
        with pytest.raises(Competing):
            await runtime.open_brokerage(compete=False)
        assert runtime.status.brokerage.state == "warn"
        await actions.take_over(runtime)
        await until(lambda: runtime.status.ready)
        await streams(live_sim, runtime, 620.0)


async def test_a_cancelled_login_leaves_no_busy_lamp(sim: Sim) -> None:
    async with runtime_at(sim, live=True) as runtime:
        await actions.refresh(runtime)
        await control(sim, "faults", {"path": "/sso/Authenticator", "kind": "hang", "count": 1})
        login = asyncio.get_running_loop().create_task(runtime.login(answers_of(sim)))
        await until(lambda: runtime.status.sso.state == "busy")
        await asyncio.sleep(1.5)
        assert runtime.status.sso.state == "busy", "the keeper must not contradict a login at work"
        login.cancel()
        with pytest.raises(asyncio.CancelledError):
            await login
        assert runtime.status.sso.state == "off" and "cancelled" in words(runtime)
        await actions.login(runtime, answers_of(sim))
        assert runtime.status.ready


async def test_cancelled_while_the_brokerage_session_opens(sim: Sim) -> None:
    async with runtime_at(sim) as runtime:
        await control(sim, "faults", {"path": "/iserver/auth/status", "kind": "hang", "count": 1})
        login = asyncio.get_running_loop().create_task(runtime.login(answers_of(sim)))
        await until(lambda: runtime.status.brokerage.state == "busy")
        login.cancel()
        with pytest.raises(asyncio.CancelledError):
            await login
        assert runtime.status.brokerage.state != "busy" and runtime.status.sso.state == "on"


async def test_closed_in_the_midst_of_a_login(sim: Sim) -> None:
    async with runtime_at(sim, live=True) as runtime:
        await actions.refresh(runtime)
        await control(sim, "faults", {"path": "/sso/Authenticator", "kind": "hang", "count": 1})
        login = asyncio.get_running_loop().create_task(runtime.login(answers_of(sim)))
        await until(lambda: runtime.status.sso.state == "busy")
        async with asyncio.timeout(5):
            await runtime.close()
        login.cancel()
        with pytest.raises((IbtuiError, asyncio.CancelledError)):
            await login
        with pytest.raises(IbtuiError):
            await runtime.request("/tickle")


async def test_closed_in_the_midst_of_going_live(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await runtime.refresh()
        going = asyncio.get_running_loop().create_task(runtime.go_live())
        await asyncio.sleep(0.3)
        async with asyncio.timeout(5):
            await runtime.close()
        with pytest.raises(IbtuiError):
            await going


async def test_going_live_twice_opens_one_stream(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await runtime.refresh()
        await asyncio.gather(runtime.go_live(), runtime.go_live(), runtime.refresh())
        assert len((await control(live_sim, "state"))["sockets"]) == 1


async def test_without_keep_alive_nothing_is_tickled(live_sim: Sim) -> None:
    async with runtime_at(live_sim, keep_alive=False) as runtime:
        await runtime.refresh()
        await asyncio.sleep(3)
        assert len([e for e in await control(live_sim, "journal") if e["path"].endswith("/tickle")]) == 1


async def test_somebody_elses_gateway_cannot_be_stopped(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        await actions.refresh(runtime)
        with pytest.raises(GatewayFault):
            await actions.stop_gateway(runtime)
        await until(lambda: runtime.status.ready)
        await streams(live_sim, runtime, 640.0)


async def test_frames_that_trade_are_not_sent(live_sim: Sim) -> None:
    async with runtime_at(live_sim) as runtime:
        with pytest.raises(TradingLocked):
            async for _ in runtime.frames(["spl", "shs+{}"]):
                break


async def test_settled_gives_up(sim: Sim) -> None:
    async with runtime_at(sim) as runtime:
        async with asyncio.timeout(3):
            await runtime.settled("pnl", timeout=0.3)


async def test_a_fault_of_ours_does_not_end_the_keeper(live_sim: Sim, monkeypatch: Any) -> None:
    async with runtime_at(live_sim) as runtime:
        await runtime.refresh()
        real = runtime._keeper._look
        failing = [True]

        async def look() -> Any:
            if failing:
                failing.clear()
                raise ZeroDivisionError
            return await real()

        runtime._keeper._look = look
        await until(lambda: "internal error (ZeroDivisionError)" in words(runtime))
        await control(live_sim, "session", {"action": "logout"})
        await until(lambda: runtime.status.sso.state == "off")
