"""A world of one price, so that the platform can be tested by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from ibtui.sim.seam import Call, Needs, Route, Session, reply


class TinyWorld:
    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.open: set[TinyTopics] = set()

    async def run(self) -> None:
        await asyncio.Event().wait()

    def set_rate(self, rate: int) -> None:
        self.calls.append(("rate", rate))

    def set_positions(self, count: int, account: str | None = None) -> None:
        self.calls.append(("positions", (count, account)))

    def set_price(self, conid: int, price: float) -> None:
        self.calls.append(("price", (conid, price)))

    def pause(self, paused: bool) -> None:
        self.calls.append(("pause", paused))

    def add_order(self, order: dict[str, Any]) -> dict[str, Any]:
        return {"order_id": 1, **order}

    def books(self) -> dict[str, Any]:
        return {"sequence": 7}


class TinyTopics:
    def __init__(self, world: TinyWorld, send: Callable[[Any], None]) -> None:
        self.world, self.send = world, send
        self.frames: list[str] = []
        world.open.add(self)

    def handle(self, frame: str) -> None:
        self.frames.append(frame)
        self.send({"topic": frame.partition("+{")[0], "conid": 265598, "31": "193.18"})

    def close(self) -> None:
        self.world.open.discard(self)


async def accounts(call: Call) -> web.StreamResponse:
    call.session.flags.add("accounts")
    return reply(payload(call.session))


async def orders(call: Call) -> web.StreamResponse:
    return reply({"orders": [], "snapshot": False})


async def echo(call: Call) -> web.StreamResponse:
    return reply({"got": await call.json(), "path": call.request.match_info.get("acct", "")})


async def slow(call: Call) -> web.StreamResponse:
    await asyncio.sleep(0.4)
    return reply({"data": []})


async def broken(call: Call) -> web.StreamResponse:
    raise KeyError("a mistake in a handler")


def payload(session: Session) -> dict[str, Any]:
    return {
        "accounts": session.user.accounts,
        "acctProps": {account: {"filler": "x" * 2000} for account in session.user.accounts},
        "selectedAccount": session.selected_account,
        "isFT": False,
        "isPaper": session.user.paper,
    }


class TinyBrokerage:
    def __init__(self) -> None:
        self.world: Any = TinyWorld()
        self.routes = [
            Route("GET", "/iserver/accounts", accounts, Needs.BRIDGE),
            Route("GET", "/iserver/account/orders", orders, Needs.ACCOUNTS),
            Route("GET", "/iserver/marketdata/snapshot", orders, Needs.ACCOUNTS),
            Route("GET", "/iserver/marketdata/history", slow, Needs.BRIDGE),
            Route("POST", "/iserver/echo/{acct}", echo, Needs.BRIDGE),
            Route("GET", "/portfolio/{acct}/ledger", orders, Needs.SSO),
            Route("GET", "/iserver/broken", broken, Needs.BRIDGE),
        ]

    def subscriptions(self, session: Session, send: Callable[[Any], None]) -> TinyTopics:
        return TinyTopics(self.world, send)

    def accounts(self, session: Session) -> dict[str, Any]:
        return json.loads(json.dumps(payload(session)))  # type: ignore[no-any-return]
