"""The outbox of text messages: what the login sent, and what a test planted beside it (login.md §4).

Times are seconds since the epoch on the simulated clock. A message exists from the moment it
was sent but is visible to a reader only from `arrives` on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ibtui.errors import UsageError
from ibtui.sim.seam import Quirks, SimClock

SENDER = "+12035550142"
"""The number that login codes come from."""
OWNER = "+12035550199"
"""The number, owned by the Twilio account, that they go to."""
_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class Message:
    """One text message."""

    sid: str
    sender: str
    to: str
    body: str
    user: str
    """Whose login asked for it; empty for a planted one."""
    sent: float
    arrives: float
    date_sent: int
    """What the provider says, whole seconds."""


class Outbox:
    """All messages of a simulator, in the order in which they were made."""

    def __init__(self, clock: SimClock, quirks: Quirks, seed: int) -> None:
        self._clock = clock
        self._quirks = quirks
        self._rng = random.Random(f"sms {seed}")
        self._messages: list[Message] = []

    def send(self, user: str, code: str) -> Message:
        """Send a login code; it arrives `sms_delay_s` later."""
        now = self._clock.now()
        arrives = now + self._quirks.sms_delay_s
        body = f"Your requested authentication code: {code}"
        return self._add(SENDER, OWNER, body, user, now, arrives, int(arrives))

    def plant(self, wish: dict[str, Any]) -> Message:
        """Add any message: `body`, and where wanted `delay` (s), `date_sent`, `age_s`, `from`, `to`.

        `date_sent` is seconds since the epoch or ISO 8601; `age_s` puts it so long before now;
        without both it is the time of arrival. Raises UsageError for anything else.
        """
        known = {"body", "delay", "date_sent", "age_s", "from", "to"}
        unknown = set(wish) - known
        if unknown:
            raise UsageError(f"Unknown key {sorted(unknown)[0]!r}.", f"Known: {', '.join(sorted(known))}.")
        body = wish.get("body")
        if not isinstance(body, str):
            raise UsageError("body must be a text")
        delay, age = _seconds(wish, "delay"), _seconds(wish, "age_s")
        now = self._clock.now()
        when = wish.get("date_sent", now - age if "age_s" in wish else now + delay)
        sender, to = str(wish.get("from", SENDER)), str(wish.get("to", OWNER))
        return self._add(sender, to, body, "", now, now + delay, _instant(when))

    def _add(
        self, sender: str, to: str, body: str, user: str, sent: float, arrives: float, date_sent: int
    ) -> Message:
        sid = f"SM{self._rng.getrandbits(128):032x}"
        message = Message(sid, sender, to, body, user, sent, arrives, date_sent)
        self._messages = [*self._messages[-_LIMIT:], message]
        return message

    def arrived(self) -> list[Message]:
        """What a reader can see now, newest first."""
        now = self._clock.now()
        here = [(one.date_sent, one.arrives, n) for n, one in enumerate(self._messages) if one.arrives <= now]
        return [self._messages[n] for _, _, n in sorted(here, reverse=True)]

    def rows(self) -> list[dict[str, Any]]:
        """`GET /sim/sms`: every message, oldest first, those on their way too."""
        now = self._clock.now()
        return [
            {
                "sid": one.sid,
                "from": one.sender,
                "to": one.to,
                "body": one.body,
                "user": one.user,
                "t": one.sent,
                "arrives": one.arrives,
                "date_sent": one.date_sent,
                "arrived": one.arrives <= now,
            }
            for one in self._messages
        ]

    def clear(self) -> None:
        """Forget all messages."""
        self._messages = []


def _seconds(wish: dict[str, Any], name: str) -> float:
    value = wish.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 366 * 86_400:
        raise UsageError(f"{name} must be seconds from 0 to a year")
    return float(value)


def _instant(value: Any) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    try:
        when = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError("date_sent must be seconds since the epoch or ISO 8601") from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
