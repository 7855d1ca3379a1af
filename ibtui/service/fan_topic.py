"""A topic of the shared WebSocket: what is asked of it, and what a latecomer is told (web-api.md §7.7).

Streams send everything once and changes afterwards. Somebody who subscribes to a stream that
runs already is therefore told the sum of all that was sent: the frames here are made of the
members as they came (`msgspec.Raw`), so that no number changes its text. Asking the server
again instead would cost a request of the common budget for each line of each terminal.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from ibtui.core.endpoints.common import integer

Members = dict[str, Raw]
read = msgspec.json.Decoder(Members).decode
"""A frame's members as they were written; raises `msgspec.MsgspecError` for anything but an object."""
_rows = msgspec.json.Decoder(list[Members]).decode
_encode = msgspec.json.encode
_ROW_KEYS = {"sor": ("args", "orderId"), "str": ("args", "execution_id"), "sbd": ("data", "row")}
_ROW_KEYS |= {"ssd": ("result", "key"), "sld": ("result", "key")}
KEPT_APART = frozenset({"sor", "str"})
"""Their frames tell a history: a slow reader gets each of them or none at all."""
_WHOLE = frozenset({"ssd", "sld"})
_DAY_MS = 86_400_000
ROWS = 20_000
"""Rows kept of one topic; beyond, the oldest go."""


def split(frame: str) -> tuple[str, dict[str, Any]]:
    """`smd+265598+{"fields":["31"]}` -> `smd+265598` and the options; also `spl`, `upl{}`, `sbd+U1+2`.

    What is no JSON object counts as no options: the server judges it.
    """
    head, brace, tail = frame.partition("{")
    if not brace:
        return frame.strip().rstrip("+"), {}
    try:
        found = msgspec.json.decode(brace + tail)
    except (msgspec.MsgspecError, UnicodeError):
        found = None
    return head.strip().rstrip("+"), found if isinstance(found, dict) else {}


class Topic:
    """One subscription upstream, for all who want it. `key` is its frame without options."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.word = key[:3]
        self.options: dict[str, Any] | None = None
        """None: not asked for yet."""
        self.frame: str | None = None
        """What upstream was asked with."""
        self.refused = False
        """The last thing said of it was an error: the next who asks makes it be asked again."""
        self._flat: Members = {}
        self._kept: dict[bytes, Members] = {}
        self._begun = False

    # asking

    def widen(self, options: dict[str, Any]) -> bool:
        """Make room for another's options; True when upstream has to be asked (again)."""
        before, self.options = self.options, _union(self.word, self.options, options)
        if before == self.options and not self.refused:
            return False
        self.refused = False
        return True

    def subscribe(self) -> str:
        """The frame to ask upstream with."""
        if self.word == "sbd":
            return self.key
        return f"{self.key}+{_encode(self.options or {}).decode()}"

    # what was said

    def take(self, members: Members) -> None:
        """Remember a frame of this topic."""
        if self.word == "smd":
            self._flat.update(members)
            return
        self._begun = True
        if self.word in _ROW_KEYS:
            self._take_rows(members, *_ROW_KEYS[self.word])
        elif self.word == "spl":
            self._flat.update(_members(members.get("args")))

    def _take_rows(self, members: Members, member: str, name: str) -> None:
        raw = members.get(member)
        try:
            rows = _rows(raw) if raw is not None else []
        except msgspec.MsgspecError:
            rows = [_members(raw)]
        for row in rows:
            key = row.get(name)
            if key is None:
                continue
            if self.word in _WHOLE:
                # Members are views of their frame, and these frames are long: keep none alive for a few.
                row = {name_: value.copy() for name_, value in row.items()}
            kept = self._kept.get(bytes(key))
            if kept is not None:
                kept.update(row)
                continue
            self._kept[bytes(key)] = dict(row)
            if len(self._kept) > ROWS:
                del self._kept[next(iter(self._kept))]

    def forget(self) -> None:
        """What was said is no longer so."""
        self._flat.clear()
        self._kept.clear()
        self._begun = False

    def latest(self) -> list[bytes]:
        """The frames that tell somebody new all there is; empty when nothing was said yet."""
        if self.word == "smd":
            return [_encode(self._flat)] if self._flat else []
        if not self._begun:
            return []
        topic = Raw(_encode(self.key))
        if self.word == "spl":
            return [_encode({"topic": topic, "args": self._flat})]
        if self.word in KEPT_APART:
            first = [_encode({"topic": topic, "args": []})] if self.word == "str" else []
            return first + [_encode({"topic": topic, "args": [row]}) for row in self._kept.values()]
        member = _ROW_KEYS.get(self.word, ("", ""))[0]
        return [_encode({member: list(self._kept.values()), "topic": topic})] if member else []

    def wanted(self, options: dict[str, Any], members: Members, now: datetime) -> bool:
        """Whether a reader with these options of its own gets a frame of the shared stream.

        A status filter of `sor`, and the days of `str`, are its own affair; fields, keys and the
        like are not: it gets the sum of what all have asked for.
        """
        filters = options.get("filters") if self.word == "sor" else None
        if isinstance(filters, list) and filters:
            return _text(self._row(members).get("status")) in filters
        if self.word == "str" and self.options is not None and _days(options) < self.options["days"]:
            at = integer(_text(self._row(members).get("trade_time_r")))
            return at is None or at >= now.timestamp() * 1000 - _days(options) * _DAY_MS
        return True

    def _row(self, members: Members) -> Members:
        """All that is known of the (first) row that a frame speaks of."""
        member, name = _ROW_KEYS[self.word]
        try:
            rows = _rows(members[member])
            return self._kept.get(bytes(rows[0][name]), {})
        except (LookupError, msgspec.MsgspecError):
            return {}


def _text(raw: Raw | None) -> str:
    return bytes(raw).decode("utf-8", "replace").strip('"') if raw is not None else ""


def _members(raw: Raw | None) -> Members:
    try:
        return read(raw) if raw is not None else {}
    except msgspec.MsgspecError:
        return {}


def _union(word: str, old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Options that serve everybody: one socket has one stream of each topic."""
    match word:
        case "smd":
            fields = [*_texts((old or {}).get("fields")), *_texts(new.get("fields"))]
            return {"fields": list(dict.fromkeys(fields))} if fields else {}
        case "sor":
            # A status filter would hide the others' orders: it is applied on the way out.
            return {}
        case "str":
            mine = {"realtimeUpdatesOnly": new.get("realtimeUpdatesOnly") is True, "days": _days(new)}
            if old is None:
                return mine
            only_new = old["realtimeUpdatesOnly"] and mine["realtimeUpdatesOnly"]
            return {"realtimeUpdatesOnly": only_new, "days": max(old["days"], mine["days"])}
        case "ssd" | "sld":
            if old is None:
                return new
            both = {name: [*_texts(old.get(name)), *_texts(new.get(name))] for name in ("keys", "fields")}
            return {
                name: list(dict.fromkeys(found))
                for name, found in both.items()
                if old.get(name) and new.get(name)
            }
        case _:
            return new


def _days(options: dict[str, Any]) -> int:
    found = options.get("days")
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 1


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
