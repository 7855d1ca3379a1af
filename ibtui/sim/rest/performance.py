"""Performance and transactions (web-api.md §3.11)."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiohttp import web

from ibtui.sim.books import Book
from ibtui.sim.fields import utc_day
from ibtui.sim.rest.common import mapping, own_accounts
from ibtui.sim.rows import stamp
from ibtui.sim.seam import Call, Needs, Route, refuse, reply

PERIODS = {"1D": 1, "7D": 7, "MTD": 0, "1M": 31, "YTD": 0, "1Y": 365}


def _days(today: date, period: str) -> list[date]:
    """The weekdays of a period, oldest first."""
    length = PERIODS[period]
    if period == "MTD":
        length = today.day
    elif period == "YTD":
        length = today.timetuple().tm_yday
    days = [today - timedelta(days=back) for back in range(length, -1, -1)]
    return [day for day in days if day.weekday() < 5] or [today]


def _navs(seed: int, book: Book, today: date, days: list[date]) -> tuple[float, list[float]]:
    """Value before the first day and at the end of each; the last one is the present value."""
    value = float(book.totals().net_liquidation)
    values = [value]
    for day in reversed(days):
        value /= 1 + random.Random(f"{seed}:{book.account}:{day.toordinal()}").gauss(0.0003, 0.004)
        values.append(value)
    values.reverse()
    return round(values[0], 2), [round(one, 2) for one in values[1:]]


async def _wanted(call: Call) -> tuple[dict[str, Any], list[Book]]:
    body = await mapping(call)
    names = body.get("acctIds")
    if not isinstance(names, list) or not names or not set(names) <= set(own_accounts(call)):
        raise refuse(400, "Bad Request: acctIds is not valid", with_status=True)
    return body, [call.world.book(name) for name in names]


def _today(call: Call) -> date:
    return datetime.fromtimestamp(call.clock.now(), UTC).date()


async def _performance(call: Call) -> web.StreamResponse:
    body, books = await _wanted(call)
    period = body.get("period", "1M")
    if period not in PERIODS:
        raise refuse(400, "Bad Request: period is not valid", with_status=True)
    today = _today(call)
    days = _days(today, period)
    dates = [f"{day:%Y%m%d}" for day in days]
    nav, cps, tpps, months = [], [], [], list(dict.fromkeys(day[:6] for day in dates))
    for book in books:
        start, navs = _navs(call.world.seed, book, today, days)
        head = {"id": book.account, "idType": "acctid", "start": dates[0], "end": dates[-1]}
        before = f"{days[0] - timedelta(days=1):%Y%m%d}"
        tail = {"baseCurrency": "USD"}
        returns = [round(one / start - 1, 8) for one in navs]
        nav.append(
            {**_first(head), "startNAV": {"date": before, "val": start}, **_rest(head), "navs": navs} | tail
        )
        cps.append({**head, "returns": returns} | tail)
        tpps.append({**head, "returns": _monthly(dates, months, start, navs)} | tail)
    return reply(
        {
            "currencyType": "base",
            "rc": 0,
            "pm": "TWR",
            "nd": len(days),
            "id": "getPerformanceData",
            "included": [book.account for book in books],
            "cps": {"freq": "D", "dates": dates, "data": cps},
            "tpps": {"freq": "M", "dates": months, "data": tpps},
            "nav": {"freq": "D", "dates": dates, "data": nav},
        }
    )


def _first(head: dict[str, Any]) -> dict[str, Any]:
    return {key: head[key] for key in ("id", "idType")}


def _rest(head: dict[str, Any]) -> dict[str, Any]:
    return {key: head[key] for key in ("start", "end")}


def _monthly(dates: list[str], months: list[str], start: float, navs: list[float]) -> list[float]:
    found = []
    for month in months:
        last = max(place for place, day in enumerate(dates) if day.startswith(month))
        found.append(round(navs[last] / start - 1, 8))
        start = navs[last]
    return found


async def _all_periods(call: Call) -> web.StreamResponse:
    _, books = await _wanted(call)
    today = _today(call)
    result: dict[str, Any] = {
        "currencyType": "base",
        "rc": 0,
        "view": [book.account for book in books],
        "nd": 366,
        "id": "getPerformanceAllPeriods",
        "included": [book.account for book in books],
        "pm": "TWR",
    }
    for book in books:
        part: dict[str, Any] = {}
        for period in PERIODS:
            days = _days(today, period)
            start, navs = _navs(call.world.seed, book, today, days)
            part[period] = {
                "freq": "D",
                "startNAV": {"date": f"{days[0] - timedelta(days=1):%Y%m%d}", "val": start},
                "dates": [f"{day:%Y%m%d}" for day in days],
                "nav": navs,
                "cps": [round(one / start - 1, 8) for one in navs],
            }
        part |= {
            "periods": list(PERIODS),
            "start": part["1Y"]["dates"][0],
            "end": part["1Y"]["dates"][-1],
            "baseCurrency": "USD",
            "lastSuccessfulUpdate": stamp(call.clock.now_ms(), "%Y-%m-%d %H:%M:%S"),
        }
        result[book.account] = part
    return reply(result)


async def _transactions(call: Call) -> web.StreamResponse:
    """Today's executions of the wanted contracts (the books know no other day)."""
    body, books = await _wanted(call)
    conids, days = body.get("conids"), body.get("days", 90)
    if not isinstance(conids, list) or not isinstance(days, int):
        raise refuse(400, "Bad Request: conids is not valid", with_status=True)
    names = {book.account for book in books}
    rows = []
    for execution in call.world.executions:
        order = execution.order
        if order.account not in names or order.contract.conid not in conids:
            continue
        signed = order.signed * execution.quantity
        rows.append(
            {
                "cur": order.contract.currency,
                "date": stamp(execution.time_ms, "%a %b %d 00:00:00 EDT %Y"),
                "rawDate": stamp(execution.time_ms, "%Y%m%d"),
                "fxRate": float(call.world.market.rate(order.contract.currency)),
                "pr": float(execution.price),
                "qty": float(signed),
                "acctid": order.account,
                "amt": float(-signed * execution.price * order.contract.multiplier),
                "conid": order.contract.conid,
                "type": "Buy" if order.side == "BUY" else "Sell",
                "desc": order.contract.name,
            }
        )
    now = call.clock.now()
    positions = [p for b in books for p in b.positions.values() if p.contract.conid in conids and p.realized]
    realized = [
        {"date": utc_day(now), "cur": p.contract.currency, "fxRate": 1, "side": "L", "amt": str(p.realized)}
        for p in positions
    ]
    total = sum(float(p.realized) for p in positions)
    return reply(
        {
            "nd": days + 1,
            "rpnl": {"data": realized, "amt": str(float(total))},
            "currency": body.get("currency", "USD"),
            "from": int((now - days * 86400) * 1000),
            "to": int(now * 1000),
            "id": "getTransactions",
            "transactions": rows,
        }
    )


ROUTES: list[Route] = [
    Route("POST", "/pa/performance", _performance, Needs.SSO),
    Route("POST", "/pa/allperiods", _all_periods, Needs.SSO),
    Route("POST", "/pa/transactions", _transactions, Needs.SSO),
]
