"""One WebSocket to IBKR for all terminals (DESIGN §2.5, web-api.md §7).

Topics are counted: upstream is subscribed with the first reader that wants one and
unsubscribed with the last. A reader that comes later is told what a fresh subscriber would be
(see `fan_topic`). When the upstream socket is lost every reader's is closed with code 1012:
that is what it would have seen itself, so it comes back, subscribes and catches up by its own
means. Back-off, beats, silence and renewal are those of `core.stream`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from ibtui.clock import Clock, Tasks
from ibtui.core.client import IbkrClient
from ibtui.core.link import StreamState
from ibtui.core.stream import Stream
from ibtui.core.topics import Subscription
from ibtui.core.wire import frames
from ibtui.core.wire.decode import Frame
from ibtui.errors import IbtuiError, Stalled, Unreachable
from ibtui.log import redact
from ibtui.service.fan_reader import RESTART, Reader, frame
from ibtui.service.fan_topic import Members, Topic, read, split

LINGER_S = 30.0
"""How long the upstream socket stays when nobody reads."""
_TIC_S = 5.0
_OPEN_S = 9.0
_ONCE = frozenset({"smh"})


class Fan:
    """The upstream socket and its readers. `heard` is told the topic word of every frame but prices."""

    def __init__(self, clock: Clock, heard: Callable[[str], None] | None = None) -> None:
        self.readers: list[Reader] = []
        self._clock = clock
        self._heard = heard or (lambda word: None)
        self._client: IbkrClient | None = None
        self._stream: Stream | None = None
        self._lock = asyncio.Lock()
        self._tasks = Tasks()
        self._topics: dict[str, Topic] = {}
        self._wanting: dict[str, list[Reader]] = {}
        self._first: dict[str, bytes] = {}
        self._status: Members = {}
        self._histories: list[tuple[str, Reader]] = []
        self._odd: deque[Reader] = deque(maxlen=64)
        self._tic_at = -_TIC_S
        self._lingering = False
        self._opening = 0

    # the upstream socket

    async def open(self, client: IbkrClient) -> None:
        """Have an upstream socket of `client`.

        Raises:
            IbtuiError: it cannot be opened now.
        """
        async with self._lock:
            if self._client is not client or self._stream is None:
                await self._close_stream()
                self._client = client
                self._stream = client.socket(on_frame=self._on_frame, on_state=self._on_state)
            stream = self._stream
        stream.hurry()
        self._opening += 1
        try:
            await stream.open(_OPEN_S)
        except IbtuiError as error:
            self._linger()
            if isinstance(error, Stalled) and stream.state.error is not None:
                # It waits before it tries again; this is why.
                raise stream.state.error from error
            raise
        finally:
            self._opening -= 1

    def _on_state(self, state: StreamState) -> None:
        if state.state == "open":
            return
        if state.state == "ended":
            self._stream = None
        elif self._stream is not None:
            self._stream.forget()
        self._reset(state.reason or "the socket to IBKR was closed")
        if self._stream is not None:
            self._linger()

    def _reset(self, why: str) -> None:
        """The upstream socket is gone, and all that was said on it."""
        for reader in self.readers:
            reader.drop(RESTART, redact(why))
        self.readers.clear()
        self._topics.clear()
        self._wanting.clear()
        self._first.clear()
        self._status.clear()
        self._histories.clear()
        self._odd.clear()

    async def _close_stream(self) -> None:
        client, self._client = self._client, None
        stream, self._stream = self._stream, None
        if client is not None and stream is not None:
            await client.end(stream)

    async def close(self) -> None:
        """End readers and upstream."""
        self._reset("ibtui's background process ends")
        await self._tasks.close()
        await self._close_stream()

    # readers

    def join(self, reader: Reader) -> None:
        """A reader is there: it is told what opens a socket (web-api.md §7.3)."""
        if self._stream is None:
            reader.drop(RESTART, "the socket to IBKR was closed")
            return
        self.readers.append(reader)
        reader.give_all(self._first[word] for word in ("system", "act") if word in self._first)
        if self._status:
            reader.give_all([msgspec.json.encode({"topic": "sts", "args": self._status})])

    def leave(self, reader: Reader) -> None:
        """A reader is gone; what only it wanted is ended in the background."""
        reader.gone = True
        if reader not in self.readers:
            return
        self.readers.remove(reader)
        ends = [(key, end) for key in list(reader.topics) if (end := self._let_go(reader, key))]
        ends += [("", f"umh+{server_id}") for server_id in reader.histories]
        self._histories = [one for one in self._histories if one[1] is not reader]
        self._tasks.start(self._end(ends), "unsubscribing")
        if not self.readers:
            self._linger()

    def _linger(self) -> None:
        if not self._lingering:
            self._lingering = True
            self._tasks.start(self._end_unread(), "linger")

    async def _end_unread(self) -> None:
        """Close the upstream socket unless somebody comes within `LINGER_S`."""
        end = self._clock.monotonic() + LINGER_S
        while not self.readers and self._stream is not None and self._clock.monotonic() < end:
            await self._clock.sleep(LINGER_S / 30)
        async with self._lock:
            self._lingering = False
            if not self.readers and not self._opening:
                await self._close_stream()

    async def _end(self, ends: list[tuple[str, str]]) -> None:
        for key, text in ends:
            # A hundred of them take eleven seconds: somebody may want it again by now.
            if key not in self._topics:
                await self._say(text)

    async def _say(self, text: str) -> None:
        try:
            await self._send(text)
        except Unreachable:
            # The readers were told already, and come back.
            return

    # what a reader says

    async def receive(self, reader: Reader, text: str) -> None:
        """A frame of a reader's; what cannot be done is said to it as IBKR would (web-api.md §7.6)."""
        if reader.gone or text.startswith("{"):
            return
        if text == "ech+hb":
            reader.give(frame(b"ech+hb"))
            return
        if text == "tic" or text.startswith("tic+"):
            await self._tic()
            return
        key, options = split(text)
        word = key[:3]
        try:
            if word in _ONCE:
                self._histories.append((key, reader))
                await self._send(text)
            elif word == "umh":
                reader.histories.discard(key.partition("+")[2])
                await self._send(text)
            elif len(word) == 3 and word[0] == "s" and key[3:4] in ("", "+") and word != "shs":
                await self._subscribe(reader, key, options)
            elif len(word) == 3 and word[0] == "u" and key[3:4] in ("", "+"):
                await self._unsubscribe(reader, "s" + key[1:])
            else:
                self._odd.append(reader)
                await self._send(text)
        except IbtuiError as error:
            said = {"error": str(error), "code": 500, "topic": word if word[:1] == "s" else "error"}
            reader.give_all([msgspec.json.encode(said)])

    async def _send(self, text: str) -> None:
        if self._stream is None:
            raise Unreachable("The WebSocket is not open.")
        await self._stream.send(text)

    async def _tic(self) -> None:
        """One for all, whose answer goes to all; the socket itself is kept by `core.stream`."""
        now = self._clock.monotonic()
        if now - self._tic_at >= _TIC_S:
            self._tic_at = now
            await self._say(frames.TIC)

    async def _subscribe(self, reader: Reader, key: str, options: dict[str, Any]) -> None:
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key)
        wanting = self._wanting.setdefault(key, [])
        known = topic.options is not None
        reader.topics[key] = options
        if known and options.get("realtimeUpdatesOnly") is not True:
            reader.give_all(topic.latest())
        if reader not in wanting:
            wanting.append(reader)
        if not topic.widen(options):
            return
        stream, before = self._stream, topic.frame
        topic.frame = asked = topic.subscribe()
        if stream is None:
            return
        if before == asked:
            # It was refused: held all the same, so say it once more.
            await self._say(asked)
            return
        if before is not None:
            stream.let_go(Subscription(before))
        await stream.add(Subscription(asked))

    async def _unsubscribe(self, reader: Reader, key: str) -> None:
        # `ubd+ACCOUNT` ends whichever ladder the account has.
        keys = [one for one in reader.topics if one.startswith(key + "+")] if key[:3] == "sbd" else [key]
        await self._end([(one, end) for one in keys if (end := self._let_go(reader, one))])

    def _let_go(self, reader: Reader, key: str) -> str | None:
        """`reader` wants `key` no more; what to say upstream when nobody does."""
        reader.forget(key)
        wanting = self._wanting.get(key, [])
        if reader.topics.pop(key, None) is None or reader not in wanting:
            return None
        wanting.remove(reader)
        if wanting:
            return None
        del self._wanting[key]
        topic = self._topics.pop(key)
        if topic.frame is None or self._stream is None:
            return None
        account = key.rpartition("+")[0] if topic.word == "sbd" else ""
        if account and any(other.startswith(account) for other in self._topics):
            return self._stream.let_go(Subscription(topic.frame))
        return self._stream.let_go(Subscription(topic.frame, frames.opposite(topic.frame)))

    async def renew(self, words: frozenset[str]) -> None:
        """Ask for these topics anew: they tell of something else now (another account, say)."""
        for topic in list(self._topics.values()):
            if topic.word in words and topic.frame is not None:
                topic.forget()
                await self._say(topic.frame)

    # what upstream says

    def _on_frame(self, data: Frame) -> bool:
        """Route a frame as it came; True for prices, which nothing else here has to see."""
        raw = data.encode() if isinstance(data, str) else bytes(data)
        try:
            members = read(raw)
            name = members["topic"]
        except (msgspec.MsgspecError, UnicodeError, LookupError):
            self._untitled(raw)
            return False
        title = bytes(name)[1:-1].decode("utf-8", "replace")
        topic = self._topics.get(title)
        if topic is not None and "error" not in members:
            topic.take(members)
            framed = frame(raw)
            if topic.word == "smd":
                for reader in self._wanting[title]:
                    reader.give(framed, topic)
                return True
            self._heard(topic.word)
            for reader in self._wanting[title]:
                if topic.wanted(reader.topics[title], members, self._clock.now()):
                    reader.give(framed, topic)
            return False
        return self._other(raw, title, members)

    def _untitled(self, raw: bytes) -> None:
        # Readers have their session from here; the upstream socket presents its own.
        if b"waiting for session" not in raw:
            self._to_all(raw)

    def _other(self, raw: bytes, title: str, members: Members) -> bool:
        word = title[:3]
        if "error" in members or title == "error":
            self._failure(raw, title)
        elif word == "smd":
            self._prices_of(raw, title)
            return True
        elif word == "smh":
            self._history(raw, title, members)
        elif title in ("system", "sts", "act") or word[:1] != "s":
            self._remember(title, members, raw)
            self._to_all(raw)
            self._heard(title)
        return False

    def _to_all(self, raw: bytes) -> None:
        framed = frame(raw)
        for reader in list(self.readers):
            reader.give(framed)

    def _remember(self, title: str, members: Members, raw: bytes) -> None:
        if title == "act" or (title == "system" and "success" in members):
            self._first[title] = raw
        elif title == "sts":
            try:
                self._status.update(read(members["args"]))
            except (LookupError, msgspec.MsgspecError):
                return

    def _failure(self, raw: bytes, title: str) -> None:
        """An error goes to those whom it concerns."""
        if title == "smh" and self._histories:
            self._histories.pop(0)[1].give(frame(raw))
            return
        if title in ("error", "") and self._odd:
            self._odd.popleft().give(frame(raw))
            return
        concerned = [key for key in self._topics if key == title or key[:3] == title]
        for key in concerned:
            self._topics[key].refused = True
        if not concerned:
            self._to_all(raw)
            return
        framed = frame(raw)
        for reader in dict.fromkeys(reader for key in concerned for reader in self._wanting[key]):
            reader.give(framed)

    def _prices_of(self, raw: bytes, title: str) -> None:
        """Prices under another name than they were asked by (`265598@NASDAQ`); or late ones of nobody's."""
        plain = title.partition("@")[0]
        framed = frame(raw)
        for key, wanting in self._wanting.items():
            if key.startswith("smd") and key.partition("@")[0] == plain:
                for reader in wanting:
                    reader.give(framed)

    def _history(self, raw: bytes, title: str, members: Members) -> None:
        """Bars go to who asked for that contract first; the server answers once (web-api.md §7.7)."""
        for at, (key, reader) in enumerate(self._histories):
            if key == title:
                del self._histories[at]
                server_id = members.get("serverId")
                if server_id is not None:
                    reader.histories.add(bytes(server_id).decode().strip('"'))
                reader.give(frame(raw))
                return
