"""The app on profiles without a gateway, over the simulator's OAuth: live values as through a gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from textual.pilot import Pilot

from ibtui.config import Addresses, Profile, Settings, Ui
from ibtui.core import ways
from ibtui.service.local import LocalRuntime
from ibtui.service.runtime import Runtime
from ibtui.ui.app import IbtuiApp
from tests.conftest import Sim
from tests.pilot.driving import text, until

WAIT_S = 30.0


@contextlib.asynccontextmanager
async def app_at(sim: Sim, mode: str) -> AsyncIterator[Pilot[Any]]:
    """The app on the simulator's registration of this mode."""
    second = sim.ready["oauth2"]
    values = {
        "oauth1": {"oauth_file": sim.ready["oauth1"]},
        "oauth2": {
            "oauth2_client_id": second["client_id"],
            "oauth2_credential": second["credential"],
            "oauth2_key_file": second["private_key"],
            "oauth2_ip": "203.0.113.7",
        },
    }[mode]
    profile = Profile(name="default", mode=mode, keep_alive=False, **values)
    where = Addresses(api_host=sim.url, api_ca_file=sim.cert or "")
    settings = Settings(profiles={"default": profile}, addresses=where, ui=Ui(refresh_hz=30))

    async def make() -> Runtime:
        return LocalRuntime(settings)

    app = IbtuiApp(settings, make)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.runtime is not None, WAIT_S)
        yield pilot


async def sees(pilot: Pilot[Any], *words: str) -> None:
    app: Any = pilot.app
    await until(pilot, lambda: all(word in text(app) for word in words), WAIT_S)


@pytest.mark.parametrize("mode", ["oauth1", "oauth2"])
async def test_live_positions_and_orders(sim: Sim, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "SETTLE_S", 0.1)
    async with app_at(sim, mode) as pilot:
        # Nobody was asked anything: the token needs no person.
        await sees(pilot, "● Token", "old, renewed in 23 h", "● Login", "● Brokerage")
        assert "Gateway" not in text(pilot.app).split("Attempts")[0]
        await pilot.press("2")
        await sees(pilot, "AAPL", "Daily P&L")
        await pilot.press("3")
        await sees(pilot, "working", "Working")
        app: Any = pilot.app
        store = app.runtime.store
        order = next(row for row in store.orders.values() if row.status == "Submitted")
        books = await asyncio.to_thread(sim.control, "books")
        assert str(order.order_id) in str(books)
