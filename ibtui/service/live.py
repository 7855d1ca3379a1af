"""Live values of a client: snapshots and stream, begun once and anew after each loss of the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

from ibtui.core.link import StreamState
from ibtui.core.topics import Subscription
from ibtui.core.wire.frames import opposite
from ibtui.errors import GatewayDown, IbtuiError, NoBridge, NotLoggedIn, Unreachable

if TYPE_CHECKING:
    from ibtui.core.client import IbkrClient


class LiveValues:
    """One stream at a time, however many ask for it."""

    def __init__(self) -> None:
        self.stale = False
        """The session was gone meanwhile: what is in the store and on the stream may be of another."""
        self._on: IbkrClient | None = None
        self._lock = asyncio.Lock()
        self._loading: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        """Values were loaded, and nothing was lost since."""
        return self._on is not None and not self.stale

    async def begin(self, client: IbkrClient) -> None:
        """Load everything into the client's store and open its stream, unless that is done.

        Raises:
            IbtuiError: the first thing that could not be had.
            GatewayDown: `end` was called meanwhile.
        """
        async with self._lock:
            if self._on is client and not self.stale:
                return
            self._on, self.stale = None, False
            loading = self._loading = asyncio.get_running_loop().create_task(_load(client))
            try:
                await loading
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise GatewayDown(
                    "The connection was closed while values were loaded.", "Try again."
                ) from None
            finally:
                self._loading = None
            self._on = client

    def end(self) -> None:
        """The client is about to be closed."""
        self._on = None
        if self._loading is not None:
            self._loading.cancel()


async def frames(client: IbkrClient, words: Sequence[str]) -> AsyncGenerator[Any, None]:
    """Every message of a socket of its own on which `words` were sent; as `LocalRuntime.frames`.

    A socket that breaks comes back by itself.

    Raises:
        NotLoggedIn: the session is gone, so that it cannot come back.
        Unreachable: it has ended for good.
    """
    gone: list[IbtuiError] = []

    def heard(state: StreamState) -> None:
        # A brokerage session that is away (`no bridge`) may return without a person.
        if isinstance(state.error, NotLoggedIn) and not isinstance(state.error, NoBridge):
            gone.append(state.error)
            messages.end()

    socket = client.socket(on_state=heard)
    messages = socket.multiplex(None, None, lambda message: True)
    try:
        async with messages:
            for word in words:
                socket.check(word)
                await socket.add(Subscription(word, opposite(word)))
            await socket.open()
            async for message in messages:
                yield message
        why = f" ({socket.state.reason})" if socket.state.reason else ""
        raise gone[0] if gone else Unreachable(f"The WebSocket has ended{why}.", "Try again.")
    finally:
        await socket.close()


async def _load(client: IbkrClient) -> None:
    # A stream of an earlier session, or one that could not be opened.
    await client.unwatch()
    # Quick parts first: orders and trades answer only after a pause (web-api.md §1.6).
    await client.load("accounts", "positions", "amounts")
    done = await asyncio.gather(
        client.watch(tickle_every=0), client.load("orders", "trades", "pnl"), return_exceptions=True
    )
    for result in done:
        if isinstance(result, BaseException):
            raise result
