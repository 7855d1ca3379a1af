"""Whom TLS connections trust: the system's CAs, a CA file, or one pinned certificate.

A pinning context compares the peer's fingerprint inside the handshake itself, in the
SSL object (asyncio: httpx, websockets) as well as in the SSL socket (blocking httpx),
so that not one application byte reaches a server with another certificate (DESIGN §3, TLS).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ibtui import given
from ibtui.errors import CertificateMismatch, GatewayDown, Stalled, UsageError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Host names that cannot leave this machine."""


class PinMismatch(ssl.SSLError):
    """The peer's certificate is not the pinned one; raised inside the handshake."""


def fingerprint_of(der: bytes) -> str:
    """SHA-256 of a certificate in DER, as 64 lower-case hex digits."""
    return hashlib.sha256(der).hexdigest()


def normal(fingerprint: str) -> str:
    """A fingerprint as people write it (colons, blanks, either case) in our form.

    Raises:
        UsageError: it is not 32 bytes of hex.
    """
    raw = fingerprint.lower().removeprefix("sha256").translate({ord(c): None for c in ": =\t\n"})
    if len(raw) != 64 or any(c not in "0123456789abcdef" for c in raw):
        raise UsageError(
            "The certificate fingerprint is not a SHA-256 fingerprint.",
            "It has 64 hex digits, with or without colons.",
        )
    return raw


class _Pin:
    """The expected fingerprint; empty until the first use when pinned on first use."""

    def __init__(self, expected: str) -> None:
        self.expected = expected

    def check(self, der: bytes | None) -> None:
        seen = fingerprint_of(der) if der else ""
        if not self.expected and seen:
            self.expected = seen
        if not seen or not hmac.compare_digest(seen, self.expected):
            raise PinMismatch(f"the certificate's fingerprint is {seen or 'missing'}, not {self.expected}")


@dataclass(frozen=True)
class Trust:
    """Make one with `system`, `ca`, `pin` or `first_use`; `context` gives the TLS context."""

    ca_file: Path | None = None
    _pin: _Pin | None = field(default=None, compare=False)

    @classmethod
    def system(cls) -> Trust:
        """The certificate authorities of this system; name and dates are checked."""
        return cls()

    @classmethod
    def ca(cls, file: str | Path) -> Trust:
        """Only the certificates in `file` (PEM); name and dates are checked."""
        return cls(ca_file=Path(file))

    @classmethod
    def pin(cls, fingerprint: str) -> Trust:
        """Only the certificate with this SHA-256 fingerprint; its name and dates do not matter.

        Raises:
            UsageError: not a fingerprint.
        """
        return cls(_pin=_Pin(normal(fingerprint)))

    @classmethod
    def first_use(cls) -> Trust:
        """Whatever the first connection shows, and from then on only that (for loopback)."""
        return cls(_pin=_Pin(""))

    @property
    def fingerprint(self) -> str:
        """The pinned fingerprint; empty without a pin or before the first use."""
        return self._pin.expected if self._pin is not None else ""

    def context(self) -> ssl.SSLContext:
        """A client context for httpx (async and sync) and websockets.

        Raises:
            UsageError: the CA file cannot be read.
        """
        if self._pin is not None:
            return _pinning(self._pin)
        if self.ca_file is None:
            return ssl.create_default_context()
        given.check(self.ca_file, "Correct the name of the CA file in the settings.")
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"The CA file {self.ca_file} cannot be used: {error}.") from error
        # A file may hold the server's own certificate rather than its issuer's, and keytool's
        # self-signed ones lack the extensions that Python 3.13 insists on.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def _pinning(pin: _Pin) -> ssl.SSLContext:
    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            pin.check(self.getpeercert(binary_form=True))

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            pin.check(self.getpeercert(binary_form=True))

    context = _unverified()
    context.sslobject_class = PinnedObject
    context.sslsocket_class = PinnedSocket
    return context


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it: httpx hides a TLS failure inside its ConnectError."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def mismatch(error: BaseException, where: str) -> CertificateMismatch | None:
    """The CertificateMismatch hidden in `error`, None when TLS trust is not the trouble."""
    for cause in causes(error):
        if isinstance(cause, PinMismatch):
            return CertificateMismatch(
                f"{where} shows another certificate than the pinned one; nothing was sent to it.",
                "If you replaced the gateway's certificate, remove the old fingerprint from the settings.",
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            return CertificateMismatch(
                f"The certificate of {where} is not trusted ({cause.verify_message}); nothing was sent.",
                "Name its CA file or its fingerprint in the settings.",
            )
    return None


def for_host(scheme: str, host: str) -> Trust:
    """The trust of a client that was told none: https on loopback is pinned on first use,
    everything else goes by the system's CAs; nothing is ever left unverified silently."""
    if scheme == "https" and host in LOOPBACK:
        return Trust.first_use()
    return Trust.system()


async def fetch_fingerprint(host: str, port: int, timeout: float = 10.0) -> str:
    """The SHA-256 fingerprint of the certificate shown at `host`:`port`; sends no application byte.

    Raises:
        GatewayDown: nothing answers there, or not with TLS.
        Stalled: no answer within `timeout` seconds.
    """
    where = f"{host}:{port}"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port, ssl=_unverified(), server_hostname=host)
    except TimeoutError as error:
        raise Stalled(f"{where} did not finish the TLS handshake within {timeout:g} s.") from error
    except (OSError, ssl.SSLError) as error:
        raise GatewayDown(f"No TLS server answers at {where}.", "Is the gateway running?") from error
    try:
        tls: Any = writer.get_extra_info("ssl_object")
        der: bytes | None = tls.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    if not der:
        raise GatewayDown(f"{where} shows no certificate.")
    return fingerprint_of(der)
