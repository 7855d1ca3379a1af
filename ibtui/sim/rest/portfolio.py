"""Portfolio routes: SSO session is enough (web-api.md §3.3, §3.4, §3.6-3.9)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ibtui.sim import figures
from ibtui.sim.books import CENT, ZERO, Book, Position
from ibtui.sim.rest.common import account_of, book_of, cold, mapping, own_accounts
from ibtui.sim.rest.performance import ROUTES as PERFORMANCE
from ibtui.sim.rest.secdefs import enrich
from ibtui.sim.seam import Call, Needs, Route, refuse, reply

if TYPE_CHECKING:
    from ibtui.sim.world import World

PAGE = 100
Cached = tuple[Position, Decimal, Decimal, Decimal]
"""Position, and its quantity, average price and realized profit as far as the cache knows."""


def meta(book: Book, brokerage: bool) -> dict[str, Any]:
    """The account object of §3.3."""
    return {
        "id": book.account,
        "PrepaidCrypto-Z": False,
        "PrepaidCrypto-P": False,
        "brokerageAccess": brokerage,
        "accountId": book.account,
        "accountVan": book.account,
        "accountTitle": book.title,
        "displayName": book.title,
        "accountAlias": None,
        "accountStatus": book.opened_ms,
        "currency": "USD",
        "type": "DEMO" if book.account.startswith("D") else "INDIVIDUAL",
        "tradingType": "STKNOPT",
        "businessType": "INDEPENDENT",
        "category": "",
        "ibEntity": "IBLLC-US",
        "faclient": False,
        "clearingStatus": "O",
        "covestor": False,
        "noClientTrading": False,
        "trackVirtualFXPortfolio": False,
        "acctCustType": "INDIVIDUAL",
        "parent": {"mmc": [], "accountId": "", "isMParent": False, "isMChild": False, "isMultiplex": False},
        "desc": book.account,
    }


async def _accounts(call: Call) -> web.StreamResponse:
    call.session.flags.add("portfolio")
    up = call.session.authenticated
    return reply([meta(call.world.book(name), up) for name in own_accounts(call)])


async def _subaccounts(call: Call) -> web.StreamResponse:
    call.session.flags.add("portfolio")
    return reply([meta(call.world.book(name), False) for name in own_accounts(call)][:100])


async def _subaccounts2(call: Call) -> web.StreamResponse:
    call.session.flags.add("portfolio")
    page = _page(call.request.query.get("page", "0"))
    names = own_accounts(call)
    rows = [meta(call.world.book(name), False) for name in names[page * 20 : page * 20 + 20]]
    about = {"total": len(names), "pageSize": 20, "pageNum": page}
    return reply({"metadata": about, "subaccounts": rows})


async def _meta(call: Call) -> web.StreamResponse:
    return reply(meta(book_of(call), False))


def _armed(call: Call) -> bool:
    """Whether `/portfolio/accounts` was called; without it the cache is empty (§1.7)."""
    return "portfolio" in call.session.flags or not call.quirks.cold_replies


async def _summary(call: Call) -> web.StreamResponse:
    book = book_of(call)
    return reply(figures.summary(book, call.clock.now()) if _armed(call) else {})


async def _ledger(call: Call) -> web.StreamResponse:
    book = book_of(call)
    return reply(figures.ledger(book, call.world.market, call.clock.now()) if _armed(call) else {})


async def _allocation(call: Call) -> web.StreamResponse:
    book = book_of(call)
    if not _armed(call):
        raise refuse(500, "Not ready")
    return reply(_allocate(call.world, [book]))


async def _allocation_of(call: Call) -> web.StreamResponse:
    body = await mapping(call)
    wanted = body.get("acctIds")
    if not isinstance(wanted, list) or not wanted or not set(wanted) <= set(own_accounts(call)):
        raise refuse(400, "Bad Request: acctIds is not valid", with_status=True)
    if not _armed(call):
        raise refuse(500, "Not ready")
    return reply(_allocate(call.world, [call.world.book(name) for name in wanted]))


def _allocate(world: World, books: list[Book]) -> dict[str, Any]:
    """Values in base currency by class, sector and group; longs and shorts apart."""
    sums: dict[str, dict[str, dict[str, Decimal]]] = {
        name: {"long": {}, "short": {}} for name in ("assetClass", "sector", "group")
    }

    def add(table: str, label: str, value: Decimal) -> None:
        side = sums[table]["long" if value > 0 else "short"]
        side[label] = side.get(label, ZERO) + value

    for book in books:
        for position in book.positions.values():
            contract = position.contract
            value = position.value(book.price(position)) * world.market.rate(contract.currency)
            if value:
                add("assetClass", contract.sec_type, value)
                add("sector", contract.sector or "Others", value)
                add("group", contract.group or "Others", value)
        cash = book.totals().cash
        if cash:
            add("assetClass", "CASH", cash)
    return {
        table: {side: {k: float(v.quantize(CENT)) for k, v in rows.items()} for side, rows in sides.items()}
        for table, sides in sums.items()
    }


# --- positions --------------------------------------------------------------------------------


def _page(text: str) -> int:
    if not text.isdigit():
        raise refuse(400, "Bad Request: page is not valid", with_status=True)
    return int(text)


def cold_row(
    book: Book, position: Position, quantity: Decimal, avg: Decimal, realized: Decimal
) -> dict[str, Any]:
    """The 21 keys of a cold row (§3.8)."""
    contract = position.contract
    price = book.price(position)
    return {
        "acctId": book.account,
        "conid": contract.conid,
        "contractDesc": contract.full_name,
        "position": float(quantity),
        "mktPrice": float(price),
        "mktValue": float((quantity * price * contract.multiplier).quantize(CENT)),
        "currency": contract.currency,
        "avgCost": float(avg * contract.multiplier),
        "avgPrice": float(avg),
        "realizedPnl": float(realized.quantize(CENT)),
        "unrealizedPnl": float((quantity * (price - avg) * contract.multiplier).quantize(CENT)),
        "exchs": None,
        "expiry": None,
        "putOrCall": None,
        "multiplier": None,
        "strike": 0.0,
        "exerciseStyle": None,
        "conExchMap": [],
        "assetClass": contract.sec_type,
        "undConid": contract.und_conid,
        "model": "",
    }


def _cached(call: Call, book: Book) -> list[Cached]:
    book.cache.look(book.positions, call.clock.now(), call.quirks.position_lag_s)
    return book.cache.rows


def _rows(book: Book, cached: list[Cached], warm: bool) -> list[dict[str, Any]]:
    rows = [cold_row(book, *one) for one in cached]
    if warm:
        for row, one in zip(rows, cached, strict=True):
            enrich(row, one[0].contract)
    return rows


def _value(book: Book, one: Cached) -> Decimal:
    return one[1] * book.price(one[0]) * one[0].contract.multiplier


def _gain(book: Book, one: Cached) -> Decimal:
    return one[1] * (book.price(one[0]) - one[2]) * one[0].contract.multiplier


SORTS: dict[str, Callable[[Book, Cached], Any]] = {
    "position": lambda book, one: one[1],
    "marketValue": _value,
    "mktValue": _value,
    "unrealizedPnl": _gain,
    "realizedPnl": lambda book, one: one[3],
    "avgCost": lambda book, one: one[2] * one[0].contract.multiplier,
    "mktPrice": lambda book, one: book.price(one[0]),
    "contractDesc": lambda book, one: one[0].contract.full_name,
    "name": lambda book, one: one[0].contract.full_name,
    "conid": lambda book, one: one[0].contract.conid,
}


async def _positions(call: Call) -> web.StreamResponse:
    book = book_of(call)
    page = _page(call.request.match_info.get("page", "0"))
    if not _armed(call):
        return reply([])
    warm = not cold(call, f"positions {book.account} {page}")
    cached = _cached(call, book)
    query = call.request.query
    make = SORTS.get(query.get("sort", ""))
    if make is not None:
        key = partial(make, book)
        cached = sorted(cached, key=key, reverse=query.get("direction") == "d")
    return reply(_rows(book, cached[page * PAGE : page * PAGE + PAGE], warm))


def _of_conid(call: Call, book: Book, warm: bool) -> list[dict[str, Any]]:
    text = call.request.match_info["conid"]
    if not text.isdigit():
        raise refuse(400, "Bad Request: conid is not valid", with_status=True)
    conid = int(text)
    return _rows(book, [one for one in _cached(call, book) if one[0].contract.conid == conid], warm)


async def _position(call: Call) -> web.StreamResponse:
    book = book_of(call)
    if not _armed(call):
        return reply([])
    return reply(_of_conid(call, book, not cold(call, f"position {call.request.match_info['conid']}")))


async def _position_everywhere(call: Call) -> web.StreamResponse:
    """An object keyed by account (§3.8 variants)."""
    found = {}
    for name in own_accounts(call):
        rows = _of_conid(call, call.world.book(name), True)
        if rows:
            found[name] = rows
    return reply(found)


async def _combos(call: Call) -> web.StreamResponse:
    account_of(call)
    return reply([])


async def _invalidate(call: Call) -> web.StreamResponse:
    book_of(call).cache.invalidate()
    return reply({"message": "success"})


def _fresh_row(book: Book, position: Position, now: float) -> dict[str, Any]:
    """A row of `/portfolio2` (§3.9): a string conid, other names, unrounded."""
    contract, price = position.contract, book.price(position)
    return {
        "position": float(position.quantity),
        "conid": str(contract.conid),
        "avgCost": float(position.avg_cost),
        "avgPrice": float(position.avg_price),
        "currency": contract.currency,
        "description": contract.full_name,
        "isLastToLoq": False,
        "marketPrice": float(price),
        "marketValue": float(position.value(price)),
        "realizedPnl": float(position.realized),
        "secType": contract.sec_type,
        "timestamp": int(now),
        "unrealizedPnl": float(position.unrealized(price)),
        "assetClass": contract.sec_type,
        "sector": contract.sector,
        "group": contract.group,
        "model": "",
    }


async def _fresh(call: Call) -> web.StreamResponse:
    book = book_of(call)
    now = call.clock.now()
    wanted = call.request.match_info.get("conid")
    rows = book.positions.values()
    return reply([_fresh_row(book, one, now) for one in rows if wanted in (None, str(one.contract.conid))])


_ACCOUNT = "/portfolio/{account}"
ROUTES: list[Route] = [
    Route("GET", "/portfolio/accounts", _accounts, Needs.SSO),
    Route("GET", "/portfolio/subaccounts", _subaccounts, Needs.SSO),
    Route("GET", "/portfolio/subaccounts2", _subaccounts2, Needs.SSO),
    Route("POST", "/portfolio/allocation", _allocation_of, Needs.SSO),
    Route("GET", "/portfolio/positions/{conid}", _position_everywhere, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/meta", _meta, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/summary", _summary, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/ledger", _ledger, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/allocation", _allocation, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/positions", _positions, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/combo/positions", _combos, Needs.SSO),
    Route("POST", f"{_ACCOUNT}/positions/invalidate", _invalidate, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/positions/{{page}}", _positions, Needs.SSO),
    Route("GET", f"{_ACCOUNT}/position/{{conid}}", _position, Needs.SSO),
    Route("GET", "/portfolio2/{account}/positions", _fresh, Needs.SSO),
    Route("GET", "/portfolio2/{account}/position/{conid}", _fresh, Needs.SSO),
    *PERFORMANCE,
]
