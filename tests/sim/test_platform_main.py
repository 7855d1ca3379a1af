"""The simulator as a process: ready file, ends, leftovers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ibtui.sim.main import Options, run

KEYS = {"url", "ws", "cert", "users", "oauth1", "oauth2", "twilio", "download", "control"}
Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start the simulator as a process; gives it and its ready object."""
    processes: list[asyncio.subprocess.Process] = []
    folder = tmp_path / "tmp"
    folder.mkdir()

    async def begin(*words: str, stdin: int = asyncio.subprocess.DEVNULL) -> tuple[Any, dict[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ibtui.sim.main",
            *words,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        processes.append(process)
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        return process, json.loads(line)

    yield begin
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_ready_file_and_a_clean_end(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    process, said = await start("--ready", str(file), "--seed", "7")
    written = json.loads(file.read_text())
    assert written == said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(said) == KEYS
    assert said["url"].startswith("https://127.0.0.1:")
    assert said["ws"] == said["url"].replace("https", "wss") + "/v1/api/ws"
    factors = [user["factors"] for user in said["users"]]
    for wanted in ([], ["4"], ["4.2"], ["5.2a"]):
        assert wanted in factors
    certificate = Path(said["cert"])
    assert stat.S_IMODE(certificate.parent.stat().st_mode) == 0o700
    for one in certificate.parent.iterdir():
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
    # The strictest context there is accepts it, by name and by address.
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for host in ("127.0.0.1", "localhost"):
        url = said["url"].replace("127.0.0.1", host)
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            reply = await client.get(url + "/")
            assert reply.status_code == 302
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["ready.json"]


async def test_same_seed_same_users(start: Start) -> None:
    _, one = await start("--plain", "--seed", "3")
    _, two = await start("--plain", "--seed", "3")
    _, other = await start("--plain", "--seed", "4")
    assert one["users"] == two["users"]
    assert [user["username"] for user in one["users"]] == [user["username"] for user in other["users"]]
    assert one["users"][0]["password"] != other["users"][0]["password"]
    assert one["cert"] is None
    assert one["url"].startswith("http://127.0.0.1:")


async def test_the_next_start_sweeps_what_a_killed_one_left(start: Start, tmp_path: Path) -> None:
    killed, _ = await start("--plain")
    living, _ = await start("--plain")
    assert len(list((tmp_path / "tmp").iterdir())) == 2
    killed.kill()
    await killed.wait()
    third, _ = await start("--plain")
    assert len(list((tmp_path / "tmp").iterdir())) == 2
    for process in (living, third):
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_tied_ends_with_its_input(start: Start) -> None:
    process, _ = await start("--tied", "--plain", stdin=asyncio.subprocess.PIPE)
    process.stdin.write(b"some words\n")
    await process.stdin.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.4)
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_tied_to_nothing_ends_at_once(start: Start) -> None:
    process, _ = await start("--tied", "--plain")
    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_logged_in_can_read_at_once(start: Start) -> None:
    process, said = await start("--plain", "--logged-in", "demo456")
    async with httpx.AsyncClient(base_url=said["url"], trust_env=False) as client:
        status = (await client.get("/v1/api/iserver/auth/status")).json()
        assert status["authenticated"] is status["established"] is True
        accounts = (await client.get("/v1/api/iserver/accounts")).json()
        assert "DU2345671" in accounts["accounts"]
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_it_is_up_quickly(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    async with asyncio.TaskGroup() as group:
        begin = time.monotonic()
        task = group.create_task(run(Options(ready=file)))
        while not file.exists():
            await asyncio.sleep(0.01)
        took = time.monotonic() - begin
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 5) == 0
    # 0.5 s is the aim on an idle machine; a loaded one gets some grace.
    assert took < 1.5


async def test_ends_while_a_client_hangs(start: Start) -> None:
    process, said = await start("--plain", "--logged-in", "demo123")
    async with httpx.AsyncClient(base_url=said["url"], trust_env=False) as client:
        await client.post("/sim/faults", json={"path": "/tickle", "kind": "hang"})
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(_ignore(client.post("/v1/api/tickle", json={})))
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 5) == 0
            await asked


async def _ignore(request: Any) -> None:
    try:
        await request
    except httpx.HTTPError:
        pass


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--scenario", "no-such"), 2),
        (("--logged-in", "no-such"), 2),
        (("--host", "203.0.113.9"), 1),
        (("--ready", "/no/such/folder/x"), 2),
    ],
)
async def test_what_cannot_start_says_so(words: tuple[str, ...], status: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ibtui.sim.main",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == status
    assert b"Traceback" not in errors
    assert len(errors.splitlines()) == 1
