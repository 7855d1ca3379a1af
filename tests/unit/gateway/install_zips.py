"""Zips for the tests of the installation: whole gateways in small, and evil ones."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path

from ibtui.gateway.spec import JAR

RUNTIME = "build/lib/runtime/vertx-core-3.5.0.jar"
MANIFEST = (
    "Manifest-Version: 1.0\r\n"
    "Git-Origin-Url: gitsrv100:/web.core/clientportal.gw/and/so/on/and/so/on/and/so\r\n"
    " /on\r\n"
    "When-Built: {built}T15:42:44-0400\r\n"
    "\r\n"
    "Name: common\r\n"
    "Implementation-Version: ibgroup.web.core.iblink.router.clientportal.gw\r\n"
    " -20190102154245\r\n"
)

Entry = tuple[str | zipfile.ZipInfo, bytes]


def zipped(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            if isinstance(name, zipfile.ZipInfo):
                archive.writestr(name, content)
            else:
                archive.writestr(_plain(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _plain(name: str) -> zipfile.ZipInfo:
    """As `zipfile` makes it, but of a fixed day: the same content is the same archive."""
    info = zipfile.ZipInfo(name, (1985, 10, 26, 8, 15, 0))
    info.external_attr = (0o40775 << 16) | 0x10 if name.endswith("/") else 0o600 << 16
    return info


def jar(built: str = "2026-01-02", manifest: str = MANIFEST) -> bytes:
    return zipped(("META-INF/MANIFEST.MF", manifest.format(built=built).encode()))


def gateway(built: str = "2026-01-02", program: bytes = b"PK", top: str = "") -> list[Entry]:
    """A small whole gateway; `program` makes another version of the same day."""
    run = zipfile.ZipInfo(f"{top}bin/run.sh", (1985, 10, 26, 8, 15, 0))
    run.external_attr = (stat.S_IFREG | 0o755) << 16
    return [
        (f"{top}root/", b""),
        (f"{top}root/conf.yaml", b"listenPort: 5000\n"),
        (f"{top}{JAR.as_posix()}", jar(built)),
        (f"{top}{RUNTIME}", zipped(("a.class", program))),
        (run, b"#!/bin/sh\n"),
    ]


def write(path: Path, *entries: Entry) -> Path:
    path.write_bytes(zipped(*entries))
    return path


def special(name: str, kind: int, content: bytes = b"/etc/passwd") -> Entry:
    """An entry that says of itself that it is a link, a device, ..."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info, content


def odd_name(name: str) -> Entry:
    """An entry with a name that `zipfile` would rather mend."""
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    return info, b"evil"
