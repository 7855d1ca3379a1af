"""A fault of our own on the screen: a sentence and a place for the details, no values of variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pytest

FAULTY = """
import sys
from textual.widgets import Input

def broken(self, event):
    secret = event.text
    raise ZeroDivisionError

Input._on_paste = broken
sys.argv = ["ibtui", "demo"]
from ibtui.__main__ import main
sys.exit(main())
"""
PASTED = "s3cret-w0rd"


@pytest.mark.timeout(60)
def test_no_variable_is_shown(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IBTUI_", "XDG_"))}
    folders = {
        f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")
    }
    env = {**kept, **folders, "HOME": str(tmp_path), "TERM": "xterm-256color"}
    child = pexpect.spawn(
        sys.executable, ["-c", FAULTY], env=env, dimensions=(24, 80), timeout=30, encoding="utf-8"
    )
    child.expect("Gateway")
    child.send("\x10")
    child.expect("Change the theme")
    child.send(f"\x1b[200~{PASTED}\x1b[201~")
    child.expect(pexpect.EOF)
    child.close()
    said = child.before or ""
    assert child.exitstatus == 1
    assert "something went wrong inside ibtui (ZeroDivisionError)" in said
    assert "Traceback" not in said and PASTED not in said
    logs = list(tmp_path.rglob("*.log"))
    assert any("ZeroDivisionError" in path.read_text() for path in logs)
    assert not any(PASTED in path.read_text() for path in logs)
