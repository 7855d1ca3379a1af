"""The real Java gateway in front of a simulator, for the login tests."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ibtui.auth.effects import Answer, Cancel, Challenge, Credentials, Note
from ibtui.auth.login import LoggedIn, login
from ibtui.clock import SystemClock
from ibtui.core import drive
from ibtui.core.client import IbkrClient
from ibtui.core.trust import Trust
from ibtui.gateway.java import find_java
from ibtui.gateway.process import GatewayProcess
from ibtui.gateway.spec import java_spec
from ibtui.secret import Secret

ACCOUNT = "DU1234567"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def gateway(install: Path, run: Path, upstream: str) -> AsyncIterator[GatewayProcess]:
    """A running gateway in its own run folder, stopped at the end."""
    java = await find_java("", os.environ)
    spec = java_spec(
        f"https://localhost:{free_port()}", install, run, java=java, env=os.environ, proxy_host=upstream
    )
    process = GatewayProcess(spec)
    try:
        await process.start()
        yield process
    finally:
        await process.stop()
        await process.close()


class NoQuestions:
    """Answers of a user without a second factor."""

    async def credentials(self, username: str) -> Credentials:
        raise AssertionError("the flow has them")

    async def ask(self, challenge: Challenge) -> Answer:
        return Cancel()

    def note(self, note: Note) -> None:
        return


@asynccontextmanager
async def logged_in(
    process: GatewayProcess, user: dict[str, Any], **options: Any
) -> AsyncIterator[tuple[IbkrClient, LoggedIn]]:
    """A client on the gateway, and what the login through it gave."""
    assert process.ca_file is not None
    who = Credentials(user["username"], Secret(user["password"]))
    async with IbkrClient(process.url, trust=Trust.ca(process.ca_file), **options) as client:
        done = await drive.run(login(who), NoQuestions(), client.rest, SystemClock())
        yield client, done


async def until(check: Callable[[], Awaitable[bool]], seconds: float, pause: float = 0.5) -> float:
    """Ask until it is true; returns how long that took."""
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        await asyncio.sleep(pause)
    return time.monotonic() - began


def processes(of: Path) -> list[str]:
    """Command lines that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(of) in line:
            found.append(line)
    return found


def leaks(folder: Path, secrets: Iterable[str]) -> list[str]:
    """Files below a folder that hold one of the secrets, in clear or with `%`-escapes."""
    wanted = [secret.encode() for secret in secrets]
    assert all(len(secret) >= 6 for secret in wanted)
    return [
        f"{file.relative_to(folder)}: secret number {number}"
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        for number, secret in enumerate(wanted)
        if secret in file.read_bytes()
    ]
