"""Trading hours and currencies (web-api.md §5.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from ibtui.sim.bars import session_start
from ibtui.sim.rest.common import conid_of
from ibtui.sim.seam import Call, Needs, Route, refuse, reply


async def _hours(call: Call) -> web.StreamResponse:
    conid_of(call, call.request.query.get("conid"))
    day = datetime.fromtimestamp(call.clock.now(), UTC).date()
    schedules: dict[str, Any] = {}
    while len(schedules) < 6:
        if day.weekday() < 5:
            start = session_start(day)
            liquid = {"opening": start, "closing": start + 23_400}
            wide = {"cancel_daily_orders": True, "opening": start - 19_800, "closing": start + 37_800}
            schedules[f"{day:%Y%m%d}"] = {"liquid_hours": [liquid], "extended_hours": [wide]}
        day += timedelta(days=1)
    return reply({"exchange_time_zone": "US/Eastern", "schedules": schedules})


async def _schedule(call: Call) -> web.StreamResponse:
    if not call.request.query.get("symbol"):
        raise refuse(400, "Bad Request: symbol is required", with_status=True)
    weekdays = [
        {
            "clearingCycleEndTime": "2000",
            "tradingScheduleDate": f"2000010{number}",
            "sessions": [{"openingTime": "0930", "closingTime": "1600", "prop": "LIQUID"}],
            "tradingtimes": [{"openingTime": "0400", "closingTime": "2000", "cancelDayOrders": "Y"}],
        }
        for number in range(3, 8)
    ]
    venue = {"id": "p100001", "tradeVenueId": "v10001", "timezone": "America/New_York", "schedules": weekdays}
    return reply([venue])


async def _pairs(call: Call) -> web.StreamResponse:
    wanted = call.request.query.get("currency", "")
    pairs = [
        {"symbol": f"{c.symbol}.{c.currency}", "conid": c.conid, "ccyPair": c.symbol}
        for c in call.world.catalogue.by_conid.values()
        if c.sec_type == "CASH" and wanted in (c.currency, c.symbol)
    ]
    return reply({wanted: pairs})


async def _exchange_rate(call: Call) -> web.StreamResponse:
    query, market = call.request.query, call.world.market
    source, target = query.get("source", ""), query.get("target", "")
    if len(source) != 3 or len(target) != 3:
        raise refuse(400, "Bad Request: source and target are required", with_status=True)
    return reply({"rate": round(float(market.rate(source) / market.rate(target)), 8)})


ROUTES: list[Route] = [
    Route("GET", "/trsrv/secdef/schedule", _schedule, Needs.SSO),
    Route("GET", "/contract/trading-schedule", _hours, Needs.SSO),
    Route("GET", "/iserver/currency/pairs", _pairs),
    Route("GET", "/iserver/exchangerate", _exchange_rate),
]
