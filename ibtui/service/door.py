"""The supervisor's own words on its Unix socket, below `/ibtui/` (the rest is `service.relay`).

`GET state` the truth as one object; `GET changes` the same, then every change as a line;
`POST do/VERB` lines of progress, then the outcome; `DELETE do/ID` cancels one; `POST told`
what a terminal tells while somebody logs in there; `POST hold` a password.
Only processes of our own user are heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec
from aiohttp import web

import ibtui
from ibtui.auth.effects import Credentials
from ibtui.clock import Tasks
from ibtui.config import Profile
from ibtui.core.feed import Feed
from ibtui.core.models import Event, Keeping, LoginFacts, Status
from ibtui.errors import IbtuiError
from ibtui.secret import Secret
from ibtui.service import wire
from ibtui.service.board import Told
from ibtui.service.place import peer_uid
from ibtui.service.runtime import Progress

BEATS = 10
"""A change stream without news has a heart-beat each time it has looked so often."""
BEAT_S = 10.0
"""Seconds between two signs of life of a verb at work."""
GATHER_S = 0.05
"""Changes of so long go out together."""
LOOK_S = 2.0
"""Seconds that a look which a caller asked for may take; then the last one has to do."""

_NOTHING = wire.News()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Desk(Protocol):
    """What the door needs of the supervisor's runtime."""

    @property
    def profile(self) -> Profile: ...
    @property
    def status(self) -> Status: ...
    @property
    def keeping(self) -> Keeping: ...
    @property
    def login_facts(self) -> LoginFacts: ...
    @property
    def user(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def recent(self) -> tuple[list[Event], list[str], int]: ...

    def subscribe(self) -> Feed: ...
    def wake(self) -> None: ...
    async def look(self) -> None: ...
    async def do(self, verb: str, wish: wire.Wish, progress: Progress) -> None: ...
    def told(self, told: Told) -> None: ...
    async def conversed(self, begun: int) -> None: ...
    def hold(self, who: Credentials) -> None: ...


@web.middleware
async def own_user_alone(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse processes of other users, whatever the folder's permissions say."""
    peer = request.transport.get_extra_info("socket") if request.transport is not None else None
    if peer is None or peer_uid(peer) not in (None, os.getuid()):
        raise web.HTTPForbidden
    return await handler(request)


class Door:
    """Routes for `/ibtui/`; `ended` says why everything ends, once it does."""

    def __init__(self, desk: Desk, since: datetime) -> None:
        self._desk = desk
        self._since = since
        self._verbs: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks()
        self._ended = ""
        self.attached = 0
        """Terminals that follow the changes now, and verbs at work."""

    def routes(self) -> list[web.RouteDef]:
        """For an application of aiohttp."""
        root = wire.ROOT
        return [
            web.get(f"{root}/state", self._state),
            web.get(f"{root}/changes", self._changes),
            web.post(f"{root}/do/{{verb}}", self._do),
            web.delete(f"{root}/do/{{id}}", self._cancel),
            web.post(f"{root}/told", self._told),
            web.post(f"{root}/hold", self._hold),
        ]

    def end(self, why: str) -> None:
        """Tell everybody who follows that it ends."""
        self._ended = self._ended or why
        self._desk.wake()

    def truth(self, *, brief: bool = False) -> wire.Truth:
        """Everything known now."""
        desk = self._desk
        events, log, _ = ([], [], 0) if brief else desk.recent
        return wire.Truth(
            pid=os.getpid(),
            version=ibtui.__version__,
            profile=desk.profile.name,
            since=self._since,
            status=desk.status,
            keeping=self._keeping(),
            facts=desk.login_facts,
            user=desk.user,
            digest=desk.digest,
            account_type=desk.profile.account_type,
            terminals=self.attached,
            events=events,
            log=log,
        )

    def _keeping(self) -> Keeping:
        return msgspec.structs.replace(self._desk.keeping, shared=True, since=self._since)

    # What is known -------------------------------------------------------------------

    async def _state(self, request: web.Request) -> web.StreamResponse:
        if "look" in request.query:
            with contextlib.suppress(IbtuiError, TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._desk.look()
        return web.Response(body=_line(self.truth(brief="brief" in request.query)))

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        answer = _stream()
        feed = self._desk.subscribe()
        self.attached += 1
        try:
            await answer.prepare(request)
            whole = self.truth()
            await answer.write(_line(wire.News(whole=whole)))
            follower = _Follower(self._desk, self._keeping, whole)
            beats = 0
            while not self._ended and request.transport is not None:
                news = await self._next(feed, follower)
                beats = 0 if news != _NOTHING else beats + 1
                if beats % BEATS == 0:
                    await answer.write(_line(news))
            await answer.write(_line(wire.News(ended=self._ended)))
        except OSError:
            pass  # the terminal has gone
        finally:
            self.attached -= 1
            feed.close()
        return answer

    async def _next(self, feed: Feed, follower: _Follower) -> wire.News:
        """The next change, or nothing: that the terminal has gone is only seen by looking."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await feed.wait()
            await asyncio.sleep(GATHER_S)
            feed.drain()
        return follower.news()

    # Verbs ---------------------------------------------------------------------------

    async def _do(self, request: web.Request) -> web.StreamResponse:
        wish = msgspec.json.decode(await request.read() or b"{}", type=wire.Wish)
        answer = _stream()
        await answer.prepare(request)
        steps: asyncio.Queue[wire.Step | None] = asyncio.Queue()

        async def work() -> None:
            try:
                await self._desk.do(
                    request.match_info["verb"],
                    wish,
                    lambda text: steps.put_nowait(wire.Step(progress=text)),
                )
                steps.put_nowait(wire.Step(truth=self.truth(brief=True)))
            except IbtuiError as error:
                steps.put_nowait(wire.Step(trouble=wire.Trouble.of(error)))
            finally:
                self._verbs.pop(wish.id, None)
                steps.put_nowait(None)

        # A terminal that goes away does not end what it has begun; `DELETE` does.
        task = self._verbs[wish.id] = self._tasks.start(work(), "verb")
        self.attached += 1
        try:
            while (step := await _within(BEAT_S, steps)) is not None:
                with contextlib.suppress(OSError):
                    await answer.write(_line(step))
            await asyncio.wait([task])
        finally:
            self.attached -= 1
        return answer

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        task = self._verbs.get(request.match_info["id"])
        if task is not None:
            task.cancel()
        return web.Response(body=b"{}\n")

    async def close(self) -> None:
        """Cancel verbs at work."""
        await self._tasks.close()

    async def _told(self, request: web.Request) -> web.StreamResponse:
        open_verbs = 0
        self.attached += 1
        try:
            async for line in request.content:
                told = msgspec.json.decode(line, type=Told)
                open_verbs += {"begun": 1, "done": -1}.get(told.what, 0)
                self._desk.told(told)
        except (OSError, msgspec.DecodeError):
            pass  # the terminal has gone in the middle
        finally:
            self.attached -= 1
            await self._desk.conversed(open_verbs)
        return web.Response(body=b"{}\n")

    async def _hold(self, request: web.Request) -> web.StreamResponse:
        held = msgspec.json.decode(await request.read(), type=wire.Held)
        self._desk.hold(Credentials(held.username, Secret(held.password)))
        return web.Response(body=b"{}\n")


class _Follower:
    """What one terminal has been told already."""

    def __init__(self, desk: Desk, keeping: Callable[[], Keeping], whole: wire.Truth) -> None:
        self._desk = desk
        self._keeping_now = keeping
        self._status, self._keeping, self._facts = whole.status, whole.keeping, whole.facts
        self._user = whole.user
        self._event = whole.events[-1] if whole.events else None
        self._logged = desk.recent[2]

    def news(self) -> wire.News:
        """What is new since the last time."""
        desk = self._desk
        values: dict[str, Any] = {}
        for name, old, new in (
            ("status", self._status, desk.status),
            ("keeping", self._keeping, self._keeping_now()),
            ("facts", self._facts, desk.login_facts),
            ("user", self._user, desk.user),
        ):
            if old != new:
                values[name] = new
                setattr(self, f"_{name}", new)
        events, log, logged = desk.recent
        fresh = _after(events, self._event)
        lines = log[-(logged - self._logged) :] if logged > self._logged else []
        self._event, self._logged = (events[-1] if events else None), logged
        return wire.News(**values, events=fresh, log=lines)


def _after(events: list[Event], last: Event | None) -> list[Event]:
    for at in range(len(events) - 1, -1, -1):
        if events[at] is last:
            return events[at + 1 :]
    return events


async def _within(seconds: float, steps: asyncio.Queue[wire.Step | None]) -> wire.Step | None:
    """The next step, or an empty one: whoever waits hears that it is still at work."""
    try:
        async with asyncio.timeout(seconds):
            return await steps.get()
    except TimeoutError:
        return wire.Step()


def _line(what: msgspec.Struct) -> bytes:
    return msgspec.json.encode(what) + b"\n"


def _stream() -> web.StreamResponse:
    return web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
