"""What the gateway answers by itself, without asking IBKR (login.md §9.3, §9.7).

Not behind the real Java gateway, which does all this itself, and not for callers of the API host.
"""

from __future__ import annotations

import re

from aiohttp import web

from ibtui.sim import download, twilio
from ibtui.sim.direct import is_direct
from ibtui.sim.sso import LOGIN_PAGE, through_gateway

UPSTREAM = "https://api.ibkr.com"
"""The gateway's `proxyRemoteHost` as delivered: where it leads whoever asks for a path it does not know."""
ANYBODY = "*"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST,GET,OPTIONS,DELETE,PUT",
    "Access-Control-Allow-Headers": "Content-Type,portal,Cookie",
}
_PASSED_ON = ("/v1/api/", "/v1/portal/", "/sso/")
_OTHERS = ("/sim/", twilio.PREFIX, download.PATH.rpartition("/")[0] + "/")
_DEMO = "<!doctype html><title>Client Portal Gateway</title><p>The gateway's own example page.</p>"


def routes() -> list[web.RouteDef]:
    """The pages that need no login and no IBKR, whatever the method."""
    return [web.route("*", "/", _root), web.route("*", "/demo", _demo), web.route("*", "/demo/", _demo)]


async def _root(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": LOGIN_PAGE})


async def _demo(request: web.Request) -> web.StreamResponse:
    return web.Response(text=_DEMO, content_type="text/html")


def plays_gateway(request: web.Request) -> bool:
    """Whether this request is for the gateway, and nobody stands in between."""
    return not ("Authorization" in request.headers or is_direct(request) or through_gateway(request))


def leads_away(request: web.Request) -> web.Response | None:
    """302 to the same path at IBKR, without its query, for a path that no part played here knows."""
    if not isinstance(request.match_info.http_exception, web.HTTPNotFound) or not plays_gateway(request):
        return None
    if request.path.startswith((*_PASSED_ON, *_OTHERS)):
        return None
    path = "/" + request.rel_url.raw_path.lstrip("/")
    return web.Response(status=302, headers={"Location": UPSTREAM + path})


def of_origin(request: web.Request, allowed: str) -> web.Response | None:
    """The answer to a web page that the gateway gives in IBKR's place; None: the request goes on.

    `allowed` is `cors.origin.allowed`: an expression for the whole `Origin`, empty for nobody. A
    request without `Origin`, and an OPTIONS that is no preflight, go on whatever they are.
    """
    origin = request.headers.get("Origin")
    if origin is None or not plays_gateway(request):
        return None
    if not _fits(allowed, origin):
        return web.Response(status=403, reason="CORS Rejected - Invalid origin")
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204, headers=_PREFLIGHT)
    return None


def tell_origin(request: web.Request, allowed: str, response: web.StreamResponse) -> None:
    """Put on a reply which pages may read it."""
    origin = request.headers.get("Origin")
    if origin is None or response.prepared or not plays_gateway(request):
        return
    if _fits(allowed, origin):
        response.headers["Access-Control-Allow-Origin"] = ANYBODY if allowed == ANYBODY else origin


def _fits(allowed: str, origin: str) -> bool:
    try:
        return allowed == ANYBODY or re.fullmatch(allowed, origin) is not None
    except re.error:
        return False
