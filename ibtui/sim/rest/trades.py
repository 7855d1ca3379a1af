"""Executions of the day (web-api.md §4.3)."""

from __future__ import annotations

from aiohttp import web

from ibtui.sim.rest.common import cold, scope
from ibtui.sim.rows import execution_row
from ibtui.sim.seam import Call, Needs, Route, refuse, reply


async def _trades(call: Call) -> web.StreamResponse:
    query = call.request.query
    days = query.get("days", "1")
    if not days.isdigit() or not 1 <= int(days) <= 7:
        raise refuse(400, "Bad Request: days is not valid", with_status=True)
    account = scope(call, query.get("accountId"))
    if cold(call, "trades"):
        return reply([])
    now_ms = call.clock.now_ms()
    names = [account] if account else call.session.user.accounts
    since = now_ms - int(days) * 86_400_000
    return reply(
        [
            execution_row(one, now_ms)
            for one in reversed(call.world.executions)
            if one.order.account in names and one.time_ms >= since
        ]
    )


ROUTES: list[Route] = [Route("GET", "/iserver/account/trades", _trades, Needs.ACCOUNTS)]
