"""The token of direct access: got when it is needed, renewed before it ends and when IBKR says that it has.

Whatever the OAuth (`Way`), everybody shares one `Grant`: ten requests that are refused at once lead to one
new token (oauth.md §7). Knows neither an HTTP library (`rest` sends) nor cryptography (`ways` signs).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from ibtui.auth.grant import Grant
from ibtui.clock import Clock
from ibtui.core import failures
from ibtui.core.address import Address
from ibtui.core.readonly import changes_orders
from ibtui.errors import (
    IbtuiError,
    NoBridge,
    NotLoggedIn,
    Rejected,
    TokenRefused,
    UnknownReply,
    Unreachable,
    UsageError,
)

AHEAD = timedelta(minutes=10)
"""How long before its end a token is renewed."""
AGAIN_S = 30.0
"""A token that never worked is not renewed before: IBKR blocks who asks for ever more (oauth.md §11.3)."""
AT_LEAST_S = 5.0
"""The same for one that has worked."""
FOLLOW_S = 10.0
"""How long requests wait for the brokerage session after a new token."""
HOLD_S = (60.0, 900.0)
"""After a token request that was refused nobody asks again for so long, twice as long each time."""

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]]
"""Sends an unsigned POST to a whole URL; status and body come back. Raises `IbtuiError` when none do."""
Refusal = Callable[[int, str], IbtuiError]


@dataclass(frozen=True, slots=True)
class Door:
    """What a `Way` gets tokens through."""

    post: Post
    address: Address
    clock: Clock

    async def ask(self, url: str, headers: Mapping[str, str], content: bytes, refusal: Refusal) -> Any:
        """The decoded answer of a token request.

        Raises:
            TokenRefused: as `refusal` says. Pacing, Unreachable, Rejected: IBKR is busy or away.
        """
        status, answer = await self.post(url, headers, content)
        try:
            body = failures.decode(answer) if answer.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            body = None
        if status == 200:
            return body
        if status == 429 or status >= 500:
            error = failures.failure(status, answer, body, "The token request")
            if error is not None:
                raise error
        raise refusal(status, failures.said(answer, body))


class Way(Protocol):
    """One kind of OAuth with its registration."""

    name: str
    """`oauth1` or `oauth2`."""
    deaf: frozenset[str]
    """Paths that refuse this kind whatever the token (§1)."""

    @property
    def whose(self) -> str:
        """Names the registration; nothing secret."""
        ...

    def revived(self, grant: Grant) -> Grant:
        """A kept token, made fit for use; raises UsageError when it cannot be one."""
        ...

    async def obtain(self, door: Door) -> Grant:
        """A new token; raises `IbtuiError` subclasses only."""
        ...

    def header(self, grant: Grant, method: str, url: str, query: str, now: datetime) -> str:
        """`Authorization` of a request to `url` (without query)."""
        ...

    def socket_query(self, grant: Grant) -> str:
        """The query of the WebSocket's address (§8, §11.3)."""
        ...


class Keep(Protocol):
    """Where a token outlives this process."""

    async def load(self) -> Grant | None: ...

    async def save(self, grant: Grant | None) -> None: ...


class OAuth:
    """The one token of a client. Bound to the first `rest.Rest` that it is given to.

    `keep`: where to look for a token before a new one is asked for, and where to put that.
    """

    def __init__(self, way: Way, keep: Keep | None = None) -> None:
        self.way = way
        self.grant: Grant | None = None
        self.renewed: list[Callable[[], None]] = []
        """Called after a token took another one's place: brokerage session and sockets were that one's."""
        self.following: asyncio.Task[Any] | None = None
        """Opens the brokerage session again after that; `/iserver` has to wait for it."""
        self._keep = keep
        self._door: Door | None = None
        self._lock = asyncio.Lock()
        self._refused: IbtuiError | None = None
        self._hold = 0.0
        self._held_until = 0.0
        self._renewed_at = -math.inf
        self._proven: Grant | None = None
        self._no_query = False
        """A new token did not help a request with a query: it is the query that is refused (oauth.md §6)."""

    def bind(self, post: Post, address: Address, clock: Clock) -> None:
        """Get tokens over this connection, unless there is one already."""
        self._door = self._door or Door(post, address, clock)

    @property
    def door(self) -> Door:
        """Raises UsageError before `bind`."""
        if self._door is None:
            raise UsageError("This OAuth token has no connection yet.", "Give it to an IbkrClient.")
        return self._door

    def __repr__(self) -> str:
        return f"OAuth({self.way.name}, {'a token' if self.grant else 'no token'})"

    @property
    def age(self) -> timedelta | None:
        """How old the token is; None without one."""
        return self.door.clock.now() - self.grant.obtained if self.grant else None

    @property
    def left(self) -> timedelta | None:
        """Until the token is renewed; None without one."""
        return self._renew_at(self.grant) - self.door.clock.now() if self.grant else None

    async def ready(self) -> Grant:
        """A token that is good now, got or renewed if need be.

        Raises:
            TokenRefused, UsageError: IBKR refuses the registration; said again without asking for a while.
            Unreachable, Pacing, UnknownReply: there is no token now.
        """
        if self.grant is not None and not self._due(self.grant):
            return self.grant
        async with self._lock:
            if self.grant is None:
                self.grant = await self._kept()
            old = self.grant
            if old is not None and not self._due(old):
                return old
            if old is not None and old.expires > self.door.clock.now():
                return await self._ahead(old)
            self._check_hold()
            return await self._obtain()

    async def obtain(self) -> Grant:
        """A new token, whatever there is; raises as `ready`, but always asks."""
        async with self._lock:
            self._refused = None
            return await self._obtain()

    def went(self, grant: Grant, *, refused: bool, query: bool) -> None:
        """How a request sent with `grant` went, the second one where it was sent twice."""
        if not refused:
            self._proven = grant
        if query:
            self._no_query = refused

    async def after(
        self, grant: Grant, method: str, path: str, said: str, *, query: bool = False
    ) -> Grant | None:
        """A request sent with `grant` was refused; the token to send it again with, if it should be.

        A refused token is renewed, also where the request may not be sent twice: one that changes orders.
        """
        if _of_brokerage(path, said) or any(path.endswith(deaf) for deaf in self.way.deaf):
            return None
        if query and self._no_query:
            return None
        async with self._lock:
            if self.grant in (grant, None) and not await self._renew(grant):
                return None
        if changes_orders(method, path):
            return None
        await self.followed(path)
        return self.grant

    async def followed(self, path: str) -> None:
        """Wait, a while, until `path` has its brokerage session again after a new token."""
        task = self.following
        if task is None or task.done() or task is asyncio.current_task():
            return
        if "/iserver/" in path:
            await asyncio.wait({task}, timeout=FOLLOW_S)

    async def _kept(self) -> Grant | None:
        found = await self._keep.load() if self._keep is not None else None
        return self.way.revived(found) if found is not None else None

    async def _renew(self, grant: Grant) -> bool:
        kept = await self._kept()
        if kept is not None and kept != grant and not self._due(kept):
            # Another program of ours has a newer one.
            self._take(kept)
            return True
        now = self.door.clock.monotonic()
        if now - self._renewed_at < (AT_LEAST_S if self._proven is grant else AGAIN_S):
            return False
        self._renewed_at = now
        await self._obtain()
        return True

    async def forget(self) -> None:
        """Drop the token; the next `ready` gets another."""
        async with self._lock:
            self.grant, self._refused = None, None
            if self._keep is not None:
                await self._keep.save(None)

    def refusal(self, method: str, path: str, status: int, said: str, *, query: bool) -> IbtuiError:
        """What a request's refusal means when a new token was of no use, or it may not be sent twice."""
        if any(path.endswith(deaf) for deaf in self.way.deaf):
            return Rejected(f"{method} {path}: IBKR has no such route for OAuth 1.0a.", status=status)
        if _of_brokerage(path, said):
            return NoBridge(f"{method} {path}: there is no brokerage session.", "Open the brokerage session.")
        text = f": {said.strip().rstrip('.')}" if said.strip() else ""
        what = f"{method} {path}: IBKR does not take the token (status {status}){text}."
        if changes_orders(method, path):
            return NotLoggedIn(
                f"{what} The request was not sent again.",
                "There is a new token by now; look at the order list before you try again.",
            )
        fix = "Get a new token with: ibtui login"
        if query and self.way.name == "oauth1":
            fix += '; if only requests with a query are refused, try oauth_query = "raw" in the profile'
        return NotLoggedIn(what, f"{fix}.")

    async def _ahead(self, old: Grant) -> Grant:
        """Renew a token that still is good; that this fails now does no harm yet."""
        now = self.door.clock.monotonic()
        if now < self._held_until:
            return old
        try:
            return await self._obtain()
        except IbtuiError:
            self._held_until = now + HOLD_S[0]
            return old

    def _check_hold(self) -> None:
        if self._refused is not None and self.door.clock.monotonic() < self._held_until:
            raise self._refused

    async def _obtain(self) -> Grant:
        door = self.door
        try:
            grant = await self.way.obtain(door)
        except (TokenRefused, UsageError, Rejected, UnknownReply) as error:
            self._hold = min(self._hold * 2 or HOLD_S[0], HOLD_S[1])
            self._refused, self._held_until = error, door.clock.monotonic() + self._hold
            raise
        except Unreachable:
            self._refused = None
            raise
        self._refused, self._hold, self._held_until = None, 0.0, 0.0
        if self._keep is not None:
            await self._keep.save(grant)
        self._take(grant)
        return grant

    def _take(self, grant: Grant) -> None:
        old, self.grant = self.grant, grant
        if old is not None:
            for listener in list(self.renewed):
                listener()

    def _due(self, grant: Grant) -> bool:
        return self.door.clock.now() >= self._renew_at(grant)

    @staticmethod
    def _renew_at(grant: Grant) -> datetime:
        return grant.expires - min(AHEAD, (grant.expires - grant.obtained) / 10)


def _of_brokerage(path: str, said: str) -> bool:
    """Whether a refusal is about the brokerage session and not about the token (web-api.md §1.5)."""
    low = said.lower()
    return "no bridge" in low or ("not authenticated" in low and "/iserver/" in path)
