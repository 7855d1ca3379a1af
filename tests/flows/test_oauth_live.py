"""Direct access against the simulator: the same client, without a gateway (oauth.md §5–§8, §11)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ibtui import IbkrClient
from ibtui.clock import SystemClock
from ibtui.config import Addresses, Profile, Settings
from ibtui.core import ways
from ibtui.core.trust import Trust
from ibtui.errors import NotLoggedIn, TokenRefused, TradingLocked, Unreachable, UsageError
from ibtui.service.local import LocalRuntime
from tests.conftest import Sim

OAUTH2_IP = "203.0.113.7"


def first(sim: Sim, **other: Any) -> dict[str, Any]:
    """The content of the simulator's `oauth1.json`."""
    return {**json.loads(Path(sim.ready["oauth1"]).read_text()), **other}


def second(sim: Sim, **other: Any) -> dict[str, Any]:
    """What an OAuth 2.0 client needs."""
    given = sim.ready["oauth2"]
    key = Path(given["private_key"]).read_text()
    return {**given, "private_key": key, "ip": OAUTH2_IP, **other}


def client(sim: Sim, target: dict[str, Any], **more: Any) -> IbkrClient:
    return IbkrClient(target, api_host=sim.url, trust=Trust.ca(sim.cert or ""), **more)


async def control(sim: Sim, path: str, body: dict[str, Any] | None = None) -> Any:
    return await asyncio.to_thread(sim.control, path, body)


async def asked(sim: Sim, path: str) -> int:
    return sum(entry["path"].endswith(path) for entry in await control(sim, "journal"))


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def act(sim: Sim, action: str, **more: Any) -> Any:
    return await control(sim, "oauth", {"action": action, **more})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "SETTLE_S", 0.1)


KINDS = pytest.mark.parametrize("target", [first, second], ids=["oauth1", "oauth2"])
Target = Callable[[Sim], dict[str, Any]]
HIDDEN: dict[Any, Callable[[Sim], list[str]]] = {
    first: lambda sim: [
        first(sim)["accessToken"],
        first(sim)["accessTokenSecret"][:50],
        first(sim)["signature"].splitlines()[3],
    ],
    second: lambda sim: [second(sim)["private_key"].splitlines()[3]],
}
"""What must not be seen anywhere."""


@KINDS
async def test_the_whole_way(sim: Sim, target: Target, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with asyncio.timeout(40), client(sim, target(sim)) as direct:
        assert (await direct.init(settle=0.1)).ready
        assert direct.oauth is not None and direct.oauth.grant is not None
        left, age = direct.oauth.left, direct.oauth.age
        assert left is not None and age is not None
        assert left.total_seconds() > 23 * 3600 and age.total_seconds() < 60
        found = await direct.request("/trsrv/stocks", params={"symbols": "AAPL,AMZN"})
        assert set(found) == {"AAPL", "AMZN"}
        with pytest.raises(TradingLocked):
            await direct.request("/iserver/account/orders", "POST", {"orders": []})
        socket = direct.socket(["open", "close", "send", "receive", "error"], write=said.append)
        async with socket.market_data(265598, ["31"]) as messages:
            assert (await anext(messages))["conid"] == 265598
        await direct.watch(tickle_every=0)
        await direct.load("positions")
        found = await direct.request(f"/portfolio/{direct.store.selected}/positions/0")
        assert {row["conid"] for row in found} <= {row.conid for row in direct.store.positions.values()}
        await until(lambda: direct.store.orders and direct.store.positions)
        secrets = [direct.oauth.grant.secret.reveal(), direct.session, *HIDDEN[target](sim)]
        shown = "\n".join([*said, caplog.text, repr(direct), repr(direct.oauth), repr(vars(direct.oauth))])
        assert said and all(secret and secret not in shown for secret in secrets)
        await direct.logout()
        assert direct.oauth.grant is None and direct.oauth.age is None


@KINDS
async def test_ten_requests_with_a_dead_token_lead_to_one_new_token(sim: Sim, target: Target) -> None:
    async with asyncio.timeout(30), client(sim, target(sim)) as direct:
        await direct.init(settle=0.1)
        socket = direct.socket()
        await socket.open()
        assert direct.oauth is not None
        old = direct.oauth.grant
        await act(sim, "expire")
        paths = ["/trsrv/stocks?symbols=AAPL"] * 5 + ["/iserver/secdef/search?symbol=AAPL"] * 5
        async with asyncio.TaskGroup() as group:
            for path in paths:
                group.create_task(direct.request(path))
        assert direct.oauth.grant != old
        route = "/oauth/live_session_token" if target is first else "/sso-sessions"
        assert await asked(sim, route) == 2
        await until(lambda: socket.is_open and not direct._tasks._tasks)
        assert (await direct.status()).ready
        await socket.close()


async def test_an_order_is_not_sent_twice(sim: Sim) -> None:
    async with asyncio.timeout(30), client(sim, first(sim), read_only=False) as direct:
        await direct.init(settle=0.1)
        assert direct.oauth is not None
        old = direct.oauth.grant
        await act(sim, "expire")
        account = direct.store.selected
        with pytest.raises(NotLoggedIn, match="order list"):
            await direct.request(f"/iserver/account/{account}/orders", "POST", {"orders": []})
        assert direct.oauth.grant != old
        assert await asked(sim, f"/{account}/orders") == 1


@KINDS
async def test_a_token_is_renewed_before_it_ends(sim: Sim, target: Target) -> None:
    async with asyncio.timeout(30), client(sim, target(sim), clock=Later()) as direct:
        clock = direct.clock
        assert isinstance(clock, Later) and direct.oauth is not None
        await direct.tickle()
        first_one = direct.oauth.grant
        assert first_one is not None
        if target is first:  # an SSO session of 2.0 does not live so long without a tickle
            await control(sim, "clock", {"advance_s": 23.5 * 3600})
            clock.offset = 23.5 * 3600
            await direct.tickle()
            assert direct.oauth.grant == first_one
        await control(sim, "clock", {"advance_s": 24 * 3600 - 300 - clock.offset})
        clock.offset = 24 * 3600 - 300
        left = direct.oauth.left
        assert left is not None and left.total_seconds() < 0
        await direct.tickle()
        assert direct.oauth.grant != first_one


async def test_a_consumer_that_is_not_active_yet(sim: Sim) -> None:
    await act(sim, "deactivate")
    async with asyncio.timeout(20), client(sim, first(sim)) as direct:
        with pytest.raises(TokenRefused, match="not active yet") as caught:
            await direct.tickle()
        assert caught.value.waiting_helps and "ibtui oauth check" in caught.value.fix
        assert caught.value.exit_code == 5
        with pytest.raises(TokenRefused):
            await direct.tickle()
        assert await asked(sim, "/live_session_token") == 1  # told again without asking again
        await act(sim, "activate")
        assert direct.oauth is not None
        await direct.oauth.obtain()
        await direct.tickle()


async def test_what_is_wrong_with_a_registration_is_told(sim: Sim) -> None:
    given = first(sim)
    swapped = {**given, "signature": given["encryption"], "encryption": given["signature"]}
    with pytest.raises(UsageError, match="swapped"):
        client(sim, swapped)
    with pytest.raises(UsageError, match="cut off"):
        client(sim, {**given, "accessTokenSecret": given["accessTokenSecret"][:200]})
    with pytest.raises(UsageError, match="dhPrime is missing"):
        client(sim, {**given, "dhPrime": ""})
    with pytest.raises(UsageError, match="lack client_id"):
        client(sim, second(sim, client_id=""))
    with pytest.raises(UsageError, match="public one"):
        client(sim, second(sim, private_key="-----BEGIN PUBLIC KEY-----"))
    other_prime = f"{int(given['dhPrime'], 16) + 2:x}"
    async with asyncio.timeout(20), client(sim, {**given, "dhPrime": other_prime}) as direct:
        with pytest.raises(UsageError, match="prime here is not the registered one"):
            await direct.tickle()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"client_id": "nobody"}, "oauth2_client_id"),
        ({"credential": "nobody"}, "oauth2_credential"),
        ({"scope": "account.read"}, "scope"),
        ({"audience": "elsewhere"}, "oauth2_audience"),
    ],
)
async def test_what_is_wrong_with_an_oauth2_client_is_told(
    sim: Sim, change: dict[str, str], match: str
) -> None:
    async with asyncio.timeout(20), client(sim, second(sim, **change)) as direct:
        with pytest.raises(TokenRefused) as caught:
            await direct.tickle()
        assert match in caught.value.fix


async def test_query_forms(start_sim: Any, tmp_path: Path) -> None:
    scenario = tmp_path / "raw.toml"
    scenario.write_text('[quirks]\noauth_forms = "query_raw"\n')
    sim = start_sim("--scenario", str(scenario))
    async with asyncio.timeout(30), client(sim, first(sim), oauth_query="raw") as direct:
        found = await direct.request("/trsrv/stocks", params={"symbols": "AAPL,BRK B"})
        assert "AAPL" in found
    async with asyncio.timeout(30), client(sim, first(sim)) as direct:
        await direct.tickle()
        with pytest.raises(NotLoggedIn, match="oauth_query"):
            await direct.request("/trsrv/stocks?symbols=AAPL")
        await direct.tickle()  # the token itself is fine
    with pytest.raises(UsageError, match="left_out, raw, url"):
        client(sim, first(sim), oauth_query="other")


async def test_nobody_there(sim: Sim) -> None:
    given = first(sim)
    sim.stop()
    async with asyncio.timeout(20), client(sim, given, timeout=3) as direct:
        with pytest.raises(Unreachable, match="Nothing answers"):
            await direct.request("/tickle", "POST")


async def test_the_keep_alive_needs_nobody(sim: Sim) -> None:
    profile = Profile(name="direct", mode="oauth1", oauth_file=sim.ready["oauth1"])
    where = Addresses(api_host=sim.url, api_ca_file=sim.cert or "")
    runtime = LocalRuntime(
        Settings(profile="direct", profiles={"direct": profile}, addresses=where), keeper=True
    )
    answers = runtime.unattended()
    assert answers is not None
    try:
        async with asyncio.timeout(30):
            await runtime.login(answers)
            assert runtime.status.ready
            await control(sim, "session", {"action": "logout"})
            assert not (await runtime.refresh()).ready
            await until(lambda: runtime.status.ready)
            lines = [event.text for event in runtime.events]
            assert "the token was renewed" in lines or "IBKR gave a token" in lines
    finally:
        await runtime.close()


class Later(SystemClock):
    """The real clock, some time on."""

    offset = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.offset)
