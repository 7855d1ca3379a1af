"""FYI notifications and their settings (web-api.md §6)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ibtui.sim.fields import utc_day
from ibtui.sim.rest.common import cold, mapping
from ibtui.sim.seam import Call, Needs, Refusal, Route, refuse, reply

PAGE = 10
UNREAD_GAP_S = 300.0
"""`unreadnumber` answers 423 when asked more often."""
CODES = {
    "BA": "Borrow Availability",
    "CA": "Comparable Algo",
    "DA": "Dividends Advisory",
    "EA": "Upcoming Earnings",
    "MF": "Mutual Fund Advisory",
    "OE": "Option Expiration",
    "PR": "Portfolio Builder Rebalance",
    "SE": "Suspend Order on Economic Event",
    "SG": "Short Term Gain turning Long Term",
    "SM": "System Messages",
    "T2": "Assignment Realizing Long-Term Gains",
    "TO": "Takeover",
    "UA": "User Alert",
    "M8": "M871 Trades",
    "PS": "Platform Use Suggestions",
    "DL": "Unexercised Option Loss Prevention Reminder",
    "PT": "Position Transfer",
    "CB": "Missing Cost Basis",
    "MS": "Milestones",
    "TD": "MiFID II 10% Depreciation Notice",
    "ST": "Save Taxes",
    "TI": "Trade Idea",
    "CT": "Cash Transfer",
    "AA": "Account Activity",
}
_NEWS = (
    ("OE", "Option Expiration", "Your option position is expiring in 3 days."),
    ("DA", "Dividends Advisory", "<b>KO</b> goes ex-dividend on Thursday: 0.51 USD a share."),
    ("EA", "Upcoming Earnings", "NVDA reports earnings after the close."),
    ("SM", "System Messages", "Scheduled maintenance on Saturday from 23:00 to 03:00 ET."),
    ("AA", "Account Activity", "A deposit of 10,000.00 USD was credited."),
)
_WAITING = {"status": "waiting for reply"}
_DONE = {"V": 1, "T": 10}


class _Box:
    """A user's notifications and settings; they outlive the brokerage session."""

    def __init__(self, now: float) -> None:
        self.news = [_note(now, place) for place in range(14)]
        self.enabled = dict.fromkeys(CODES, 1)
        self.read_disclaimers: set[str] = set()
        self.email = 1
        self.devices = [{"NM": "iPhone", "I": "iphone-1", "UI": "iphone-1", "A": 1}]
        self.asked_at = -1e18


def _note(now: float, place: int) -> dict[str, Any]:
    code, title, text = _NEWS[place % len(_NEWS)]
    when = int(now) - 1800 - place * 9_000
    return {
        "R": 0 if place < 4 else 1,
        "D": f"{when}.0",
        "MS": f"IBKR FYI: {title}",
        "MD": text,
        "ID": f"{utc_day(when)}{90532092 - place:08d}",
        "HT": 0,
        "FC": code,
    }


def _box(call: Call) -> _Box:
    boxes = call.world.notices
    name = call.session.user.username
    if name not in boxes:
        boxes[name] = _Box(call.clock.now())
    box: _Box = boxes[name]
    return box


def _code(call: Call) -> str:
    code = call.request.match_info["code"]
    if code not in CODES:
        raise refuse(400, "Bad Request: typecode is not valid", with_status=True)
    return code


async def _unread(call: Call) -> web.StreamResponse:
    box, now = _box(call), call.clock.now()
    too_soon = call.quirks.pacing and now - box.asked_at < UNREAD_GAP_S
    if cold(call, "fyi") or too_soon:
        raise Refusal(423, _WAITING)
    box.asked_at = now
    return reply({"BN": sum(1 for note in box.news if note["R"] == 0)})


async def _notifications(call: Call) -> web.StreamResponse:
    box = _box(call)
    if cold(call, "fyi notifications"):
        raise Refusal(423, _WAITING)
    text = call.request.query.get("max", str(PAGE))
    count = min(PAGE, int(text)) if text.isdigit() else PAGE
    return reply(box.news[:count])


async def _more(call: Call) -> web.StreamResponse:
    box, last = _box(call), call.request.query.get("id", "")
    places = [place for place, note in enumerate(box.news) if note["ID"] == last]
    start = places[0] + 1 if places else len(box.news)
    return reply(box.news[start : start + PAGE])


async def _read(call: Call) -> web.StreamResponse:
    wanted = call.request.match_info["note_id"]
    for note in _box(call).news:
        if note["ID"] == wanted:
            note["R"] = 1
            return reply({"V": 1, "T": 5, "P": {"R": 1, "ID": wanted}})
    raise refuse(400, "Bad Request: notification id is not valid", with_status=True)


async def _settings(call: Call) -> web.StreamResponse:
    box = _box(call)
    rows = []
    for code, name in CODES.items():
        row: dict[str, Any] = {"FC": code, "H": 0}
        if code != "SM":
            row["A"] = box.enabled[code]
        rows.append(row | {"FD": f"Notifies you about: {name}.", "FN": name})
    return reply(rows)


async def _set(call: Call) -> web.StreamResponse:
    code, body = _code(call), await mapping(call)
    if not isinstance(body.get("enabled"), bool):
        raise refuse(400, "Bad Request: enabled is required", with_status=True)
    _box(call).enabled[code] = int(body["enabled"])
    return reply(_DONE)


async def _disclaimer(call: Call) -> web.StreamResponse:
    code = _code(call)
    if call.request.method == "PUT":
        _box(call).read_disclaimers.add(code)
        return reply(_DONE)
    return reply({"FC": code, "DT": f"{CODES[code]} notifications are for information only."})


async def _delivery(call: Call) -> web.StreamResponse:
    box = _box(call)
    return reply({"E": box.devices, "M": box.email})


async def _email(call: Call) -> web.StreamResponse:
    _box(call).email = int(call.request.query.get("enabled", "").lower() == "true")
    return reply(_DONE)


async def _add_device(call: Call) -> web.StreamResponse:
    body = await mapping(call)
    device = {
        "NM": str(body.get("deviceName", "")),
        "I": str(body.get("deviceId", "")),
        "UI": str(body.get("uiName", body.get("deviceId", ""))),
        "A": int(bool(body.get("enabled", True))),
    }
    box = _box(call)
    box.devices = [one for one in box.devices if one["I"] != device["I"]] + [device]
    return reply(_DONE)


async def _drop_device(call: Call) -> web.StreamResponse:
    box = _box(call)
    box.devices = [one for one in box.devices if one["I"] != call.request.match_info["device_id"]]
    return web.Response(status=200)


ROUTES: list[Route] = [
    Route("GET", "/fyi/unreadnumber", _unread, Needs.SSO),
    Route("GET", "/fyi/notifications", _notifications, Needs.SSO),
    Route("GET", "/fyi/notifications/more", _more, Needs.SSO),
    Route("PUT", "/fyi/notifications/{note_id}", _read, Needs.SSO),
    Route("GET", "/fyi/settings", _settings, Needs.SSO),
    Route("POST", "/fyi/settings/{code}", _set, Needs.SSO),
    Route("GET", "/fyi/disclaimer/{code}", _disclaimer, Needs.SSO),
    Route("PUT", "/fyi/disclaimer/{code}", _disclaimer, Needs.SSO),
    Route("GET", "/fyi/deliveryoptions", _delivery, Needs.SSO),
    Route("PUT", "/fyi/deliveryoptions/email", _email, Needs.SSO),
    Route("POST", "/fyi/deliveryoptions/device", _add_device, Needs.SSO),
    Route("DELETE", "/fyi/deliveryoptions/{device_id}", _drop_device, Needs.SSO),
]
