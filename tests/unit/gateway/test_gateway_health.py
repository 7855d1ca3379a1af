from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ibtui.errors import UsageError
from ibtui.gateway.certificate import make_certificate
from ibtui.gateway.health import Kind, probe
from tests.unit.gateway.gateway_tools import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /sso/Login?forwardTo=22&RL=1&ip2loc=US\r\n\r\n"


def answering(reply: bytes) -> Handler:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    return answer


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def bad_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def rude(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def tls(folder: Path, now: datetime | None = None) -> tuple[ssl.SSLContext, Path]:
    key, cert = make_certificate(now or datetime.now(UTC))
    (folder / "key.pem").write_bytes(key)
    (folder / "cert.pem").write_bytes(cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


async def test_gateway_with_our_certificate_by_every_name(tmp_path: Path) -> None:
    context, cert = tls(tmp_path)
    async with serving(answering(REDIRECT), context) as port:
        for host in ("localhost", "127.0.0.1"):
            seen = await probe(f"https://{host}:{port}", ca_file=cert)
            assert seen.up and seen.status == 302 and len(seen.fingerprint) == 64
        pinned = await probe(f"https://localhost:{port}", fingerprint=seen.fingerprint.upper())
        assert pinned.up
        assert (await probe(f"https://localhost:{port}")).fingerprint == seen.fingerprint


async def test_our_certificate_holds_under_strict_checks(tmp_path: Path) -> None:
    """Python 3.13 checks certificates more strictly; so do we, here, on every version."""
    context, cert = tls(tmp_path)
    strict = ssl.create_default_context(cafile=str(cert))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    async with serving(answering(REDIRECT), context) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=strict, server_hostname="localhost")
        writer.transport.abort()


async def test_another_certificate(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    context, _ = tls(tmp_path / "a")
    _, other = tls(tmp_path / "b")
    async with serving(answering(REDIRECT), context) as port:
        assert (await probe(f"https://localhost:{port}", ca_file=other)).kind is Kind.CERTIFICATE
        seen = await probe(f"https://localhost:{port}", fingerprint="00" * 32)
        assert seen.kind is Kind.CERTIFICATE and len(seen.fingerprint) == 64
        (tmp_path / "rubbish").write_text("no certificate")
        for file in ("rubbish", "missing"):
            with pytest.raises(UsageError, match=f"{file} cannot be used") as caught:
                await probe(f"https://localhost:{port}", ca_file=tmp_path / file)
            assert "ca_file" in caught.value.fix


async def test_expired_certificate(tmp_path: Path) -> None:
    context, cert = tls(tmp_path, datetime.now(UTC) - timedelta(days=2000))
    async with serving(answering(REDIRECT), context) as port:
        seen = await probe(f"https://localhost:{port}", ca_file=cert)
    assert seen.kind is Kind.CERTIFICATE and "expired" in seen.detail


async def test_nothing_listens() -> None:
    port = free_port()
    assert (await probe(f"https://localhost:{port}")).kind is Kind.NOTHING
    assert (await probe(f"http://127.0.0.1:{port}")).kind is Kind.NOTHING
    assert (await probe("https://nowhere.invalid:5000")).kind is Kind.NOTHING


@pytest.mark.parametrize("handler", [bad_request, rude])
async def test_no_tls(handler: Handler) -> None:
    async with serving(handler) as port:
        assert (await probe(f"https://localhost:{port}")).kind is Kind.NO_TLS


async def test_tls_where_plain_is_expected(tmp_path: Path) -> None:
    context, _ = tls(tmp_path)
    async with serving(answering(REDIRECT), context) as port:
        assert (await probe(f"http://localhost:{port}")).kind is Kind.NO_TLS


async def test_hang_is_bounded(tmp_path: Path) -> None:
    context, _ = tls(tmp_path)
    for wrap in (context, None):
        async with serving(silent, wrap) as port:
            seen = await probe(f"https://localhost:{port}", timeout=0.4)
            assert seen.kind is Kind.HANG and "0.4 s" in seen.detail
            assert bool(seen.fingerprint) == (wrap is not None)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nAccess Denied", Kind.DENIED),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Kind.STRANGER),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", Kind.STRANGER),
        (b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\n\r\n", Kind.STRANGER),
        (b"HTTP/1.1 what\r\n\r\n", Kind.STRANGER),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", Kind.STRANGER),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, Kind.NO_TLS),
        (b"", Kind.NO_TLS),
    ],
)
async def test_answers(reply: bytes, kind: Kind) -> None:
    async with serving(answering(reply)) as port:
        assert (await probe(f"http://127.0.0.1:{port}")).kind is kind


async def test_any_answer() -> None:
    for status, up in ((200, True), (399, True), (400, False), (500, False)):
        async with serving(answering(f"HTTP/1.1 {status} X\r\n\r\n".encode())) as port:
            assert (await probe(f"http://127.0.0.1:{port}", any_answer=True)).up is up
