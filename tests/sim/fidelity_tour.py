"""A tour of a running simulator that fetches one reply or frame for each example of the notes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ibtui.sim.scenario import load
from tests.sim.fidelity_tools import blocks
from tests.sim.platform_tools import Client, frame, frame_with, started

AAPL, SPY, QQQ = 265598, 756733, 320227571
ACCOUNT = "DU1234567"
MINE = f"/iserver/account/{ACCOUNT}"
FOLIO = f"/portfolio/{ACCOUNT}"
LIMIT = blocks()["4.5/1"]["orders"][0] | {"cOID": "cli-9001"}
"""The ticket of the notes (their reference belongs to an order of this morning), and their bracket."""
BRACKET = json.loads(json.dumps(blocks()["4.5/2"]).replace("br-7", "br-9"))
OTHER = {key: value for key, value in LIMIT.items() if key != "cOID"}
"""The same ticket without a reference, which may be used only once."""


class Tour:
    """What was seen, by name; `status` has the HTTP status of each reply."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen: dict[str, Any] = {}
        self.status: dict[str, int] = {}

    async def ask(self, name: str, method: str, path: str, body: Any = None) -> Any:
        content = None if method in ("GET", "DELETE") else json.dumps({} if body is None else body)
        head = {} if content is None else {"Content-Type": "application/json"}
        reply = await self.client.http.request(method, f"/v1/api{path}", content=content, headers=head)
        kind = reply.headers.get("content-type", "")
        self.seen[name] = reply.json() if "json" in kind and reply.content else reply.text
        self.status[name] = reply.status_code
        return self.seen[name]

    async def get(self, name: str, path: str) -> Any:
        return await self.ask(name, "GET", path)

    async def post(self, name: str, path: str, body: Any = None) -> Any:
        return await self.ask(name, "POST", path, body)

    async def twice(self, name: str, path: str) -> Any:
        await self.get(f"{name} cold", path)
        return await self.get(name, path)

    async def quirks(self, **switches: Any) -> None:
        await self.client.control("/quirks", switches)


async def tour() -> Tour:
    """Visit everything once. Prices stand still but where a moving one is needed."""
    sim = await started(load("default", 3), logged_in="demo123")
    try:
        async with Client(sim) as client:
            one = Tour(client)
            await one.quirks(pacing=False, commission_delay_s=0.4)
            sim.world.pause(True)
            sim.world.pace = 0.1
            for visit in (_session, _portfolio, _accounts, _contracts, _market, _notifications):
                await visit(one)
            for visit in (_orders, _desk, _previews, _socket, _end):
                await visit(one)
            return one
    finally:
        await sim.stop()


async def _session(one: Tour) -> None:
    await one.get("status", "/iserver/auth/status")
    tickle = await one.post("tickle", "/tickle")
    one.seen["hmds"] = tickle["hmds"]
    one.seen["tickle status"] = tickle["iserver"]["authStatus"]
    await one.get("validate", "/sso/validate")
    await one.post("init", "/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    await one.quirks(init_reply="passed")
    await one.post("init passed", "/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    await one.post("triggered", "/iserver/reauthenticate")
    await one.post("wrong reauthenticate", "/reauthenticate")
    await one.get("orders too early", "/iserver/account/orders")
    await one.get("snapshot too early", f"/iserver/marketdata/snapshot?conids={AAPL}")


async def _portfolio(one: Tour) -> None:
    await one.get("allocation too early", f"{FOLIO}/allocation")
    (one.seen["portfolio account"],) = await one.get("portfolio accounts", "/portfolio/accounts")
    (one.seen["subaccount"],) = await one.get("subaccounts", "/portfolio/subaccounts")
    await one.get("meta", f"{FOLIO}/meta")
    await one.get("summary", f"{FOLIO}/summary")
    await one.get("ledger", f"{FOLIO}/ledger")
    await one.get("allocation", f"{FOLIO}/allocation")
    await one.twice("positions", f"{FOLIO}/positions/0")
    for name in ("positions", "positions cold"):
        one.seen[f"SPY {name}"] = next(row for row in one.seen[name] if row["contractDesc"] == "SPY")
    await one.get("past the end", f"{FOLIO}/positions/7")
    await one.get("positions2", f"/portfolio2/{ACCOUNT}/positions")
    one.seen["QQQ positions2"] = [row for row in one.seen["positions2"] if row["conid"] == str(QQQ)]
    await one.post("invalidate", f"{FOLIO}/positions/invalidate")
    await one.get("everywhere", f"/portfolio/positions/{SPY}")
    await one.get("combos", f"{FOLIO}/combo/positions?nocache=true")
    await one.post("performance", "/pa/performance", {"acctIds": [ACCOUNT], "period": "1M"})


async def _accounts(one: Tour) -> None:
    await one.get("accounts", "/iserver/accounts")
    await one.post("already set", "/iserver/account", {"acctId": ACCOUNT})
    await one.post("invalid account", "/iserver/account", {"acctId": "DU0000000"})
    await one.get("brokerage summary", f"{MINE}/summary")
    await one.get("market value", f"{MINE}/summary/market_value")
    await one.twice("pnl", "/iserver/account/pnl/partitioned")


async def _contracts(one: Tour) -> None:
    await one.get("stocks", "/trsrv/stocks?symbols=AAPL")
    await one.get("stocks of several", "/trsrv/stocks?symbols=IBM,SAP,SPY")
    await one.get("futures", "/trsrv/futures?symbols=ES")
    await one.get("all conids", "/trsrv/all-conids?exchange=NASDAQ")
    await one.get("no symbol", "/iserver/secdef/search?symbol=QWERTZ")
    found = await one.get("search", "/iserver/secdef/search?symbol=AAPL")
    options = next(part for part in found[0]["sections"] if part["secType"] == "OPT")
    where = f"conid={AAPL}&sectype=OPT&month={options['months'].split(';')[0]}&exchange=SMART"
    strikes = await one.get("strikes", f"/iserver/secdef/strikes?{where}")
    strike = min(strikes["put"], key=lambda price: abs(price - 195))
    rows = await one.get("info", f"/iserver/secdef/info?{where}&strike={strike:g}&right=P")
    await one.get("info unknown", "/iserver/secdef/info?conid=999&sectype=STK")
    await one.get("contract info", f"/iserver/contract/{AAPL}/info")
    await one.get("option info", f"/iserver/contract/{rows[0]['conid']}/info")
    await one.post("rules", "/iserver/contract/rules", {
        "conid": AAPL, "exchange": "SMART", "isBuy": True, "modifyOrder": False, "orderId": 1834567001,
    })  # fmt: skip
    both = await one.get("info and rules", f"/iserver/contract/{AAPL}/info-and-rules?isBuy=true")
    one.seen["info part"] = {key: value for key, value in both.items() if key != "rules"}
    one.seen["rules part"] = both["rules"]
    await one.get("hours", f"/contract/trading-schedule?conid={AAPL}")
    (venue,) = await one.get("schedule", f"/trsrv/secdef/schedule?assetClass=STK&symbol=AAPL&conid={AAPL}")
    one.seen["venue"] = venue
    await one.get("pairs", "/iserver/currency/pairs?currency=USD")
    await one.get("rate", "/iserver/exchangerate?source=USD&target=EUR")


async def _market(one: Tour) -> None:
    fields = "31,84,86,85,88,87,7762,82,83,70,71,55"
    await one.twice("snapshot", f"/iserver/marketdata/snapshot?conids={AAPL},{SPY}&fields={fields}")
    (one.seen["unknown row"],) = await one.get(
        "snapshot unknown", "/iserver/marketdata/snapshot?conids=999&fields=31,55"
    )
    await one.get("snapshot nonsense", "/iserver/marketdata/snapshot?conids=AAPL")
    await one.get("history", f"/iserver/marketdata/history?conid={AAPL}&period=1d&bar=1min")
    await one.get("history forwards", f"/iserver/marketdata/history?conid={AAPL}&period=1d&direction=1")
    await one.post("unsubscribe", "/iserver/marketdata/unsubscribe", {"conid": SPY})
    await one.post("not subscribed", "/iserver/marketdata/unsubscribe", {"conid": SPY})
    await one.get("unsubscribe all", "/iserver/marketdata/unsubscribeall")
    await one.get("unsubscribe old", f"/iserver/marketdata/{SPY}/unsubscribe")


async def _notifications(one: Tour) -> None:
    await one.twice("unread", "/fyi/unreadnumber")
    notes = await one.twice("notes", "/fyi/notifications?max=10")
    await one.ask("read", "PUT", f"/fyi/notifications/{notes[0]['ID']}")
    await one.get("fyi settings", "/fyi/settings")
    await one.post("fyi set", "/fyi/settings/BA", {"enabled": True})
    await one.get("disclaimer", "/fyi/disclaimer/BA")
    await one.ask("disclaimer read", "PUT", "/fyi/disclaimer/BA")
    await one.get("delivery", "/fyi/deliveryoptions")
    await one.ask("email", "PUT", "/fyi/deliveryoptions/email?enabled=true")
    device = {"deviceName": "iPad", "deviceId": "ipad-1", "uiName": "ipad-1", "enabled": True}
    await one.post("device", "/fyi/deliveryoptions/device", device)
    await one.ask("device gone", "DELETE", "/fyi/deliveryoptions/ipad-1")


async def _orders(one: Tour) -> None:
    await one.twice("orders", "/iserver/account/orders")
    rows = one.seen["orders"]["orders"]
    wanted = [row for row in rows if row.get("order_ref") == "cli-0001" or row["sizeAndFills"] == "1"]
    one.seen["two orders"] = {"orders": wanted, "snapshot": one.seen["orders"]["snapshot"]}
    await one.twice("trades", "/iserver/account/trades")
    one.seen["AMD trades"] = [row for row in one.seen["trades"] if row["symbol"] == "AMD"]
    await one.get("unknown order", "/iserver/account/order/status/1834560001")


async def _desk(one: Tour) -> None:
    orders = f"{MINE}/orders"
    await one.quirks(questions=[])
    (row,) = await one.post("accepted", orders, {"orders": [LIMIT]})
    order_id = row["order_id"]
    await one.get("order status", f"/iserver/account/order/status/{order_id}")
    await one.post("duplicate", orders, {"orders": [LIMIT]})
    await one.post("bracket", orders, BRACKET)
    await one.ask("cancel", "DELETE", f"{MINE}/order/{order_id}")
    await asyncio.sleep(0.2)
    await one.ask("cancel dead", "DELETE", f"{MINE}/order/{order_id}")
    await one.ask("cancel unknown", "DELETE", f"{MINE}/order/1")
    await one.post("modify unknown", f"{MINE}/order/1", LIMIT)
    await one.post("size 0", f"{orders}/whatif", {"orders": [OTHER | {"quantity": 0}]})
    await _questions(one, orders)


async def _previews(one: Tour) -> None:
    """Of AAPL, which a snapshot was asked of; of SAP, whose data this user does not have; of IBM, cold."""
    (sap,) = one.seen["stocks of several"]["SAP"][0]["contracts"]
    snapshot = f"/iserver/marketdata/snapshot?conids={AAPL},{sap['conid']}&fields=31"
    await one.get("SAP snapshot", snapshot)
    price = (await one.client.control("/books"))["prices"][str(sap["conid"])]["last"]
    near = OTHER | {"conid": sap["conid"], "price": float(price)}
    await one.post("preview without data", f"{MINE}/orders/whatif", {"orders": [near]})
    await one.post("preview", f"{MINE}/orders/whatif", {"orders": [OTHER]})
    (ibm,) = one.seen["stocks of several"]["IBM"][0]["contracts"]
    cold = OTHER | {"conid": ibm["conid"], "orderType": "MKT", "price": None}
    await one.post("preview cold", f"{MINE}/orders/whatif", {"orders": [cold]})


async def _questions(one: Tour, orders: str) -> None:
    await one.quirks(questions=None)
    far = {"orders": [OTHER | {"price": 1.0, "quantity": 1}]}
    await one.post("question", orders, far)
    reply_id = one.seen["question"][0]["id"]
    await one.post("declined", f"/iserver/reply/{reply_id}", {"confirmed": False})
    await one.post("unknown reply", f"/iserver/reply/{reply_id}", {"confirmed": True})
    old = (await one.post("left behind", orders, far))[0]["id"]
    await one.quirks(questions=["o10153"])
    await one.post("cap question", orders, far)
    await one.post("dead reply", f"/iserver/reply/{old}", {"confirmed": True})
    await one.quirks(questions=["p12"])
    prompt = await one.post("prompt", orders, far)
    await one.post("prompt answered", "/iserver/notification",
                   {"orderId": prompt["orderId"], "reqId": prompt["reqId"], "text": "Yes"})  # fmt: skip
    await one.quirks(questions=[])
    await one.post("suppressed", "/iserver/questions/suppress", {"messageIds": ["o163", "o354"]})
    await one.post("suppress reset", "/iserver/questions/suppress/reset")


async def _socket(one: Tour) -> None:
    client = one.client
    async with client.socket("api=0123") as ws:
        one.seen["waiting"] = await frame(ws)
    async with client.socket(f"api={client.token}") as ws:
        for name in ("system", "act", "sts"):
            one.seen[name] = await frame_with(ws, name)
        one.seen["act args"] = one.seen["act"]["args"]
        await ws.send("tic")
        one.seen["tic"] = await frame_with(ws, "tic")
        await _streams(one, ws)
        await _reports(one, ws)
        await _live_order(one, ws)
        one.seen["beat"] = await _beat(ws)
    await one.client.control("/session", {"action": "compete"})
    async with client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        one.seen["sts delta"] = await frame_with(ws, "sts")
    await one.client.control("/session", {"action": "release"})


async def _streams(one: Tour, ws: Any) -> None:
    await ws.send(f'smd+{AAPL}+{{"fields":["31","83","84","86"]}}')
    one.seen["smd"] = await frame_with(ws, f"smd+{AAPL}")
    one.seen["smd again"] = await frame_with(ws, f"smd+{AAPL}")
    await client_price(one, 190.55)
    one.seen["smd delta"] = await frame_with(ws, f"smd+{AAPL}")
    await ws.send(f"umd+{AAPL}+{{}}")
    await ws.send(f'smh+{AAPL}+{{"period":"1d","bar":"1min"}}')
    history = one.seen["smh"] = await frame_with(ws, f"smh+{AAPL}")
    await ws.send(f"umh+{history['serverId']}+{{}}")
    one.seen["umh"] = await frame(ws)
    await ws.send(f"sbd+{ACCOUNT}+{AAPL}")
    one.seen["sbd"] = await frame_with(ws, f"sbd+{ACCOUNT}+{AAPL}")
    await ws.send(f"ubd+{ACCOUNT}")


async def client_price(one: Tour, price: float) -> None:
    await one.client.control("/prices", {"conid": AAPL, "price": price})


async def _reports(one: Tour, ws: Any) -> None:
    for topic in ("ssd", "sld"):
        await ws.send(f"{topic}+{ACCOUNT}+{{}}")
        one.seen[topic] = await frame_with(ws, f"{topic}+{ACCOUNT}")
        await ws.send(f"u{topic[1:]}+{ACCOUNT}+{{}}")
        one.seen[f"u{topic[1:]}"] = await frame(ws)
    await ws.send("spl+{}")
    one.seen["spl empty"] = await frame_with(ws, "spl")
    one.seen["spl"] = await frame_with(ws, "spl")
    await ws.send("upl+{}")


async def _live_order(one: Tour, ws: Any) -> None:
    """The life of a limit order at the exchange, then its fill and what `str` says of it."""
    await one.quirks(sor_snapshot="none")
    await ws.send("sor+{}")
    await ws.send('str+{"realtimeUpdatesOnly":true}')
    one.seen["str empty"] = await frame_with(ws, "str")
    order = LIMIT | {"cOID": "cli-9002"}
    (row,) = await one.post("placed", f"{MINE}/orders", {"orders": [order]})
    for number in range(1, 6):
        one.seen[f"sor {number}"] = await frame_with(ws, "sor")
    await one.post("modified", f"{MINE}/order/{row['order_id']}", order | {"price": 186.0})
    one.seen["sor modified"] = await frame_with(ws, "sor")
    await client_price(one, 185.5)
    one.seen["sor filled"] = await frame_with(ws, "sor")
    one.seen["str first"] = await frame_with(ws, "str")
    one.seen["str second"] = await frame_with(ws, "str")
    (row,) = await one.post("gtc", f"{MINE}/orders", {"orders": [OTHER | {"price": 150.0, "tif": "GTC"}]})
    one.seen["ntf"] = await frame_with(ws, "ntf")
    await one.ask("cancel gtc", "DELETE", f"{MINE}/order/{row['order_id']}")


async def _beat(ws: Any) -> Any:
    async with asyncio.timeout(12):
        while True:
            one = await frame(ws, 12)
            if isinstance(one, dict) and "hb" in one:
                return one


async def _end(one: Tour) -> None:
    await one.client.control("/session", {"action": "reset"})
    await one.get("status over", "/iserver/auth/status")
    await one.get("tickle over", "/tickle")
    await one.client.login("demo123")
    await one.client.ready()
    await one.post("logout", "/logout")
    await one.post("init after logout", "/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    await one.get("accounts after logout", "/iserver/accounts")
