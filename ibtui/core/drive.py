"""Runs a login conversation: carries out its effects and gives it their results (DESIGN §3, auth)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ibtui.auth.effects import (
    LOGIN_HOST,
    Answers,
    Ask,
    Choose,
    Effect,
    Enrolled,
    Flow,
    Note,
    Send,
    Spend,
    Store,
    T,
    Wait,
)
from ibtui.auth.factor import plain_names
from ibtui.clock import Clock, Tasks
from ibtui.core.rest import Rest
from ibtui.errors import IbtuiError, PersonNeeded, UsageError

Count = Callable[[Spend], Awaitable[None]]
"""Counts on disk; returns only after fsync."""
Keep = Callable[[Enrolled], Awaitable[None]]
"""Writes a new IB Key to disk; returns only after fsync."""


class _World(msgspec.Struct):
    answers: Answers
    rest: Rest
    clock: Clock
    spend: Count | None
    store: Keep | None
    login_host: Rest | None


async def run(
    flow: Flow[T],
    answers: Answers,
    rest: Rest,
    clock: Clock,
    spend: Count | None = None,
    *,
    store: Keep | None = None,
    login_host: Rest | None = None,
) -> T:
    """Drive `flow` to its end and return what it returns.

    Typed errors of the transport and of the answers are thrown into the flow, which may
    handle them; those it lets pass are raised here. So is cancellation, for which the flow
    may only count (give an attempt back). Whatever ends the drive, the flow is closed, so
    that it drops its secrets.

    Args:
        spend: counts attempts and IB Key's counter; without it attempts are not counted, which
            is for programs that have a guard of their own.
        store: keeps a new IB Key. login_host: where `Send.host` = `LOGIN_HOST` goes. Both are
            needed to enroll.

    Raises:
        IbtuiError: what the flow raises or does not handle.
        UsageError: the flow uses a counter, a store or a host that was not given.
    """
    world = _World(answers, rest, clock, spend, store, login_host)
    hosts = [host for host in (rest, login_host) if host is not None]
    for host in hosts:
        await host.new_conversation()
    try:
        effect = next(flow)
        while True:
            try:
                result = await _perform(effect, world)
            except IbtuiError as error:
                effect = flow.throw(error)
            except asyncio.CancelledError as cancelled:
                await _wind_up(flow, cancelled, world)
                raise
            else:
                effect = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        flow.close()
        for host in hosts:
            await host.new_conversation()


async def _perform(effect: Effect, world: _World) -> Any:
    match effect:
        case Send(host=host):
            return await _rest(world, host).send(effect)
        case Ask(challenge):
            return await world.answers.ask(challenge)
        case Choose(offered):
            return await _choose(world.answers, offered)
        case Wait(seconds):
            return await world.clock.sleep(seconds)
        case Note():
            return world.answers.note(effect)
        case Spend(what):
            if world.spend is not None:
                return await _to_its_end(world.spend(effect))
            if what == "counter":
                raise UsageError("This conversation uses a counter, and there is nowhere to count it.")
        case Store(enrolled):
            if world.store is None:
                raise UsageError("This conversation makes a key, and there is nowhere to keep it.")
            return await _to_its_end(world.store(enrolled))


def _rest(world: _World, host: str) -> Rest:
    if not host:
        return world.rest
    if host != LOGIN_HOST or world.login_host is None:
        raise UsageError("This conversation talks to IBKR's login host, and no address of it was given.")
    return world.login_host


async def _choose(answers: Answers, offered: tuple[str, ...]) -> Any:
    if not hasattr(answers, "choose"):  # answers made for a login without second factors
        raise PersonNeeded(
            f"IBKR offers several second factors: {plain_names(offered)}.",
            "Say which one to use, or log in with a browser at the gateway's address.",
        )
    return await answers.choose(offered)


async def _to_its_end(work: Awaitable[None]) -> None:
    """Await something that must not stay half done: a cancellation waits for it.

    Otherwise nobody would know whether the disk holds it.
    """

    async def whole() -> None:
        await work

    tasks = Tasks()
    task = tasks.start(whole(), "writing what was counted")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _wind_up(flow: Flow[Any], cancelled: asyncio.CancelledError, world: _World) -> None:
    """Tell the flow that it is over; it may count, nothing else."""
    try:
        effect = flow.throw(cancelled)
        while isinstance(effect, Spend) and effect.what == "refund":
            try:
                await _perform(effect, world)
            except IbtuiError as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(None)
    except (asyncio.CancelledError, StopIteration, IbtuiError):
        return  # the caller raises the cancellation itself
