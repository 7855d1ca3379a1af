"""A proxy on this machine that leads the real names to where a test wants them.

Programs whose addresses are built in obey `HTTPS_PROXY`: they ask it for `api.ibkr.com:443`, get the
simulator, and check its certificate, which has that name.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS_SERVICE = "api.ipify.org"
PUBLIC_IP = "203.0.113.77"


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Proxy(_Server):
    """Answers CONNECT for the names it was given, 502 for all others; `asked` is what it was asked for."""

    def __init__(self, targets: dict[str, tuple[str, int]]) -> None:
        super().__init__(("127.0.0.1", 0), _Connect)
        self.targets = targets
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Connect(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        words = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        name = words[1] if len(words) == 3 and words[0] == "CONNECT" else ""
        self.server.asked.append(name)
        target = self.server.targets.get(name)
        if target is None:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(target, 5) as other:
            other.settimeout(None)
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(other, self.connection), daemon=True)
            back.start()
            _pump(self.connection, other)
            back.join(5)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either side is gone: the other one sees it


class AddressService(_Server):
    """What ibauth asks for its public address, over TLS with a certificate of that name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Address)
        self.cert, key = _certificate(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.cert, key)


class _Address(socketserver.BaseRequestHandler):
    server: AddressService

    def handle(self) -> None:
        with self.server.context.wrap_socket(self.request, server_side=True) as tls:
            while b"\r\n\r\n" not in tls.recv(65536):
                pass
            body = PUBLIC_IP.encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            tls.sendall(head.encode() + body)


@contextmanager
def tunnel(url: str, folder: Path) -> Iterator[tuple[Proxy, AddressService]]:
    """A proxy that takes `url` for the API host of IBKR, and an address service behind it."""
    parts = urlsplit(url)
    service = AddressService(folder)
    proxy = Proxy(
        {
            "api.ibkr.com:443": (str(parts.hostname), int(parts.port or 0)),
            f"{ADDRESS_SERVICE}:443": ("127.0.0.1", service.port),
        }
    )
    running = [threading.Thread(target=one.serve_forever, args=(0.05,)) for one in (proxy, service)]
    for one in running:
        one.start()
    try:
        yield proxy, service
    finally:
        for server in (proxy, service):
            server.shutdown()
            server.server_close()
        for one in running:
            one.join(5)


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ADDRESS_SERVICE)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(ADDRESS_SERVICE)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "address-cert.pem", folder / "address-key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file
