"""Words into WebSocket frames, without I/O (web-api.md §7.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ibtui.errors import UsageError

TIC = "tic"
"""Keeps the socket alive, at least once a minute (§7.4)."""
RENEW_S = 9 * 60.0
"""Market data streams fall silent after 10 to 15 minutes unless asked for again (§7.7)."""


def subscribe(topic: str, *targets: str | int, options: Mapping[str, Any] | None = None) -> str:
    """`subscribe("smd", 265598, options={"fields": ["31"]})` -> `smd+265598+{"fields":["31"]}`."""
    return _frame("s", topic, targets, options)


def unsubscribe(topic: str, *targets: str | int) -> str:
    """`unsubscribe("smd", 265598)` -> `umd+265598+{}`; `topic` is the subscription's name."""
    return _frame("u", topic, targets, None)


def _frame(first: str, topic: str, targets: Sequence[str | int], options: Mapping[str, Any] | None) -> str:
    if len(topic) != 3 or not topic.startswith("s") or not topic.isalpha():
        raise UsageError(
            f"{topic!r} is no topic: they have three letters and begin with s (smd, sor, str …)."
        )
    parts = [first + topic[1:], *(str(target) for target in targets)]
    if any("+" in part or not part or not part.isprintable() for part in parts):
        raise UsageError("A topic's target may not be empty or hold a plus sign.")
    return "+".join((*parts, msgspec.json.encode(dict(options or {})).decode()))


def market_data(conid: int | str, fields: Sequence[str]) -> str:
    """Fields of a contract, or of `265598@NASDAQ`; asking again adds fields."""
    return subscribe("smd", conid, options={"fields": list(fields)})


def orders() -> str:
    """Live orders."""
    return subscribe("sor")


def trades(*, days: int = 1, only_new: bool = False) -> str:
    """Executions; member names are camelCase on purpose (§7.7)."""
    return subscribe("str", options={"realtimeUpdatesOnly": only_new, "days": days})


def pnl() -> str:
    """Profit and loss of all accounts."""
    return subscribe("spl")


def summary(account: str) -> str:
    """All rows of an account's summary."""
    return subscribe("ssd", account)


def ledger(account: str) -> str:
    """All rows of an account's ledger."""
    return subscribe("sld", account)


def opposite(frame: str) -> str | None:
    """The frame that ends the subscription `frame`, None when it is none or cannot be told (§7.2)."""
    parts = frame.split("+{", 1)[0].split("+")
    topic = parts[0]
    # History ends by its server id, which only the reply tells.
    if len(topic) != 3 or not topic.startswith("s") or topic == "smh":
        return None
    if topic == "sbd":
        return "+".join(("ubd", *parts[1:2]))
    return "+".join((f"u{topic[1:]}", *parts[1:], "{}"))


def session(token: str) -> str:
    """Present the session as the first message (§7.1)."""
    return msgspec.json.encode({"session": token}).decode()
