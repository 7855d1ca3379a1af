"""Accounts of the brokerage session and its figures (web-api.md §3.1, §3.2, §3.5, §3.10)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ibtui.sim import figures
from ibtui.sim.books import ZERO, Book
from ibtui.sim.rest.common import book_of, own_accounts, selected
from ibtui.sim.seam import Call, Route, Session, refuse, reply
from ibtui.sim.sessions import SERVER

if TYPE_CHECKING:
    from ibtui.sim.world import World

_TYPES = "STK,CFD,OPT,FOP,WAR,FUT,BAG,PDC,CASH,IND,BOND,BILL,FUND,SLB,News,CMDTY,IOPT,ICU,ICS,PHYSS,CRYPTO"
_FEATURES: dict[str, Any] = {
    "showGFIS": True,
    "showEUCostReport": False,
    "allowEventContract": True,
    "allowFXConv": True,
    "allowFinancialLens": False,
    "allowMTA": True,
    "allowTypeAhead": True,
    "allowEventTrading": True,
    "snapshotRefreshTimeout": 30,
    "liteUser": False,
    "showWebNews": True,
    "research": True,
    "debugPnl": True,
    "showTaxOpt": True,
    "showImpactDashboard": True,
    "allowDynAccount": False,
    "allowCrypto": True,
    "allowFA": False,
    "allowLiteUnderPro": False,
    "allowedAssetTypes": _TYPES,
    "restrictTradeSubscription": False,
    "showUkUserLabels": False,
    "sideBySide": True,
}
_PERIODS = {
    kind: ["2h", "1d", "2d", "1w", "1m"] if kind in ("OPT", "FOP") else ["*"]
    for kind in (
        *("STK", "CFD", "OPT", "FOP", "WAR", "IOPT", "FUT"),
        *("CASH", "IND", "BOND", "FUND", "CMDTY", "PHYSS", "CRYPTO"),
    )
}
_PROPS = {
    "hasChildAccounts": False,
    "supportsCashQty": True,
    "liteUnderPro": False,
    "noFXConv": False,
    "isProp": False,
    "supportsFractions": True,
    "allowCustomerTime": False,
    "autoFx": False,
}
_PROPS_ALL = {"hasChildAccounts": False, "supportsCashQty": False, "supportsFractions": False}


def accounts_payload(world: World, session: Session) -> dict[str, Any]:
    """`GET /iserver/accounts` and the websocket's `act` (§3.1); arrays empty until established."""
    real = [name for name in session.user.accounts if name in world.accounts]
    if not session.established:
        real = []
    several = len(real) > 1
    names = ["All", *real] if several else real
    return {
        "accounts": names,
        "acctProps": {name: dict(_PROPS_ALL if name == "All" else _PROPS) for name in names},
        "aliases": {name: name for name in names},
        "allowFeatures": dict(_FEATURES),
        "chartPeriods": dict(_PERIODS),
        "groups": ["All"] if several else [],
        "profiles": [],
        "selectedAccount": session.selected_account or (real[0] if real else ""),
        "serverInfo": dict(SERVER),
        "sessionId": f"69eb77a0.{session.user.user_id % 0xFFFFFF:08x}",
        "isFT": False,
        "isPaper": session.user.paper,
    }


async def _accounts(call: Call) -> web.StreamResponse:
    call.session.flags.add("accounts")
    return reply(accounts_payload(call.world, call.session))


async def _switch(call: Call) -> web.StreamResponse:
    body = await call.json()
    wanted = body.get("acctId") if isinstance(body, dict) else None
    if not isinstance(wanted, str):
        raise refuse(400, "Bad Request: acctId is required", with_status=True)
    several = len(own_accounts(call)) > 1
    if wanted not in own_accounts(call) and not (several and wanted == "All"):
        raise refuse(500, "Invalid account ID")
    if wanted == selected(call):
        return reply({"success": "Account already set"})
    call.session.selected_account = wanted
    return reply({"set": True, "acctId": wanted})


def _whole(amount: Decimal) -> float:
    return float(round(amount))


async def _summary(call: Call) -> web.StreamResponse:
    book = book_of(call)
    sums = book.totals()
    balances = [
        {"currency": code, "balance": _whole(amount), "settledCash": _whole(amount)}
        for code, amount in book.cash.items()
    ]
    total = {"currency": "Total (in USD)", "balance": _whole(sums.cash), "settledCash": _whole(sums.cash)}
    return reply(
        {
            "accountType": "",
            "status": "",
            "balance": _whole(sums.net_liquidation),
            "SMA": _whole(max(ZERO, sums.equity_with_loan - sums.gross / 2)),
            "buyingPower": _whole(max(ZERO, sums.available * 4)),
            "availableFunds": _whole(sums.available),
            "excessLiquidity": _whole(sums.excess),
            "netLiquidationValue": _whole(sums.net_liquidation),
            "equityWithLoanValue": _whole(sums.equity_with_loan),
            "regTLoan": 0.0,
            "securitiesGVP": _whole(sums.gross),
            "totalCashValue": _whole(sums.cash),
            "accruedInterest": 0.0,
            "regTMargin": 0.0,
            "initialMargin": _whole(sums.initial),
            "maintenanceMargin": _whole(sums.maintenance),
            "cashBalances": [*balances, total],
        }
    )


def _usd(amount: Decimal) -> str:
    return f"{round(amount):,} USD"


_SEGMENT_ROWS = {
    "available_funds": {
        "current_available": "AvailableFunds",
        "current_excess": "ExcessLiquidity",
        "buying_power": "BuyingPower",
        "leverage": "",
        "look_ahead_available": "LookAheadAvailableFunds",
        "look_ahead_excess": "LookAheadExcessLiquidity",
    },
    "balances": {
        "net_liquidation": "NetLiquidation",
        "equity_with_loan": "EquityWithLoanValue",
        "cash": "TotalCashValue",
        "MTD Interest": "AccruedCash",
        "previous_day_equity_with_loan": "PreviousDayEquityWithLoanValue",
    },
    "margins": {
        "current_initial": "InitMarginReq",
        "current_maint": "MaintMarginReq",
        "look_ahead_initial": "LookAheadInitMarginReq",
        "look_ahead_maint": "LookAheadMaintMarginReq",
        "RegT Margin": "RegTMargin",
    },
}


async def _segment(call: Call) -> web.StreamResponse:
    """Texts such as `"1,005,254 USD"` for the whole account and its segments."""
    names = _SEGMENT_ROWS[call.request.path.rstrip("/").rsplit("/", 1)[1]]
    sums = book_of(call).totals()
    rows = figures.segmented(sums)
    leverage = sums.gross / sums.net_liquidation if sums.net_liquidation else ZERO
    body: dict[str, dict[str, str]] = {}
    for segment, suffix in (
        ("total", ""),
        ("Crypto at Paxos", None),
        ("commodities", "-C"),
        ("securities", "-S"),
    ):
        body[segment] = {}
        for key, name in names.items():
            if not name:
                body[segment][key] = f"{leverage if suffix == '' else ZERO:.2f}"
            else:
                body[segment][key] = _usd(ZERO if suffix is None else rows[name + suffix])
    return reply(body)


async def _market_value(call: Call) -> web.StreamResponse:
    book = book_of(call)
    return reply({code: _market_row(book, code) for code in figures.currencies(book)})


def _market_row(book: Book, code: str) -> dict[str, str]:
    sums = book.totals(code)
    amounts = {
        "total_cash": sums.cash,
        "stock": sums.stock,
        "options": sums.options,
        "futures": sums.futures_pnl,
        "net_liquidation": sums.net_liquidation,
        "unrealized_pnl": sums.unrealized,
        "realized_pnl": sums.realized,
    }
    return {name: f"{round(amount):,}" for name, amount in amounts.items()}


async def _pnl(call: Call) -> web.StreamResponse:
    """Cold until called once or until a websocket subscribed to `spl` (§3.10)."""
    warm = "pnl" in call.session.flags
    call.session.flags.add("pnl")
    if call.quirks.cold_replies and not warm:
        return reply({"upnl": {}})
    rows = {f"{name}.Core": figures.pnl(call.world.book(name), stream=False) for name in own_accounts(call)}
    return reply({"upnl": rows})


ROUTES: list[Route] = [
    Route("GET", "/iserver/accounts", _accounts),
    Route("POST", "/iserver/account", _switch),
    Route("GET", "/iserver/account/pnl/partitioned", _pnl),
    Route("GET", "/iserver/account/{account}/summary", _summary),
    Route("GET", "/iserver/account/{account}/summary/available_funds", _segment),
    Route("GET", "/iserver/account/{account}/summary/balances", _segment),
    Route("GET", "/iserver/account/{account}/summary/margins", _segment),
    Route("GET", "/iserver/account/{account}/summary/market_value", _market_value),
]
