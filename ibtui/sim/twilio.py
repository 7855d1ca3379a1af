"""Twilio's Messages API as far as login codes need it (login.md §4), fed by the outbox.

`GET /2010-04-01/Accounts/{sid}/Messages.json` with Basic authentication; everything else is a
404 in Twilio's words.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from ibtui.sim.seam import reply
from ibtui.sim.sms import Message, Outbox

VERSION = "2010-04-01"
PREFIX = f"/{VERSION}/"
_MORE = "https://www.twilio.com/docs/errors/"
_PAGE, _LARGEST = 50, 1000
_WORDS = {400: "Bad Request", 403: "Forbidden", 429: "Too Many Requests", 500: "Internal Server Error"}


class Twilio:
    """One account whose number receives the login's messages."""

    def __init__(self, outbox: Outbox, seed: int) -> None:
        rng = random.Random(f"twilio {seed}")
        self.sid = f"AC{rng.getrandbits(128):032x}"
        self.token = f"{rng.getrandbits(128):032x}"
        self._outbox = outbox

    def routes(self) -> list[web.RouteDef]:
        """The list, and a reply for every other address."""
        return [
            web.get(f"{PREFIX}Accounts/{{sid}}/Messages.json", self._messages),
            web.route("*", PREFIX + "{rest:.*}", self._nothing),
        ]

    def _known(self, request: web.Request) -> bool:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(rest.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, f"{self.sid}:{self.token}".encode())

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        if not self._known(request):
            return unknown_caller()
        return error(404, 20404, f"The requested resource {request.path} was not found")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        if not self._known(request):
            return unknown_caller()
        if request.match_info["sid"] != self.sid:
            return await self._nothing(request)
        try:
            tests = _filters(request)
            size = min(_LARGEST, max(1, int(request.query.get("PageSize", _PAGE))))
            page = max(0, int(request.query.get("Page", 0)))
        except ValueError as problem:
            return error(400, 20001, str(problem))
        chosen = [one for one in self._outbox.arrived() if all(test(one) for test in tests)]
        return reply(self._page(request, chosen, size, page))

    def _page(self, request: web.Request, chosen: list[Message], size: int, page: int) -> dict[str, Any]:
        """The object of one page; a page token holds the last message of the page before."""
        sids = [f"PA{one.sid}" for one in chosen]
        token = request.query.get("PageToken", "")
        start = sids.index(token) + 1 if token in sids else page * size
        here = chosen[start : start + size]
        more = start + size < len(chosen)
        filters = [(k, v) for k, v in request.query.items() if k not in ("Page", "PageSize", "PageToken")]

        def uri(number: int, after: str = "") -> str:
            extra = [("PageToken", after)] if after else []
            query = urlencode([*filters, ("PageSize", size), ("Page", number), *extra])
            return f"{request.path}?{query}"

        return {
            "messages": [self._row(one) for one in here],
            "page": page,
            "page_size": size,
            "start": start,
            "end": start + max(0, len(here) - 1),
            "uri": request.raw_path,
            "first_page_uri": uri(0),
            "next_page_uri": uri(page + 1, f"PA{here[-1].sid}") if more and here else None,
            "previous_page_uri": uri(page - 1) if page else None,
        }

    def _row(self, one: Message) -> dict[str, Any]:
        date = formatdate(one.date_sent).replace("-0000", "+0000")
        uri = f"{PREFIX}Accounts/{self.sid}/Messages/{one.sid}"
        return {
            "body": one.body,
            "num_segments": "1",
            "direction": "inbound",
            "from": one.sender,
            "to": one.to,
            "date_updated": date,
            "price": None,
            "error_message": None,
            "uri": f"{uri}.json",
            "account_sid": self.sid,
            "num_media": "0",
            "status": "received",
            "messaging_service_sid": None,
            "sid": one.sid,
            "date_sent": date,
            "date_created": date,
            "error_code": None,
            "price_unit": "USD",
            "api_version": VERSION,
            "subresource_uris": {"media": f"{uri}/Media.json"},
        }


def _filters(request: web.Request) -> list[Callable[[Message], bool]]:
    """What the query wants of a message; both ends of a time are inclusive. Raises ValueError."""
    given = request.query
    tests: list[Callable[[Message], bool]] = []
    if "DateSent>" in given:
        first = _instant(given["DateSent>"])
        tests.append(lambda one: one.date_sent >= first)
    if "DateSent<" in given:
        last = _instant(given["DateSent<"])
        tests.append(lambda one: one.date_sent <= last)
    if "DateSent" in given:
        day = _day(_instant(given["DateSent"]))
        tests.append(lambda one: _day(one.date_sent) == day)
    if "To" in given:
        tests.append(lambda one: one.to == given["To"])
    if "From" in given:
        tests.append(lambda one: one.sender == given["From"])
    return tests


def _instant(text: str) -> int:
    """A day or an instant in UTC as seconds since the epoch. Raises ValueError."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"Date {text!r} must be YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ") from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def error(status: int, code: int, message: str, **more: Any) -> web.Response:
    """An error in Twilio's form."""
    body = {"code": code, "message": message, "more_info": f"{_MORE}{code}", "status": status, **more}
    return reply(body, status)


def unknown_caller() -> web.Response:
    """401: the account id or the token is wrong."""
    response = error(
        401,
        20003,
        "Authenticate",
        detail="Your AccountSid or AuthToken was incorrect.",
    )
    response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return response


def on_demand(status: int) -> web.Response:
    """A fault's status with the body that Twilio would send (20429 for 429, 20500 for 500 ...)."""
    return error(status, 20000 + status, _WORDS.get(status, "Service Unavailable"))
