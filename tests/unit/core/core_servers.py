"""Small real servers on loopback for the client core."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ibtui.core.trust import fingerprint_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Certificate:
    pem: Path
    key: Path
    fingerprint: str

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem, self.key)
        return context


def make_certificate(folder: Path, name: str, *, host: str = "127.0.0.1") -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    der = certificate.public_bytes(serialization.Encoding.DER)
    return Certificate(pem, key_file, fingerprint_of(der))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "right")


@pytest.fixture(scope="session")
def other_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), "other", host="127.0.0.9")


@dataclass
class Gateway:
    """A scripted gateway: replies by `METHOD /path`, one after the other, the last one for ever."""

    url: str = ""
    replies: dict[str, list[web.Response | Handler]] = field(default_factory=dict)
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def on(self, route: str, *replies: object, status: int = 200, text: str | None = None) -> None:
        def one(body: object) -> web.Response | Handler:
            if callable(body) or isinstance(body, web.Response):
                return body
            return web.json_response(body, status=status)

        self.replies[route] = (
            [web.Response(text=text, status=status)] if text is not None else [one(body) for body in replies]
        )

    @property
    def routes(self) -> list[str]:
        return [f"{request.method} {request.path.removeprefix('/v1/api')}" for request in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        route = f"{request.method} {request.path.removeprefix('/v1/api')}"
        script = self.replies.get(route)
        if script is None:
            return web.Response(text="<html><body><h1>Resource not found</h1></body></html>", status=404)
        reply = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(reply, web.Response):
            return web.Response(body=reply.body, status=reply.status, headers=reply.headers)
        return await reply(request)


@contextlib.asynccontextmanager
async def serving(gateway: Gateway, tls: ssl.SSLContext | None = None) -> AsyncIterator[Gateway]:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", gateway.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    gateway.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield gateway
    finally:
        await runner.cleanup()


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with serving(Gateway()) as found:
        yield found


@dataclass
class TlsSink:
    """A TLS server that counts the application bytes which reach it."""

    port: int = 0
    received: bytearray = field(default_factory=bytearray)


@contextlib.asynccontextmanager
async def sink(tls: ssl.SSLContext) -> AsyncIterator[TlsSink]:
    found = TlsSink()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(4096):
                found.received += data
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
