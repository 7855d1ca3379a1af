"""The HTTP door's parts by themselves: what it says, whom it lets in, how it waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ibtui.clock import FakeClock, Tasks
from ibtui.config import Profile
from ibtui.core.feed import Change, Feed, Hub
from ibtui.core.models import Event, Keeping, Lamp, LoginFacts, Status
from ibtui.errors import (
    Backoff,
    CodeRefused,
    GatewayDown,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    UsageError,
)
from ibtui.secret import Secret
from ibtui.service import http, http_events, http_logins, http_texts
from ibtui.service.http import HttpDoor
from ibtui.service.http_events import Streams, Teller
from ibtui.service.http_gate import Gate
from ibtui.service.http_guard import Guard
from ibtui.service.http_logins import Asked, Logins, Shared
from ibtui.service.notify import notify, watchdog_s

NOW = datetime(2026, 4, 24, 14, 32, 10, 123456, tzinfo=UTC)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


# What it says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Backoff("x", until=NOW + timedelta(seconds=59.2)), "Auth is in backoff, try again in 60s"),
        (Backoff("x", until=NOW - timedelta(seconds=5)), "Auth is in backoff, try again in 1s"),
        (
            LoginLocked("Too many failed login attempts (4): the limit is 4."),
            "Too many failed login attempts (5), requires manual investigation and reset",
        ),
        (LoginLocked("IBKR allows none."), "Invalid username and password combination, reached max limit"),
        (
            LoginRefused("IBKR refused user name or password.", "x"),
            "Invalid username and password combination",
        ),
        (
            LoginRefused("IBKR did not start the factor: busy", "Wait."),
            "IBKR did not start the factor: busy Wait.",
        ),
        (
            CodeRefused("Completing two factor (4) returned error: wrong", "Check."),
            "Completing two factor (4) returned error: wrong",
        ),
        (GatewayDown("It does not answer.", "Start it."), "It does not answer. Start it."),
    ],
)
def test_the_node_services_words(error: IbtuiError, text: str) -> None:
    assert http_texts.of(error, LoginFacts(attempts=4, limit=4), NOW) == text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"username":"me","password":"pw"}', JSON),
        (b'{"username":"me","password":"pw","totpSecret":"","more":1}', "application/problem+json"),
        (b"username=me&password=pw", FORM),
        (b"password=pw&username=%6de&totpSecret=", FORM),
    ],
)
def test_a_body_is_read(body: bytes, kind: str) -> None:
    asked = http_logins.read(body, kind)
    assert (asked.username, asked.password.reveal(), asked.totp) == ("me", "pw", None)
    assert asked.credentials.username == "me" and "pw" not in repr(asked)


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"", JSON, http_texts.REQUIRED),
        (b'"me"', JSON, http_texts.REQUIRED),
        (b'{"username":1,"password":2}', JSON, http_texts.REQUIRED),
        (b"username=me&username=you&password=pw", FORM, http_texts.REQUIRED),
        (b"username=+&password=pw", FORM, http_texts.REQUIRED),
        (b"username=me&password=pw", "text/plain", http_texts.REQUIRED),
        (b"{", JSON, "not JSON"),
        (b"[" * 16_000, JSON, "not JSON"),
        (b'{"username":"me\\u0000","password":"pw"}', JSON, "no user name has"),
        (b"username=me%E2%80%8B&password=pw", FORM, "no user name has"),
        (b'{"username":"\xff"}', JSON, "not JSON"),
        (b"username=me&password=\xff", FORM, "not a form"),
        (b"a=1&" * 60, FORM, "not a form"),
        (b'{"username":"me","password":"pw","totpSecret":5}', JSON, "totpSecret"),
    ],
)
def test_a_body_is_refused(body: bytes, kind: str, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        http_logins.read(body, kind)
    assert "pw" not in str(caught.value)


def test_where_it_may_listen() -> None:
    assert http.problem_of("127.0.0.1", token=False, insecure=False) is None
    assert http.problem_of("::1", token=False, insecure=False) is None
    assert http.problem_of("10.0.0.1", token=True, insecure=False) is None
    assert http.problem_of("0.0.0.0", token=False, insecure=True) is None
    refused = http.problem_of("10.0.0.1", token=False, insecure=False)
    assert refused is not None and "serve_token" in refused.fix
    assert http.risk_of("localhost", token=False) == ""
    assert "without any token" in http.risk_of("0.0.0.0", token=False)
    assert "shows the token" in http.risk_of("0.0.0.0", token=True)


async def test_addresses_that_cannot_be_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(IbtuiError, match=rf"Port {port} is taken by .*pid {os.getpid()}"):
            await http.listen("127.0.0.1", port)
    with pytest.raises(IbtuiError, match="cannot listen at nowhere.invalid"):
        await http.listen("nowhere.invalid", 0)


# Who asks at the same time -------------------------------------------------------------


async def test_equal_ones_share_and_others_wait() -> None:
    begun: list[str] = []
    go = asyncio.Event()

    async def login(asked: Asked) -> object:
        begun.append(asked.username)
        await go.wait()
        if asked.username == "bad":
            raise LoginRefused("no")
        return asked.username

    tasks = Tasks()
    logins = Logins(tasks, login)

    def ask(name: str, totp: str = "") -> asyncio.Task[object]:
        asked = Asked(name, Secret("pw"), Secret(totp) if totp else None)
        return tasks.start(logins.put(asked), "ask")

    first = [ask("me"), ask("me"), ask("me", "TOTP"), ask("bad"), ask("me")]
    await asyncio.sleep(0.01)
    assert begun == ["me"] and logins.busy
    first[0].cancel()  # a caller that leaves takes nobody with him
    others = [ask(f"user{number}") for number in range(http_logins.WAITING)]
    await asyncio.sleep(0.01)
    go.set()
    done = await asyncio.gather(*first, *others, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1] == done[2] == done[4] == "me" and isinstance(done[3], LoginRefused)
    # Three were waiting already: the last three found no place.
    assert [type(one) for one in done[-3:]] == [IbtuiError] * 3
    assert begun[:3] == ["me", "me", "bad"] and len(begun) == http_logins.WAITING
    assert not logins.busy
    await tasks.close()


async def test_what_is_stopped_is_an_error_for_all_who_wait() -> None:
    tasks = Tasks()
    shared: Shared[None] = Shared(tasks, "test")
    await shared.settled()
    await shared.cancel()

    async def forever() -> None:
        await asyncio.Event().wait()

    waits = [tasks.start(shared.run(forever), "wait") for _ in range(2)]
    await asyncio.sleep(0.01)
    assert shared.busy
    await shared.cancel()
    found = await asyncio.gather(*waits, return_exceptions=True)
    assert [str(one) for one in found] == ["It was stopped meanwhile. Ask again."] * 2
    assert not shared.busy


# Over real sockets ---------------------------------------------------------------------


class Kept:
    """The part of a runtime that the door uses."""

    def __init__(self) -> None:
        self.profile = Profile(gateway_url="https://127.0.0.1:1")
        self.status = Status()
        self.keeping = Keeping(mode="on")
        self.login_facts = LoginFacts()
        self.events: list[Event] = []
        self.hub = Hub()
        self.trouble: Exception | None = None
        self.looks = 0
        self.slow = 0.0

    def subscribe(self) -> Feed:
        return self.hub.subscribe()

    async def refresh(self) -> Status:
        self.looks += 1
        await asyncio.sleep(self.slow)
        if self.trouble is not None:
            raise self.trouble
        return self.status

    async def start_gateway(self, progress: Any) -> None:
        if self.trouble is not None:
            raise self.trouble

    async def stop_gateway(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def tell(self, text: str, after: float = 0) -> None:
        self.events.append(Event(at=NOW + timedelta(seconds=after), source="test", text=text))
        self.hub.publish([Change("event", "*")])


@contextlib.asynccontextmanager
async def opened(
    kept: Kept, guard: Guard | None = None, host: str = "127.0.0.1", **more: Any
) -> AsyncIterator[str]:
    door = HttpDoor(lambda: kept, guard or Guard(), **more)  # type: ignore[arg-type, return-value]
    with await http.listen(host, 0) as taken:
        url = await door.open(taken)
        try:
            yield url
        finally:
            await door.close()


async def ask(url: str, method: str = "GET", path: str = "/api/service", **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, url + path, timeout=10, **more)


async def test_faults_of_ours_are_told_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    async with opened(kept, clock=FakeClock(NOW)) as url:
        health = await ask(url)
        assert health.json()["timestamp"] == "2026-04-24T14:32:10.123Z"
        kept.trouble = ValueError("Planted-4711")
        with caplog.at_level(logging.CRITICAL, "ibtui.http"):
            reply = await ask(url, "POST")
        assert reply.status_code == 500
        assert reply.json() == "Something went wrong inside ibtui (ValueError)."
        kept.trouble = GatewayDown("Nothing answers.", "Start it.")
        assert (
            (await ask(url, "POST"))
            .json()
            .startswith("Error launching gateway: Error: Missing bin and/or conf")
        )
        # Nobody's gateway runs there: that is what a stop wants. Another's that runs is not stopped.
        assert (await ask(url, "DELETE")).json() == "OK"
        kept.status = Status(gateway=Lamp(state="on", reason="up"))
        reply = await ask(url, "DELETE")
        assert (reply.status_code, reply.json()) == (
            400,
            "Error stopping gateway: Error: Nothing answers. Start it.",
        )


async def test_many_who_ask_for_the_status_are_one_look() -> None:
    kept = Kept()
    kept.slow = 0.2
    async with opened(kept) as url:
        replies = await asyncio.gather(*(ask(url, path="/api/status") for _ in range(10)))
        assert {reply.status_code for reply in replies} == {200} and kept.looks == 1
        kept.trouble = UsageError("no certificate")
        assert (await ask(url, path="/api/status")).status_code == 200


async def test_a_look_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LOOK_S", 0.1)
    kept = Kept()
    kept.slow = 30
    async with opened(kept) as url:
        async with asyncio.timeout(5):
            assert (await ask(url, path="/api/status")).status_code == 200


async def test_its_own_address_is_a_good_name() -> None:
    guard = Guard()
    guard.allow("0.0.0.0", ["Box.LAN"])
    async with opened(Kept(), guard, host="0.0.0.0") as url:
        port = url.rpartition(":")[2]
        there = f"http://127.0.0.2:{port}"
        assert (await ask(there)).status_code == 200
        assert (await ask(there, headers={"Host": "127.0.0.3"})).status_code == 403
        assert (await ask(there, headers={"Host": "box.lan."})).status_code == 200
        assert (await ask(there, headers={"Host": "[bad"})).status_code == 403
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"GET /api/service HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).split()[1] in (b"400", b"403")
        writer.close()


async def test_on_ipv6() -> None:
    try:
        async with opened(Kept(), host="::1") as url:
            assert url.startswith("http://[::1]:")
            assert (await ask(url)).status_code == 200
    except IbtuiError:
        pytest.skip("no IPv6 here")


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_S", 0.1)
    async with opened(Kept()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"PUT /api/service HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"408" in await reader.readline()
        writer.close()


async def test_connections_too_many_and_too_silent() -> None:
    async with opened(Kept(), gate=Gate(most=3, head_s=0.3)) as url:
        port = int(url.rpartition(":")[2])
        ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        with pytest.raises(httpx.TransportError):
            await ask(url)
        async with asyncio.timeout(5):
            for reader, writer in ends:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        assert (await ask(url)).status_code == 200
        # One that has asked may stay.
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{url}/api/service")).status_code == 200
            await asyncio.sleep(0.4)
            assert (await client.get(f"{url}/api/service")).status_code == 200


# Events --------------------------------------------------------------------------------


def frames(text: bytes) -> list[tuple[str, Any]]:
    found = []
    for frame in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines())
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


def names(found: Sequence[tuple[str, Any]]) -> list[str]:
    return [value["text"] if name == "event" else name for name, value in found]


def test_a_client_is_told_what_it_has_not_heard() -> None:
    kept = Kept()
    for number in range(http_events.FIRST + 5):
        kept.tell(f"line {number}", number)
    teller = Teller(kept)  # type: ignore[arg-type]
    first = names(frames(teller.news()))
    assert first[0] == "line 5" and first[-3:] == ["line 54", "status", "keeping"]
    assert teller.news() == b""
    kept.tell("new", 100)
    kept.status = Status(gateway=Lamp(state="on", reason="up"))
    assert names(frames(teller.news())) == ["new", "status"]
    # What was forgotten meanwhile is not missed.
    kept.events = []
    assert teller.news() == b""
    kept.tell("later", 200)
    assert names(frames(teller.news())) == ["later"]


@pytest.mark.parametrize(
    ("after", "count"),
    [
        (NOW.isoformat(), 2),
        ((NOW + timedelta(seconds=9)).isoformat(), 0),
        ("junk", 3),
        ("2026-04-24", 3),
        ("", 3),
    ],
)
def test_a_client_that_comes_again_says_what_it_has(after: str, count: int) -> None:
    kept = Kept()
    for number in range(3):
        kept.tell(f"line {number}", number)
    found = frames(Teller(kept, after).news())  # type: ignore[arg-type]
    assert sum(name == "event" for name, _ in found) == count


async def test_streams_beat_end_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_events, "CLIENTS", 1)
    kept = Kept()
    async with (
        opened(kept, streams=Streams(beat=0.05)) as url,
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"{url}/api/events") as stream,
        asyncio.timeout(5),
    ):
        lines = stream.aiter_lines()
        while await anext(lines) != ": beat":
            pass
        kept.hub.publish([Change("quote", "1")])
        kept.tell("heard")
        while "heard" not in await anext(lines):
            pass
        refused = await ask(url, path="/api/events")
        assert refused.status_code == 503 and refused.json() == "Too many clients listen."


async def test_a_client_that_reads_nothing_is_let_go() -> None:
    kept = Kept()
    kept.events = [Event(at=NOW, source="test", text="x" * 100_000) for _ in range(http_events.FIRST)]
    streams = Streams(beat=0.05, patience=0.2)
    async with opened(kept, streams=streams) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(5):
                while not streams._clients:
                    await asyncio.sleep(0.01)
                while streams._clients:
                    await asyncio.sleep(0.05)


# systemd -------------------------------------------------------------------------------


def test_notices_for_systemd(tmp_path: Path) -> None:
    assert notify({}, "READY=1") is False
    assert notify({"NOTIFY_SOCKET": "relative"}, "READY=1") is False
    assert notify({"NOTIFY_SOCKET": str(tmp_path / "none")}, "READY=1") is False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "s"))
        assert notify({"NOTIFY_SOCKET": str(tmp_path / "s")}, "READY=1", "STATUS=up")
        assert heard.recv(100) == b"READY=1\nSTATUS=up"
    if hasattr(socket, "SO_PEERCRED"):  # Linux has names without a file
        name = f"ibtui-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(f"\0{name}")
            assert notify({"NOTIFY_SOCKET": f"@{name}"}, "WATCHDOG=1")
            assert heard.recv(100) == b"WATCHDOG=1"


def test_how_often_systemd_wants_to_hear() -> None:
    assert watchdog_s({}, 5) == 0
    assert watchdog_s({"WATCHDOG_USEC": "60000000"}, 5) == 60
    assert watchdog_s({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "5"}, 5) == 60
    assert watchdog_s({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "6"}, 5) == 0
    assert watchdog_s({"WATCHDOG_USEC": "soon"}, 5) == 0
