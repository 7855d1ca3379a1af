"""What the node service says where something fails, word for word (login.md §7 and §8)."""

from __future__ import annotations

import math
from datetime import datetime

from ibtui.core.models import LoginFacts
from ibtui.errors import Backoff, CodeRefused, IbtuiError, LoginLocked, LoginRefused

REQUIRED = "username and password are required"
NOT_STARTED = "IB gateway needs to be first started before trying to login"
NO_PROGRAM = "Missing bin and/or conf for ib gateway"
LAUNCHING, AUTHENTICATING, STOPPING = (
    "Error launching gateway",
    "Error authenticating",
    "Error stopping gateway",
)
_INVALID = "Invalid username and password combination"


def line(doing: str, text: str) -> str:
    """`Error authenticating: Error: TEXT`: the second `Error` is how JavaScript spells an error."""
    return f"{doing}: Error: {text}"


def of(error: IbtuiError, facts: LoginFacts, now: datetime) -> str:
    """The node service's text for a failed login; our own sentence where it has none.

    Args:
        facts: of the user name, read after the failure.
        now: aware; what is left of a back-off is counted from here.
    """
    if isinstance(error, Backoff):
        left = max(1, math.ceil((error.until - now).total_seconds()))
        return f"Auth is in backoff, try again in {left}s"
    if isinstance(error, LoginLocked):
        if error.what.startswith("Too many failed login attempts"):
            # There the attempt that is refused is counted already.
            attempt = max(facts.attempts, facts.limit) + 1
            return f"Too many failed login attempts ({attempt}), requires manual investigation and reset"
        return f"{_INVALID}, reached max limit"
    if isinstance(error, CodeRefused):
        return error.what
    if type(error) is LoginRefused and error.what.startswith("IBKR refused user name or password"):
        return _INVALID
    return str(error)
