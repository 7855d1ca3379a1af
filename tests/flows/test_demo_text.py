"""`ibtui demo` without a terminal: everything once, as text, and nothing left running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import pytest

from tools.terminal import family


def demo(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ibtui", "demo", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ), start_new_session=True,
    )  # fmt: skip


def simulators() -> set[int]:
    """Simulators of a demo that run on this machine."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"ibtui-demo-" in words:
                found.add(int(folder.name))
    return found


def gone(pids: set[int], timeout: float = 5.0) -> bool:
    end = time.monotonic() + timeout
    while pids & simulators():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_the_demo_as_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    monkeypatch.setenv("TMPDIR", str(temp))
    began = time.monotonic()
    process = demo()
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert time.monotonic() - began < 20
    for lamp in ("gateway", "sso", "brokerage"):
        assert re.search(rf"^{lamp} +on ", out, re.M), out
    parts = {part.split("\n", 1)[0]: part.splitlines()[2:] for part in out.split("\n\n")[1:]}
    assert set(parts) == {"Accounts", "Positions", "Orders", "P&L"}
    assert len(parts["Positions"]) >= 8 and len(parts["Orders"]) >= 6
    assert len(parts["Accounts"]) == len(parts["P&L"]) == 1
    assert "Traceback" not in err
    pid = int(out.split("pid ")[1].split()[0])
    assert not Path(f"/proc/{pid}").exists(), "the simulator is left running"
    assert [path.name for path in temp.iterdir() if path.name.startswith("ibtui-demo")] == []


def test_the_demo_as_json() -> None:
    process = demo("--json", "--seed", "3")
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert found["status"]["ready"] is True
    assert len(found["positions"]) >= 8 and len(found["orders"]) >= 6
    assert found["accounts"] and Decimal(found["pnl"][0]["net_liquidity"]) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_half_way_it_leaves_nothing(number: int) -> None:
    process = demo()
    assert process.stderr is not None
    while "logging in" not in process.stderr.readline():
        assert process.poll() is None
    ours = {pid for pid in family(process.pid) if pid != process.pid}
    assert ours
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == (130 if number != signal.SIGKILL else -number)
    assert "Traceback" not in err
    assert gone(ours)


def test_the_folder_for_temporary_files_is_ours_alone() -> None:
    process = demo()
    assert process.stderr is not None
    while "logging in" not in process.stderr.readline():
        assert process.poll() is None
    folders = list(Path(tempfile.gettempdir()).glob("ibtui-demo-*"))
    assert folders
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in folders)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
