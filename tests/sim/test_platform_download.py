"""The simulator's download: ranges as RFC 9110 has them, a stand-in that runs, a reply cut in its middle."""

from __future__ import annotations

import io
import json
import ssl
import subprocess
import sys
import time
import urllib.request
import zipfile
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path

import pytest

from ibtui.sim.download import make_zip
from tests.conftest import Sim


def get(sim: Sim, **headers: str) -> HTTPResponse:
    request = urllib.request.Request(
        sim.ready["download"], headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    return urllib.request.urlopen(request, context=ssl.create_default_context(cafile=sim.cert), timeout=10)  # type: ignore[no-any-return]


def test_ranges(sim: Sim) -> None:
    whole = get(sim)
    body, tag = whole.read(), whole.headers["ETag"]
    assert body == make_zip(7), "the seed of `ibtui sim`"
    part = get(sim, Range="bytes=1000-", If_Range=tag)
    assert part.status == 206 and part.read() == body[1000:]
    assert part.headers["Content-Range"] == f"bytes 1000-{len(body) - 1}/{len(body)}"
    assert get(sim, Range="bytes=10-19").read() == body[10:20]
    assert get(sim, Range="bytes=1000-", If_Range='"other"').status == 200
    assert get(sim, Range="lines=1-").status == 200
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(sim, Range=f"bytes={len(body)}-")
    assert caught.value.code == 416
    caught.value.close()


def test_half_a_reply(sim: Sim) -> None:
    sim.control("faults", {"path": "/sim-download/*", "kind": "half", "count": 1})
    reply = get(sim)
    total = int(reply.headers["Content-Length"])
    with pytest.raises(IncompleteRead) as caught:
        reply.read()
    assert len(caught.value.partial) == total // 2
    assert len(get(sim).read()) == total


def test_the_stand_in_runs(sim: Sim, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(get(sim).read())) as archive:
        archive.extractall(tmp_path)
    run = tmp_path / "bin/run.sh"
    run.chmod(0o700)
    usage = subprocess.run([run], capture_output=True, text=True, timeout=10)
    assert usage.returncode == 1 and "usage" in usage.stderr
    conf = tmp_path / "root/mine.yaml"
    conf.write_text("listenPort: 0\nlistenSsl: false\n")
    process = subprocess.Popen(
        [run, "root/mine.yaml", "--seed", "3"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdin is not None
        lines = [process.stdout.readline() for _ in range(3)]
        ready = json.loads(lines[-1])
        assert ready["url"].startswith("http://") and ready["cert"] is None
        process.stdin.close()
        began = time.monotonic()
        assert process.wait(10) == 0, "tied: it ends with its standard input"
        assert time.monotonic() - began < 5
    finally:
        process.kill()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def test_the_same_for_the_same_seed() -> None:
    assert make_zip(5) == make_zip(5) != make_zip(6)
    assert sys.executable.encode() in zipfile.ZipFile(io.BytesIO(make_zip())).read("bin/run.sh")
