"""The gateway's download: a zip of the real layout, resumable, whose program is this simulator.

IBKR's file holds `bin`, `build`, `dist`, `doc` and `root` at its top (login.md §9.1 for what they
are). Here `bin/run.sh CONF [WORD...]` starts `ibtui sim --tied` on the port that CONF names, and
the jar says in its manifest that it is a stand-in.
"""

from __future__ import annotations

import hashlib
import io
import random
import shlex
import sys
import zipfile

from aiohttp import web

PATH = "/sim-download/clientportal.gw.zip"
BUILT = "2026-04-24T15:42:44-0400"
"""When the stand-in says that it was built."""
_JAR = "dist/ibgroup.web.core.iblink.router.clientportal.gw.jar"
_WHEN = (2026, 4, 24, 15, 42, 44)
_BALLAST = 3_000_000
"""Bytes that do not compress, so that a download can be watched and cut."""
_RUN = """\
#!/bin/sh
# Stands in for IBKR's bin/run.sh: the same one argument, then any words of `ibtui sim`.
if [ $# -lt 1 ]; then
    >&2 echo "usage: $0 /path/to/conf.yaml"
    exit 1
fi
conf=$1
shift
port=$(sed -n 's/^listenPort: *\\([0-9][0-9]*\\).*/\\1/p' "$conf")
plain=
grep -q '^listenSsl: *false' "$conf" && plain=--plain
# Without a standard input there is nobody to be tied to: whoever started us lets us outlive them.
tied=--tied
[ /dev/stdin -ef /dev/null ] && tied=
echo "running"
echo " config file  : $conf"
exec {python} -m ibtui sim --port "${{port:-5000}}" $plain $tied "$@"
"""
_CONF = """\
listenPort: 5000
listenSsl: true
proxyRemoteHost: "https://api.ibkr.com"
proxyRemoteSsl: true
portalBaseURL: ""
ips:
  allow:
    - 127.0.0.1
  deny: []
"""


class Download:
    """One file under one address; made when it is first asked for, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._body = b""

    def routes(self) -> list[web.RouteDef]:
        """The file (GET and HEAD)."""
        return [web.get(PATH, self._serve)]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self._body = self._body or make_zip(self._seed)
        body = self._body
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Accept-Ranges": "bytes"}
        kind = "application/zip"
        asked = request.headers.get("Range", "")
        if not asked or request.headers.get("If-Range", tag) != tag:
            return web.Response(body=body, headers=headers, content_type=kind)
        try:
            part = request.http_range
        except ValueError:
            return web.Response(body=body, headers=headers, content_type=kind)
        first, last, _ = part.indices(len(body))
        if first >= last:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {first}-{last - 1}/{len(body)}"
        return web.Response(status=206, body=body[first:last], headers=headers, content_type=kind)


def make_zip(seed: int = 7, *, built: str = BUILT, python: str = sys.executable) -> bytes:
    """The file's bytes. `python` runs ibtui; `built` is the build date that it tells."""
    files = {
        "bin/run.sh": _RUN.format(python=shlex.quote(python)).encode(),
        "bin/run.bat": b"@echo this stand-in runs where sh is\r\n",
        "build/lib/runtime/ballast.jar": _jar({"ballast": random.Random(seed).randbytes(_BALLAST)}),
        _JAR: _jar({"META-INF/MANIFEST.MF": _manifest(built)}),
        "doc/GettingStarted.md": b"# A stand-in for the Client Portal Gateway, made by ibtui's simulator\n",
        "root/conf.yaml": _CONF.encode(),
        "root/logback.xml": b"<configuration/>\n",
        "root/webapps/demo/index.html": b"<!doctype html><title>demo</title>\n",
    }
    return _jar(files)


def _manifest(built: str) -> bytes:
    lines = ("Manifest-Version: 1.0", f"When-Built: {built}", "Git-Commit: stand-in", "Stand-In: bin/run.sh")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _jar(files: dict[str, bytes]) -> bytes:
    """A zip with fixed dates, so that the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _WHEN)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, so that the mode counts
            info.external_attr = (0o100755 if name.endswith(".sh") else 0o100644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()
