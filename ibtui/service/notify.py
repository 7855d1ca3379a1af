"""Tells systemd how the service does (sd_notify(3)): one datagram to the socket it named."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


def notify(env: Mapping[str, str], *words: str) -> bool:
    """Send `READY=1` and the like; False where nobody listens for it. Never blocks, never fails."""
    path = env.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.setblocking(False)
        out.sendto("\n".join(words).encode(), address)
        return True
    return False


def watchdog_s(env: Mapping[str, str], pid: int) -> float:
    """How often systemd wants to hear from us, in seconds; 0 where it does not."""
    if env.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    text = env.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdecimal() else 0.0
