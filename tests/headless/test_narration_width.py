"""Narration on a terminal is broken at blanks; a pipe gets each line as it is."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

LONG = "The gateway's settings have changed since it started, and nobody has restarted it: " + "x" * 12
SAYS = f"""
from ibtui.core.models import Lamp
from ibtui.errors import IbtuiError
from ibtui.service import output
output.say({LONG!r})
output.error(IbtuiError({LONG!r}, {LONG!r}), False)
output.lamp_text("gateway", Lamp(state="on", reason={LONG!r}))
output.prompt({LONG!r} + " [y/N] ")
"""


def at_terminal(columns: int) -> list[str]:
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([sys.executable, "-c", SAYS], stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        heard = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # its end, on Linux
                break
            if not part:
                break
            heard += part
        assert child.wait(20) == 0
    os.close(ours)
    return heard.decode().replace("\r", "").split("\n")


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_gets_lines_that_fit(columns: int) -> None:
    lines = at_terminal(columns)
    assert all(len(line) <= columns for line in lines), lines
    words = " ".join(lines).split()
    assert words.count("x" * 12) == 5, "no word is broken"
    assert lines[-1].endswith("[y/N] ")
    error = next(at for at, line in enumerate(lines) if line.startswith("ibtui: "))
    assert lines[error + 1].startswith("       ") and not lines[error + 1].startswith("        ")


def test_a_pipe_gets_them_as_they_are() -> None:
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, timeout=20)
    assert done.stderr.split("\n") == [LONG, f"ibtui: {LONG}", f"       {LONG}", f"{LONG} [y/N] "]
    assert done.stdout.endswith(f"{LONG}\n") and done.stdout.count("\n") == 1
