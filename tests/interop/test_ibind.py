"""ibind (PyPI), unchanged, against the simulator: REST, questions and websocket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.interop.peers import IBIND_VERSIONS, Peers, run_ibind

ACCOUNT = "DU1234567"
AAPL, SPY = 265598, 756733

pytestmark = [pytest.mark.timeout(90), pytest.mark.parametrize("version", IBIND_VERSIONS)]


def options(sim: Any) -> dict[str, str]:
    return {
        "IBIND_REST_URL": f"{sim.url}/v1/api/",
        "IBIND_WS_URL": sim.ready["ws"],
        "IBIND_CACERT": sim.cert,
        "IBIND_ACCOUNT_ID": ACCOUNT,
    }


def test_rest(version: str, peers: Peers, start_sim: Any, tmp_path: Path) -> None:
    python = peers.ibind(version)
    sim = start_sim("--seed", "7", "--logged-in", "demo123")
    sim.control("positions", {"count": 230})
    told = run_ibind(python, "ibind_rest.py", options(sim), tmp_path)
    _read(told, sim)
    _market(told)
    _traded(told, sim)
    assert len(told["tickle"]["session"]) == 32


def _read(told: dict[str, Any], sim: Any) -> None:
    assert told["health"] is True
    assert told["status"]["authenticated"] is True and told["status"]["established"] is True
    assert told["accounts"]["accounts"] == [ACCOUNT]
    assert [one["accountId"] for one in told["portfolio_accounts"]] == [ACCOUNT]
    assert told["positions"]["sizes"] == [100, 100, 30]
    held = {row["conid"] for row in told["positions"]["rows"]}
    assert len(held) == 230
    assert {int(row["conid"]) for row in told["positions2"]} == held
    assert told["summary"]["accountcode"]["value"] == ACCOUNT
    net = told["summary"]["netliquidation"]["amount"]
    assert net == pytest.approx(told["account_summary"]["netLiquidationValue"], rel=0.01)
    assert set(told["ledger"]) >= {"USD", "BASE"}
    assert told["pnl_cold"] == {"upnl": {}}
    assert told["orders_cold"] == {"orders": [], "snapshot": False}
    assert told["orders_warm"]["snapshot"] is True
    books = {order["orderId"] for order in told["orders_warm"]["orders"]}
    assert len(books) == len(told["orders_warm"]["orders"]) > 5
    assert told["trades"] == []


def _market(told: dict[str, Any]) -> None:
    assert told["conids"] == {"AAPL": AAPL, "MSFT": 272093}
    assert told["conid_by_query"] == {"AAPL": AAPL}
    assert told["search"][0]["conid"] == str(AAPL)
    assert told["contract"]["con_id"] == AAPL and told["contract"]["symbol"] == "AAPL"
    assert [one["ticker"] for one in told["secdef"]["secdef"]] == ["AAPL", "SPY"]
    assert told["snapshot_cold"] == [{"conidEx": str(conid), "conid": conid} for conid in (AAPL, SPY)]
    for row in told["snapshot_warm"]:
        assert 0 < float(row["84"]) <= float(row["86"])
        assert isinstance(row["31"], str) and isinstance(row["_updated"], int)
    by_symbol = told["snapshot_by_symbol"]
    assert {name: row["symbol"] for name, row in by_symbol.items()} == {"AAPL": "AAPL", "MSFT": "MSFT"}
    assert told["history"]["barLength"] == 300
    assert told["history"]["points"] == len(told["history"]["data"]) - 1 > 50
    assert {name: len(bars) for name, bars in told["histories"].items()} == {"AAPL": 7, "MSFT": 7}


def _traded(told: dict[str, Any], sim: Any) -> None:
    assert "Percentage constraint" in told["declined"]
    placed = told["placed"]
    assert isinstance(placed["order_id"], str) and placed["local_order_id"].startswith("ibind-")
    status = told["placed_status"]
    assert (status["order_status"], status["limit_price"], status["tif"]) == ("Submitted", "20.00", "DAY")
    assert told["modified"]["order_id"] == placed["order_id"]
    assert told["modified_status"]["limit_price"] == "21.00"
    assert told["whatif"]["position"]["change"] == "7"
    assert "already registered" in told["duplicate"]
    assert told["cancelled"]["order_id"] == int(placed["order_id"])
    assert told["cancelled_status"]["order_status"] == "Cancelled"
    bought = told["market_order"]["order_id"]
    answered = [row["path"] for row in sim.journal() if "/iserver/reply/" in row["path"]]
    # One question for the far limit, at its place and at its change, one for the market order.
    assert len(answered) >= 3
    assert bought not in (placed["order_id"], "-1")


def test_websocket(version: str, peers: Peers, start_sim: Any, tmp_path: Path) -> None:
    python = peers.ibind(version)
    sim = start_sim("--seed", "7", "--logged-in", "demo123")
    told = run_ibind(python, "ibind_ws.py", options(sim), tmp_path)
    assert told["health"] is True and told["started"] is True
    topics = {"orders", "pnl", "market", "trades", "summary", "ledger"}
    assert topics <= set(told["subscribed"])
    assert all(told["subscribed"].values()), told["subscribed"]
    assert [name for name in told["subscribed"] if not told[name]] == []
    assert set(told["pnl"][-1]["args"]) == {f"{ACCOUNT}.Core"}
    order_id = int(told["placed"]["order_id"])
    orders = [row for news in told["order_news"] for row in news["args"]]
    assert any(row["orderId"] == order_id for row in orders)
    trades = [row for news in told["trade_news"] for row in news["args"]]
    ours = [row for row in trades if row["order_id"] == order_id]
    assert ours and sum({row["execution_id"]: row["size"] for row in ours}.values()) <= 3
    assert len(told["price_news"]) == 3
    assert all(told["unsubscribed"].values()), told["unsubscribed"]
    assert told["threads"] == []
    # The old client grumbles about a last price after an unsubscribe, and about its own close.
    worries = [one for one in told["complaints"] if "missing a subscription" not in one]
    assert [one for one in worries if "on_close error: 1000" not in one] == []
    frames = {row["body_redacted"] for row in sim.journal() if row["method"] == "WS"}
    assert {"sor+{}", "uor+{}"} <= frames
