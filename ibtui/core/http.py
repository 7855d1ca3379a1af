"""HTTP as `rest` needs it: requests to one origin, whole replies, the cookies of a login (RFC 9110, 6265).

`transport` and `proxied` carry them.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urljoin

from ibtui.auth.shy import Shy
from ibtui.errors import UsageError

LONGEST = 65_536
"""Characters of a path with its query."""
UNSENDABLE = "The request is too long, or holds what is no text."
_SAFE = "%/:?@!$&'()*+,;=-._~"
_LEADS_ELSEWHERE = frozenset({301, 302, 303, 307, 308})
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_STRUCTURED = ("gzip", "x-gzip", "deflate")


class Trouble(Exception):
    """No reply came, or only part of one."""


class NoConnection(Trouble):
    """Nobody answers there, or not as whom we trust; no request has left."""


class TooSlow(Trouble):
    """No reply in time."""


class Shut(Trouble):
    """We have closed the connection ourselves."""


class Request(Shy, frozen=True):
    """`path` with its query, as it travels. Headers and body hold secrets: its repr shows neither."""

    SHOWN = ("method",)

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def having(self, name: str, value: str) -> Request:
        """The same with a header more."""
        return Request(self.method, self.path, (*self.headers, (name, value)), self.body)


class Answer(Shy, frozen=True):
    """A reply, unpacked; header names in lower case, in their order. Its repr shows the status alone."""

    SHOWN = ("status",)

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes

    def header(self, name: str) -> str:
        """The first header of that (lower-case) name; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def text(self) -> str:
        """The body as text; what is none is replaced."""
        _, _, charset = self.header("content-type").lower().partition("charset=")
        try:
            return self.content.decode(charset.split(";")[0].strip(" \"'") or "utf-8", "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")


class Carrier(Protocol):
    """Connections to one origin."""

    async def exchange(self, request: Request, connect_s: float, read_s: float) -> Answer:
        """Send it and read the whole reply, within so many seconds each.

        Raises:
            Trouble: with what led to it as its cause.
        """
        ...

    async def close(self) -> None:
        """Close all connections, those in use too."""
        ...


def target(path: str, params: Mapping[str, Any] | None = None) -> str:
    """A path with its query as it may travel: no fragment, nothing but ASCII.

    In `params` None is dropped, booleans become `true`/`false`, lists are joined with commas; without
    any, a query that stands in the path stays as it is.

    Raises:
        UsageError: it is too long, or no text.
    """
    plain, _, query = path.partition("#")[0].partition("?")
    given = [(name, _text(value)) for name, value in (params or {}).items() if value is not None]
    try:
        query = urlencode([*parse_qsl(query, keep_blank_values=True), *given]) if given else query
        found = quote(f"{plain}?{query}" if query else plain, safe=_SAFE)
    except UnicodeError:
        found = ""
    if not 0 < len(found) <= LONGEST:
        raise UsageError(UNSENDABLE, "Correct it.")
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_text(item) for item in value)
    return str(value)


def moment(text: str) -> datetime | None:
    """A date of HTTP, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7); None for anything else."""
    try:
        day, month, year, clock, zone = text.partition(", ")[2].split()
        hours, minutes, seconds = map(int, clock.split(":"))
        number = _MONTHS.index(month) + 1
        found = datetime(int(year), number, int(day), hours, minutes, seconds, tzinfo=UTC)
    except ValueError:
        return None
    return found if zone == "GMT" else None


def unpacked(headers: tuple[tuple[str, str], ...], content: bytes) -> bytes:
    """The body behind its Content-Encoding.

    Raises:
        Trouble: it is broken.
    """
    names = [part for key, value in headers if key == "content-encoding" for part in value.split(",")]
    for name in reversed(names):
        if name.strip().lower() in _STRUCTURED and content:
            content = _inflated(content)
    return content


def _inflated(content: bytes) -> bytes:
    try:
        return zlib.decompress(content, zlib.MAX_WBITS | 32)
    except zlib.error:
        pass
    try:
        return zlib.decompress(content, -zlib.MAX_WBITS)  # `deflate` without the head it should have
    except zlib.error as error:
        raise Trouble("the body is broken") from error


def following(request: Request, answer: Answer, origin: str) -> Request | None:
    """Where a reply leads, on the same origin; None where it leads nowhere, or to somebody else."""
    place = answer.header("location")
    if answer.status not in _LEADS_ELSEWHERE or not place:
        return None
    try:
        url = urljoin(origin + request.path, place)
    except ValueError:  # no address at all
        return None
    if url.partition("://")[2].lower().split("/", 1)[0] != origin.partition("://")[2].lower() or (
        url.split(":", 1)[0].lower() != origin.split(":", 1)[0].lower()
    ):
        return None
    path = target("/" + url.split("://", 1)[1].partition("/")[2])
    if answer.status in (307, 308) or request.method in ("GET", "HEAD"):
        return Request(request.method, path, request.headers, request.body)
    headers = tuple(it for it in request.headers if not it[0].lower().startswith("content-"))
    return Request("GET", path, headers)


class Jar:
    """The cookies of one login conversation with one host (RFC 6265 §5.3, as far as a login needs it)."""

    def __init__(self, host: str, *, secure: bool) -> None:
        self._host = host.lower()
        self._secure = secure
        self._cookies: dict[tuple[str, str], str] = {}

    def put(self, name: str, value: str, path: str = "/") -> None:
        """Set one by hand."""
        self._cookies[name, path] = value

    def header(self, path: str) -> str:
        """What is sent with a request for `path`; longer paths first."""
        path = path.split("?", 1)[0]
        fitting = [(key, value) for key, value in self._cookies.items() if _covers(key[1], path)]
        fitting.sort(key=lambda it: -len(it[0][1]))
        return "; ".join(f"{name}={value}" for (name, _), value in fitting)

    def take(self, request: Request, answer: Answer) -> None:
        """What a reply sets and removes; cookies for other hosts are left out."""
        for key, value in answer.headers:
            if key == "set-cookie":
                self._take(value, request.path.split("?", 1)[0].rpartition("/")[0] or "/")

    def _take(self, text: str, path: str) -> None:
        pair, *rest = text.split(";")
        name, equals, value = pair.partition("=")
        told = {key.strip().lower(): what.strip() for key, _, what in (part.partition("=") for part in rest)}
        domain = told.get("domain", "").lstrip(".").lower()
        if not equals or not name.strip() or (domain and not f".{self._host}".endswith(f".{domain}")):
            return
        if "secure" in told and not self._secure:
            return
        place = told["path"] if told.get("path", "").startswith("/") else path
        if _ended(told):
            self._cookies.pop((name.strip(), place), None)
        else:
            self._cookies[name.strip(), place] = value.strip()


def _covers(place: str, path: str) -> bool:
    return path == place or path.startswith(place if place.endswith("/") else f"{place}/")


def _ended(told: Mapping[str, str]) -> bool:
    """Whether an attribute says that the cookie is to be removed."""
    age = told.get("max-age", "")
    if age:
        return age.startswith("-") or age == "0"
    if not (expires := told.get("expires", "")):
        return False
    at = moment(expires.replace("-", " "))
    return at is not None and at.timestamp() <= time.time()
