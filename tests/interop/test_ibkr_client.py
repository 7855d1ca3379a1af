"""ibkr-client (npm), unchanged, against the simulator: REST, errors, websocket, debug option."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.interop.peers import DRIVERS, Peers, run

ACCOUNT = "DU1234567"

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def told(peers: Peers, live_sim: Any) -> dict[str, Any]:
    """What the driver saw. The package takes host and port only, and accepts any certificate."""
    modules = peers.node()
    host = urlsplit(live_sim.url).netloc
    argv = ["node", str(DRIVERS / "ibkr_client.js"), host, ACCOUNT]
    return run(argv, {"NODE_PATH": str(modules), "NODE_EXTRA_CA_CERTS": live_sim.cert}, 40)


def test_everything(told: dict[str, Any], live_sim: Any) -> None:
    assert told["init"]["authenticated"] is True
    assert len(told["tickle"]["session"]) == 32
    assert told["accounts"]["selectedAccount"] == ACCOUNT
    assert [one["id"] for one in told["portfolio_accounts"]] == [ACCOUNT]
    assert all(isinstance(row["position"], int | float) for row in told["positions"])
    assert {name for name, found in told["stocks"].items() if found} == {"AAPL", "MSFT"}
    assert told["orders_cold"]["orders"] == [] and len(told["orders_warm"]["orders"]) > 5
    assert told["refused"] == "Response status 400: OrderID 1 doesn't exist"
    _stream(told)
    _debug(told)
    frames = [row["body_redacted"] for row in live_sim.journal() if row["method"] == "WS"]
    assert frames[:3] == ["sor+{}", "spl+{}", "tic"] and {"uor+{}", "upl+{}"} <= set(frames)


def _stream(told: dict[str, Any]) -> None:
    assert "socket_error" not in told
    assert told["before_order"]["sor"] > 5 and told["before_order"]["spl"] > 0
    order_id = int(told["placed"][0]["order_id"])
    rows = [row for message in told["sor"] for row in message["args"] if row["orderId"] == order_id]
    assert rows[0]["status"] == "Inactive" and rows[-1]["status"] == "Filled"
    assert set(told["spl"][-1]["args"]) == {f"{ACCOUNT}.Core"}
    assert any(message["topic"] == "tic" for message in told["system"])


def _debug(told: dict[str, Any]) -> None:
    lines = told["debug"]
    assert "[IBKR WebSocket] open" in lines
    assert any(line.startswith("[IBKR WebSocket] send sor+{}") for line in lines)
    assert any(line.startswith('[IBKR WebSocket] receive {"topic":"sor"') for line in lines)
    assert any(line.startswith("[IBKR WebSocket] close") for line in lines)
    assert not any(line.startswith("[IBKR WebSocket] error") for line in lines)
