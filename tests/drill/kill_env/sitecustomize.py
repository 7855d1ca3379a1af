"""Ends the process it is loaded into with SIGKILL at its N-th step; loaded by the kill drill alone.

A step is a call that makes something last or leave: fsync, rename, send, receive. DRILL_AT is N,
DRILL_WHEN says `before` or `after` that call; DRILL_COUNT names a file for the number of steps.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

AT = int(os.environ.get("DRILL_AT", "0"))
BEFORE = os.environ.get("DRILL_WHEN", "before") == "before"
COUNT = os.environ.get("DRILL_COUNT", "")
PID = os.getpid()
steps = 0


def counted(call: Callable[..., Any]) -> Callable[..., Any]:
    def step(*args: Any, **more: Any) -> Any:
        global steps
        if os.getpid() != PID:
            return call(*args, **more)
        steps += 1
        now = steps == AT
        if now and BEFORE:
            os.kill(PID, signal.SIGKILL)
        try:
            return call(*args, **more)
        finally:
            if now:
                os.kill(PID, signal.SIGKILL)

    return step


os.fsync = counted(os.fsync)
os.replace = counted(os.replace)
for name in ("send", "sendmsg", "recv", "recv_into"):
    setattr(socket.socket, name, counted(getattr(socket.socket, name)))
if COUNT:
    atexit.register(lambda: Path(COUNT).write_text(str(steps)))
