"""What direct access to IBKR runs on: a token with its times, whichever OAuth gave it (oauth.md §1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ibtui.secret import Secret

LIFE = timedelta(hours=24)
"""How long IBKR says that a token lasts (oauth.md §1)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A live session token (OAuth 1.0a) or an SSO bearer (2.0); `expires` is aware, in UTC."""

    secret: Secret
    obtained: datetime
    expires: datetime
    key: bytes = field(default=b"", repr=False, compare=False)
    """The secret as bytes, where requests are signed with it."""


def lasts_until(said_ms: int | None, now: datetime) -> datetime:
    """The end of a token's life from IBKR's milliseconds, at most 24 h from `now` (oauth.md §5.6).

    IBKR's pages disagree whether that number is the end or the beginning; one that is past, or
    that the calendar does not know, is taken for the beginning.
    """
    latest = now + LIFE
    try:
        said = datetime.fromtimestamp((said_ms or 0) / 1000, now.tzinfo)
    except (OverflowError, ValueError, OSError):
        return latest
    return min(said, latest) if said > now else latest
