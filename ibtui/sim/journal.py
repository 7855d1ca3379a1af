"""What clients asked, for tests to read: never a password, a proof, a token or a cookie."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

_LIMIT = 20_000
_BODY = 2_000
_OPEN = {
    # Form fields of the login (login.md §3, §6) that say what was asked but give nothing away.
    "action", "app_name", "mode", "force_login", "user", "acct", "version", "sf", "user_name",
    "logintype", "forwardto", "resp_type", "os", "country_code", "storage", "key_type", "username",
    "grant_type", "app_version", "carrier_name",
}  # fmt: skip
_HIDDEN_JSON = {
    "password", "session", "response", "challenge", "token", "access_token", "refresh_token",
    "client_assertion", "st", "secret", "pin", "ocra",
}  # fmt: skip


@dataclass(slots=True)
class Entry:
    """One request, or one frame of a websocket (`method` WS, `status` 0)."""

    n: int
    t: float
    method: str
    path: str
    status: int
    via: str
    """gateway (through the Java gateway or its own), direct, or api (an Authorization header)."""
    body_redacted: str
    query: str = ""
    signed: str = ""
    """Of a direct caller: the form and origin that its signature fits (oauth.md §12), or what it showed."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One step of a login or an enrollment and what became of it."""

    n: int
    t: float
    """Seconds since the epoch on the simulated clock."""
    user: str
    action: str
    """The form's ACTION; DISPATCHER for the last step of a login."""
    accepted: bool
    counter: int | None
    """The IBKey counter that the response was made with, as a client stores it; None: unknown or none."""
    value: int | None
    """The same as the whole number inside the message (login.md §5)."""
    where: str
    """login or enroll."""


class Logins:
    """What the login host judged, oldest first: for comparing with what a client believes."""

    def __init__(self) -> None:
        self._rows: deque[Judged] = deque(maxlen=_LIMIT)
        self._next = 1

    def add(
        self,
        t: float,
        user: str,
        action: str,
        accepted: bool,
        *,
        counter: int | None = None,
        value: int | None = None,
        where: str = "login",
    ) -> None:
        """Write a step down, before its reply leaves."""
        self._rows.append(Judged(self._next, t, user, action, accepted, counter, value, where))
        self._next += 1

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        """The steps with a number above `since` as JSON-able objects."""
        return [asdict(one) for one in self._rows if one.n > since]

    def clear(self) -> None:
        """Forget the steps; the numbering goes on."""
        self._rows.clear()


class Journal:
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._rows: deque[Entry] = deque(maxlen=_LIMIT)
        self._next = 1

    def add(self, method: str, path: str, via: str, body: str = "", query: str = "", kind: str = "") -> Entry:
        """Write a request down before it is answered; set `status` of the result afterwards."""
        shown = body if method == "WS" else redact(body, kind)
        entry = Entry(self._next, time.time(), method, path, 0, via, shown, redact_query(query))
        self._next += 1
        self._rows.append(entry)
        return entry

    def frame(self, text: str) -> None:
        """Write down a frame that a websocket client sent."""
        hidden = redact(text) if text.startswith("{") else text[:_BODY]
        self.add("WS", "/v1/api/ws", "socket", hidden)

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        """The entries with a number above `since` as JSON-able objects."""
        return [asdict(entry) for entry in self._rows if entry.n > since]

    def clear(self) -> None:
        """Forget the entries; the numbering goes on."""
        self._rows.clear()


def redact_query(query: str) -> str:
    """A query string without the values of tokens and signatures."""
    if "=" not in query:
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    return urlencode([(k, "***" if _secret_name(k) else v) for k, v in pairs], safe="*,")


def _secret_name(name: str) -> bool:
    low = name.lower()
    return low in _HIDDEN_JSON or any(part in low for part in ("token", "secret", "password", "signature"))


def _scrub(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "***" if _secret_name(str(k)) else _scrub(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_scrub(one) for one in value]
    return value


def redact(body: str, kind: str = "") -> str:
    """A body for the journal. Forms show only fields known to be harmless; JSON hides secret names."""
    if not body:
        return ""
    if "form" in kind:
        pairs = parse_qsl(body, keep_blank_values=True)
        return urlencode([(k, v if k.lower() in _OPEN else "***") for k, v in pairs], safe="*")[:_BODY]
    try:
        return json.dumps(_scrub(json.loads(body)), separators=(",", ":"), ensure_ascii=False)[:_BODY]
    except ValueError:
        return f"({len(body)} characters that are no JSON)"
