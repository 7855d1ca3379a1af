"""Frames into typed events, without I/O; nothing a server sends makes this raise (web-api.md §7).

`parse` makes a message (a dict) of a frame, `event` an event of a message; `decode` does both.
Fractions keep the text they were sent with. `event` takes the message apart: keep a copy of
what you need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from ibtui.core.endpoints.common import flag, integer, label, mapping, milliseconds, rows, text
from ibtui.log import redact
from ibtui.secret import Secret

Frame = bytes | bytearray | memoryview | str
Message = dict[str, Any]
_loads = msgspec.json.Decoder(float_hook=str).decode


class MarketData(Struct, gc=False):
    """`smd`: fields of a contract that changed, by number (§7.7)."""

    conid: int
    fields: dict[str, str]
    updated_ms: int = 0


class OrderRows(Struct):
    """`sor`: orders or parts of orders, to be merged in order (§7.7)."""

    rows: list[Message]


class ExecutionRows(Struct):
    """`str`: executions; each comes again once its commission is known (§7.7)."""

    rows: list[Message]


class PnlRows(Struct):
    """`spl`: P&L by account (§7.7)."""

    rows: Message


class SummaryRows(Struct):
    """`ssd`: summary rows; blank ones mean 'unchanged' (§7.7)."""

    account: str
    rows: list[Message]


class LedgerRows(Struct):
    """`sld`: ledger rows; blank ones mean 'unchanged' (§7.7)."""

    account: str
    rows: list[Message]


class HistoryBars(Struct):
    """`smh`: the body of `/iserver/marketdata/history` (§5.9)."""

    topic: str
    body: Message


class Depth(Struct):
    """`sbd`: rows of a depth ladder (§7.7)."""

    topic: str
    rows: list[Message]


class AccountsFrame(Struct):
    """`act`: the object of web-api.md §3.1."""

    body: Message


class StatusPart(Struct):
    """`sts`: the members of the status that changed, to be merged (§7.5)."""

    part: Message


class Notice(Struct):
    """One element of `ntf` or `blt` (§7.6); a server prompt when `prompt`."""

    kind: str
    id: str
    text: str
    prompt: bool
    body: Message


class Notices(Struct):
    """A frame of notices."""

    items: list[Notice]


class Welcome(Struct):
    """`system` success: the socket knows its session (§7.3)."""

    username: str
    paper: bool | None = None


class Heartbeat(Struct):
    """`system` hb, each 10 s (§7.3)."""

    at_ms: int


class Tic(Struct):
    """The answer to `tic` (§7.4)."""

    alive: bool
    session: Secret | None


class Failure(Struct):
    """An error frame; `topic` is what it is about, where that is said (§7.6)."""

    topic: str
    text: str
    code: int | None = None


class WaitingForSession(Struct):
    """The server wants the session as the first message (§7.1)."""


class Unsubscribed(Struct):
    """The answer to an unsubscription (§7.2)."""

    text: str


class Unknown(Struct):
    """JSON that nothing above describes."""

    topic: str
    body: Any


class Garbage(Struct):
    """No JSON at all; `text` is its redacted beginning."""

    text: str


Event = (
    MarketData
    | OrderRows
    | ExecutionRows
    | PnlRows
    | SummaryRows
    | LedgerRows
    | HistoryBars
    | Depth
    | AccountsFrame
    | StatusPart
    | Notices
    | Welcome
    | Heartbeat
    | Tic
    | Failure
    | WaitingForSession
    | Unsubscribed
    | Unknown
    | Garbage
)


def parse(frame: Frame) -> Message | Garbage:
    """The JSON object in a frame; other JSON stands in its member `value`, `ech+hb` in `topic`."""
    try:
        found = _loads(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError, TypeError):
        return _no_json(frame)
    return found if found.__class__ is dict else {"value": found}


def _no_json(frame: Frame) -> Message | Garbage:
    raw = frame.encode("utf-8", "replace") if isinstance(frame, str) else bytes(frame)
    start = raw[:200].decode("utf-8", "replace")
    if start.strip() == "ech+hb":
        return {"topic": "ech+hb"}
    return Garbage(redact(start))


def decode(frame: Frame) -> Event:
    """The event in a frame; never raises."""
    try:
        message = _loads(frame)
        topic = message["topic"]
        if topic[:3] == "smd" and "error" not in message:
            del message["topic"]
            return _market(topic, message)
    except (msgspec.DecodeError, UnicodeError, RecursionError, LookupError, ValueError, TypeError):
        return event(parse(frame))
    return event(message)


def event(message: Message | Garbage) -> Event:
    """The event in a message, which is taken apart; never raises."""
    if isinstance(message, Garbage):
        return message
    topic = message.pop("topic", "")
    if topic.__class__ is not str:
        return Unknown(str(topic)[:40], message)
    head = topic[:3]
    if head == "smd" and "error" not in message:
        return _market(topic, message)
    if message.get("error") or topic == "error":
        return _failure(topic, message)
    reader = _READERS.get(topic) or _READERS.get(head)
    if reader is not None:
        return reader(topic, message)
    return _untitled(topic, message)


def _market(topic: str, message: Message) -> Event:
    # The busiest path of all: plain statements, no helpers until something is odd.
    pop = message.pop
    conid = pop("conid", None)
    if conid.__class__ is not int:
        conid = integer(conid)
        if conid is None:
            return Unknown(topic, message)
    stamp = pop("_updated", 0)
    pop("server_id", None)
    pop("conidEx", None)
    pop("6119", None)
    for value in message.values():
        if value.__class__ is not str:
            message.update({name: text(value) or "" for name, value in message.items()})
            break
    return MarketData(conid, message, stamp if stamp.__class__ is int else milliseconds(stamp))


def _failure(topic: str, message: Message) -> Event:
    said = message.get("error")
    if said is None or said is True:
        said = message.get("args") or message.get("message") or ""
    about = topic if topic != "error" else ""
    return Failure(about, redact(said if isinstance(said, str) else str(said)), integer(message.get("code")))


def _untitled(topic: str, message: Message) -> Event:
    if topic:
        return Unknown(topic, message)
    said = message.get("message")
    if isinstance(said, str):
        if "waiting for session" in said.lower():
            return WaitingForSession()
        if said.lower().startswith("unsubscribed"):
            return Unsubscribed(said)
    result = message.get("result")
    if isinstance(result, str) and result.lower().startswith("unsubscribed"):
        return Unsubscribed(result)
    return Unknown("", message)


def _rows(message: Message, member: str = "args") -> list[Message]:
    found = message.get(member)
    return [found] if isinstance(found, dict) else rows(found)


def _target(topic: str) -> str:
    return topic.partition("+")[2].partition("+")[0]


def _result(topic: str, message: Message) -> Event | None:
    said = message.get("result")
    return Unsubscribed(said) if isinstance(said, str) else None


def _summary(topic: str, message: Message) -> Event:
    return _result(topic, message) or SummaryRows(_target(topic), _rows(message, "result"))


def _ledger(topic: str, message: Message) -> Event:
    return _result(topic, message) or LedgerRows(_target(topic), _rows(message, "result"))


def _notices(topic: str, message: Message) -> Event:
    items = [
        Notice(
            kind=topic,
            id=text(row.get("id")) or text(row.get("messageId")) or "",
            text=label(row.get("text")) or label(row.get("message")) or label(row.get("title")) or "",
            prompt=row.get("prompt") is True,
            body=row,
        )
        for row in _rows(message)
    ]
    return Notices(items)


def _system(topic: str, message: Message) -> Event:
    if "hb" in message:
        return Heartbeat(milliseconds(message["hb"]))
    if "success" in message:
        return Welcome(text(message["success"]) or "", flag(message.get("isPaper")))
    return Unknown(topic, message)


def _tic(topic: str, message: Message) -> Event:
    token = text(message.get("id"))
    return Tic(flag(message.get("alive")) is not False, Secret(token) if token else None)


_READERS: dict[str, Callable[[str, Message], Event]] = {
    "sor": lambda topic, message: OrderRows(_rows(message)),
    "str": lambda topic, message: ExecutionRows(_rows(message)),
    "spl": lambda topic, message: PnlRows(mapping(message.get("args"))),
    "ssd": _summary,
    "sld": _ledger,
    "usd": _summary,
    "uld": _ledger,
    "smh": HistoryBars,
    "sbd": lambda topic, message: Depth(topic, _rows(message, "data")),
    "act": lambda topic, message: AccountsFrame(mapping(message.get("args"))),
    "sts": lambda topic, message: StatusPart(mapping(message.get("args"))),
    "ntf": _notices,
    "blt": _notices,
    "system": _system,
    "tic": _tic,
    "ech+hb": lambda topic, message: Heartbeat(0),
}
