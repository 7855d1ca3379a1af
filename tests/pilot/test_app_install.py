"""The install page: a real download from the simulator, its troubles, the way back, all by keyboard."""

from __future__ import annotations

import contextlib
import socket
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from ibtui import paths
from ibtui.clock import SystemClock
from ibtui.config import Addresses, Profile, Settings, Ui
from ibtui.core.models import Keeping
from ibtui.gateway.java import install_hint
from ibtui.service.local import LocalRuntime
from ibtui.service.runtime import Runtime
from ibtui.sim.download import make_zip
from ibtui.ui.app import IbtuiApp
from tests import fakes
from tests.conftest import Sim
from tests.pilot.driving import shows, text, until

PATH = "/sim-download/*"
WAIT_S = 30.0


class Hasty(SystemClock):
    """Nobody waits between two connections."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.01))


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


@contextlib.asynccontextmanager
async def app_at(
    address: str, cert: str = "", runtime: fakes.FakeRuntime | None = None, **profile: Any
) -> AsyncIterator[Pilot[Any]]:
    """The app with a download address; on a real runtime unless one is given."""
    values = {"name": "default", "gateway_url": f"https://127.0.0.1:{free_port()}"} | profile
    where = Addresses(gateway_download=address, gateway_download_ca_file=cert)
    settings = Settings(profiles={"default": Profile(**values)}, addresses=where, ui=Ui(refresh_hz=60))

    async def make() -> Runtime:
        return runtime or LocalRuntime(settings)  # type: ignore[return-value]

    app = IbtuiApp(settings, make, now=Hasty())
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.runtime is not None and app.busy is None, WAIT_S)
        yield pilot


def fault(sim: Sim, kind: str, count: int = 1, **more: Any) -> None:
    sim.control("faults", {"path": PATH, "kind": kind, "count": count, **more})


def shelf() -> list[str]:
    """What lies among the installations."""
    folder = paths.data_dir() / "gateway"
    return (
        sorted(it.name for it in folder.iterdir() if not it.name.startswith(".")) if folder.exists() else []
    )


async def test_from_nothing_to_a_gateway_that_runs(sim: Sim) -> None:
    async with app_at(sim.ready["download"], sim.cert or "") as pilot:
        await shows(pilot, "○ Gateway", "Or install one: i here, or", "gateway install", "i install")
        await pilot.press("i")
        await shows(pilot, "Now here  none", sim.ready["download"], "Java  ", "enter download")
        await pilot.press("enter")
        await until(pilot, lambda: "is installed" in text(pilot.app), WAIT_S)
        await shows(
            pilot, "Built     24 April 2026", "✓ Download", "✓ Check and unpack", "→ Enter starts it."
        )
        assert shelf()[0].startswith("2026-04-24-")
        try:
            await pilot.press("enter")
            await until(pilot, lambda: "● Gateway" in text(pilot.app), WAIT_S)
            await until(pilot, lambda: "● Gateway" in text(pilot.app) and pilot.app.busy is None)  # type: ignore[attr-defined]
            await pilot.press("i")  # while it runs: a newer one would need a restart
            await shows(pilot, "Now here  2026-04-24-", "enter download")
            await pilot.press("enter")
            await until(pilot, lambda: "was installed already" in text(pilot.app), WAIT_S)
            await shows(pilot, "enter restarts it")
            await pilot.press("escape")
        finally:
            runtime = pilot.app.runtime  # type: ignore[attr-defined]
            await runtime.stop_gateway()


async def test_a_download_is_stopped_and_goes_on(sim: Sim) -> None:
    fault(sim, "delay", seconds=20)
    async with app_at(sim.ready["download"], sim.cert or "") as pilot:
        await pilot.press("i")
        await shows(pilot, "enter download")
        part = paths.data_dir() / "gateway" / ".download"
        await pilot.press("enter")
        await shows(pilot, "Asking https://")
        await pilot.press("escape")
        await shows(pilot, "Stopped.", "enter download")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"x" * 1_500_000)
        await pilot.press("f")
        await shows(pilot, "Zip or folder")
        await pilot.press("escape")
        await shows(pilot, "1.5 MB have come already", "enter go on")
        await pilot.press("enter")
        await until(pilot, lambda: "is installed" in text(pilot.app), WAIT_S)
        await pilot.press("escape")
        await shows(pilot, "○ Gateway", "→ Start it: s here")


async def test_every_failure_is_a_sentence_and_can_be_tried_again(sim: Sim, tmp_path: Path) -> None:
    async with app_at(sim.ready["download"], sim.cert or "") as pilot:
        fault(sim, "status", status=404)
        await pilot.press("i")
        await shows(pilot, "enter download")
        await pilot.press("enter")
        await shows(pilot, "✕ The gateway process", "answers with status", "→ Check", "enter try again")
        await shows(pilot, "What was installed before is unharmed.", "✕ Download")
        (tmp_path / "bad.zip").write_bytes(b"no zip")
        await pilot.press("f")
        await shows(pilot, "Zip or folder")
        await pilot.press(*str(tmp_path / "bad.zip"), "enter")
        await shows(pilot, "is damaged or no zip file", "→", "enter try again")
        assert shelf() == []
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)


async def test_the_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = tmp_path / "older.zip", tmp_path / "newer.zip"
    older.write_bytes(make_zip())
    from ibtui.gateway.install import Shelf

    one = Shelf()
    with one.alone():
        first = one.add(older)
    gateway = tmp_path / "gateway"
    import shutil

    shutil.copytree(first.folder, gateway)
    (gateway / "build/lib/runtime").mkdir(parents=True, exist_ok=True)
    (gateway / "build/lib/runtime/more.jar").write_bytes(b"another program")
    assert not newer.exists()
    runtime = fakes.FakeRuntime(fakes.DOWN)
    async with app_at("http://127.0.0.1:1/x.zip", runtime=runtime) as pilot:
        await pilot.press("i")
        await until(pilot, lambda: pilot.app.screen.page == "offer")  # type: ignore[attr-defined]
        await pilot.press("f")
        await pilot.press(*str(gateway), "enter")
        await until(pilot, lambda: "is installed" in text(pilot.app), WAIT_S)
        await shows(pilot, "(only", f"Before it {first.version}", "b back to the one before")
        await pilot.press("b")
        await until(pilot, lambda: "is in use again" in text(pilot.app), WAIT_S)
        await shows(pilot, f"The gateway {first.version}")
        runtime.keeping = Keeping(mode="on", shared=True)
        await pilot.press("escape")
        await until(pilot, lambda: "stop_keeping" in runtime.calls), "it knows the old gateway alone"
        await until(pilot, lambda: runtime.closed)


async def test_another_gateway_is_said_to_be_used() -> None:
    runtime = fakes.FakeRuntime(fakes.DOWN)
    async with app_at("http://127.0.0.1:1/x.zip", runtime=runtime, gateway_dir="/opt/gw") as pilot:
        await pilot.press("i")
        await shows(pilot, "This profile uses another gateway.", 'gateway_dir = "installed"')
        await pilot.press("enter")
        await until(pilot, lambda: "✕" in text(pilot.app), WAIT_S)
        await shows(pilot, "cannot be reached", "enter try again")
        await pilot.press("question_mark")
        await shows(pilot, "Go back to the gateway before this one")


async def test_the_demo_needs_none() -> None:
    runtime = fakes.FakeRuntime(profile=Profile(name="demo", mode="demo"))
    async with app_at("http://127.0.0.1:1/x.zip", runtime=runtime, mode="demo") as pilot:
        await pilot.press("i")
        await until(pilot, lambda: any("brings its own" in it.message for it in pilot.app._notifications))


async def test_without_java_the_session_screen_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exact words of the platform; the same stand on the install page."""
    gateway = tmp_path / "gateway"
    jar = gateway / "dist/ibgroup.web.core.iblink.router.clientportal.gw.jar"
    for file in (jar, gateway / "root/conf.yaml", gateway / "build/lib/runtime/a.jar"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nWhen-Built: 2023-04-24\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    async with app_at("http://127.0.0.1:1/x.zip", gateway_dir=str(gateway)) as pilot:
        await shows(pilot, "→ Start it: s here, or ibtui gateway start")
        await pilot.press("s")
        await shows(pilot, "The gateway needs Java, and none was found.", f"→ {install_hint()}")
        await pilot.press("i")
        await shows(pilot, "▲ The gateway needs Java", f"→ {install_hint()}")


async def test_no_gateway_is_told_with_its_fix() -> None:
    async with app_at("http://127.0.0.1:1/x.zip", gateway_dir="installed") as pilot:
        await shows(pilot, "○ Gateway", "No gateway is installed.")
        await shows(pilot, "→ Install one: i here, or ibtui gateway install")
