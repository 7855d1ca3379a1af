"""Does a gateway answer there? One GET / over a connection of our own (login.md §9.1, §9.7).

Neither the open port nor the line `Open https://…` is the sign of readiness: a 302 to
`/sso/Login` is. The request carries no cookie and no secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from ibtui import given
from ibtui.errors import UsageError

TIMEOUT = 3.0
"""Seconds for one probe; the gateway itself never gives up (login.md §9.6)."""


class Kind(StrEnum):
    """What stands at the gateway's address."""

    UP = "up"
    """It answers as a gateway does."""
    NOTHING = "nothing"
    """Nothing listens."""
    NO_TLS = "no_tls"
    """Something listens, but not with TLS (or, for http://, not without)."""
    CERTIFICATE = "certificate"
    """TLS, but not with the certificate we trust; nothing was sent."""
    DENIED = "denied"
    """A gateway whose address list refuses us (`Access Denied`)."""
    STRANGER = "stranger"
    """A web server, but its answer is not a gateway's."""
    HANG = "hang"
    """It accepts, and then no answer within the time-out."""


@dataclass(frozen=True, slots=True)
class Health:
    """One look at the gateway's address. `fingerprint`: SHA-256 of the certificate seen, lower-case hex."""

    kind: Kind
    detail: str = ""
    status: int = 0
    fingerprint: str = ""

    @property
    def up(self) -> bool:
        """Whether a gateway answers."""
        return self.kind is Kind.UP


Probe = Callable[[], Awaitable[Health]]
"""One look; bounded by itself, raises nothing but cancellation."""


async def probe(
    url: str,
    *,
    ca_file: Path | None = None,
    fingerprint: str = "",
    timeout: float = TIMEOUT,
    any_answer: bool = False,
) -> Health:
    """Look once at `url` (the origin, `https://localhost:5000`); whatever it finds is told, not raised.

    Args:
        ca_file: trust exactly this certificate, names and dates checked.
        fingerprint: instead, compare the SHA-256 of the certificate. With neither, any
            certificate passes and its fingerprint is reported.
        timeout: seconds for everything together.
        any_answer: every status from 200 to 399 counts as up (for programs other than the gateway).

    Raises:
        UsageError: `ca_file` cannot be read or holds no certificate; nothing was looked at.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80)
    context = None
    if parts.scheme == "https":
        try:
            context = await asyncio.to_thread(_context, ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"The CA file {ca_file} cannot be used: {error.strerror or error}.",
                "Correct ca_file in the profile: it holds certificates as PEM.",
            ) from None
    seen: list[str] = []
    try:
        async with asyncio.timeout(timeout):
            return await _look(host, port, context, fingerprint.replace(":", "").lower(), any_answer, seen)
    except TimeoutError:
        return Health(Kind.HANG, f"no answer within {timeout:g} s", fingerprint=seen[0] if seen else "")


async def _look(
    host: str, port: int, context: ssl.SSLContext | None, pin: str, any_answer: bool, seen: list[str]
) -> Health:
    try:
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=host if context else None
        )
    except ssl.SSLCertVerificationError as error:
        return Health(Kind.CERTIFICATE, error.verify_message)
    except ConnectionRefusedError:
        return Health(Kind.NOTHING, "connection refused")
    except (ssl.SSLError, ConnectionError) as error:
        return Health(Kind.NO_TLS, getattr(error, "reason", "") or "the connection was cut")
    except socket.gaierror as error:
        return Health(Kind.NOTHING, f"{host}: {error.strerror}")
    except OSError as error:
        return Health(Kind.NOTHING, error.strerror or str(error))
    try:
        print_ = _fingerprint(writer)
        seen.append(print_)
        if pin and print_ != pin:
            return Health(Kind.CERTIFICATE, "not the pinned certificate", fingerprint=print_)
        name = f"[{host}]" if ":" in host else host
        return await _ask(reader, writer, f"{name}:{port}", print_, any_answer)
    finally:
        writer.transport.abort()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, seen: str, any_answer: bool
) -> Health:
    writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    try:
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
        kind = Kind.STRANGER if seen else Kind.NO_TLS
        return Health(kind, "closed the connection without an answer", fingerprint=seen)
    first, *lines = head.split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        return Health(Kind.STRANGER, "does not speak HTTP", fingerprint=seen)
    status = int(words[1])
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    location = fields.get("location", "")
    if (status == 302 and "/sso/" in location) or (any_answer and 200 <= status < 400):
        return Health(Kind.UP, "", status, seen)
    if status == 404 and b"Access Denied" in await _some_body(reader):
        return Health(Kind.DENIED, "its address list (ips) refuses this machine", status, seen)
    return Health(Kind.STRANGER, f"answered GET / with {status}", status, seen)


async def _some_body(reader: asyncio.StreamReader) -> bytes:
    """The first bytes of a body, from a server that need not close the connection."""
    try:
        async with asyncio.timeout(0.5):
            return await reader.read(1024)
    except (TimeoutError, OSError):
        return b""


def _context(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is not None:
        given.check(ca_file, "Correct ca_file in the profile: it holds certificates as PEM.")
        return ssl.create_default_context(cafile=str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing secret is sent here; the caller judges the fingerprint that is reported.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _fingerprint(writer: asyncio.StreamWriter) -> str:
    tls = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return hashlib.sha256(der).hexdigest() if der else ""
