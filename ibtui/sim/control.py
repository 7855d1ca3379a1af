"""`/sim/*`: what tests and demos steer (the simulator's own door, no part of IBKR)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ibtui.errors import IbtuiError, UsageError
from ibtui.sim.scenario import apply
from ibtui.sim.seam import Refusal, reply
from ibtui.sim.sessions import Life

if TYPE_CHECKING:
    from ibtui.sim.server import Simulator

Answer = Coroutine[Any, Any, Any]


def routes(sim: Simulator) -> list[web.RouteDef]:
    """All control routes; errors answer 400 `{"error": text}`."""
    desk = _Desk(sim)
    table: list[tuple[str, str, Callable[[dict[str, Any], web.Request], Awaitable[Any]]]] = [
        ("GET", "/sim/journal", desk.journal),
        ("GET", "/sim/logins", desk.logins),
        ("DELETE", "/sim/logins", desk.clear_logins),
        ("GET", "/sim/users", desk.users),
        ("GET", "/sim/sms", desk.sms),
        ("POST", "/sim/sms", desk.plant_sms),
        ("DELETE", "/sim/sms", desk.clear_sms),
        ("GET", "/sim/settings", desk.show_settings),
        ("POST", "/sim/settings", desk.settings),
        ("GET", "/sim/books", desk.books),
        ("GET", "/sim/state", desk.state),
        ("GET", "/sim/faults", desk.list_faults),
        ("POST", "/sim/faults", desk.add_fault),
        ("DELETE", "/sim/faults", desk.clear_faults),
        ("DELETE", "/sim/journal", desk.clear_journal),
        ("POST", "/sim/rate", desk.rate),
        ("POST", "/sim/positions", desk.positions),
        ("POST", "/sim/clock", desk.clock),
        ("POST", "/sim/session", desk.session),
        ("POST", "/sim/sockets", desk.sockets),
        ("POST", "/sim/orders", desk.orders),
        ("POST", "/sim/prices", desk.prices),
        ("POST", "/sim/pause", desk.pause),
        ("GET", "/sim/oauth", desk.show_oauth),
        ("POST", "/sim/oauth", desk.oauth),
        ("POST", "/sim/quirks", desk.quirks),
        ("GET", "/sim/quirks", desk.show_quirks),
    ]
    return [web.route(method, path, _answering(handler)) for method, path, handler in table]


def _answering(
    handler: Callable[[dict[str, Any], web.Request], Awaitable[Any]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            text = await request.text()
            body = json.loads(text) if text else {}
            if not isinstance(body, dict):
                raise UsageError("the body must be a JSON object")
            return reply(await handler(body, request))
        except Refusal as refusal:
            return reply(refusal.body, refusal.status)
        except (IbtuiError, ValueError, KeyError) as error:
            return reply({"error": str(error)}, 400)

    return answer


def _number(body: dict[str, Any], name: str, low: float, high: float) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UsageError(f"{name} must be a number from {low:g} to {high:g}")
    return value


class _Desk:
    def __init__(self, sim: Simulator) -> None:
        self._sim = sim

    async def journal(self, body: dict[str, Any], request: web.Request) -> Any:
        return self._sim.journal.rows(int(request.query.get("since", "0")))

    async def clear_journal(self, body: dict[str, Any], request: web.Request) -> Any:
        self._sim.journal.clear()
        return {"ok": True}

    async def sms(self, body: dict[str, Any], request: web.Request) -> Any:
        return self._sim.sms.rows()

    async def plant_sms(self, body: dict[str, Any], request: web.Request) -> Any:
        """`{"body": .., "delay": s, "date_sent": .., "age_s": s, "from": .., "to": ..}`; body is a must."""
        message = self._sim.sms.plant(body)
        return {"sid": message.sid, "arrives": message.arrives, "date_sent": message.date_sent}

    async def clear_sms(self, body: dict[str, Any], request: web.Request) -> Any:
        self._sim.sms.clear()
        return {"ok": True}

    async def logins(self, body: dict[str, Any], request: web.Request) -> Any:
        """What the login host judged; `?since=` as in the journal."""
        return self._sim.logins.rows(int(request.query.get("since", "0")))

    async def clear_logins(self, body: dict[str, Any], request: web.Request) -> Any:
        self._sim.logins.clear()
        return {"ok": True}

    async def users(self, body: dict[str, Any], request: web.Request) -> Any:
        """As in the ready object, but as they are now (after enrollments and logins)."""
        return self._sim.users()

    async def books(self, body: dict[str, Any], request: web.Request) -> Any:
        return self._sim.world.books()

    async def state(self, body: dict[str, Any], request: web.Request) -> Any:
        """Sessions and sockets as they are, without tokens."""
        return {
            "now": self._sim.clock.now(),
            "sessions": [self._session(life) for life in self._sim.sessions.alive()],
            "sockets": [
                {"bridged": one.bridged, "dead": one.dead, "silent": one.silent, "dropped": one.dropped}
                for one in self._sim.hub.sockets
            ],
            "attempts": dict(self._sim.sso.attempts),
            "wrong_codes": dict(self._sim.factors.wrong),
            "maintenance_s": max(0.0, self._sim.maintenance_until - self._sim.clock.now()),
        }

    def _session(self, life: Life) -> dict[str, Any]:
        body = self._sim.sessions.status(life.session)
        return {
            "username": life.session.user.username,
            "sso_ms": self._sim.sessions.sso_left_ms(life),
            **body,
        }

    async def list_faults(self, body: dict[str, Any], request: web.Request) -> Any:
        return self._sim.faults.rows()

    async def add_fault(self, body: dict[str, Any], request: web.Request) -> Any:
        return self._sim.faults.add(body).as_dict()

    async def clear_faults(self, body: dict[str, Any], request: web.Request) -> Any:
        self._sim.faults.clear()
        return {"ok": True}

    async def rate(self, body: dict[str, Any], request: web.Request) -> Any:
        rate = int(_number(body, "messages_per_s", 0, 5_000))
        self._sim.world.set_rate(rate)
        return {"messages_per_s": rate}

    async def positions(self, body: dict[str, Any], request: web.Request) -> Any:
        """`account` defaults to the one that the current session looks at."""
        count = int(_number(body, "count", 0, 10_000))
        account = body.get("account") or self._current_account()
        self._sim.world.set_positions(count, account)
        return {"count": count, "account": account}

    def _current_account(self) -> str | None:
        jar = self._sim.sessions.jar
        if jar is None:
            return None
        session = jar.session
        chosen = session.selected_account
        return chosen if chosen in session.user.accounts else session.user.accounts[0]

    async def clock(self, body: dict[str, Any], request: web.Request) -> Any:
        self._sim.clock.advance(_number(body, "advance_s", 0, 366 * 86_400))
        self._sim.sessions.look()
        return {"now": self._sim.clock.now()}

    async def session(self, body: dict[str, Any], request: web.Request) -> Any:
        """logout | compete | reset, and release (the rival goes), unlock (forget wrong passwords and codes),
        maintenance (`/sso/*` is 503 for `seconds`; 0 ends it)."""
        sessions, action = self._sim.sessions, body.get("action")
        chosen = [
            life
            for life in sessions.alive()
            if body.get("username") in (None, life.session.user.username)
        ]  # fmt: skip
        if action == "logout":
            for life in chosen:
                sessions.logout(life)
        elif action == "compete":
            names = [life.session.user.username for life in chosen] or [str(body.get("username", ""))]
            sessions.rivals.update(name.lower() for name in names if name)
            for life in chosen:
                sessions.challenge(life)
        elif action == "reset":
            sessions.reset()
            self._sim.pacing.forget()
        elif action == "rotate":
            for life in chosen:
                sessions.rotate(life)
        elif action == "release":
            sessions.rivals.clear()
        elif action == "unlock":
            self._sim.sso.unlock()
        elif action == "maintenance":
            self._sim.maintenance_until = self._sim.clock.now() + _number(body, "seconds", 0, 366 * 86_400)
        else:
            raise UsageError("action must be logout, compete, reset, rotate, release, unlock or maintenance")
        return {"action": action, "sessions": len(chosen)}

    async def sockets(self, body: dict[str, Any], request: web.Request) -> Any:
        """drop, silent, and send (`frame`, as it is: what no order or price brings about, `blt` say)."""
        action = body.get("action")
        if action == "drop":
            return {"action": action, "sockets": self._sim.hub.drop()}
        if action == "silent":
            return {"action": action, "sockets": self._sim.hub.silence()}
        if action == "send":
            frame = body.get("frame")
            if not isinstance(frame, dict):
                raise UsageError("frame must be an object")
            return {"action": action, "sockets": self._sim.hub.broadcast(frame)}
        raise UsageError("action must be drop, silent or send")

    async def orders(self, body: dict[str, Any], request: web.Request) -> Any:
        return await _maybe(self._sim.world.add_order(body))

    async def prices(self, body: dict[str, Any], request: web.Request) -> Any:
        """`{"conid": 265598, "price": 190.5}` or `{"prices": {"265598": 190.5}}`."""
        prices = body.get("prices", {body.get("conid"): body.get("price")})
        if not isinstance(prices, dict):
            raise UsageError("prices must be an object of conid and price")
        wanted: dict[int, float] = {}
        for conid, price in prices.items():
            try:
                wanted[int(conid)] = float(price)
            except (TypeError, ValueError):
                raise UsageError("conid and price must be numbers") from None
        for conid, value in wanted.items():
            self._sim.world.set_price(conid, value)
        return {"prices": len(wanted)}

    async def pause(self, body: dict[str, Any], request: web.Request) -> Any:
        paused = body.get("paused", body.get("pause", True))
        if not isinstance(paused, bool):
            raise UsageError("paused must be true or false")
        self._sim.world.pause(paused)
        return {"paused": paused}

    async def show_oauth(self, body: dict[str, Any], request: web.Request) -> Any:
        return self._sim.portal.show()

    async def oauth(self, body: dict[str, Any], request: web.Request) -> Any:
        """register, register2, token, authorize, activate, deactivate, enable, disable, expire, forget."""
        return self._sim.portal.act(body)

    async def quirks(self, body: dict[str, Any], request: web.Request) -> Any:
        apply(self._sim.quirks, body)
        return asdict(self._sim.quirks)

    async def settings(self, body: dict[str, Any], request: web.Request) -> Any:
        apply(self._sim.scenario.settings, body)
        return asdict(self._sim.scenario.settings)

    async def show_settings(self, body: dict[str, Any], request: web.Request) -> Any:
        return asdict(self._sim.scenario.settings)

    async def show_quirks(self, body: dict[str, Any], request: web.Request) -> Any:
        return asdict(self._sim.quirks)


async def _maybe(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result
