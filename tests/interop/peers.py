"""Where the programs are that nobody here wrote, and how a driver of one is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

DRIVERS = Path(__file__).with_name("drivers")
IBIND_VERSIONS = ("0.2.2", "0.1.24")
"""As fetched by `tools/peers.sh`; the two have different websocket clients."""


class Peers:
    """The cache that `make peers` fills. Every method skips the test when its peer is not there.

    In CI a peer that could have been fetched must be there: then the test fails instead.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def gateway(self) -> Path:
        """Folder of the real Client Portal Gateway; needs java on the path."""
        self._need("java", self._cache / "clientportal.gw", "the Java gateway")
        return self._cache / "clientportal.gw"

    def node(self) -> Path:
        """The `node_modules` folder with `ibkr-client`; needs node on the path."""
        self._need("node", self._cache / "node", "ibkr-client")
        return self._cache / "node" / "node_modules"

    def ibind(self, version: str, *, oauth: bool = False) -> Path:
        """The python of the environment that has this version of ibind, `oauth`: with that extra."""
        mark = ".complete-oauth" if oauth else ".complete"
        self._need("python3", self._cache / f"ibind-{version}", f"ibind {version}", mark)
        return self._cache / f"ibind-{version}" / "bin" / "python"

    def ibauth(self) -> Path:
        """The python of the environment that has ibauth, a client of OAuth 2.0."""
        self._need("python3", self._cache / "ibauth-0.1.6", "ibauth")
        return self._cache / "ibauth-0.1.6" / "bin" / "python"

    def _need(self, tool: str, folder: Path, name: str, mark: str = ".complete") -> None:
        if shutil.which(tool) is None:
            pytest.skip(f"{name}: no {tool} on this machine")
        if not (folder / mark).is_file():
            text = f"{name} is not fetched: make peers"
            pytest.fail(text, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(text)


def run(argv: list[str], env: Mapping[str, str], timeout: float) -> dict[str, Any]:
    """Run a driver to its end and return what it told: `{"step": NAME, "data": ...}` a line.

    Raises AssertionError, with what it said, when it fails or takes longer than `timeout` seconds.
    """
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    try:
        done = subprocess.run(argv, env=keep | env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as late:
        said = b"\n".join(part for part in (late.stdout, late.stderr) if isinstance(part, bytes))
        raise AssertionError(f"still running after {timeout} s:\n{said.decode()[-4000:]}") from None
    steps: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith('{"step":'):
            row = json.loads(line)
            steps[row["step"]] = row["data"]
    assert done.returncode == 0, f"after {list(steps)}:\n{done.stdout[-1500:]}\n{done.stderr[-4000:]}"
    return steps


def run_ibind(
    python: Path, driver: str, options: Mapping[str, str], folder: Path, *words: str, timeout: float = 60
) -> dict[str, Any]:
    """Run a driver with ibind's own python, configured by its documented variables alone."""
    quiet = {
        "IBIND_LOG_TO_CONSOLE": "false",
        "IBIND_LOG_TO_FILE": "false",
        "IBIND_LOGS_DIR": str(folder),
        "IBIND_USE_OAUTH": "false",
        # Its reading thread looks up once per ping; with the default a shutdown can take 45 s.
        "IBIND_WS_PING_INTERVAL": "2",
    }
    return run([str(python), str(DRIVERS / driver), *words], quiet | dict(options), timeout)
