"""Plays the other side of a conversation: canned replies, answers and errors, in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ibtui.auth.effects import (
    Answer,
    Ask,
    Cancel,
    Challenge,
    Choose,
    Code,
    Enrolled,
    Flow,
    Note,
    Reply,
    Send,
    Spend,
    Store,
    Wait,
)
from ibtui.secret import Secret

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "vectors" / "login.json").read_text(encoding="utf-8")
)
PLAIN, SHORT, KEY = VECTORS["transcripts"]
R = TypeVar("R")
JUDGED = {"COMPLETEAUTH", "COMPLETETWOFACT"}


def typed(text: str, *, counted: bool = False) -> Code:
    """An answer."""
    return Code(Secret(text), counted)


@dataclass
class Talk:
    """One run of a flow. `what` is everything that happened, in order, as short words."""

    replies: Sequence[Reply | BaseException]
    answers: Sequence[Answer | BaseException] = ()
    choices: Sequence[str | Cancel | BaseException] = ()
    spending: dict[str, BaseException] = field(default_factory=dict)
    """Errors of the one who counts, by what is counted."""
    what: list[str] = field(default_factory=list)
    sent: list[Send] = field(default_factory=list)
    asked: list[Challenge] = field(default_factory=list)
    offered: list[tuple[str, ...]] = field(default_factory=list)
    stored: list[Enrolled] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def play(self, flow: Flow[R]) -> R:
        """Run it to its end; raises what the flow raises."""
        left = {name: iter(list(getattr(self, name))) for name in ("replies", "answers", "choices")}
        result: Any = None
        while True:
            try:
                if isinstance(result, BaseException):
                    effect = flow.throw(result)
                else:
                    effect = flow.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            result = self._answer(effect, left)

    def _answer(self, effect: Any, left: dict[str, Any]) -> Any:
        match effect:
            case Send(path="/"):
                self.sent.append(effect)
                self.what.append("GET")
                return Reply(302, "")
            case Send():
                self.sent.append(effect)
                self.what.append(dict(effect.form).get("ACTION") or "DISPATCH")
                return next(left["replies"])
            case Ask(challenge):
                self.asked.append(challenge)
                self.what.append("ask")
                return next(left["answers"])
            case Choose(offered):
                self.offered.append(offered)
                self.what.append("choose")
                return next(left["choices"])
            case Spend(what):
                self.what.append(f"spend {what}")
                return self.spending.get(what)
            case Store(enrolled):
                self.stored.append(enrolled)
                self.what.append("store")
                return self.spending.get("store")
            case Note():
                self.notes.append(effect)
                return None
            case Wait():
                self.what.append("wait")
                return None
        raise AssertionError(f"an effect nobody knows: {effect!r}")

    @property
    def posts(self) -> list[Send]:
        """What was sent, without GET `/`."""
        return [send for send in self.sent if send.method == "POST"]

    @property
    def spent(self) -> list[str]:
        """What was counted, in order."""
        return [word.removeprefix("spend ") for word in self.what if word.startswith("spend ")]

    @property
    def balance(self) -> int:
        """Attempts that remain counted on disk."""
        total = 0
        for word in self.spent:
            total = {"attempt": total + 1, "refund": total - 1, "success": 0, "counter": total}[word]
        return total

    def check_order(self) -> None:
        """Each proof after its attempt, each counted answer after its counter, nothing after the end."""
        for index, word in enumerate(self.what):
            if word in JUDGED:
                assert "spend attempt" in self.what[:index], self.what
            if word == "spend refund":
                assert self.what[index + 1 :] == [], self.what
        assert self.spent.count("refund") <= self.spent.count("attempt")


def ok(exchanges: Iterable[dict[str, Any]]) -> list[Reply]:
    """A transcript's replies."""
    return [Reply(200, exchange["reply"]) for exchange in exchanges]
