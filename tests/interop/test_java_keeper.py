"""The keep-alive with the real Java gateway, a simulator in IBKR's place: nobody is asked anything."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ibtui.config import load
from ibtui.core.models import Status
from ibtui.secret import Secret
from ibtui.service import actions, keeper
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.local import LocalRuntime
from tests.interop.java_tools import free_port, leaks, processes
from tests.interop.peers import Peers

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("java-two")]


@pytest.fixture
def install(peers: Peers) -> Path:
    return peers.gateway()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly, so that tests need not wait."""
    monkeypatch.setattr(keeper, "LOOK_S", 1.0)
    monkeypatch.setattr(keeper, "BREATH_S", 0.3)


def settings_of(folder: Path, install: Path, sim: Any, **more: Any) -> Any:
    password = folder / "password"
    password.write_text(sim.user()["password"] + "\n")
    password.chmod(0o600)
    file = folder / "config.toml"
    file.write_text(
        f'[profiles.default]\ngateway_url = "https://localhost:{free_port()}"\n'
        f'gateway_dir = "{install}"\nupstream = "{sim.url}"\nusername = "{sim.user()["username"]}"\n'
        f'password.file = "{password}"\nauth_delay_ms = 500\n'
    )
    file.chmod(0o600)
    settings = load(file, env={})
    return replace(settings, profiles={"default": replace(settings.chosen(), **more)})


@asynccontextmanager
async def kept(folder: Path, install: Path, sim: Any, **more: Any) -> AsyncIterator[LocalRuntime]:
    """A keeper whose session is ready; nothing of it is left at the end."""
    runtime = LocalRuntime(settings_of(folder, install, sim, **more), keeper=True)
    user = sim.user()
    try:
        await actions.start_gateway(runtime)
        await runtime.login(FixedAnswers(user["username"], Secret(user["password"])))
        assert runtime.status.ready
        yield runtime
    finally:
        await actions.stop_gateway(runtime)
        await runtime.close()
    state = Path(os.environ["XDG_STATE_HOME"])
    assert processes(state) == []
    assert leaks(state, [user["password"]]) == []


def words(runtime: LocalRuntime) -> str:
    return "\n".join(f"{event.at:%H:%M:%S} {event.source}: {event.text}" for event in runtime.events)


async def until(runtime: LocalRuntime, wanted: Callable[[Status], bool], seconds: float = 30.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not wanted(runtime.status):
        assert asyncio.get_running_loop().time() < end, (
            f"{runtime.status}\n{runtime.keeping}\n{words(runtime)}"
        )
        await asyncio.sleep(0.05)


async def lost(runtime: LocalRuntime) -> None:
    """Look until the session is gone; without live values nobody tells us before the next tickle."""
    async with asyncio.timeout(10):
        while (await actions.refresh_quietly(runtime)).ready:
            await asyncio.sleep(0.5)


def java() -> int:
    """The gateway's process, by the state folder it works in."""
    state = Path(os.environ["XDG_STATE_HOME"])
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        if str(state) in entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
            return int(entry.parent.name)
    raise AssertionError("no gateway")


async def test_killed_and_reset_and_ready_again_without_a_person(
    install: Path, start_sim: Any, tmp_path: Path
) -> None:
    sim = start_sim("--plain", "--seed", "7")
    async with kept(tmp_path, install, sim) as runtime:
        first = java()
        os.kill(first, signal.SIGKILL)
        # With its process a gateway loses its cookies; the simulator does not go by them.
        await asyncio.to_thread(sim.control, "session", {"action": "logout"})
        await until(runtime, lambda status: status.gateway.state != "on", 5)
        await until(runtime, lambda status: status.ready)
        assert java() != first
        assert "starting the gateway again" in words(runtime)
        assert "logging in again: the gateway was started anew" in words(runtime), words(runtime)
        # The night: every session ends at midnight of the region.
        await asyncio.to_thread(sim.control, "clock", {"advance_s": 86_400})
        await lost(runtime)
        assert runtime.status.sso.state == "off"
        await until(runtime, lambda status: status.ready)
        await until(runtime, lambda _: runtime.keeping.mode == "on")
        assert runtime.login_facts.attempts == 0
    proofs = [row for row in sim.journal() if row["path"] == "/sso/Dispatcher"]
    assert len(proofs) == 3


async def test_another_program_with_policy_take(install: Path, start_sim: Any, tmp_path: Path) -> None:
    sim = start_sim("--plain", "--seed", "7")
    async with kept(tmp_path, install, sim, competing="take") as runtime:
        await asyncio.to_thread(sim.control, "session", {"action": "compete"})
        await lost(runtime)
        await until(runtime, lambda status: status.ready)
        assert "taking the brokerage session back" in words(runtime)


async def test_another_program_with_policy_ask(install: Path, start_sim: Any, tmp_path: Path) -> None:
    sim = start_sim("--plain", "--seed", "7")
    async with kept(tmp_path, install, sim, competing="ask") as runtime:
        await asyncio.to_thread(sim.control, "session", {"action": "compete"})
        await lost(runtime)
        await asyncio.sleep(2.5)
        assert runtime.keeping.mode == "person" and "another program" in runtime.keeping.why
        assert words(runtime).count("keep-alive: another program holds") == 1
        assert not runtime.status.ready
        await runtime.open_brokerage(compete=True)
        await until(runtime, lambda status: status.ready)
        assert runtime.keeping.mode == "on"
