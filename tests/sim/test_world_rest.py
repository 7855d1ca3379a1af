"""The world's REST routes through the real server (web-api.md §3, §5, §6)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ibtui.sim.scenario import load
from ibtui.sim.server import Simulator
from tests.sim.world_tools import AAPL, ACCOUNT, SPY


class Api:
    """A caller of one simulator."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.client = httpx.AsyncClient(base_url=sim.url + "/v1/api", timeout=10, trust_env=False)
        self.status = 0

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        content = b"{}" if body is None else json.dumps(body).encode()
        if method in ("GET", "DELETE"):
            reply = await self.client.request(method, path)
        else:
            head = {"Content-Type": "application/json"}
            reply = await self.client.request(method, path, content=content, headers=head)
        self.status = reply.status_code
        return reply.json() if "json" in reply.headers.get("content-type", "") else reply.text

    async def get(self, path: str) -> Any:
        return await self.call("GET", path)

    async def post(self, path: str, body: Any = None) -> Any:
        return await self.call("POST", path, body)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Logged in as demo123, without pacing, prices at a stand."""
    sim = Simulator(load("default", 5))
    sim.quirks.pacing = False
    sim.log_in("demo123")
    sim.world.pause(True)
    await sim.start(plain=True)
    try:
        one = Api(sim)
        yield one
        await one.client.aclose()
    finally:
        await sim.stop()


async def armed(api: Api) -> Api:
    await api.get("/iserver/accounts")
    await api.get("/portfolio/accounts")
    return api


# --- accounts and portfolio ---------------------------------------------------------------------


async def test_accounts_arm_the_session(api: Api) -> None:
    assert "query /accounts first" in (await api.get("/iserver/account/orders"))["error"]
    accounts = await api.get("/iserver/accounts")
    assert accounts["accounts"] == [ACCOUNT]
    assert list(accounts)[:3] == ["accounts", "acctProps", "aliases"]
    assert accounts["allowFeatures"]["snapshotRefreshTimeout"] == 30
    assert await api.get("/iserver/account/orders") == {"orders": [], "snapshot": False}


async def test_portfolio_is_empty_before_its_accounts_were_asked(api: Api) -> None:
    assert await api.get(f"/portfolio/{ACCOUNT}/positions/0") == []
    assert await api.get(f"/portfolio/{ACCOUNT}/summary") == {}
    await api.get(f"/portfolio/{ACCOUNT}/allocation")
    assert api.status == 500
    (account,) = await api.get("/portfolio/accounts")
    assert (account["brokerageAccess"], account["accountStatus"]) == (True, 1769922000000)
    assert (await api.get(f"/portfolio/{ACCOUNT}/meta"))["brokerageAccess"] is False
    assert len(await api.get(f"/portfolio/{ACCOUNT}/positions/0")) >= 10


async def test_foreign_accounts_are_refused(api: Api) -> None:
    await armed(api)
    for path in ("/portfolio/DU0000000/ledger", "/iserver/account/DU0000000/summary"):
        assert await api.get(path) == {
            "error": "Bad Request: accountId is not valid: DU0000000",
            "statusCode": 400,
        }
        assert api.status == 400


async def test_positions_cold_and_warm(api: Api) -> None:
    await armed(api)
    cold = await api.get(f"/portfolio/{ACCOUNT}/positions/0")
    warm = await api.get(f"/portfolio/{ACCOUNT}/positions/0")
    assert [len(row) for row in cold] == [21] * len(cold)
    assert all(len(row) > 38 for row in warm)
    first = {row["contractDesc"]: row for row in cold}
    later = {row["contractDesc"]: row for row in warm}
    call = next(name for name in later if " C [" in name)
    assert (first["AAPL"]["multiplier"], first["AAPL"]["strike"]) == (None, 0.0)
    assert (later["AAPL"]["multiplier"], later["AAPL"]["strike"]) == (0.0, "0")
    assert later[call]["multiplier"] == 100.0
    assert type(later[call]["strike"]) is str
    assert later[call]["putOrCall"] == "C"
    assert later["SPY"]["chineseName"].startswith("SPDR&#x")
    assert later["AMD"]["position"] == 0.0
    assert (later["ASML"]["currency"], later["ASML"]["isUS"]) == ("EUR", False)
    for row in warm:
        factor = row["multiplier"] or 1
        assert row["mktValue"] == pytest.approx(row["position"] * row["mktPrice"] * factor, abs=0.01)
        expected = row["mktValue"] - row["position"] * row["avgCost"]
        assert row["unrealizedPnl"] == pytest.approx(expected, abs=0.02)


async def test_positions_lag_behind_fills_until_invalidated(api: Api) -> None:
    await armed(api)

    async def held() -> float:
        (row,) = await api.get(f"/portfolio/{ACCOUNT}/position/{SPY}")
        return float(row["position"])

    assert await held() == 44.0
    order = {"symbol": "SPY", "quantity": 6, "status": "Filled"}
    api.sim.world.add_order(order)
    assert await held() == 44.0
    fresh = await api.get(f"/portfolio2/{ACCOUNT}/position/{SPY}")
    assert (fresh[0]["position"], fresh[0]["conid"]) == (50.0, str(SPY))
    assert await api.post(f"/portfolio/{ACCOUNT}/positions/invalidate") == {"message": "success"}
    assert await held() == 50.0
    api.sim.world.add_order(order)
    api.sim.clock.advance(31)
    assert await held() == 56.0


async def test_ten_thousand_positions_by_pages(api: Api) -> None:
    await armed(api)
    api.sim.world.set_positions(10_000)
    seen: set[int] = set()
    times = []
    for page in range(100):
        began = time.perf_counter()
        rows = await api.get(f"/portfolio/{ACCOUNT}/positions/{page}")
        times.append(time.perf_counter() - began)
        assert len(rows) == 100
        seen |= {row["conid"] for row in rows}
    assert len(seen) == 10_000
    # One page in twenty may have waited for another process.
    assert sorted(times)[95] < 0.05
    assert await api.get(f"/portfolio/{ACCOUNT}/positions/100") == []
    await api.get(f"/portfolio/{ACCOUNT}/positions/x")
    assert api.status == 400
    top = await api.get(f"/portfolio/{ACCOUNT}/positions/0?sort=mktValue&direction=d")
    values = [row["mktValue"] for row in top]
    assert values == sorted(values, reverse=True)


async def test_figures_agree_over_all_routes(api: Api) -> None:
    await armed(api)
    truth = api.sim.world.books()["summary"][ACCOUNT]
    summary = await api.get(f"/portfolio/{ACCOUNT}/summary")
    ledger = await api.get(f"/portfolio/{ACCOUNT}/ledger")
    whole = await api.get(f"/iserver/account/{ACCOUNT}/summary")
    balances = await api.get(f"/iserver/account/{ACCOUNT}/summary/balances")
    net = float(truth["net_liquidation"])
    assert summary["netliquidation"]["amount"] == pytest.approx(net, abs=0.01)
    assert summary["netliquidation"]["value"] is None
    assert summary["accountcode"] | {"timestamp": 0} == {
        "amount": 0.0, "currency": None, "isNull": False, "timestamp": 0, "value": ACCOUNT, "severity": 0,
    }  # fmt: skip
    assert summary["netliquidation"]["timestamp"] > 1e12 > ledger["BASE"]["timestamp"]
    assert ledger["BASE"]["netliquidationvalue"] == pytest.approx(net, abs=1)
    assert whole["netLiquidationValue"] == round(net)
    assert balances["total"]["net_liquidation"] == f"{round(net):,} USD"
    assert "endofbundle" in ledger["USD"] and "endofbundle" not in ledger["BASE"]
    assert await api.get("/iserver/account/pnl/partitioned") == {"upnl": {}}
    (row,) = (await api.get("/iserver/account/pnl/partitioned"))["upnl"].values()
    assert list(row) == ["rowType", "dpl", "nl", "upl", "el", "mv"]
    allocation = await api.get(f"/portfolio/{ACCOUNT}/allocation")
    assert set(allocation) == {"assetClass", "sector", "group"}
    assert allocation["assetClass"]["short"]["STK"] < 0
    assert await api.post("/portfolio/allocation", {"acctIds": [ACCOUNT]}) == allocation
    assert set(await api.get(f"/portfolio/positions/{AAPL}")) == {ACCOUNT}
    for part in ("available_funds", "margins"):
        assert set(await api.get(f"/iserver/account/{ACCOUNT}/summary/{part}")) == {
            "total", "Crypto at Paxos", "commodities", "securities",
        }  # fmt: skip


async def test_performance(api: Api) -> None:
    reply = await api.post("/pa/performance", {"acctIds": [ACCOUNT], "period": "1M"})
    navs = reply["nav"]["data"][0]["navs"]
    assert len(navs) == len(reply["nav"]["dates"]) == len(reply["cps"]["data"][0]["returns"])
    assert len(reply["tpps"]["dates"]) == len(reply["tpps"]["data"][0]["returns"])
    truth = float(api.sim.world.books()["summary"][ACCOUNT]["net_liquidation"])
    assert navs[-1] == pytest.approx(truth, abs=0.01)
    await api.post("/pa/performance", {"acctIds": [ACCOUNT], "period": "2M"})
    assert api.status == 400
    every = await api.post("/pa/allperiods", {"acctIds": [ACCOUNT]})
    assert every[ACCOUNT]["periods"] == ["1D", "7D", "MTD", "1M", "YTD", "1Y"]
    done = await api.post("/pa/transactions", {"acctIds": [ACCOUNT], "conids": [SPY], "days": 30})
    assert (done["transactions"][0]["type"], done["transactions"][0]["qty"]) == ("Buy", 1.0)


async def test_several_accounts() -> None:
    sim = Simulator(load("default", 5))
    sim.quirks.pacing = False
    user = next(one for one in sim.scenario.users if len(one.accounts) > 1)
    sim.log_in(user.username)
    await sim.start(plain=True)
    try:
        api = Api(sim)
        body = await api.get("/iserver/accounts")
        assert body["accounts"] == ["All", *user.accounts]
        assert body["groups"] == ["All"]
        second = user.accounts[1]
        assert await api.post("/iserver/account", {"acctId": user.accounts[0]}) == {
            "success": "Account already set"
        }
        assert await api.post("/iserver/account", {"acctId": second}) == {"set": True, "acctId": second}
        assert (await api.get("/iserver/accounts"))["selectedAccount"] == second
        assert await api.post("/iserver/account", {"acctId": "DU0"}) == {"error": "Invalid account ID"}
        assert api.status == 500
        await api.get("/iserver/account/orders")
        assert (await api.get("/iserver/account/orders"))["orders"] == []
        await api.client.aclose()
    finally:
        await sim.stop()


# --- contracts and market data ------------------------------------------------------------------


async def test_search_strikes_and_info_in_their_order(api: Api) -> None:
    path = f"/iserver/secdef/strikes?conid={AAPL}&sectype=OPT&month="
    assert await api.get(path + "DEC26") == {"call": [], "put": []}
    found = await api.get("/iserver/secdef/search?symbol=AAPL")
    assert found[0]["conid"] == str(AAPL)
    months = next(s for s in found[0]["sections"] if s["secType"] == "OPT")["months"].split(";")
    info = f"/iserver/secdef/info?conid={AAPL}&sectype=OPT&month={months[0]}&strike=195&right=P"
    api.sim.sessions.jar.session.scratch["strikes"] = set()
    await api.get(info)
    assert api.status == 500
    strikes = await api.get(path + months[0])
    assert 195.0 in strikes["call"] and 195.0 in strikes["put"]
    (row,) = await api.get(info)
    assert (row["strike"], row["multiplier"], row["right"]) == (195.0, "100", "P")
    assert (await api.get(f"/iserver/contract/{row['conid']}/info"))["underlying_con_id"] == AAPL
    assert (await api.post("/iserver/secdef/search", {"symbol": "coca", "name": True}))[0]["symbol"] == "KO"
    assert await api.get("/iserver/secdef/search?symbol=XXXX") == {"error": "No symbol found"}
    await api.get("/iserver/secdef/search")
    assert api.status == 400


async def test_contract_routes(api: Api) -> None:
    stocks = await api.get("/trsrv/stocks?symbols=AAPL,NONE")
    assert stocks["NONE"] == []
    assert stocks["AAPL"][0]["contracts"][0] == {"conid": AAPL, "exchange": "NASDAQ", "isUS": True}
    (future, *_) = (await api.get("/trsrv/futures?symbols=ES"))["ES"]
    assert all(type(future[key]) is int for key in ("expirationDate", "ltd", "conid"))
    (defined,) = (await api.get(f"/trsrv/secdef?conids={AAPL}"))["secdef"]
    assert (defined["conid"], defined["strike"], defined["multiplier"]) == (AAPL, "0", 0.0)
    info = await api.get(f"/iserver/contract/{AAPL}/info-and-rules?isBuy=true")
    rules = await api.post("/iserver/contract/rules", {"conid": AAPL, "isBuy": True})
    assert info["rules"] == rules
    assert rules["stopprice"] == rules["limitPrice"] == float(api.sim.world.market.quote(AAPL).price)
    assert "industry" not in await api.get(f"/iserver/contract/{SPY}/info")
    missing = await api.get("/iserver/contract/7/info")
    assert api.status == 500
    assert "reason" in json.loads(missing["error"])
    rate = (await api.get("/iserver/exchangerate?source=USD&target=EUR"))["rate"]
    assert 0.7 < rate < 1
    assert (await api.get("/iserver/currency/pairs?currency=USD"))["USD"][0]["symbol"] == "EUR.USD"
    hours = await api.get(f"/contract/trading-schedule?conid={AAPL}")
    for day in hours["schedules"].values():
        assert day["liquid_hours"][0]["closing"] - day["liquid_hours"][0]["opening"] == 23_400


async def test_snapshot_cold_then_the_union_of_fields(api: Api) -> None:
    await armed(api)
    path = "/iserver/marketdata/snapshot?conids=265598,999&fields="
    cold = await api.get(path + "31,84")
    assert cold[0] == {"conidEx": "265598", "conid": AAPL}
    assert cold[1] == {"conid": 999, "conidEx": "999", "55": "-", "31": "N/A"}
    (row, _) = await api.get(path + "31,83")
    assert type(row["31"]) is str and type(row["83"]) is float
    assert "84" in row and row["6119"] == row["server_id"] == "q0"
    api.sim.quirks.change_pct_as_text = True
    assert (await api.get(path + "83"))[0]["83"].endswith("%")
    every = ",".join(str(number) for number in (55, 73, 74, 76, 87, 7762, 7051, 7289, 7293, 6008, 7308))
    (full, _) = await api.get(path + every)
    assert (full["55"], full["76"], full["6008"]) == ("AAPL", "250", AAPL)
    assert full["87"][-1] in "KMB" and "7308" not in full
    assert await api.post("/iserver/marketdata/unsubscribe", {"conid": AAPL}) == {"success": True}
    assert await api.post("/iserver/marketdata/unsubscribe", {"conid": AAPL}) == {"error": "unknown"}
    assert await api.get("/iserver/marketdata/unsubscribeall") == {"unsubscribed": True}
    await api.get("/iserver/marketdata/snapshot?conids=AAPL")
    assert api.status == 400
    await api.get("/md/regsnapshot?conid=265598")
    assert api.status == 404


@pytest.mark.parametrize(
    ("query", "seconds", "count"),
    [
        ("1d&bar=1min", 60, 390),
        ("1w", 900, 130),
        ("1y", 86400, 252),
        ("5y&bar=1w", 604800, 252),
        ("2h", 60, 120),
    ],
)
async def test_history(api: Api, query: str, seconds: int, count: int) -> None:
    path = f"/iserver/marketdata/history?conid={AAPL}&period={query}"
    body = await api.get(path)
    assert body["barLength"] == seconds
    assert body["points"] == len(body["data"]) - 1
    assert len(body["data"]) == count
    for bar in body["data"]:
        assert bar["l"] <= min(bar["o"], bar["c"]) <= max(bar["o"], bar["c"]) <= bar["h"]
    times = [bar["t"] for bar in body["data"]]
    assert times == sorted(set(times))
    assert body["data"][-1]["c"] == float(api.sim.world.market.quote(AAPL).price)
    assert (await api.get(path))["data"][:-1] == body["data"][:-1]


async def test_history_ends_at_start_time_and_refuses_nonsense(api: Api) -> None:
    path = f"/iserver/marketdata/history?conid={AAPL}&period=1d&bar=1h"
    body = await api.get(path + "&startTime=20260424-18:00:00")
    last = body["data"][-1]["t"] / 1000
    assert last < 1777053600 <= last + 3600
    for wrong in ("period=1d&startTime=x", "period=1d&bar=7min", "period=0d"):
        await api.get(f"/iserver/marketdata/history?conid={AAPL}&{wrong}")
        assert api.status == 400
    assert await api.get(path + "&direction=1") == {"error": "Chart data unavailable"}


async def test_only_five_histories_at_once(api: Api) -> None:
    path = f"/iserver/marketdata/history?conid={AAPL}&period=1d&bar=1h"
    await api.get(path)
    api.sim.world.pace = 20.0  # a second each: else the first may have ended when the last one comes
    replies = await asyncio.gather(*(api.client.get(path) for _ in range(8)))
    codes = sorted(reply.status_code for reply in replies)
    assert codes.count(200) == 5
    assert codes.count(429) == 3


# --- notifications ------------------------------------------------------------------------------


async def test_notifications(api: Api) -> None:
    assert await api.get("/fyi/unreadnumber") == {"status": "waiting for reply"}
    assert api.status == 423
    assert await api.get("/fyi/unreadnumber") == {"BN": 4}
    await api.get("/fyi/notifications")
    first = await api.get("/fyi/notifications?max=10")
    assert len(first) == 10
    assert first[0]["D"].endswith(".0") and type(first[0]["R"]) is int
    more = await api.get(f"/fyi/notifications/more?id={first[-1]['ID']}")
    assert len(more) == 4
    done = await api.call("PUT", f"/fyi/notifications/{first[0]['ID']}")
    assert done == {"V": 1, "T": 5, "P": {"R": 1, "ID": first[0]["ID"]}}
    assert (await api.get("/fyi/notifications"))[0]["R"] == 1
    assert await api.post("/fyi/settings/BA", {"enabled": False}) == {"V": 1, "T": 10}
    settings = {row["FC"]: row for row in await api.get("/fyi/settings")}
    assert settings["BA"]["A"] == 0
    assert await api.call("DELETE", "/fyi/deliveryoptions/iphone-1") == ""
    assert await api.get("/fyi/deliveryoptions") == {"E": [], "M": 1}
