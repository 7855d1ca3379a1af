"""Who may speak to the HTTP door: looked at before any handler sees the request.

A web page in a browser on this machine can reach 127.0.0.1 too. Its requests carry an `Origin`, or
`Sec-Fetch-Site`, or (when its name was bound to our address) its own name as `Host`.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ibtui.errors import IbtuiError
from ibtui.secret import Secret

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_log = logging.getLogger("ibtui.http")


@dataclass(slots=True)
class Guard:
    """What a request must show; changed in place when settings are read anew."""

    names: frozenset[str] = field(default=LOCAL)
    """Names by which callers may address the door, lower case, without port."""
    token: Secret | None = None

    def allow(self, host: str, more: Iterable[str]) -> None:
        """The names: this machine's, the address it listens on, and `more`."""
        own = set() if host in ("", "0.0.0.0", "::") else {host.lower()}
        self.names = LOCAL | own | {name.lower() for name in more}

    def refusal(self, request: web.Request) -> tuple[int, str] | None:
        """Status and sentence for a request that must not go on; None when it may."""
        if not self._known(request):
            return 403, "This name is not one of this service's. Add it to serve.allowed_hosts if it is."
        if request.method == "OPTIONS" or not self._from_here(request):
            return 403, "Web pages from elsewhere may not use this service."
        if self.token is not None and not self._shown(request, self.token):
            return 401, "A token is needed: Authorization: Bearer TOKEN (serve_token of the profile)."
        return None

    def _known(self, request: web.Request) -> bool:
        given = request.headers.getall("Host", [])
        if len(given) != 1:
            return False
        name = _host(f"//{given[0]}")
        return bool(name) and (name in self.names or _is_own_address(name, request))

    def _from_here(self, request: web.Request) -> bool:
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return False
        origins = request.headers.getall("Origin", [])
        host = request.headers["Host"].lower()
        return all(origin.lower() in (f"http://{host}", f"https://{host}") for origin in origins)

    def _shown(self, request: web.Request, token: Secret) -> bool:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        shown = given.strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(shown, token.reveal().encode()) and kind.lower() == "bearer"


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_own_address(name: str, request: web.Request) -> bool:
    """Whether the name is the very address that the connection came to: no page can pretend that."""
    here = request.get_extra_info("sockname")
    try:
        return bool(here) and ipaddress.ip_address(name) == ipaddress.ip_address(str(here[0]))
    except ValueError:
        return False


def said(value: object, status: int = 200) -> web.Response:
    """A value as JSON, compact, as the node service sends it."""
    return web.Response(
        body=msgspec.json.encode(value, enc_hook=str),
        status=status,
        content_type="application/json",
        charset="utf-8",
    )


def middleware(guard: Guard) -> Middleware:
    """Refuses what the guard refuses; whatever a handler ends with becomes JSON, without a traceback."""

    @web.middleware
    async def look(request: web.Request, handler: Handler) -> web.StreamResponse:
        refused = guard.refusal(request)
        if refused is not None:
            reply = said(refused[1], refused[0])
            if refused[0] == 401:
                reply.headers["WWW-Authenticate"] = "Bearer"
            return reply
        try:
            return await handler(request)
        except web.HTTPException as error:
            reply = said(f"{error.reason}.", error.status)
            if "Allow" in error.headers:
                reply.headers["Allow"] = error.headers["Allow"]
            return reply
        except IbtuiError as error:
            return said(str(error), 400)
        except Exception as error:  # noqa: BLE001 - no traceback reaches a caller
            _log.exception("a request failed")
            return said(f"Something went wrong inside ibtui ({type(error).__name__}).", 500)

    return look


async def plain_head(request: web.Request, response: web.StreamResponse) -> None:
    """Nothing of ours is kept by anybody, and nobody needs to know what serves it."""
    response.headers["Server"] = "ibtui"
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
