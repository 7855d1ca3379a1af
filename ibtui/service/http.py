"""The HTTP door of `ibtui serve`: the node service's routes (login.md §7), and two of our own.

    GET    /api/service   health; 200 while the service lives
    POST   /api/service   start the gateway, wait until it answers
    PUT    /api/service   log in: username, password, totpSecret (JSON or form)
    DELETE /api/service   stop the gateway
    GET    /api/status    the lamps, as `ibtui status --json`
    GET    /api/events    changes as they come (server-sent events)

Bodies are JSON texts; what fails is a 400 with the node service's words.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from datetime import datetime

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ibtui.clock import Clock, SystemClock, Tasks
from ibtui.errors import Competing, GatewayDown, IbtuiError, Unreachable, UsageError
from ibtui.gateway import procs
from ibtui.service import http_guard, http_logins, http_texts, output, program
from ibtui.service.host import starts_one
from ibtui.service.http_events import Streams
from ibtui.service.http_gate import Gate
from ibtui.service.http_guard import Guard, said
from ibtui.service.http_logins import Asked, Logins, PutAnswers, Shared
from ibtui.service.runtime import Runtime

BODY_MAX = 16 * 1024
BODY_S = 10.0
"""Seconds a client may take to send its body."""
LOOK_S = 4.0
"""Seconds a caller of /api/status waits for a new look; then it gets what is known."""
LOOKS = 3
"""How often auth/status is asked for after a login."""
POLL_S = 0.1
OTHER_PORT = "Stop it, or choose another port: --port, serve.port or IB_GATEWAY_SERVICE_PORT."
STATUS = "/iserver/auth/status"
_wire = logging.getLogger("ibtui.http.wire")
"""aiohttp's own complaints."""


class HttpDoor:
    """Serves a runtime over HTTP.

    Args:
        runtime: says which runtime; asked at each request, so that it may be replaced.
        guard: who may come in.
    """

    def __init__(
        self,
        runtime: Callable[[], Runtime],
        guard: Guard,
        *,
        clock: Clock | None = None,
        streams: Streams | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._runtime_now = runtime
        self._guard = guard
        self._clock = clock or SystemClock()
        self._streams = streams or Streams()
        self._gate = gate or Gate()
        self._tasks = Tasks()
        self._start: Shared[None] = Shared(self._tasks, "start over HTTP")
        self._stop: Shared[None] = Shared(self._tasks, "stop over HTTP")
        self._looking: Shared[None] = Shared(self._tasks, "look over HTTP")
        self._logins = Logins(self._tasks, self._login)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    @property
    def _runtime(self) -> Runtime:
        return self._runtime_now()

    async def idle(self, timeout: float) -> bool:
        """Return when no start, stop or login is at work; False when one still is after `timeout` seconds."""
        end = self._clock.monotonic() + timeout
        while self._start.busy or self._stop.busy or self._logins.busy:
            if self._clock.monotonic() >= end:
                return False
            await self._clock.sleep(POLL_S)
        return True

    def routes(self) -> list[web.RouteDef]:
        """All of them; each also with a slash at its end, as there."""
        return [
            web.route(method, f"/api/{path}{slash}", handler)
            for method, path, handler in (
                ("GET", "service", self._health),
                ("HEAD", "service", self._health),
                ("POST", "service", self._post),
                ("PUT", "service", self._put),
                ("DELETE", "service", self._delete),
                ("GET", "status", self._status),
                ("GET", "events", self._events),
            )
            for slash in ("", "/")
        ]

    def app(self) -> web.Application:
        """The application, guard included."""
        first = [self._gate.heard, http_guard.middleware(self._guard)]
        app = web.Application(client_max_size=BODY_MAX, middlewares=first)
        app.add_routes(self.routes())
        app.on_response_prepare.append(http_guard.plain_head)
        return app

    async def open(self, taken: socket.socket) -> str:
        """Serve on a socket of `listen`; returns the origin."""
        runner = self._runner = web.AppRunner(
            self.app(),
            handle_signals=False,
            access_log=None,
            logger=_wire,
            keepalive_timeout=30.0,
            shutdown_timeout=2.0,
        )
        await runner.setup()
        self._gate.server = runner.server
        self._server = await asyncio.get_running_loop().create_server(self._gate, sock=taken)
        host, port = taken.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def close(self) -> None:
        """Stop listening; what is at work is cancelled."""
        self._streams.close()
        await self._tasks.close()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # The node service's routes -------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        return said(
            {"status": "OK", "timestamp": _timestamp(now), **output.status_json(self._runtime.status)}
        )

    async def _post(self, request: web.Request) -> web.Response:
        try:
            await self._start.run(self._start_gateway)
        except IbtuiError as error:
            text = str(error)
            if isinstance(error, GatewayDown) and not starts_one(self._runtime.profile):
                text = f"{http_texts.NO_PROGRAM}. Set IB_GATEWAY_BIN and IB_GATEWAY_CONF. {text}"
            return said(http_texts.line(http_texts.LAUNCHING, text), 400)
        return said("OK")

    async def _start_gateway(self) -> None:
        await self._stop.settled()
        runtime = self._runtime
        await runtime.start_gateway(output.say)
        for risk in await asyncio.to_thread(program.risks_of, runtime.profile):
            output.say(f"Warning: {risk}")

    async def _put(self, request: web.Request) -> web.Response:
        try:
            asked = http_logins.read(await _body(request), request.content_type)
        except UsageError as error:
            return said(error.what, 400)
        try:
            return said(await self._logins.put(asked))
        except IbtuiError as error:
            text = http_texts.of(error, self._runtime.login_facts, self._clock.now())
            return said(http_texts.line(http_texts.AUTHENTICATING, text), 400)

    async def _login(self, asked: Asked) -> object:
        """One login; returns IBKR's own auth/status, as the node service hands it on."""
        await self._start.settled()
        await self._stop.settled()
        runtime = self._runtime
        if runtime.status.gateway.state != "on" and not await self._gateway_answers(runtime):
            raise IbtuiError(http_texts.NOT_STARTED)
        try:
            await runtime.login(PutAnswers(asked), factor="totp" if asked.totp else "")
        except Competing:
            # The node service's gateway takes the session over by itself (login.md §9.4, row 6); whoever
            # sends a PUT wants it, and there is nobody to ask.
            if runtime.profile.competing == "yield":
                raise
            await runtime.open_brokerage(compete=True)
        return await self._said_of_session(runtime)

    async def _said_of_session(self, runtime: Runtime) -> object:
        """IBKR's own words; the login is done, so a stumble here is not its end."""
        for _ in range(LOOKS - 1):
            try:
                return await runtime.request(STATUS)
            except Unreachable:
                await self._clock.sleep(1.0)
        return await runtime.request(STATUS)

    async def _gateway_answers(self, runtime: Runtime) -> bool:
        try:
            await runtime.refresh()
        except UsageError:
            pass  # whom to trust there is not known: the login says so
        return runtime.status.gateway.state not in ("off", "unknown")

    async def _delete(self, request: web.Request) -> web.Response:
        try:
            await self._stop.run(self._stop_gateway)
        except IbtuiError as error:
            return said(http_texts.line(http_texts.STOPPING, str(error)), 400)
        return said("OK")

    async def _stop_gateway(self) -> None:
        await self._start.cancel()
        runtime = self._runtime
        answers = runtime.status.gateway.state == "on"
        try:
            await runtime.stop_gateway()
        except IbtuiError:
            # Nothing runs here, and nobody's gateway answers: that is what was asked for.
            if answers or starts_one(runtime.profile):
                raise

    # Ours ----------------------------------------------------------------------------

    async def _status(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._looking.run(self._look)
        except (TimeoutError, IbtuiError):
            pass  # the lamps say what is wrong
        return said(output.status_json(self._runtime.status))

    async def _look(self) -> None:
        await self._runtime.refresh()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.serve(self._runtime_now, request)


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(reason="The body did not come") from None
    except web.RequestPayloadError:
        raise web.HTTPBadRequest(reason="The body is not what its head says") from None


def _ours(record: logging.LogRecord) -> bool:
    """Not a caller's bad request: its bytes are nothing for a log, and there may be many."""
    theirs = (HttpProcessingError, web.RequestPayloadError)
    return not (record.exc_info and isinstance(record.exc_info[1], theirs))


_wire.addFilter(_ours)


async def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, on the first address that the name has; port 0 takes a free one.

    Raises:
        IbtuiError: the port is taken (says by whom), or the address is not one of this machine.
    """
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        made = socket.create_server((str(address[0]), port), family=family, backlog=128)
        made.setblocking(False)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            who = await asyncio.to_thread(procs.holder, port)
            raise IbtuiError(f"Port {port} is taken{f' by {who}' if who else ''}.", OTHER_PORT) from None
        why = error.strerror or str(error)
        raise IbtuiError(
            f"ibtui cannot listen at {host}:{port}: {why}.", "Correct serve.host and serve.port."
        ) from None
    return made


def _timestamp(now: datetime) -> str:
    """As JavaScript's toISOString."""
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"


def problem_of(host: str, *, token: bool, insecure: bool) -> UsageError | None:
    """Why the door must not be opened there; None when it may."""
    if host in http_guard.LOCAL or token or insecure:
        return None
    return UsageError(
        f"serve.host = {host!r} lets other machines in, and no token is set.",
        "Set serve_token of the profile (a file, a credential, a command), or serve.insecure_bind = true.",
    )


def risk_of(host: str, *, token: bool) -> str:
    """What listening there risks, to be said at each start; empty on loopback."""
    if host in http_guard.LOCAL:
        return ""
    who = "whoever shows the token" if token else "whoever reaches this port, without any token,"
    return (
        f"Warning: listening at {host}, plain HTTP: {who} can start, stop and log in;"
        " passwords and the token travel in clear unless something in front of it speaks TLS."
    )
