"""Endpoints: requests as the notes word them, replies with everything odd in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ibtui.core.endpoints import accounts, contracts, market, orders, portfolio, session
from ibtui.core.endpoints.common import Call, flag, integer, label, milliseconds, strings, text
from ibtui.core.models import Placed, Prompt, Question
from ibtui.errors import UnknownReply


def loads(raw: str) -> Any:
    return msgspec.json.Decoder(float_hook=str).decode(raw)


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (session.tickle(), "POST", "/tickle"),
        (session.auth_status(), "GET", "/iserver/auth/status"),
        (session.validate(), "GET", "/sso/validate"),
        (session.logout(), "POST", "/logout"),
        (session.reauthenticate(), "POST", "/iserver/reauthenticate"),
        (accounts.brokerage(), "GET", "/iserver/accounts"),
        (accounts.portfolio(), "GET", "/portfolio/accounts"),
        (portfolio.positions("DU1", 3), "GET", "/portfolio/DU1/positions/3"),
        (portfolio.invalidate("a/b"), "POST", "/portfolio/a%2Fb/positions/invalidate"),
        (portfolio.summary("DU1"), "GET", "/portfolio/DU1/summary"),
        (portfolio.ledger("DU1"), "GET", "/portfolio/DU1/ledger"),
        (portfolio.pnl(), "GET", "/iserver/account/pnl/partitioned"),
        (orders.status(7), "GET", "/iserver/account/order/status/7"),
        (orders.whatif("DU1", []), "POST", "/iserver/account/DU1/orders/whatif"),
        (orders.modify("DU1", 7, {"a": 1}), "POST", "/iserver/account/DU1/order/7"),
        (orders.cancel("DU1", 7), "DELETE", "/iserver/account/DU1/order/7"),
        (orders.suppress_reset(), "POST", "/iserver/questions/suppress/reset"),
        (market.unsubscribe_all(), "GET", "/iserver/marketdata/unsubscribeall"),
        (contracts.info(5), "GET", "/iserver/contract/5/info"),
    ],
)
def test_requests(call: Call, method: str, path: str) -> None:
    assert (call.method, call.path) == (method, path)


def test_request_bodies_and_parameters() -> None:
    assert session.ssodh_init(compete=True, publish=True).data == {"publish": True, "compete": True}
    assert accounts.select("DU2").data == {"acctId": "DU2"}
    assert orders.place("DU1", [{"conid": 1}]).data == {"orders": [{"conid": 1}]}
    assert orders.reply("a/b", confirmed=True) == Call(
        "POST", "/iserver/reply/a%2Fb", {}, {"confirmed": True}
    )
    assert orders.suppress(["o163"]).data == {"messageIds": ["o163"]}
    assert orders.notification(1, "2", "Yes").data == {"orderId": 1, "reqId": "2", "text": "Yes"}
    assert orders.live(force=True).params == {"force": True, "accountId": None, "filters": None}
    assert orders.trades(3).params == {"days": 3}
    assert market.snapshot([1, 2], ["31", "84"]).params == {"conids": "1,2", "fields": "31,84"}
    assert market.history(1, "1w", "1h").params["period"] == "1w"
    assert market.unsubscribe(1).data == {"conid": 1}
    assert contracts.search("AAPL").params["symbol"] == "AAPL"
    assert contracts.stocks(["A", "B"]).params == {"symbols": "A,B"}
    assert contracts.futures(["ES"]).params == {"symbols": "ES"}
    assert contracts.rules(1, buy=True, exchange="SMART").data["exchange"] == "SMART"
    assert contracts.strikes(1, "MAY26").params["sectype"] == "OPT"
    assert contracts.secdef(1, "OPT", "MAY26", right="C").params["right"] == "C"
    assert contracts.schedule(1).params == {"conid": 1}


def test_scalars() -> None:
    assert [text(value) for value in ("", "null", "N/A", "None", "NA", None, [], {})] == [None] * 8
    assert [text(value) for value in (1, 1.5, True, "x")] == ["1", "1.5", "true", "x"]
    assert label("Oil&amp;Gas") == "Oil&Gas" and label(None) is None
    assert [integer(value) for value in (5, "5", "5.0", 5.0)] == [5] * 4
    assert [integer(value) for value in ("5.5", "x", None, True, "", float("nan"))] == [None] * 6
    assert [flag(value) for value in (True, "true", 1, "1")] == [True] * 4
    assert [flag(value) for value in (False, "false", 0, "0", None, "x", [])] == [False] * 4 + [None] * 3
    assert [milliseconds(value) for value in (1777041130, "1777041875.0", 1777041130123)] == [
        1777041130000,
        1777041875000,
        1777041130123,
    ]
    assert [milliseconds(value) for value in (None, "x", -1, "1e400", "1.7770411301e9")] == [
        0,
        0,
        0,
        0,
        1777041130000,
    ]
    assert strings("a") == ("a",) and strings(None) == () and strings([1, None, "b"]) == ("1", "b")


def test_status_with_missing_and_odd_members() -> None:
    found = session.read_status(loads('{"authenticated":"true","connected":true,"competing":false}'))
    assert found.authenticated and found.ready and found.established is None
    assert not session.read_status({"authenticated": True, "connected": True, "established": False}).ready
    assert not session.read_status({}).ready and not session.read_status(None).ready
    assert session.read_status({"serverInfo": {"serverName": None}, "message": None}).server is None


def test_tickle() -> None:
    raw = (
        '{"session":"4be07c51d9a2463f8e1b6f0a97c3d25e","ssoExpires":571204,"collission":true,"userId":99900016,'
        '"hmds":{"error":"no bridge"},"iserver":{"authStatus":{"authenticated":true,"connected":true,'
        '"serverInfo":'
        '{"serverName":"JifX10427"}}}}'
    )
    found = session.read_tickle(loads(raw))
    assert (found.sso_expires_ms, found.user_id, found.collision) == (571204, 99900016, True)
    assert found.status.ready and found.status.server == "JifX10427"
    token = session.read_token(loads(raw))
    assert token is not None and token.reveal().startswith("4be0") and "4be0" not in repr(found)
    assert not session.read_tickle({"iserver": {"tickle": True}}).status.authenticated
    assert session.read_token({}) is None


def test_accounts() -> None:
    found = accounts.read_brokerage(
        {
            "accounts": ["All", "DU1", "DU2"],
            "selectedAccount": "All",
            "aliases": {"DU1": "a&amp;b"},
            "isPaper": True,
        }
    )
    assert found.ids == ("DU1", "DU2") and found.selected == "DU1"
    assert found.aliases == {"DU1": "a&b"} and found.paper is True
    assert accounts.read_brokerage(None).ids == ()
    rows = accounts.read_portfolio(
        [{"id": "DU1", "accountTitle": "Demo", "currency": "USD", "new": 1}, {"accountId": "U2"}, {}, "x"]
    )
    assert [(row.id, row.paper) for row in rows] == [("DU1", True), ("U2", False)]
    assert rows[0].extra == {"new": 1}


def test_positions_cold_and_warm() -> None:
    cold = loads(
        '{"acctId":"DU1","conid":756733,"contractDesc":"SPY","position":44.0,"mktPrice":655.8945923,"mktValue":28859.36,'
        '"currency":"USD","avgCost":652.47477275,"avgPrice":652.47477275,"realizedPnl":0.0,"unrealizedPnl":150.47,'
        '"expiry":null,"putOrCall":null,"multiplier":null,"strike":0.0,"assetClass":"STK","undConid":0}'
    )
    (found,) = portfolio.read_positions([cold])
    assert (found.market_price, found.avg_cost, found.position) == ("655.8945923", "652.47477275", "44.0")
    assert found.multiplier is None and found.decimals is None and found.key == "DU1:756733"
    warm = {
        **cold,
        "multiplier": "0.0",
        "strike": "195",
        "group": "Oil&amp;Gas",
        "ticker": "SPY",
        "displayRule": {"displayRuleStep": [{"decimalDigits": 2}]},
        "isUS": True,
    }
    (found,) = portfolio.read_positions([warm])
    assert (found.decimals, found.group, found.strike) == (2, "Oil&Gas", "195")
    assert found.extra == {"isUS": True}
    (found,) = portfolio.read_positions(
        [{"conid": "320227571", "marketPrice": "5", "description": "QQQ"}], "DU9"
    )
    assert (found.account, found.conid, found.market_price, found.description) == (
        "DU9",
        320227571,
        "5",
        "QQQ",
    )
    assert (
        portfolio.read_positions({"error": "x"}) == [] and portfolio.read_positions([{"conid": "x"}, 5]) == []
    )


def test_summary_and_ledger() -> None:
    rows = portfolio.read_summary(
        loads(
            '{"accountready":{"amount":0.0,"currency":null,"isNull":false,"timestamp":1777041130,"value":"true"},'
            '"netliquidation":{"amount":1005353.88,"currency":"USD","isNull":false,"timestamp":1777041130000,'
            '"value":"1005353.88"},"sma":{"amount":0.0,"currency":"USD","isNull":true,"value":"null"},"odd":5}'
        )
    )
    assert rows["accountready"].value == "true" and rows["accountready"].amount is None
    assert rows["accountready"].timestamp_ms == 1777041130000
    assert rows["netliquidation"].amount == "1005353.88" and rows["netliquidation"].value is None
    assert rows["sma"].amount is None and rows["sma"].value is None and "odd" not in rows
    ledger = portfolio.read_ledger(
        loads(
            '{"USD":{"cashbalance":971869.6,"exchangerate":1,"secondkey":"USD","timestamp":1777041130,"funds":0.0}}'
        )
    )
    assert ledger["USD"].cash == "971869.6" and ledger["USD"].exchange_rate == "1"
    assert ledger["USD"].extra == {"funds": "0.0"}
    assert portfolio.read_summary_frame({"timestamp": 1}) is None
    assert portfolio.read_ledger_frame({"timestamp": 1, "cashbalance": "1"}) is None


def test_pnl() -> None:
    raw = '{"upnl":{"DU1.Core":{"rowType":1,"dpl":-58.28,"nl":1.02E6,"upl":"","el":7.0},"DU1.M":{"dpl":1}}}'
    found = portfolio.read_pnl(loads(raw))
    assert set(found) == {"DU1"}
    assert (found["DU1"].daily, found["DU1"].net_liquidity, found["DU1"].unrealized) == (
        "-58.28",
        "1.02E6",
        None,
    )
    assert found["DU1"].excess_liquidity == "7.0"
    assert portfolio.read_pnl({"upnl": {}}) == {} and portfolio.read_pnl([]) == {}


def test_orders() -> None:
    row = {
        "acct": "DU1",
        "account": "DU1",
        "orderId": "1834567001",
        "conid": 265598,
        "price": "",
        "auxPrice": "5",
        "parentId": 7,
        "outsideRTH": "false",
        "lastExecutionTime_r": 1777041130000,
        "orderDesc": "Buy 10 &amp; hold",
        "new": 1,
    }
    (found,) = orders.read_orders({"orders": [row, {"status": "x"}], "snapshot": True})
    assert found.order_id == 1834567001 and found.price is None and found.aux_price == "5"
    assert found.parent_id == "7" and found.outside_rth is False and found.updated_ms == 1777041130000
    assert found.description == "Buy 10 & hold" and found.extra == {"new": 1}
    assert orders.read_orders({}) == [] and orders.read_orders([row])[0].order_id == 1834567001
    (execution,) = orders.read_executions(
        [{"execution_id": "e", "order_id": 9, "accountCode": "DU1", "side": "BOT", "x": 1}, {}]
    )
    assert (execution.account, execution.order_id, execution.commission) == ("DU1", 9, None)
    assert execution.extra == {"x": 1}


def test_the_kinds_of_placement_replies() -> None:
    (placed,) = orders.read_placement(
        [{"order_id": "1834567001", "local_order_id": "c", "order_status": "Submitted"}]
    )
    assert placed == Placed(order_id=1834567001, status="Submitted", order_ref="c")
    question = orders.read_placement(
        [{"id": "5f0c", "message": ["A &amp; B?"], "messageIds": ["o163"], "messageOptions": ["Yes", "No"]}]
    )
    assert question == Question(id="5f0c", messages=("A & B?",), message_ids=("o163",), options=("Yes", "No"))
    prompt = orders.read_placement(
        {"orderId": 1, "reqId": "2", "text": "Sure?", "options": ["Yes"], "messageId": "p12", "prompt": True}
    )
    assert prompt == Prompt(order_id=1, request_id="2", text="Sure?", options=("Yes",), message_id="p12")
    for odd in ([], {}, None, [{"x": 1}]):
        with pytest.raises(UnknownReply):
            orders.read_placement(odd)


def test_preview() -> None:
    found = orders.read_preview(
        {
            "amount": {"amount": "1,850.00 USD", "commission": "NA"},
            "warn": "21/x",
            "warns": ["21/x", "y"],
            "cqe": {},
        }
    )
    assert found.amount == {"amount": "1,850.00 USD", "commission": None}
    assert found.warnings == ("21/x", "y") and found.extra == {"cqe": {}} and found.equity == {}
    assert orders.read_preview(None).warnings == ()


def test_quotes_and_history() -> None:
    (found,) = market.read_quotes(
        loads(
            '[{"conidEx":"1","conid":1,"_updated":5000000000000,"31":"C5","83":-0.73,"6008":1,"server_id":"q0"},{}]'
        )
    )
    assert found.fields == {"31": "C5", "83": "-0.73", "6008": "1"} and found.get("99") is None
    bars = market.read_history(
        loads(
            '{"symbol":"A","barLength":60,"volumeFactor":40,"data":[{"o":1.5,"c":2,"h":3,"l":1,"v":9.1,"t":1777037400000},{}]}'
        )
    )
    assert (bars.symbol, bars.bar_seconds, bars.volume_factor, len(bars.bars)) == ("A", 60, 40, 1)
    assert (bars.bars[0].open, bars.bars[0].volume) == ("1.5", "9.1")
    assert market.read_history(None).bars == ()


def test_contracts() -> None:
    (found,) = contracts.read_search(
        [{"conid": "265598", "companyName": "A &amp; B", "symbol": "AB", "sections": []}, {"conid": None}]
    )
    assert (found.conid, found.name, found.symbol, found.extra) == (265598, "A & B", "AB", {"sections": []})
    listings = contracts.read_stocks(
        {
            "AAPL": [
                {
                    "name": "APPLE",
                    "assetClass": "STK",
                    "contracts": [
                        {"conid": 2, "exchange": "MEXI", "isUS": False},
                        {"conid": 1, "exchange": "NASDAQ", "isUS": True},
                        {},
                    ],
                }
            ],
            "NONE": [],
        }
    )
    assert [row.conid for row in listings["AAPL"]] == [1, 2] and listings["NONE"] == []
    (option,) = contracts.read_secdef(
        [{"conid": 5, "strike": "195.0", "right": "P", "maturityDate": "20260515"}]
    )
    assert (option.strike, option.right, option.expiry) == ("195.0", "P", "20260515")
    info = contracts.read_info({"con_id": 265598, "instrument_type": "STK", "company_name": "APPLE INC"})
    assert info is not None and (info.sec_type, info.name) == ("STK", "APPLE INC")
    assert contracts.read_info({}) is None
