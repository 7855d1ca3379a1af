"""From a reply's status and body to the error that tells a person what is wrong.

Follows web-api.md §1.4 (five shapes of error bodies) and §1.5 (status codes), and
login.md §9 where the gateway was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from ibtui.errors import (
    GatewayDown,
    IbtuiError,
    NoBridge,
    NotLoggedIn,
    Pacing,
    Rejected,
    UnknownReply,
    Unreachable,
)
from ibtui.log import redact

ACCOUNTS_FIRST = "query /accounts first"
LOG_IN = "Log in first."
REFUSED = frozenset({401, 410})
"""What IBKR answers to an OAuth token it does not take (oauth.md §9)."""
_NO_SESSION = re.compile(
    r"(?i)\bno session\b|not authenticated|not logged in|failed to generate sso dh token"
)
_TAGS = re.compile(r"<[^>]*>")
_decoder = msgspec.json.Decoder(float_hook=str)


def decode(content: bytes) -> Any:
    """JSON with numbers that have a fraction kept as the text that was sent; whole ones are ints.

    Raises:
        msgspec.DecodeError: not JSON.
    """
    try:
        return _decoder.decode(content)
    except RecursionError:
        raise msgspec.DecodeError("it goes too deep") from None


def words(content: bytes, limit: int = 300) -> str:
    """What a body says, for a person: no tags, one line, redacted, at most `limit` characters."""
    from html import unescape  # its table of 2,000 names is only for what went wrong

    text = _TAGS.sub(" ", content[: limit * 8].decode("utf-8", "replace"))
    return redact(" ".join(unescape(text).split()))[:limit]


def error_text(body: Any) -> str:
    """The text in a body's `error` (also when that is itself JSON, §1.4 shape 3); empty for none."""
    if not isinstance(body, dict):
        return ""
    found = body.get("error")
    if isinstance(found, str) and found.lstrip().startswith("{"):
        try:
            found = decode(found.encode())
        except (msgspec.DecodeError, ValueError):
            return redact(found)
    if isinstance(found, dict):
        inner = found.get("reason") or found.get("message") or found.get("error")
        found = inner if isinstance(inner, str) else msgspec.json.encode(found).decode()
    if found in (None, "", False):
        return ""
    return redact(str(found))


def said(content: bytes, body: Any) -> str:
    """What an error reply says, in any of its shapes (problem+json too, oauth.md §11.4)."""
    found = error_text(body)
    if not found and isinstance(body, dict):
        parts = [body.get("detail") or body.get("title"), body.get("invalidArguments")]
        found = redact("; ".join(str(part) for part in parts if part))
    return found or words(content)


def failure(status: int, content: bytes, body: Any, what: str) -> IbtuiError | None:
    """The error in a reply to an API request, None when it holds none.

    `body` is the decoded JSON, None when it is none; `what` names the request
    (`GET /tickle`) for the message.
    """
    text = error_text(body)
    if status == 200:
        return _said_no(text, 200, what) if text else None
    if 200 < status < 300:
        return None
    if 300 <= status < 400:
        return NotLoggedIn(f"{what} was sent to the login page: there is no session.", LOG_IN)
    said = text or words(content)
    special = _BY_STATUS.get(status)
    if special is not None:
        found = special(said, what)
        if found is not None:
            return found
    if status >= 500:
        return _server(status, text, said, what)
    if text or said:
        return _said_no(text or said, status, what)
    return UnknownReply(f"{what} was answered with status {status} and nothing else.", status=status)


def _said_no(text: str, status: int, what: str) -> IbtuiError:
    low = text.lower()
    if "no bridge" in low:
        return NoBridge(f"{what}: there is no brokerage session.", "Open the brokerage session.")
    if _NO_SESSION.search(text):
        return NotLoggedIn(f"{what}: IBKR says: {text}.", LOG_IN)
    if ACCOUNTS_FIRST in low:
        return Rejected(text, "Ask for the accounts first (GET /iserver/accounts).", status)
    return Rejected(text.strip(), status=status)


def _denied(said: str, what: str) -> GatewayDown | None:
    if "access denied" not in said.lower():
        return None
    return GatewayDown(
        f"The gateway refuses requests from this address ({what}: Access Denied).",
        "Add the address to ips.allow in the gateway's configuration.",
    )


def _missing(said: str, what: str) -> IbtuiError:
    text = said.strip().rstrip(".") or "not found"
    return _denied(said, what) or Rejected(f"{what}: {text} (404).", "Check the path and what it names.", 404)


def _server(status: int, text: str, said: str, what: str) -> IbtuiError:
    low = said.lower()
    if status == 500 and text and "not ready" not in low and "service unavailable" not in low:
        return _said_no(text, status, what)
    if status == 503 and text and "service unavailable" not in low and "not ready" not in low:
        return _said_no(text, status, what)
    if "no bridge" in low:
        return _said_no(said, status, what)
    return Unreachable(
        f"{what}: IBKR answered {status}{': ' + said if said else ''}.",
        "It may be busy, restarting or in maintenance: try again later.",
    )


def _unauthorised(said: str, what: str) -> IbtuiError:
    if "no bridge" in said.lower():
        return NoBridge(f"{what}: there is no brokerage session.", "Open the brokerage session.")
    return NotLoggedIn(f"{what}: not logged in.", LOG_IN)


_BY_STATUS: dict[int, Callable[[str, str], IbtuiError | None]] = {
    401: _unauthorised,
    403: _denied,
    404: _missing,
    410: lambda said, what: NotLoggedIn(f"{what}: the session has ended.", LOG_IN),
    423: lambda said, what: Unreachable(f"{what}: IBKR is still preparing the answer.", "Try again later."),
    429: lambda said, what: Pacing(
        f"{what}: IBKR says that there were too many requests.", "Wait a while before the next one."
    ),
}
