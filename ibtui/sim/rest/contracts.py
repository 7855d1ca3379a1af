"""Contract routes (web-api.md §5.1-5.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from ibtui.sim.catalogue import ES_INDEX
from ibtui.sim.instruments import Contract, plain
from ibtui.sim.rest.common import UNAVAILABLE, conid_of, mapping, truth
from ibtui.sim.rest.rules import rules
from ibtui.sim.rest.secdefs import contract_keys, wire_multiplier
from ibtui.sim.seam import Call, Needs, Route, refuse, reply

_ES_NAME = "E-mini S&P 500"


def _symbols(call: Call) -> list[str]:
    text = call.request.query.get("symbols", "")
    if not text:
        raise refuse(400, "Bad Request: symbols is required", with_status=True)
    return [symbol for symbol in text.split(",") if symbol]


async def _stocks(call: Call) -> web.StreamResponse:
    result: dict[str, list[dict[str, Any]]] = {}
    for symbol in _symbols(call):
        companies: dict[str, dict[str, Any]] = {}
        for contract in call.world.catalogue.by_symbol.get(symbol, []):
            if contract.sec_type != "STK":
                continue
            company = companies.setdefault(
                contract.name,
                {
                    "name": contract.name,
                    "chineseName": contract.chinese,
                    "assetClass": "STK",
                    "contracts": [],
                },
            )
            company["contracts"].append(
                {"conid": contract.conid, "exchange": contract.exchange, "isUS": contract.is_us}
            )
        result[symbol] = list(companies.values())
    return reply(result)


async def _futures(call: Call) -> web.StreamResponse:
    result: dict[str, list[dict[str, Any]]] = {}
    for symbol in _symbols(call):
        rows = [c for c in call.world.catalogue.by_symbol.get(symbol, []) if c.sec_type == "FUT"]
        result[symbol] = [_future(contract) for contract in rows]
    return reply(result)


def _future(contract: Contract) -> dict[str, Any]:
    expiry = contract.expiry or "20000101"
    last = datetime.strptime(expiry, "%Y%m%d").replace(tzinfo=UTC) - timedelta(days=1)
    cut = int(f"{last:%Y%m%d}")
    return {
        "symbol": contract.symbol,
        "conid": contract.conid,
        "underlyingConid": contract.und_conid,
        "expirationDate": int(expiry),
        "ltd": cut,
        "shortFuturesCutOff": cut,
        "longFuturesCutOff": cut,
    }


async def _secdef(call: Call) -> web.StreamResponse:
    rows = []
    for text in call.request.query.get("conids", "").split(","):
        contract = conid_of(call, text)
        rows.append(
            {
                "conid": contract.conid,
                "currency": contract.currency,
                "assetClass": contract.sec_type,
                "expiry": contract.expiry,
                "putOrCall": contract.right,
                "strike": plain(contract.strike) if contract.strike is not None else "0",
                "multiplier": wire_multiplier(contract),
                "undConid": contract.und_conid,
            }
            | contract_keys(contract)
        )
    return reply({"secdef": rows})


async def _all_conids(call: Call) -> web.StreamResponse:
    wanted = call.request.query.get("exchange", "")
    rows = [
        {"ticker": c.symbol, "conid": c.conid, "exchange": "NMS" if c.exchange == "NASDAQ" else c.exchange}
        for c in call.world.catalogue.by_conid.values()
        if c.sec_type == "STK" and c.exchange == wanted
    ]
    return reply(rows)


# --- search, strikes, info -----------------------------------------------------------------------


async def _search(call: Call) -> web.StreamResponse:
    if call.request.method == "POST":
        wish = await mapping(call)
    else:
        wish = dict(call.request.query)
    symbol = str(wish.get("symbol", "")).strip()
    if not symbol:
        raise refuse(400, "Bad Request: symbol is required", with_status=True)
    by_name = wish.get("name") is True or truth(str(wish.get("name", "")))
    kind = str(wish.get("secType", "") or "")
    found = _found(call, symbol, by_name, kind)
    if not by_name:
        searched = call.session.scratch.setdefault("searched", set())
        searched.update(int(row["conid"]) for row in found)
    if not found:
        return reply({"error": "No symbol found"})
    return reply(found)


def _found(call: Call, symbol: str, by_name: bool, kind: str) -> list[dict[str, Any]]:
    catalogue = call.world.catalogue
    wanted = symbol.upper()
    if kind == "BOND":
        return [_issuer_row(contract) for contract in catalogue.by_symbol.get(wanted, [])[:1]]
    rows = []
    if kind in ("", "IND", "FUT") and wanted == "ES":
        rows.append(_index_row(call))
    if kind in ("", "STK", "CASH"):
        for contract in list(catalogue.by_conid.values()):
            if contract.sec_type not in ("STK", "CASH") or (kind and contract.sec_type != kind):
                continue
            pair = f"{contract.symbol}.{contract.currency}" if contract.sec_type == "CASH" else None
            if wanted in (contract.symbol, pair) or (by_name and wanted in contract.name):
                rows.append(_search_row(call, contract))
    return rows[:20]


def _search_row(call: Call, contract: Contract) -> dict[str, Any]:
    sections: list[dict[str, Any]] = [{"secType": contract.sec_type}]
    if contract.has_options:
        months = _months(call, contract.conid, "OPT")
        if months:
            sections.append({"secType": "OPT", "months": months, "exchange": "SMART;AMEX;CBOE"})
        sections.append({"secType": "CFD", "exchange": "SMART", "conid": str(contract.conid + 1)})
        sections.append({"secType": "BAG"})
    elif contract.sec_type == "STK":
        sections = [{"secType": "STK", "exchange": f"{contract.exchange};"}]
    return {
        "conid": str(contract.conid),
        "companyHeader": f"{contract.name} - {contract.exchange}",
        "companyName": contract.name,
        "symbol": contract.symbol,
        "description": contract.exchange,
        "restricted": None,
        "sections": sections,
    }


def _issuer_row(contract: Contract) -> dict[str, Any]:
    """Bonds are found by their issuer (§5.3)."""
    return {
        "conid": "2147483647",
        "companyHeader": "Corporate Fixed Income",
        "companyName": "Corporate Fixed Income",
        "symbol": None,
        "description": None,
        "restricted": None,
        "sections": [{"secType": "BOND"}],
        "issuers": [{"id": f"e{contract.conid}", "name": contract.name}],
        "bondid": 2,
    }


def _index_row(call: Call) -> dict[str, Any]:
    months = _months(call, ES_INDEX, "FUT")
    return {
        "conid": str(ES_INDEX),
        "companyHeader": f"{_ES_NAME} - CME",
        "companyName": _ES_NAME,
        "symbol": "ES",
        "description": "CME",
        "restricted": "IND",
        "sections": [
            {"secType": "IND", "exchange": "CME;"},
            {"secType": "FUT", "months": months, "exchange": "CME"},
        ],
    }


def _months(call: Call, conid: int, kind: str) -> str:
    chain = sorted(call.world.catalogue.derivatives(conid, kind), key=lambda c: c.expiry or "")
    return ";".join(dict.fromkeys(contract.month for contract in chain))


def _chain(call: Call) -> tuple[int, list[Contract]]:
    """The underlying's id and the wanted derivatives; empty before a search of the underlying (§1.7)."""
    query = call.request.query
    text = query.get("conid", "")
    if not text.isdigit():
        raise refuse(400, "Bad Request: conid is not valid", with_status=True)
    conid = int(text)
    searched = call.session.scratch.get("searched", set())
    if call.quirks.cold_replies and conid not in searched:
        return conid, []
    kind = query.get("sectype", query.get("secType", "")).upper()
    return conid, call.world.catalogue.derivatives(conid, kind, query.get("month", "").upper())


async def _strikes(call: Call) -> web.StreamResponse:
    conid, chain = _chain(call)
    call.session.scratch.setdefault("strikes", set()).add(conid)
    strikes = {
        right: sorted({float(c.strike) for c in chain if c.right == right and c.strike is not None})
        for right in "CP"
    }
    return reply({"call": strikes["C"], "put": strikes["P"]})


async def _info(call: Call) -> web.StreamResponse:
    query = call.request.query
    kind = query.get("sectype", query.get("secType", "")).upper()
    conid = query.get("conid", "")
    if kind in ("", "STK", "CASH"):
        return reply([_info_row(conid_of(call, conid))])
    number, chain = _chain(call)
    asked = call.session.scratch.get("strikes", set())
    if not chain or (kind == "OPT" and call.quirks.cold_replies and number not in asked):
        raise refuse(500, UNAVAILABLE)
    strike, right = query.get("strike"), query.get("right", "").upper()
    try:
        value = float(strike) if strike else None
    except ValueError:
        raise refuse(400, "Bad Request: strike is not valid", with_status=True) from None
    rows = [
        c
        for c in chain
        if (value is None or (c.strike is not None and float(c.strike) == value))
        and right in ("", c.right or "")
    ]
    return reply([_info_row(contract) for contract in rows])


def _info_row(contract: Contract) -> dict[str, Any]:
    return {
        "conid": contract.conid,
        "symbol": contract.symbol,
        "secType": contract.sec_type,
        "exchange": "SMART" if contract.venues.startswith("SMART") else contract.exchange,
        "listingExchange": None,
        "right": contract.right or "?",
        "strike": float(contract.strike or 0),
        "currency": contract.currency,
        "cusip": None,
        "coupon": "No Coupon",
        "desc1": contract.symbol,
        "desc2": contract.desc2 or contract.name,
        "maturityDate": contract.expiry,
        "multiplier": plain(contract.multiplier) if contract.multiplier != 1 else "",
        "tradingClass": trading_class(contract),
        "validExchanges": contract.venues,
    }


def trading_class(contract: Contract) -> str:
    """`NMS` for Nasdaq stocks, else the symbol."""
    return "NMS" if contract.exchange == "NASDAQ" and contract.sec_type == "STK" else contract.symbol


# --- contract info and rules ---------------------------------------------------------------------


def contract_info(contract: Contract) -> dict[str, Any]:
    """The snake_case object of §5.5."""
    month = contract.expiry[:6] if contract.expiry else None
    row: dict[str, Any] = {
        "cfi_code": "",
        "symbol": contract.symbol,
        "cusip": None,
        "expiry_full": month,
        "con_id": contract.conid,
        "maturity_date": contract.expiry,
    }
    if contract.group:
        row["industry"] = contract.group
    row |= {
        "instrument_type": contract.sec_type,
        "has_related_contracts": contract.has_options,
        "trading_class": trading_class(contract),
        "valid_exchanges": contract.venues,
        "allow_sell_long": False,
        "is_zero_commission_security": False,
        "local_symbol": contract.full_name,
        "contract_clarification_type": None,
        "classifier": None,
        "currency": contract.currency,
        "text": contract.desc2 or None,
        "underlying_con_id": contract.und_conid,
        "r_t_h": True,
        "multiplier": plain(contract.multiplier) if contract.multiplier != 1 else None,
        "underlying_issuer": None,
        "contract_month": month,
        "company_name": contract.name,
        "smart_available": contract.venues.startswith("SMART"),
        "exchange": "SMART" if contract.venues.startswith("SMART") else contract.exchange,
    }
    if contract.category:
        row["category"] = contract.category
    return row


async def _contract_info(call: Call) -> web.StreamResponse:
    return reply(contract_info(conid_of(call, call.request.match_info["conid"])))


async def _info_and_rules(call: Call) -> web.StreamResponse:
    contract = conid_of(call, call.request.match_info["conid"])
    return reply(contract_info(contract) | {"rules": rules(call, contract)})


async def _rules(call: Call) -> web.StreamResponse:
    body = await mapping(call)
    return reply(rules(call, conid_of(call, str(body.get("conid", "")))))


async def _algos(call: Call) -> web.StreamResponse:
    conid_of(call, call.request.match_info["conid"])
    urgency = {"id": "adaptivePriority", "valueClassName": "String", "required": "true", "name": "Priority"}
    adaptive = {"name": "Adaptive", "id": "Adaptive", "parameters": [urgency]}
    vwap = {"name": "VWAP", "id": "Vwap", "parameters": []}
    return reply({"algos": [adaptive, vwap]})


ROUTES: list[Route] = [
    Route("GET", "/trsrv/stocks", _stocks, Needs.SSO),
    Route("GET", "/trsrv/futures", _futures, Needs.SSO),
    Route("GET", "/trsrv/secdef", _secdef, Needs.SSO),
    Route("GET", "/trsrv/all-conids", _all_conids, Needs.SSO),
    Route("GET", "/iserver/secdef/search", _search),
    Route("POST", "/iserver/secdef/search", _search),
    Route("GET", "/iserver/secdef/strikes", _strikes),
    Route("GET", "/iserver/secdef/info", _info),
    Route("POST", "/iserver/contract/rules", _rules),
    Route("GET", "/iserver/contract/{conid}/info", _contract_info),
    Route("GET", "/iserver/contract/{conid}/info-and-rules", _info_and_rules),
    Route("GET", "/iserver/contract/{conid}/algos", _algos),
]
