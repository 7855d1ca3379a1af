"""A password that is typed the moment its prompt appears is neither shown nor cut short."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

ASKS = """
import asyncio, sys, termios
from ibtui.service import output
from ibtui.service.answers import tty

def prompt(text):
    echoes = bool(termios.tcgetattr(0)[3] & termios.ECHO)
    print("ECHO" if echoes else "HIDDEN", file=sys.stderr)
    sys.stderr.flush()
    input_came.write("x"); input_came.close()
    import time
    time.sleep(0.5)  # the person is quick

output.prompt = prompt
input_came = open(int(sys.argv[1]), "w")
print("GOT", asyncio.run(tty.line("Password: ", echo=False)), file=sys.stderr)
print("AFTER", bool(termios.tcgetattr(0)[3] & termios.ECHO), file=sys.stderr)
"""


def test_nothing_typed_behind_the_prompt_is_echoed_or_lost() -> None:
    ours, theirs = pty.openpty()
    told, tells = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", ASKS, str(tells)],
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, pass_fds=(tells,), text=True,
    ) as child:  # fmt: skip
        os.close(tells)
        assert os.read(told, 1) == b"x"
        os.write(ours, b"s3cret-word\n")
        _, said = child.communicate(timeout=20)
    shown = os.read(ours, 4096) if _ready(ours) else b""
    for fd in (ours, theirs, told):
        os.close(fd)
    assert "HIDDEN" in said and "GOT s3cret-word" in said and "AFTER True" in said, said
    assert b"s3cret" not in shown


def _ready(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0.2)[0])
