"""The simulator as a server: one aiohttp application that plays every part by path.

A request passes, in this order: journal, control routes, faults, Origin, User-Agent, length of a
POST, pacing, session gate, handler (web-api.md §1; login.md §9).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web

from ibtui import scratch
from ibtui.clock import Tasks
from ibtui.errors import UsageError
from ibtui.scratch import Scratch
from ibtui.sim import control, download, faults, own_answers, ready, tls, twilio
from ibtui.sim.direct import Direct, is_direct, tell_refusal
from ibtui.sim.enroll import Enrollment
from ibtui.sim.factors import Factors
from ibtui.sim.handshake import Handshake
from ibtui.sim.journal import Journal, Logins
from ibtui.sim.oauth_desk import Portal
from ibtui.sim.pacing import HISTORY, Pacing
from ibtui.sim.rest import ROUTES
from ibtui.sim.rest.accounts import accounts_payload
from ibtui.sim.scenario import Scenario
from ibtui.sim.seam import SIGNED, Call, Needs, Refusal, Route, Session, SimClock, not_found, refuse, reply
from ibtui.sim.sessions import LIFE, Life, Sessions
from ibtui.sim.sms import Outbox
from ibtui.sim.sockets import Frame, Hub, Topics
from ibtui.sim.sso import Sso, cookies, own_request, through_gateway
from ibtui.sim.topics import Subscriptions
from ibtui.sim.world import World

log = logging.getLogger("ibtui.sim")

_TICK_S = 0.1
_MAINTENANCE = "<html><body><h1>System maintenance</h1></body></html>"
_FORBIDDEN = "<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1></body></html>"
_SOCKET = "/v1/api/ws"
_PREFIXES = ("/v1/api", "/v1/portal")


class Brokerage:
    """The world half behind the names that the platform uses."""

    def __init__(self, scenario: Scenario, clock: SimClock) -> None:
        self.world = World(scenario.users, scenario.seed, clock, scenario.quirks)
        self.routes = list(ROUTES)
        self._quirks = scenario.quirks

    def subscriptions(self, session: Session, send: Callable[[Frame], None]) -> Topics:
        """Topics of one websocket."""
        return Subscriptions(self.world, session, self._quirks, send)

    def accounts(self, session: Session) -> dict[str, Any]:
        """The object of web-api.md §3.1."""
        return accounts_payload(self.world, session)


class Simulator:
    """One simulator; `start` opens the port, `stop` leaves nothing behind."""

    def __init__(self, scenario: Scenario, brokerage: Brokerage | None = None) -> None:
        self.scenario = scenario
        self.quirks = scenario.quirks
        self.clock = SimClock()
        self.brokerage = brokerage or Brokerage(scenario, self.clock)
        self.journal = Journal()
        self.faults = faults.Faults()
        self.pacing = Pacing(self.clock.now)
        self.sessions = Sessions(self.clock, scenario.settings, self.quirks)
        self.hub = Hub(self.brokerage, self.sessions, self.faults, self.quirks, self.clock, self.journal)
        self.sessions.listener = self.hub
        self.sms = Outbox(self.clock, self.quirks, scenario.seed)
        self.twilio = twilio.Twilio(self.sms, scenario.seed)
        self.download = download.Download(scenario.seed)
        self.factors = Factors(scenario.settings, self.clock, self.sms, scenario.seed)
        self.logins = Logins()
        self.sso = Sso(scenario, self.sessions, self.clock, self.factors, self.logins)
        self.enrollment = Enrollment(self.sso, self.quirks, self.clock)
        self.direct = Direct(scenario, self.sessions, self.clock)
        self.portal = Portal(self.direct, scenario, self.clock)
        self.maintenance_until = 0.0
        """Until then `/sso/*` answers 503 (simulated clock)."""
        self.url = ""
        self.cert: Path | None = None
        self._handshake = Handshake(self.sessions, lambda _, session: self.brokerage.accounts(session))
        self._runner: web.AppRunner | None = None
        self._scratch: Scratch | None = None
        self._files: dict[str, Any] = {"oauth1": None, "oauth2": None}
        self._tasks = Tasks(self._background_failed)

    @property
    def world(self) -> World:
        """The books."""
        return self.brokerage.world

    @property
    def ws(self) -> str:
        """The websocket's full address."""
        return self.url.replace("http", "ws", 1) + "/v1/api/ws"

    # --- life ------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0, plain: bool = False) -> None:
        """Listen. Raises OSError when the address cannot be bound."""
        self.sso.plain = plain
        context = None
        await asyncio.to_thread(scratch.sweep)
        self._scratch = Scratch("ibtui-sim-")
        if not plain:
            self.cert, key = tls.make_certificate(self._scratch.path)
            context = tls.server_context(self.cert, key)
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            handle_signals=False,
            # An order that was received is worked on, even if its sender hangs up meanwhile.
            handler_cancellation=False,
            shutdown_timeout=1.0,
            keepalive_timeout=120.0,
        )
        try:
            self._files = await asyncio.to_thread(self.direct.ready, self._scratch.path)
            await self._runner.setup()
            await web.TCPSite(self._runner, host, port, ssl_context=context).start()
        except BaseException:
            await self.stop()
            raise
        address = self._runner.addresses[0]
        shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        named = f"[{shown}]" if ":" in shown else shown
        self.url = f"{'http' if plain else 'https'}://{named}:{address[1]}"
        self.direct.listen(self.url)
        self._tasks.start(self.world.run(), "world")
        self._tasks.start(self._tick(), "session dates")

    async def stop(self) -> None:
        """Close sockets and port, end the tasks, remove the certificate."""
        await self.hub.close()
        await self._tasks.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._scratch is not None:
            await asyncio.to_thread(self._scratch.remove)

    def log_in(self, username: str) -> None:
        """Open both sessions of a user at once. Raises UsageError for an unknown name."""
        login = self.scenario.find(username)
        if login is None:
            raise UsageError(
                f"No user {username!r} in this scenario.",
                f"There are: {', '.join(user.username for user in self.scenario.users)}.",
            )
        self.sessions.begin_ready(login.user)

    def ready(self) -> dict[str, Any]:
        """What `ibtui sim` tells its caller once it listens."""
        return ready.ready(self, self._files)

    def users(self) -> list[dict[str, Any]]:
        """The users as they are now, with what a client needs to be each of them."""
        return ready.users(self)

    async def _tick(self) -> None:
        while True:
            self.sessions.look()
            await asyncio.sleep(_TICK_S)

    def _background_failed(self, error: BaseException) -> None:
        log.error("a background task of the simulator failed", exc_info=error)

    # --- routes ----------------------------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._front], client_max_size=4 << 20)
        app.add_routes(control.routes(self))
        app.add_routes(self.twilio.routes())
        app.add_routes(self.download.routes())
        app.add_routes(self.enrollment.routes())
        app.add_routes(self.direct.routes())
        app.add_routes(
            [
                *own_answers.routes(),
                web.route("*", "/clear", self._clear),
                web.get("/sso/Login", self.sso.page),
                web.get("/sso/ping", self.sso.ping),
                web.post("/sso/Authenticator", self.sso.authenticator),
                web.post("/sso/Dispatcher", self.sso.dispatcher),
                web.get(_SOCKET, self.hub.serve),
            ]
        )
        own = self._handshake.routes()
        taken = {(route.method, route.path) for route in own}
        theirs = [one for one in self.brokerage.routes if (one.method, one.path) not in taken]
        for route in [*own, *theirs]:
            handler = self._bound(route)
            for prefix in _PREFIXES:
                app.router.add_route(route.method, prefix + route.path, handler)
                # Published clients send some paths with a slash at the end, and IBKR answers.
                app.router.add_route(route.method, prefix + route.path + "/", handler)
        return app

    async def _clear(self, request: web.Request) -> web.StreamResponse:
        """The gateway forgets its cookies: the session is over for everybody (login.md §9.3)."""
        if self.sessions.jar is not None and not self.sessions.jar.over:
            self.sessions.logout(self.sessions.jar)
        return web.Response(text="cleared")

    def _bound(self, route: Route) -> Callable[[web.Request], Any]:
        handler, needs = route.handler, route.needs
        if route.path == "/iserver/accounts" and route.method == "GET":
            full = handler

            async def handler(call: Call) -> web.StreamResponse:
                small = own_request(call.request)
                return await (self._handshake.gateway_accounts(call) if small else full(call))

        async def run(request: web.Request) -> web.StreamResponse:
            life = self._life(request)
            if (life is None or life.over) and _answered_by_gateway(request):
                return reply({"error": "not logged in"})
            if life is None:
                raise Refusal(401, None)
            self._gate(life, needs, faults.bare(request.path))
            if not life.over:
                self.sessions.touch(life)
            return await handler(Call(request, life.session, self.world, self.clock, self.quirks))

        return run

    def _life(self, request: web.Request) -> Life | None:
        """Whose request it is: the session of its cookie, else the one that all callers share."""
        if LIFE in request:
            return request[LIFE]
        life = self.sessions.find(_token(cookies(request).get("api", "")))
        if life is None or life.role or (life.over and not through_gateway(request)):
            life = self.sessions.jar
        return life

    def _gate(self, life: Life, needs: Needs, path: str) -> None:
        """Refuse what the session does not allow (web-api.md §1.5, §1.7)."""
        if needs is Needs.NOTHING:
            return
        if life.over:
            raise Refusal(401, None)
        if needs is Needs.SSO:
            return
        if not self.sessions.bridged(life):
            if life.session.competing:
                raise refuse(401, "not authenticated", with_status=True)
            raise refuse(400, "Bad Request: no bridge", with_status=True)
        if needs is Needs.ACCOUNTS and "accounts" not in life.session.flags and self.quirks.cold_replies:
            if "marketdata" in path:
                raise refuse(500, "Please query /accounts first")
            raise refuse(400, "Bad Request: Please query /accounts first", with_status=True)

    # --- the way of a request --------------------------------------------------------------

    @web.middleware
    async def _front(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/sim/"):
            return await handler(request)  # type: ignore[no-any-return]
        self.sessions.look()
        began = time.monotonic()
        body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
        entry = self.journal.add(
            request.method, request.path, _via(request), body, request.query_string, request.content_type
        )
        if request.path == _SOCKET:
            entry.status = 101  # stands while the socket is open; a refusal overwrites it
        fault = self.faults.take(request.path)
        response = await faults.before(fault, request) if fault is not None else None
        if response is not None and request.path.startswith(twilio.PREFIX):
            response = twilio.on_demand(response.status)
        if response is None:
            response = await self._answer(request, handler)
            entry.status = response.status
            if fault is not None:
                response = await faults.after(fault, request, response)
        entry.status, entry.signed = response.status, request.get(SIGNED, "")
        entry.via = "api" if LIFE in request else entry.via
        own_answers.tell_origin(request, self.scenario.settings.cors_origin, response)
        if not response.prepared:
            # A client measures its clock against this one (simulated) clock, not the machine's.
            now = self.clock.now() + self.scenario.settings.oauth_skew_s
            response.headers["Date"] = formatdate(now, usegmt=True)
            response.headers["x-response-time"] = f"{(time.monotonic() - began) * 1000:.0f}ms"
            if response.status >= 400:
                response.headers["x-cnection"] = "close"
            if own_request(request):
                # A gateway reads these replies network read by network read (login.md §9.4 'Trap').
                response.force_close()
        return response

    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            return await self._checked(request, handler)
        except Refusal as refusal:
            tell_refusal(request, refusal)
            if refusal.body is None:
                return web.Response(status=refusal.status)
            return reply(refusal.body, refusal.status, refusal.kind)
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("no answer to %s %s", request.method, request.path)
            return web.Response(status=500, text="Internal Server Error")

    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path
        api = path.startswith("/v1/") or is_direct(request)
        answer = own_answers.of_origin(request, self.scenario.settings.cors_origin)
        if answer is not None:
            return answer
        if path.startswith("/sso/") and self.clock.now() < self.maintenance_until:
            return web.Response(status=503, text=_MAINTENANCE, content_type="text/html")
        # Not for the websocket: a gateway writes its own there, and ibind sends none.
        named = request.headers.get("User-Agent", "").strip() or (path == _SOCKET and not request.query)
        if not named and (api or path.startswith("/sso/")):
            return web.Response(status=403, text=_FORBIDDEN, content_type="text/html")
        if api and request.method == "POST" and not _has_length(request):
            return web.Response(status=411, text="Length Required")
        self.direct.admit(request)
        if not api or path == _SOCKET or own_request(request):
            return await self._handled(request, handler)
        bare, life = faults.bare(path), self._life(request)
        # Asking for a token is nobody's call yet, and must not use up the gateway's budget.
        owner = "nobody" if life is None or is_direct(request) else str(id(life))
        if self.quirks.pacing and not self.pacing.admits(
            owner, request.method, bare, box=self.quirks.penalty_box, strict=self.quirks.pacing_strict
        ):
            raise refuse(429, "Too Many Requests", with_status=True)
        if bare != HISTORY:
            return await self._handled(request, handler)
        if not self.pacing.enter_history(owner):
            raise refuse(429, "Too Many Requests", with_status=True)
        try:
            return await self._handled(request, handler)
        finally:
            self.pacing.leave_history(owner)

    async def _handled(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.match_info.http_exception is not None:
            away, life = own_answers.leads_away(request), self._life(request)
            if away is None and request.path.startswith("/v1/") and (life is None or life.over):
                raise Refusal(401, None)
            return away or not_found()
        return await handler(request)  # type: ignore[no-any-return]


def _has_length(request: web.Request) -> bool:
    # The edge refuses chunks (web-api.md §1.2), but a Java gateway in between passes every body on in them.
    chunks = "Transfer-Encoding" in request.headers and through_gateway(request)
    return chunks or "Content-Length" in request.headers


def _answered_by_gateway(request: web.Request) -> bool:
    """The one API route that a gateway without a login answers by itself (login.md §9.3)."""
    return faults.bare(request.path) == "/iserver/reauthenticate" and _via(request) == "direct"


def _token(cookie: str) -> str:
    """The tickle session inside the cookie `api`, in either of its forms (web-api.md §7.1)."""
    if cookie.startswith("{"):
        return cookie.rpartition(":")[2].strip(' "}')
    return cookie.strip('"')


def _via(request: web.Request) -> str:
    if "Authorization" in request.headers:
        return "api"
    return "gateway" if through_gateway(request) else "direct"
