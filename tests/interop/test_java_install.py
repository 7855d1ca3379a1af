"""The real gateway's files as a zip: installed, its build date read, started, replaced, rolled back."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from ibtui import paths
from tests.interop.java_tools import free_port
from tests.interop.peers import Peers


def ibtui(config: Path, *words: str, status: int = 0) -> dict[str, object]:
    """A command as a process of its own; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "ibtui", "--config", str(config), *words, "--json"],
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == status, (words, done)
    return msgspec.json.decode(done.stdout, type=dict[str, object])


@pytest.mark.slow
def test_the_real_one(peers: Peers, tmp_path: Path) -> None:
    theirs = peers.gateway()
    file = tmp_path / "clientportal.gw.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(theirs.rglob("*")):
            archive.write(path, path.relative_to(theirs))
    config = tmp_path / "config.toml"
    config.write_text(
        f'[profiles.default]\nkeep_alive = false\ngateway_url = "https://localhost:{free_port()}"\n'
    )
    config.chmod(0o600)

    found = ibtui(config, "gateway", "install", "--from", str(file))
    assert found["built"] == "2023-04-24" and str(found["version"]).startswith("2023-04-24-")
    assert Path(str(found["path"])).parent == paths.data_dir() / "gateway"
    assert "more than a year ago" in str(found["warnings"])
    adopted = ibtui(config, "gateway", "install", "--from", str(theirs))
    assert adopted["version"] == found["version"], "the same programs, wherever they lie"
    ibtui(config, "gateway", "install", "--from", str(file))

    started = ibtui(config, "gateway", "start")
    try:
        assert started["state"] == "on" and "pid" in str(started["reason"])
        before = sorted(p for p in Path(str(found["path"])).rglob("*"))
        ibtui(config, "gateway", "restart")
        assert sorted(p for p in Path(str(found["path"])).rglob("*")) == before, "it is only read"
    finally:
        ibtui(config, "gateway", "stop")
