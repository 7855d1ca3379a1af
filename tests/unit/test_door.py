"""The door: the two command lines it understands itself behave as the parser would have them behave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.terminal import Terminal

IBTUI = [sys.executable, "-m", "ibtui"]
LOADED = """
import sys
sys.argv = ["ibtui", "demo"]
sys.stdin.isatty = sys.stdout.isatty = lambda: True
from ibtui.service.commands import terminal
heavy = {"click", "httpx", "msgspec", "asyncio"}
terminal._screen = lambda *given, **more: print("LOADED", sorted(heavy & set(sys.modules)))
from ibtui.__main__ import main
main()
"""


def test_wrong_settings_are_told_before_the_screen_is_taken(tmp_path: Path) -> None:
    env = {**os.environ, "IBTUI_CONFIG": str(tmp_path / "missing.toml")}
    for words in ([], ["demo"]):
        with Terminal([*IBTUI, *words], env=env) as screen:
            assert screen.exit() == 2
            assert "cannot be read" in screen.text and "ibtui config init" in screen.text
            assert "Traceback" not in screen.text


def test_the_way_to_the_first_frame_loads_neither_parser_nor_network() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "LOADED []", done.stderr


@pytest.mark.parametrize("words", [[], ["demo"], ["supervise"], ["request", "POST", "/x", "--data", "-"]])
def test_without_standard_streams_nothing_is_riddled(words: list[str], tmp_path: Path) -> None:
    """No traceback, and no file of ours takes the number of a stream that is not there."""
    env = {**os.environ, "IBTUI_CONFIG": str(tmp_path / "missing.toml"), "HOME": str(tmp_path)}
    shell = ["/bin/sh", "-c", 'exec 3>&2; exec "$@" <&- >&- 2>&3', "sh"]
    done = subprocess.run([*shell, *IBTUI, *words], capture_output=True, text=True, env=env, timeout=30)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr and "went wrong inside" not in done.stderr, done.stderr


def test_shell_completion_still_goes_to_the_parser() -> None:
    env = {
        **os.environ,
        "_IBTUI_COMPLETE": "bash_complete",
        "COMP_WORDS": "ibtui dem",
        "COMP_CWORD": "1",
    }
    program = str(Path(sys.executable).with_name("ibtui"))
    done = subprocess.run([program], capture_output=True, text=True, timeout=30, env=env)
    assert "plain,demo" in done.stdout


def test_a_home_that_cannot_be_written_or_read_aloud_is_no_riddle(tmp_path: Path) -> None:
    """No folder may be made, and the stream knows ASCII only: still words, never a traceback."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    folders = {f"XDG_{kind}_HOME": str(in_the_way / "x") for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    env = {**os.environ, **folders, "PYTHONIOENCODING": "ascii"}
    for words, status, told in (
        (["status"], 3, "> gateway: "),
        (["config", "init"], 1, "Not a directory"),
        (["sim", "--host", "256.1.1.1"], 1, "cannot listen at 256.1.1.1"),
    ):
        done = subprocess.run([*IBTUI, *words], capture_output=True, text=True, timeout=30, env=env)
        assert done.returncode == status, done.stderr
        assert told in done.stdout + done.stderr
        assert "Traceback" not in done.stderr and "inside ibtui" not in done.stderr
