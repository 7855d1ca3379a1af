"""`core.transport` against a server that says byte for byte what a test wants."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ibtui.core.address import Address
from ibtui.core.http import Answer, NoConnection, Request, Shut, TooSlow, Trouble
from ibtui.core.transport import MOST, Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Say = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request head by `say`; counts connections and their ends."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.opened = self.ended = 0
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.end = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self.say(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            self.ended += 1
            self.end.set()
        finally:
            writer.close()


class Client:
    """Requests over a transport."""

    def __init__(self, url: str, uds: str = "") -> None:
        self.transport = Transport(Address.parse(url, insecure_http=True), None, uds)

    async def get(
        self, path: str, seconds: float = 2.0, *more: tuple[str, str], method: str = "GET"
    ) -> Answer:
        return await self.transport.exchange(Request(method, path, (("Host", "here"), *more)), 2.0, seconds)

    async def post(self, path: str, body: bytes) -> Answer:
        head = (("Host", "here"), ("Content-Length", str(len(body))))
        return await self.transport.exchange(Request("POST", path, head, body), 2.0, 2.0)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()


@asynccontextmanager
async def place(say: Say) -> AsyncIterator[tuple[Server, Client]]:
    served = Server(say)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(10), server, Client(f"http://127.0.0.1:{port}") as client:
        yield served, client


def always(reply: bytes) -> Say:
    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    return say


def once(reply: bytes) -> Say:
    """That reply, and the end of the connection."""

    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    return say


async def test_one_connection_for_one_request_after_the_other() -> None:
    async with place(always(OK)) as (server, client):
        for _ in range(3):
            assert (await client.get("/a?b=c")).text == "ok"
        assert server.opened == 1
        assert server.heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
    ],
)
async def test_kinds_of_replies(reply: bytes, body: bytes) -> None:
    async with place(always(reply)) as (server, client):
        for _ in range(2):
            assert (await client.get("/")).content == body
        assert server.opened == 1


async def test_a_packed_body_and_its_status_line() -> None:
    packed = gzip.compress(b"text " * 500)
    head = b"HTTP/1.1 201 Made it\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with place(always(head + packed)) as (_, client):
        reply = await client.post("/", b"x" * 100_000)
        assert reply.status == 201 and reply.header("content-encoding") == "gzip"
        assert reply.text == "text " * 500


async def test_a_head_only() -> None:
    async with place(always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")) as (server, client):
        assert (await client.get("/", method="HEAD")).content == b""
        assert (await client.get("/", method="HEAD")).header("content-length") == "2"
        assert server.opened == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\nuntil the end",
    ],
)
async def test_a_reply_that_ends_with_its_connection(reply: bytes) -> None:
    async with place(once(reply)) as (server, client):
        for number in (1, 2):
            assert (await client.get("/")).text == "until the end"
            assert server.opened == number


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
)
async def test_broken_replies(reply: bytes) -> None:
    async with place(once(reply)) as (_, client):
        with pytest.raises(Trouble):
            await client.get("/")


async def test_what_came_is_not_quoted() -> None:
    for reply in (b"HTTP/1.1 200 OK\r\nSet-Cookie s3cret\r\n\r\n", b"s3cret\r\n\r\n"):
        async with place(once(reply)) as (_, client):
            with pytest.raises(Trouble) as caught:
                await client.get("/")
        assert "s3cret" not in str(caught.value)


async def test_a_connection_that_the_server_ended_is_not_used_again() -> None:
    async with place(always(OK)) as (server, client):
        await client.get("/")
        server.writers[0].close()
        await server.writers[0].wait_closed()
        await asyncio.sleep(0.05)
        assert (await client.get("/")).text == "ok"
        assert server.opened == 2


async def test_what_nobody_asked_for_is_nobodys_answer() -> None:
    async with place(always(OK)) as (server, client):
        await client.get("/")
        server.writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
        await asyncio.wait_for(server.end.wait(), 2)
        assert (await client.get("/")).text == "ok"
        assert server.opened == 2


async def test_more_than_the_reply_ends_the_connection() -> None:
    async with place(always(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")) as (server, client):
        for _ in range(3):
            assert (await client.get("/")).text == "ok"
        assert server.opened == 3


async def test_an_old_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(always(OK)) as (server, client):
        await client.get("/")
        monkeypatch.setattr("ibtui.core.transport.KEPT_S", -1.0)
        await client.get("/")
        assert server.opened == 2


async def test_no_answer_in_time() -> None:
    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/slow" not in head:
            writer.write(OK)

    async with place(say) as (server, client):
        with pytest.raises(TooSlow):
            await client.get("/slow", 0.1)
        await asyncio.wait_for(server.end.wait(), 2)
        assert (await client.get("/")).text == "ok"


async def test_after_one_that_led_nowhere_the_others_are_not_tried() -> None:
    silent = False

    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        if not silent or writer not in before:
            writer.write(OK)

    async with place(say) as (server, client):
        await asyncio.gather(*(client.get("/") for _ in range(3)))
        before, silent = list(server.writers), True
        with pytest.raises(TooSlow):
            await client.get("/", 0.2)
        assert (await client.get("/")).text == "ok"
        assert server.opened == 4


async def test_a_cancelled_requests_answer_goes_to_nobody() -> None:
    asked = asyncio.Event()

    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/late" in head:
            asked.set()
            await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        else:
            writer.write(OK)

    async with place(say) as (server, client):
        task = asyncio.ensure_future(client.get("/late"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.get("/")).text == "ok"
        await asyncio.wait_for(server.end.wait(), 2)
        assert (await client.get("/")).text == "ok"
        assert server.opened == 2


async def test_a_dropped_connection() -> None:
    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with place(say) as (_, client):
        with pytest.raises(Trouble):
            await client.get("/")


async def test_never_more_connections_than_allowed() -> None:
    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(OK)

    async with place(say) as (server, client):
        await asyncio.gather(*(client.get(f"/{number}") for number in range(3 * MOST)))
        assert server.opened == MOST
        await asyncio.gather(*(client.get(f"/{number}") for number in range(3)))
        assert (server.opened, server.ended) == (MOST, 0), "those that were kept are used"


async def test_nobody_listens() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(NoConnection):
            await client.get("/")


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 70])
async def test_a_name_that_nobody_has(host: str) -> None:
    async with Client(f"http://{host}") as client:
        with pytest.raises(NoConnection):
            await client.get("/")


async def test_a_header_that_cannot_be_sent() -> None:
    async with place(always(OK)) as (_, client):
        for odd in ("a\r\nX-Other: b", "\u2028"):
            with pytest.raises(Trouble):
                await client.get("/", 2.0, ("X-Bad", odd))
        assert (await client.get("/")).text == "ok"


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    served = Server(always(OK))
    path = tmp_path / "door"
    server = await asyncio.start_unix_server(served.serve, path)
    async with server, Client("http://supervisor", str(path)) as client:
        assert (await client.get("/x")).text == "ok"
        assert b"Host: here" in served.heads[0]
    async with Client("http://supervisor", str(tmp_path / "none")) as client:
        with pytest.raises(NoConnection):
            await client.get("/x")


async def test_closing_ends_what_is_under_way() -> None:
    asked = asyncio.Event()

    async def say(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked.set()

    async with place(say) as (server, client):
        task = asyncio.ensure_future(client.get("/"))
        await asked.wait()
        await client.transport.close()
        with pytest.raises(Trouble):
            await task
        with pytest.raises(Shut):
            await client.get("/")
        await asyncio.wait_for(server.end.wait(), 2)
