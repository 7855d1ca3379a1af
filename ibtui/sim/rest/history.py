"""Price history over REST (web-api.md §5.9)."""

from __future__ import annotations

from aiohttp import web

from ibtui.sim import bars
from ibtui.sim.rest.common import cold, conid_of, truth, wait
from ibtui.sim.seam import Call, Needs, Route, refuse, reply

TRAVEL_S = 0.05
WARM_UP_S = 0.5
SOURCES = frozenset({"", "trades", "midpoint", "bid_ask", "bid", "ask"})


async def _history(call: Call) -> web.StreamResponse:
    query = call.request.query
    contract = conid_of(call, query.get("conid"))
    if query.get("direction") == "1" or query.get("source", "").lower() not in SOURCES:
        raise refuse(500, "Chart data unavailable")
    try:
        wish = bars.Wish.of(
            query.get("period", "1w"),
            query.get("bar", ""),
            query.get("startTime", ""),
            truth(query.get("outsideRth")),
        )
    except ValueError:
        raise refuse(400, "Bad Request: period, bar or startTime is not valid", with_status=True) from None
    first = cold(call, "history")
    if first and call.quirks.history_cold == "503":
        raise refuse(503, "Service Unavailable", with_status=True)
    # The back-end starts with the first request of a session (quirk 1). Published clients do not
    # all try again after a 503, so the other form is the default.
    await wait(call, WARM_UP_S if first else TRAVEL_S)
    call.session.flags.add("hmds")
    try:
        return reply(bars.history(call.world, contract, wish))
    except ValueError:
        raise refuse(500, "Chart data unavailable") from None


async def _hmds(call: Call) -> web.StreamResponse:
    """The same over the other back-end, which has no session at first (§5.10)."""
    if cold(call, "hmds bridge"):
        raise refuse(400, "Bad Request: no bridge", with_status=True)
    return await _history(call)


ROUTES: list[Route] = [
    Route("GET", "/iserver/marketdata/history", _history),
    Route("GET", "/hmds/history", _hmds, Needs.SSO),
]
