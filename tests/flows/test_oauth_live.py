"""Direct access against the simulator: the same client, without a gateway (oauth.md §5–§8, §11)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ibtui import IbkrClient
from ibtui.core.trust import Trust
from ibtui.errors import NotLoggedIn, TokenRefused, TradingLocked, Unreachable, UsageError
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


@pytest.mark.parametrize("target", [first, second], ids=["oauth1", "oauth2"])
async def test_the_whole_way(sim: Sim, target: Callable[[Sim], dict[str, Any]]) -> None:
    async with asyncio.timeout(40), client(sim, target(sim)) as direct:
        assert (await direct.init(settle=0.1)).ready
        assert direct.oauth is not None and direct.oauth.grant is not None
        left = direct.oauth.left
        assert left is not None and left.total_seconds() > 23 * 3600
        accounts = await direct.request("/portfolio/accounts")
        assert accounts[0]["id"] == direct.store.selected
        found = await direct.request("/trsrv/stocks", params={"symbols": "AAPL,AMZN"})
        assert set(found) == {"AAPL", "AMZN"}
        with pytest.raises(TradingLocked):
            await direct.request("/iserver/account/orders", "POST", {"orders": []})
        await direct.watch(tickle_every=0)
        await direct.load("accounts", "positions")
        books = await control(sim, "books")
        assert direct.store.positions and books
        await direct.logout()
        assert direct.oauth.grant is None
