"""Shared by the tests of the gateway room."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ibtui.gateway import procs
from ibtui.gateway.spec import Spec, command_spec

STAND_IN = Path(__file__).with_name("gateway_stand_in.py")
ENV = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", ""), "SECRET_TOKEN": "hidden"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def stand_in(run_dir: Path, *words: str, port: int | None = None, **more: Any) -> Spec:
    """A spec of the stand-in; it listens on `port` (a free one), plain HTTP unless told otherwise."""
    port = free_port() if port is None else port
    more.setdefault("url", f"http://127.0.0.1:{port}")
    argv = (sys.executable, str(STAND_IN), "--port", str(port), *words)
    return command_spec(argv, run_dir, env=ENV, **more)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    return procs.birth(pid) is None


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
