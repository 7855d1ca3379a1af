"""What travels: targets, packed bodies, redirects, the cookies of a login."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime

import pytest

from ibtui.core.http import Answer, Jar, Request, Trouble, following, moment, target, unpacked
from ibtui.errors import UsageError

ORIGIN = "https://localhost:5000"


def _gzip(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/tickle", None, "/tickle"),
        ("/a?b=1,2&c", None, "/a?b=1,2&c"),
        ("/a?b=1", {"c": [1, 2], "d": None, "e": True}, "/a?b=1&c=1%2C2&e=true"),
        ("/a/ü|x#part", None, "/a/%C3%BC%7Cx"),
        ("/a%2Fb", {}, "/a%2Fb"),
        ("/a", {"text": "zwei Wörter+&"}, "/a?text=zwei+W%C3%B6rter%2B%26"),
    ],
)
def test_targets(path: str, params: dict[str, object] | None, expected: str) -> None:
    assert target(path, params) == expected


@pytest.mark.parametrize("path", ["/" + "a" * 70_000, "/\udcff", "/a?\udcff"])
def test_what_cannot_travel(path: str) -> None:
    with pytest.raises(UsageError, match="too long, or holds"):
        target(path)


@pytest.mark.parametrize(
    ("how", "packed"),
    [
        ("gzip", _gzip(b"text")),
        ("deflate", zlib.compress(b"text")),
        ("deflate", zlib.compress(b"text")[2:-4]),
        ("gzip, gzip", _gzip(_gzip(b"text"))),
        ("identity", b"text"),
        ("GZIP", _gzip(b"text")),
    ],
    ids=range(6),
)
def test_packed_bodies(how: str, packed: bytes) -> None:
    assert unpacked((("content-encoding", how),), packed) == b"text"


def test_a_packed_body_that_is_broken() -> None:
    with pytest.raises(Trouble):
        unpacked((("content-encoding", "gzip"),), b"text")
    assert unpacked((("content-encoding", "gzip"),), b"") == b""


def answer(status: int, *headers: tuple[str, str]) -> Answer:
    return Answer(status, headers, b"")


@pytest.mark.parametrize(
    ("status", "place", "expected"),
    [
        (302, "/sso/Login?forwardTo=22&RL=1", ("GET", "/sso/Login?forwardTo=22&RL=1", None)),
        (302, "https://LOCALHOST:5000/x", ("GET", "/x", None)),
        (301, "other", ("GET", "/sso/other", None)),
        (303, "?again", ("GET", "/sso/Dispatcher?again", None)),
        (307, "/x", ("POST", "/x", b"a=b")),
        (302, "https://elsewhere:5000/x", None),
        (302, "http://localhost:5000/x", None),
        (302, "https://localhost:5001/x", None),
        (302, "", None),
        (302, "https://[nonsense", None),
        (200, "/x", None),
    ],
)
def test_where_a_reply_leads(status: int, place: str, expected: tuple[str, str, bytes | None] | None) -> None:
    asked = Request("POST", "/sso/Dispatcher", (("Host", "h"), ("Content-Length", "3")), b"a=b")
    found = following(asked, answer(status, ("location", place)), ORIGIN)
    assert (found and (found.method, found.path, found.body)) == expected
    if found is not None and found.method == "GET":
        assert found.headers == (("Host", "h"),)


def cookies(*lines: str, path: str = "/sso/Login", secure: bool = True) -> Jar:
    jar = Jar("localhost", secure=secure)
    jar.take(Request("GET", path), answer(200, *(("set-cookie", line) for line in lines)))
    return jar


def test_cookies_come_back() -> None:
    jar = cookies(
        "XYZAB_AM.LOGIN=abc; Path=/; Secure; HttpOnly", 'x="q=1"; path=/sso', "y=2", "z=3; Path=/v1"
    )
    jar.put("mine", "4")
    assert jar.header("/sso/Authenticator?a=/v1") == 'x="q=1"; y=2; XYZAB_AM.LOGIN=abc; mine=4'
    assert jar.header("/ssodh") == "XYZAB_AM.LOGIN=abc; mine=4"
    assert jar.header("/v1") == "z=3; XYZAB_AM.LOGIN=abc; mine=4"


def test_a_later_cookie_replaces_an_earlier_one_and_an_ended_one_goes() -> None:
    jar = cookies("a=1; Path=/", "a=2; Path=/", "b=1; Path=/", "c=1; Path=/", "d=1; Path=/")
    past = "Thu, 01-Jan-1970 00:00:10 GMT"
    ended = ("b=; Path=/; Max-Age=0", f"c=x; Expires={past}; Path=/", "d=1; Path=/; Expires=soon")
    jar.take(Request("GET", "/"), answer(200, *(("set-cookie", line) for line in ended)))
    assert jar.header("/") == "a=2; d=1"


def test_cookies_that_are_not_for_us() -> None:
    lines = ("a=1; Domain=ibkr.com", "b=2; Domain=.localhost", "nothing", "=x", "c=3; Domain=host")
    assert cookies(*lines).header("/sso/x") == "b=2"
    assert cookies("a=1; Secure", "b=2", secure=False).header("/sso/x") == "b=2"


def test_text() -> None:
    latin = Answer(200, (("content-type", "text/html; charset=ISO-8859-1"),), "ä".encode("latin-1"))
    odd = Answer(200, (("content-type", "text/html; charset=none-such"),), "ä".encode())
    assert (latin.text, odd.text, Answer(200, (), b"\xff").text) == ("ä", "ä", "\ufffd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ("Sat, 21 Nov 2026 23:59:59 GMT", datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 anF 1994 08:49:37 GMT", None),
        ("784111777", None),
        ("", None),
    ],
)
def test_dates(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected
