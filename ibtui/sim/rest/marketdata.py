"""Market data snapshots over REST (web-api.md §5.8, §5.10)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ibtui.sim.fields import UNASKED, View, row_head
from ibtui.sim.instruments import Contract
from ibtui.sim.rest.common import mapping, own_accounts, selected
from ibtui.sim.seam import Call, Needs, Route, not_found, refuse, reply

MAX_CONIDS = 100
MAX_FIELDS = 50
DEFAULT_FIELDS = ["31", "84", "86"]


def _wanted(call: Call) -> tuple[list[str], list[str]]:
    query = call.request.query
    conids = [one.strip() for one in query.get("conids", "").split(",") if one.strip()]
    fields = [one.strip() for one in query.get("fields", "").split(",") if one.strip()]
    if not conids or not all(one.split("@")[0].isdigit() for one in conids):
        raise refuse(400, "Bad Request: conids is not valid", with_status=True)
    if len(conids) > MAX_CONIDS or len(fields) > MAX_FIELDS:
        raise refuse(400, "Bad Request: too many conids or fields", with_status=True)
    return conids, fields


async def _snapshot(call: Call) -> web.StreamResponse:
    """Identifiers only on the first call of a conid, then the union of all fields asked so far."""
    conids, fields = _wanted(call)
    return reply([_row(call, conidex, fields) for conidex in conids])


def _row(call: Call, conidex: str, fields: list[str]) -> dict[str, Any]:
    conid = int(conidex.split("@")[0])
    contract = call.world.catalogue.get(conid)
    streams = call.session.snapshot_fields
    if contract is None or (conid not in streams and len(streams) >= call.quirks.market_lines):
        return {"conid": conid, "conidEx": conidex, "55": "-", "31": "N/A"}
    first = conid not in streams
    asked = streams.setdefault(conid, set())
    asked.update(fields or (DEFAULT_FIELDS if not asked else []))
    call.world.market.watch(conid)
    if call.quirks.cold_replies and (first or _unprepared(call, contract)):
        return {"conidEx": conidex, "conid": conid}
    account = selected(call) if selected(call) in own_accounts(call) else own_accounts(call)[0]
    view = View(call.world, contract, account)
    row = row_head(contract, conidex, call.clock.now_ms())
    ordered = fields + sorted(asked - set(fields), key=_by_number)
    for field in [*UNASKED, *ordered]:
        value = view.value(field)
        if value is None:
            continue
        if field == "83" and call.quirks.change_pct_as_text:
            value = f"{value}%"
        row[field] = value
    return row


def _unprepared(call: Call, contract: Contract) -> bool:
    """A derivative whose underlying was not searched: its fields never fill (§1.7)."""
    return bool(contract.und_conid) and contract.und_conid not in call.session.scratch.get("searched", ())


def _by_number(field: str) -> tuple[int, str]:
    return (int(field), field) if field.isdigit() else (0, field)


async def _unsubscribe(call: Call) -> web.StreamResponse:
    body = await mapping(call)
    conid = body.get("conid")
    if isinstance(conid, bool) or not isinstance(conid, int):
        raise refuse(400, "java.lang.String cannot be cast to java.lang.Number")
    if call.session.snapshot_fields.pop(conid, None) is None:
        raise refuse(500, "unknown")
    return reply({"success": True})


async def _unsubscribe_old(call: Call) -> web.StreamResponse:
    text = call.request.match_info["conid"]
    if not text.isdigit():
        raise refuse(400, "Bad Request: conid is not valid", with_status=True)
    call.session.snapshot_fields.pop(int(text), None)
    return reply({"confirmed": True})


async def _unsubscribe_all(call: Call) -> web.StreamResponse:
    call.session.snapshot_fields.clear()
    return reply({"unsubscribed": True})


async def _gone(call: Call) -> web.StreamResponse:
    """Routes that answered 404 in 2026."""
    return not_found()


ROUTES: list[Route] = [
    Route("GET", "/iserver/marketdata/snapshot", _snapshot, Needs.ACCOUNTS),
    Route("POST", "/iserver/marketdata/unsubscribe", _unsubscribe),
    Route("GET", "/iserver/marketdata/unsubscribeall", _unsubscribe_all),
    Route("GET", "/iserver/marketdata/{conid}/unsubscribe", _unsubscribe_old),
    Route("GET", "/md/snapshot", _gone, Needs.SSO),
    Route("GET", "/md/regsnapshot", _gone, Needs.SSO),
]
