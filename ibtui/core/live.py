"""Keeping one WebSocket open: beats, silence, growing pauses, subscribing anew (web-api.md §7).

Knows no socket library: `stream` dials. Frames are handled as they are read from the
network, so a busy market cannot fill a queue here.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from ibtui.clock import Clock, SystemClock, Tasks
from ibtui.core.endpoints.common import flag
from ibtui.core.link import Dial, Link, StreamState
from ibtui.core.pacing import Pacing
from ibtui.core.topics import Subscription, Topics
from ibtui.core.wire import decode as wire
from ibtui.core.wire import frames
from ibtui.errors import IbtuiError, Stalled, TradingLocked, Unreachable, UsageError
from ibtui.log import redact
from ibtui.secret import Secret

WORDS = frozenset({"open", "close", "send", "receive", "error"})
"""What `debug` may ask to be written."""
SILENCE_S = 30.0
"""A socket that says nothing for so long is dead: it should beat every 10 s (§7.3)."""
TIC_S = 55.0
LOOK_S = 1.0
"""Between two looks at the clock."""
WELCOME_S = 5.0
PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
_TRADES = ("shs", "inp")
_log = logging.getLogger("ibtui.socket")

GiveSession = Callable[[], Awaitable[Secret | None]]
OnEvent = Callable[[wire.Event], None]
OnFrame = Callable[[wire.Frame], bool]
"""Hears a frame as it came; True: it is dealt with."""


class Live(Topics):
    """A socket that comes back; see `stream.Stream` for the arguments."""

    def __init__(
        self,
        url: str,
        dial: Dial,
        session: GiveSession,
        *,
        clock: Clock | None = None,
        pacing: Pacing | None = None,
        debug: Iterable[str] = (),
        write: Callable[[str], None] | None = None,
        read_only: bool = True,
        on_event: OnEvent | None = None,
        on_frame: OnFrame | None = None,
        on_gap: Callable[[], None] | None = None,
        on_state: Callable[[StreamState], None] | None = None,
    ) -> None:
        super().__init__()
        self._debug = _words(debug)
        self.url = url
        self.clock = clock or SystemClock()
        self.state = StreamState("closed")
        self._dial = dial
        self._session = session
        self._pacing = pacing or Pacing(self.clock)
        self._write = write or _log.info
        self._read_only = read_only
        self._on_event = on_event
        self._on_frame = on_frame
        self._on_gap = on_gap
        self._on_state = on_state
        self._tasks = Tasks(self._failed)
        self._runner: asyncio.Task[Any] | None = None
        self._link: Link | None = None
        self._token: Secret | None = None
        self._heard = 0.0
        self._news = False
        self._welcome = asyncio.Event()
        self._sts: bool | None = None
        self._asked = False
        self._was_out = False
        self._ready = asyncio.Event()
        self._hurry = asyncio.Event()
        self._ended = False
        self._error: IbtuiError | None = None

    async def __aenter__(self) -> Live:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # life

    def start(self) -> None:
        """Begin to open the socket in the background and keep it open; harmless when begun."""
        if self._ended:
            raise UsageError("This socket was closed; make a new one.")
        if self._runner is None:
            self._runner = self._tasks.start(self._run(), "socket")

    async def open(self, timeout: float = 20.0) -> None:
        """`start`, and wait until the socket is there and knows its session.

        Raises:
            IbtuiError: it cannot be opened now; it goes on trying all the same until `close`.
            Stalled: not within `timeout` seconds.
        """
        self.start()
        self._error = None
        try:
            async with asyncio.timeout(timeout):
                while not self._ready.is_set():
                    if self._error is not None:
                        raise self._error
                    if self.state.state == "ended":
                        raise Unreachable(f"The WebSocket is given up: {self.state.reason}.")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise Stalled(f"The WebSocket did not open within {timeout:g} s.") from error

    async def close(self) -> None:
        """Close the socket for good; iterators over it end."""
        self._ended = True
        await self._tasks.close()
        await self._drop()
        self._announce(StreamState("ended"))
        self.end_all()

    def reconnect(self, reason: str) -> None:
        """Leave this socket and open another at once (the session changed, say)."""
        self._hurry.set()
        if self._link is not None:
            self._say("close", f"left: {reason}")
            self._link.abort()

    def hurry(self) -> None:
        """Do not wait out a pause before the next attempt: somebody wants the socket now."""
        if self._link is None:
            self._hurry.set()

    def token_changed(self, token: Secret | None) -> None:
        """A tickle brought this token: a socket opened with another one is dead (§7.9)."""
        if self._token is not None and token is not None and token != self._token:
            self.reconnect("the session changed")

    @property
    def is_open(self) -> bool:
        """The socket is there; subscriptions are sent or on their way."""
        return self._ready.is_set()

    def _failed(self, error: BaseException) -> None:
        self._say("error", f"stopped by {type(error).__name__}: {error}")
        _log.error("the socket's task ended: %s", redact(repr(error)))
        self._announce(StreamState("ended", f"{type(error).__name__}: {error}"))
        self.end_all()

    def _announce(self, state: StreamState) -> None:
        self.state = state
        if self._on_state is not None:
            self._on_state(state)

    # one connection after the other

    async def _run(self) -> None:
        tries = 0
        while True:
            self._hurry.clear()
            try:
                await self._connect()
                opened = self.clock.monotonic()
                reason = await self._serve()
                if self.clock.monotonic() - opened > LONGEST_PAUSE_S:
                    tries = 0
                error: IbtuiError | None = None
            except IbtuiError as caught:
                reason, error = str(caught), caught
            finally:
                self._ready.clear()
                await self._drop()
            self._error = error
            self._say("error" if error else "close", reason)
            self._announce(StreamState("closed", redact(reason), error))
            tries += 1
            await self._pause(tries)

    async def _pause(self, tries: int) -> None:
        longest = min(LONGEST_PAUSE_S, PAUSE_S * 2 ** min(tries - 1, 10))
        # Jitter: many clients of one gateway must not come back in step.
        seconds = longest * (0.5 + random.random() / 2)
        async with asyncio.TaskGroup() as group:
            sleep = group.create_task(self.clock.sleep(seconds))
            hurry = group.create_task(self._hurry.wait())
            await asyncio.wait({sleep, hurry}, return_when=asyncio.FIRST_COMPLETED)
            sleep.cancel()
            hurry.cancel()

    async def _connect(self) -> None:
        self._token = await self._session()
        self._welcome.clear()
        self._sts = None
        self._asked = False
        self._link = await self._dial(self.url, self._token, self._take)
        self._heard = self.clock.monotonic()
        self._say("open", self.url)

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _serve(self) -> str:
        """Subscribe, then beat until the socket ends; returns why it ended."""
        link = self._link
        if link is None:
            return "not open"
        closing = self._tasks.start(link.wait_closed(), "socket end")
        try:
            if self._asked:
                # The question came before the link was ours to answer on.
                await self._present()
            await self._wait_for_welcome(closing)
            if closing.done():
                return "closed by the server before it knew the session"
            # Ready before the subscriptions are out: a hundred of them take eleven seconds.
            frames_ = self.wanted()
            again, self._was_out = self._was_out, True
            self._ready.set()
            self._announce(StreamState("open"))
            for frame in frames_:
                if frame in self._held:
                    await self.send(frame)
            if again and self._on_gap is not None:
                self._on_gap()
            return await self._beat(closing)
        except Unreachable as error:
            return f"closed: {error}"
        finally:
            closing.cancel()

    async def _wait_for_welcome(self, closing: asyncio.Task[Any]) -> None:
        welcome = self._tasks.start(self._welcome.wait(), "socket welcome")
        try:
            await asyncio.wait({welcome, closing}, timeout=WELCOME_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            welcome.cancel()

    async def _beat(self, closing: asyncio.Task[Any]) -> str:
        now = self.clock.monotonic()
        tic, renew = now + TIC_S, now + frames.RENEW_S
        while not closing.done():
            await asyncio.wait({closing}, timeout=LOOK_S)
            now = self.clock.monotonic()
            if self._news:
                self._news, self._heard = False, now
            if now - self._heard > SILENCE_S:
                return f"silent for {SILENCE_S:.0f} s"
            if now >= tic:
                tic = now + TIC_S
                await self.send(frames.TIC)
            if now >= renew:
                renew = now + frames.RENEW_S
                for frame in self.wanted():
                    if frame.startswith("smd+"):
                        await self.send(frame)
        return "closed by the server"

    # frames

    def _take(self, data: wire.Frame) -> None:
        self._news = True
        if self._debug and "receive" in self._debug:
            self._say("receive", data if isinstance(data, str) else bytes(data).decode("utf-8", "replace"))
        if self._on_frame is not None and self._on_frame(data):
            return
        if self._iterators:
            message = wire.parse(data)
            if not isinstance(message, wire.Garbage):
                self.deliver(message)
            event = wire.event(message)
        else:
            event = wire.decode(data)
        if event.__class__ is not wire.MarketData:
            self._notice(event)
        if self._on_event is not None:
            self._on_event(event)

    def _notice(self, event: wire.Event) -> None:
        match event:
            case wire.Welcome():
                self._welcome.set()
            case wire.StatusPart(part) if "authenticated" in part:
                before, self._sts = self._sts, flag(part["authenticated"]) is True
                if before is False and self._sts:
                    # Brokerage topics stay dead on a socket that is older than the session (§7.1).
                    self.reconnect("the brokerage session is back")
            case wire.WaitingForSession():
                self._asked = True
                if self._link is not None:
                    self._tasks.start(self._present(), "socket session")
            case wire.Failure(topic, text):
                self._say("error", f"{topic} {text}")

    async def _present(self) -> None:
        self._asked = False
        if self._token is not None and self._link is not None:
            try:
                await self._send_raw(frames.session(self._token.reveal()))
            except Unreachable as error:
                self._say("error", f"the session could not be presented: {type(error).__name__}")

    def check(self, frame: str) -> None:
        """Whether a frame may be sent at all.

        Raises:
            TradingLocked: the stream is read-only and the frame exercises options.
        """
        if self._read_only and frame.strip().lower().startswith(_TRADES):
            raise TradingLocked(
                "This frame trades, but trading is locked; nothing was sent.",
                "Unlock trading for this profile if that is what you want.",
            )

    async def send(self, frame: str) -> None:
        """Send a frame, paced with everything else the session sends.

        Raises:
            TradingLocked: the stream is read-only and the frame exercises options; nothing was sent.
            Unreachable: the socket is not open.
        """
        self.check(frame)
        if self._link is None:
            raise Unreachable("The WebSocket is not open.", "It is being opened again; try in a moment.")
        await self._pacing.frame()
        await self._send_raw(frame)
        await self.clock.sleep(self._pacing.spacing)

    async def _send_raw(self, frame: str) -> None:
        if self._link is None:
            raise Unreachable("The WebSocket is not open.")
        self._say("send", frame)
        await self._link.send(frame)

    def _say(self, word: str, text: str) -> None:
        if word in self._debug:
            self._write(f"{word}: {redact(text)}")

    # subscriptions (used by Topics)

    async def _wish_nothing(self) -> None:
        self.start()

    async def ready(self) -> None:
        if not self._was_out:
            await self.open()

    async def _wish(self, frame: str) -> None:
        self.start()
        if self._ready.is_set():
            try:
                await self.send(frame)
            except Unreachable as error:
                # It is wanted now, so the next socket asks for it.
                self._say("error", f"not subscribed yet: {type(error).__name__}")

    async def _unwish(self, frame: str) -> None:
        if self._ready.is_set():
            try:
                await self.send(frame)
            except Unreachable as error:
                self._say("error", f"not unsubscribed: {type(error).__name__}")

    @asynccontextmanager
    async def subscribed(self, subscription: Subscription) -> AsyncIterator[None]:
        """Hold a subscription without reading it (its events go to `on_event`)."""
        await self.add(subscription)
        try:
            yield
        finally:
            await self.remove(subscription)


def _words(debug: Iterable[str]) -> frozenset[str]:
    given = [debug] if isinstance(debug, str) else list(debug)
    unknown = [word for word in given if word not in WORDS]
    if unknown:
        raise UsageError(f"Unknown debug word {unknown[0]!r}.", f"Known are {', '.join(sorted(WORDS))}.")
    return frozenset(given)
