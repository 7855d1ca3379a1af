"""The token's life: got once for all, renewed ahead and on refusal, never asked for too often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from ibtui.auth.grant import Grant
from ibtui.clock import FakeClock
from ibtui.core.address import Address
from ibtui.core.oauth import AGAIN_S, HOLD_S, Door, OAuth
from ibtui.errors import (
    IbtuiError,
    NoBridge,
    NotLoggedIn,
    Pacing,
    Rejected,
    TokenRefused,
    UnknownReply,
    Unreachable,
    UsageError,
)
from ibtui.secret import Secret

ORDERS = "/v1/api/iserver/account/U1/orders"
TICKLE = "/v1/api/tickle"


class Counter:
    """A kind of OAuth whose tokens are numbers; `script` may hold errors to raise in their turn."""

    name = "oauth1"
    deaf = frozenset({"/sso/validate"})
    whose = "nobody"

    def __init__(self, *script: IbtuiError | None, life: timedelta = timedelta(hours=24)) -> None:
        self.script = list(script)
        self.life = life
        self.asked = 0

    async def obtain(self, door: Door) -> Grant:
        self.asked += 1
        await asyncio.sleep(0)
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        now = door.clock.now()
        return Grant(Secret(str(self.asked)), now, now + self.life)

    def header(self, grant: Grant, method: str, url: str, query: str, now: datetime) -> str:
        return f"Count {grant.secret.reveal()}"

    def socket_query(self, grant: Grant) -> str:
        return ""

    def revived(self, grant: Grant) -> Grant:
        return grant


class Shelf:
    """Where a token is kept, as another process sees it."""

    def __init__(self, grant: Grant | None = None) -> None:
        self.grant = grant
        self.dropped = False

    async def load(self) -> Grant | None:
        if self.dropped:
            raise NotLoggedIn("dropped")
        return self.grant

    async def save(self, grant: Grant | None) -> None:
        self.grant, self.dropped = grant, grant is None


def make(way: Counter, clock: FakeClock, keep: Shelf | None = None) -> OAuth:
    async def post(url: str, headers: Any, content: bytes) -> tuple[int, bytes]:
        raise AssertionError("this way needs none")

    found = OAuth(way, keep)
    found.bind(post, Address.parse("https://api.ibkr.com"), clock)
    return found


async def test_everybody_shares_one_token() -> None:
    way = Counter()
    oauth = make(way, FakeClock())
    grants = await asyncio.gather(*(oauth.ready() for _ in range(10)))
    assert way.asked == 1 and len({id(grant) for grant in grants}) == 1
    refused = await asyncio.gather(*(oauth.after(grants[0], "GET", TICKLE, "") for _ in range(10)))
    assert way.asked == 2 and {grant.secret.reveal() for grant in refused if grant} == {"2"}


async def test_it_is_renewed_ahead_and_tells() -> None:
    way, clock, told = Counter(), FakeClock(), []
    oauth = make(way, clock)
    oauth.renewed.append(lambda: told.append(way.asked))
    await oauth.ready()
    clock.advance(24 * 3600 - 601)
    await oauth.ready()
    assert oauth.left == timedelta(seconds=1) and way.asked == 1 and told == []
    clock.advance(2)
    await oauth.ready()
    assert way.asked == 2 and told == [2] and oauth.age == timedelta()


async def test_a_short_token_is_renewed_in_its_last_tenth() -> None:
    way, clock = Counter(life=timedelta(minutes=10)), FakeClock()
    oauth = make(way, clock)
    await oauth.ready()
    clock.advance(539)
    await oauth.ready()
    assert way.asked == 1
    clock.advance(2)
    await oauth.ready()
    assert way.asked == 2


async def test_a_renewal_ahead_that_fails_does_no_harm_yet() -> None:
    way, clock = Counter(None, Unreachable("away"), Unreachable("away")), FakeClock()
    oauth = make(way, clock)
    first = await oauth.ready()
    clock.advance(24 * 3600 - 300)
    assert await oauth.ready() == first and await oauth.ready() == first
    assert way.asked == 2  # not at each request
    clock.advance(61)
    assert await oauth.ready() == first and way.asked == 3
    clock.advance(300)
    assert (await oauth.ready()).secret.reveal() == "4"


@pytest.mark.parametrize("kind", [TokenRefused, UsageError, Rejected, UnknownReply])
async def test_a_refused_registration_is_not_asked_about_again_at_once(kind: type[IbtuiError]) -> None:
    way, clock = Counter(*(kind("invalid consumer") for _ in range(3))), FakeClock()
    oauth = make(way, clock)
    for _ in range(5):
        with pytest.raises(kind):
            await oauth.ready()
    assert way.asked == 1
    clock.advance(HOLD_S[0] + 1)
    for _ in range(3):
        with pytest.raises(kind):
            await oauth.ready()
    assert way.asked == 2
    clock.advance(HOLD_S[0] + 1)
    with pytest.raises(kind):
        await oauth.ready()
    assert way.asked == 2  # twice as long now
    with pytest.raises(kind):
        await oauth.obtain()  # a person asks
    assert way.asked == 3
    assert (await oauth.obtain()).secret.reveal() == "4"


async def test_an_outage_is_tried_again_at_once() -> None:
    way = Counter(Unreachable("away"))
    oauth = make(way, FakeClock())
    with pytest.raises(Unreachable):
        await oauth.ready()
    assert (await oauth.ready()).secret.reveal() == "2"


async def test_a_token_that_is_always_refused_is_not_renewed_for_ever() -> None:
    way, clock = Counter(), FakeClock()
    oauth = make(way, clock)
    grant = await oauth.ready()
    again = await oauth.after(grant, "GET", TICKLE, "")
    assert again is not None and way.asked == 2
    assert await oauth.after(again, "GET", TICKLE, "") is None
    assert way.asked == 2
    clock.advance(AGAIN_S + 1)
    assert await oauth.after(again, "GET", TICKLE, "") is not None


async def test_a_token_that_has_worked_is_renewed_sooner_but_once_for_a_query() -> None:
    way, clock = Counter(), FakeClock()
    oauth = make(way, clock)
    grant = await oauth.ready()
    oauth.went(grant, refused=False, query=False)
    second = await oauth.after(grant, "GET", TICKLE, "", query=True)
    assert second is not None and way.asked == 2
    oauth.went(second, refused=True, query=True)  # a new token was of no use
    clock.advance(AGAIN_S + 1)
    assert await oauth.after(second, "GET", TICKLE, "", query=True) is None and way.asked == 2
    oauth.went(second, refused=False, query=False)
    third = await oauth.after(second, "GET", TICKLE, "")
    assert third is not None and way.asked == 3
    oauth.went(third, refused=False, query=True)
    assert await oauth.after(third, "GET", TICKLE, "", query=True) is None  # just renewed
    clock.advance(6)
    assert await oauth.after(third, "GET", TICKLE, "", query=True) is not None and way.asked == 4


async def test_what_is_no_refusal_of_the_token() -> None:
    way = Counter()
    oauth = make(way, FakeClock())
    grant = await oauth.ready()
    assert await oauth.after(grant, "GET", "/v1/api/sso/validate", "") is None
    deaf = oauth.refusal("GET", "/sso/validate", 401, "", query=False)
    assert isinstance(deaf, Rejected) and deaf.status == 401
    assert await oauth.after(grant, "GET", "/v1/api/iserver/accounts", "Bad Request: no bridge") is None
    assert await oauth.after(grant, "GET", "/v1/api/iserver/accounts", "not authenticated") is None
    assert isinstance(
        oauth.refusal("GET", "/v1/api/iserver/accounts", 401, "not authenticated", query=False), NoBridge
    )
    assert way.asked == 1


async def test_an_order_gets_a_new_token_for_the_next_request_only() -> None:
    way = Counter()
    oauth = make(way, FakeClock())
    grant = await oauth.ready()
    assert await oauth.after(grant, "POST", ORDERS, "") is None
    assert oauth.grant is not None and oauth.grant.secret.reveal() == "2"
    assert "order list" in oauth.refusal("POST", ORDERS, 401, "expired", query=False).fix


async def test_iserver_waits_for_its_brokerage_session() -> None:
    oauth = make(Counter(), FakeClock())
    opened = asyncio.Event()
    oauth.following = asyncio.get_running_loop().create_task(opened.wait())
    await oauth.followed("/v1/api/portfolio/accounts")
    waiting = asyncio.get_running_loop().create_task(oauth.followed("/iserver/accounts"))
    await asyncio.sleep(0)
    assert not waiting.done()
    opened.set()
    async with asyncio.timeout(1):
        await waiting


async def test_a_kept_token_is_used_and_another_programs_newer_one_is_taken() -> None:
    way, clock = Counter(), FakeClock()
    now = clock.now()
    shelf = Shelf(Grant(Secret("kept"), now, now + timedelta(hours=3)))
    oauth = make(way, clock, shelf)
    grant = await oauth.ready()
    assert grant.secret.reveal() == "kept" and way.asked == 0
    shelf.grant = Grant(Secret("theirs"), now, now + timedelta(hours=24))
    again = await oauth.after(grant, "GET", TICKLE, "")
    assert again is not None and again.secret.reveal() == "theirs" and way.asked == 0
    last = await oauth.after(again, "GET", TICKLE, "")
    assert last is not None and shelf.grant == last and way.asked == 1
    await oauth.forget()
    assert shelf.dropped and oauth.grant is None
    with pytest.raises(NotLoggedIn):
        await oauth.ready()
    await oauth.obtain()
    assert not shelf.dropped


async def test_a_kept_token_that_has_ended_is_none() -> None:
    way, clock = Counter(), FakeClock()
    now = clock.now()
    oauth = make(way, clock, Shelf(Grant(Secret("kept"), now - timedelta(hours=25), now)))
    assert (await oauth.ready()).secret.reveal() == "1"


def test_without_a_connection_there_is_no_token() -> None:
    oauth = OAuth(Counter())
    with pytest.raises(UsageError, match="no connection"):
        _ = oauth.door
    assert oauth.age is None and oauth.left is None and "no token" in repr(oauth)


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (429, b"{}", Pacing),
        (503, b"{}", Unreachable),
        (500, b'{"error":"x"}', Rejected),
        (401, b'{"error":"x"}', TokenRefused),
        (400, b"<html>", TokenRefused),
    ],
)
async def test_answers_of_token_requests(status: int, answer: bytes, kind: type[IbtuiError]) -> None:
    async def post(url: str, headers: Any, content: bytes) -> tuple[int, bytes]:
        return status, answer

    door = Door(post, Address.parse("https://api.ibkr.com"), FakeClock())
    refusal: Callable[[int, str], IbtuiError] = lambda code, said: TokenRefused(f"{code} {said}")  # noqa: E731
    with pytest.raises(kind):
        await door.ask("https://api.ibkr.com/x", {}, b"", refusal)


async def test_a_query_hint_only_where_it_may_help() -> None:
    oauth = make(Counter(), FakeClock())
    assert "oauth_query" in oauth.refusal("GET", "/x", 401, "", query=True).fix
    assert "oauth_query" not in oauth.refusal("GET", "/x", 401, "", query=False).fix
