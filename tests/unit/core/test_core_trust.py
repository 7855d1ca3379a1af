"""Trust: nothing reaches a server whose certificate is not the one we know."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import websockets.exceptions
from websockets.asyncio.client import connect

from ibtui.core.rest import Rest
from ibtui.core.trust import PinMismatch, Trust, causes, fetch_fingerprint, for_host, normal
from ibtui.errors import CertificateMismatch, GatewayDown, Stalled, UsageError
from tests.unit.core.core_servers import Certificate, Gateway, serving, sink


async def test_right_pin_works_over_https(certificate: Certificate) -> None:
    gateway = Gateway()
    gateway.on("GET /tickle", {"session": "a"})
    async with serving(gateway, certificate.context()):
        rest = Rest(gateway.url, Trust.pin(certificate.fingerprint))
        assert await rest.request("/tickle") == {"session": "a"}
        await rest.close()


async def test_wrong_pin_async_httpx_sends_no_application_byte(certificate: Certificate) -> None:
    async with sink(certificate.context()) as server:
        rest = Rest(f"https://127.0.0.1:{server.port}", Trust.pin("ab" * 32))
        with pytest.raises(CertificateMismatch):
            await rest.request("/tickle", "POST", {"secret": "x"})
        await asyncio.sleep(0.1)
        await rest.close()
        assert not server.received


async def test_wrong_pin_sync_httpx_sends_no_application_byte(certificate: Certificate) -> None:
    async with sink(certificate.context()) as server:

        def ask() -> None:
            context = Trust.pin("ab" * 32).context()
            with httpx.Client(verify=context, trust_env=False, timeout=5) as client:
                client.post(f"https://127.0.0.1:{server.port}/", content=b"secret")

        with pytest.raises(httpx.ConnectError) as caught:
            await asyncio.to_thread(ask)
        assert any(isinstance(cause, PinMismatch) for cause in causes(caught.value))
        await asyncio.sleep(0.1)
        assert not server.received


async def test_right_pin_sync_httpx_works(certificate: Certificate) -> None:
    gateway = Gateway()
    gateway.on("GET /", {})
    async with serving(gateway, certificate.context()):
        context = Trust.pin(certificate.fingerprint).context()

        def ask() -> int:
            with httpx.Client(verify=context, trust_env=False, timeout=5) as client:
                return client.get(gateway.url).status_code

        assert await asyncio.to_thread(ask) == 200


async def test_wrong_pin_websockets_sends_no_application_byte(certificate: Certificate) -> None:
    async with sink(certificate.context()) as server:
        context = Trust.pin("ab" * 32).context()
        with pytest.raises((PinMismatch, websockets.exceptions.WebSocketException)):
            await connect(f"wss://127.0.0.1:{server.port}/ws", ssl=context, proxy=None, open_timeout=5)
        await asyncio.sleep(0.1)
        assert not server.received


async def test_first_use_pins_and_then_refuses_another(
    certificate: Certificate, other_certificate: Certificate
) -> None:
    trust = Trust.first_use()
    assert trust.fingerprint == ""
    gateway = Gateway()
    gateway.on("GET /tickle", {})
    async with serving(gateway, certificate.context()):
        rest = Rest(gateway.url, trust)
        await rest.request("/tickle")
        await rest.close()
    assert trust.fingerprint == certificate.fingerprint
    async with sink(other_certificate.context()) as server:
        rest = Rest(f"https://127.0.0.1:{server.port}", trust)
        with pytest.raises(CertificateMismatch) as caught:
            await rest.request("/tickle")
        await rest.close()
        assert "pinned" in str(caught.value)
        assert not server.received


async def test_ca_file_checks_the_name(certificate: Certificate, other_certificate: Certificate) -> None:
    gateway = Gateway()
    gateway.on("GET /tickle", {"ok": 1})
    async with serving(gateway, certificate.context()):
        rest = Rest(gateway.url, Trust.ca(certificate.pem))
        assert await rest.request("/tickle") == {"ok": 1}
        await rest.close()
    async with sink(other_certificate.context()) as server:  # made for 127.0.0.9
        rest = Rest(f"https://127.0.0.1:{server.port}", Trust.ca(other_certificate.pem))
        with pytest.raises(CertificateMismatch):
            await rest.request("/tickle")
        await rest.close()
        assert not server.received


async def test_system_trust_refuses_a_self_signed_certificate(certificate: Certificate) -> None:
    async with sink(certificate.context()) as server:
        rest = Rest(f"https://127.0.0.1:{server.port}", Trust.system())
        with pytest.raises(CertificateMismatch):
            await rest.request("/tickle")
        await rest.close()
        assert not server.received


def test_default_trust_by_host() -> None:
    assert for_host("https", "localhost")._pin is not None
    assert for_host("https", "gateway.example")._pin is None
    assert for_host("https", "gateway.example").ca_file is None


@pytest.mark.parametrize(
    "written", ["AB" * 32, ":".join(["ab"] * 32), "sha256:" + "ab" * 32, "SHA256=" + "aB" * 32]
)
def test_fingerprints_as_people_write_them(written: str) -> None:
    assert normal(written) == "ab" * 32


@pytest.mark.parametrize("written", ["", "ab", "zz" * 32, "ab" * 33])
def test_other_texts_are_no_fingerprints(written: str) -> None:
    with pytest.raises(UsageError):
        normal(written)


def test_missing_ca_file_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        Trust.ca("/nowhere/ca.pem").context()


async def test_fetch_fingerprint(certificate: Certificate, closed_port: int) -> None:
    async with sink(certificate.context()) as server:
        assert await fetch_fingerprint("127.0.0.1", server.port) == certificate.fingerprint
        await asyncio.sleep(0.05)
        assert not server.received
    with pytest.raises(GatewayDown):
        await fetch_fingerprint("127.0.0.1", closed_port)


async def test_fetch_fingerprint_of_a_silent_server() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        with pytest.raises(Stalled):
            await fetch_fingerprint("127.0.0.1", server.sockets[0].getsockname()[1], timeout=0.3)
    finally:
        server.close()
