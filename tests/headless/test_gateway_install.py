"""`ibtui gateway install`: real HTTP from the simulator, with its troubles; the stand-in is run."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ibtui import config, paths
from ibtui.clock import SystemClock
from ibtui.service import download, host
from ibtui.service.commands.gateway_install import ProgressLine
from ibtui.sim.download import make_zip
from tests.conftest import Sim, StartSim
from tests.headless.conftest import Run, Spawn
from tests.headless.test_headless_words import free_port

PATH = "/sim-download/*"


def write_settings(sim: Sim, address: str = "", **profile: Any) -> None:
    values = {"gateway_download": address or sim.ready["download"]}
    if sim.cert:
        values["gateway_download_ca_file"] = sim.cert
    lines = ["[addresses]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
    lines += [
        "[profiles.default]",
        "keep_alive = false",
        *(f"{k} = {json.dumps(v)}" for k, v in profile.items()),
    ]
    path = config.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)


@pytest.fixture
def there(sim: Sim) -> Sim:
    """A simulator whose download the settings name."""
    write_settings(sim)
    return sim


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two connections."""

    async def sleep(self: SystemClock, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(SystemClock, "sleep", sleep)


def fault(sim: Sim, kind: str, count: int = 1, **more: Any) -> None:
    sim.control("faults", {"path": PATH, "kind": kind, "count": count, **more})


def shelf() -> Path:
    return paths.data_dir() / "gateway"


def names() -> list[str]:
    return sorted(path.name for path in shelf().iterdir() if path.name != ".lock")


def downloads(sim: Sim) -> list[dict[str, Any]]:
    return [entry for entry in sim.journal() if entry["path"].startswith("/sim-download")]


def test_from_nothing_to_a_gateway_that_runs(run: Run, sim: Sim) -> None:
    write_settings(sim, gateway_url=f"https://127.0.0.1:{free_port()}")
    assert "ibtui gateway install" in run("gateway", "start").err
    done = run("gateway", "install")
    assert done.code == 0, done
    assert "built 2026-04-24" in done.out and "Next: ibtui gateway start" in done.err
    assert run("gateway", "start").code == 0
    try:
        told = run("login", "--user", "demo123", "--password-stdin", stdin=f"{sim.user()['password']}\n")
        assert told.code == 0, told
        assert run("status", "--json").json["ready"] is True
        assert run("gateway", "status", "--json").json["built"] == "2026-04-24"
    finally:
        assert run("gateway", "stop").code == 0


def test_json_and_the_same_again(run: Run, there: Sim) -> None:
    done = run("gateway", "install", "--json")
    assert done.code == 0, done
    found = done.json
    assert found["version"].startswith("2026-04-24-") and found["changed"] is True
    assert Path(found["path"]) == shelf() / found["version"]
    assert names() == [found["version"], "current.json"]
    again = run("gateway", "install", "--json").json
    assert again["changed"] is False and again["previous"] is None


def test_progress_is_a_line_each_ten_percent(run: Run, there: Sim) -> None:
    lines = [line for line in run("gateway", "install").err.splitlines() if line.startswith("downloading")]
    assert 3 <= len(lines) <= 11
    assert "100 %" in lines[-1] and "MB/s" in lines[-1] and "3.0 of 3.0 MB" in lines[-1]


def test_progress_on_a_terminal_is_one_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = iter(range(100))
    stream = Terminal()
    line = ProgressLine(stream, lambda: float(next(now)))
    for done in range(0, 11_000_000, 1_000_000):
        line("downloading", done, 10_000_000)
    line("unpacking", 5, None)
    line.end()
    line.end()
    first, second, rest = stream.getvalue().split("\n")
    assert first.count("\r") == 10 and "1.0 MB/s" in first and second.startswith("\runpacking") and not rest


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("kind", ["cut", "half", "lose"])
def test_cut_connections_are_taken_up_again(run: Run, there: Sim, kind: str) -> None:
    fault(there, kind, 3)
    done = run("gateway", "install", "--json")
    assert done.code == 0, done
    assert len(downloads(there)) == 4
    if kind == "half":
        assert [entry["status"] for entry in downloads(there)] == [200, 206, 206, 206]


@pytest.mark.usefixtures("hasty")
def test_a_busy_server_is_asked_again(run: Run, there: Sim) -> None:
    fault(there, "status", 2, status=503)
    assert run("gateway", "install").code == 0


@pytest.mark.usefixtures("hasty")
def test_half_a_download_goes_on_in_the_next_run(run: Run, there: Sim) -> None:
    fault(there, "half")
    fault(there, "cut", 10)
    done = run("gateway", "install")
    assert done.code == 75 and "it goes on where it stopped" in done.err
    assert names() == [".download", ".download.json"]
    assert "ibtui gateway install" in run("gateway", "start").err, "nothing is installed"
    tries = 0
    while done.code and (tries := tries + 1) < 5:  # until the faults are used up
        done = run("gateway", "install")
    assert done.code == 0, done
    # Where exactly the cut came is the socket's choice; that it did not begin again is ours.
    assert int(done.err.split("%")[0].split()[1]) >= 40, done
    assert downloads(there)[-1]["status"] == 206 and len(names()) == 2


def test_a_garbled_zip_is_not_installed_and_not_kept(run: Run, there: Sim) -> None:
    good = run("gateway", "install", "--json").json
    fault(there, "garble")
    done = run("gateway", "install")
    assert done.code == 1 and "damaged" in done.err and "Download it again" in done.err
    assert names() == [good["version"], "current.json"]
    assert run("gateway", "install").code == 0


@pytest.mark.usefixtures("hasty")
def test_not_there(run: Run, there: Sim) -> None:
    fault(there, "status", status=404)
    done = run("gateway", "install", "--json")
    assert done.code == 1 and "404" in done.json["error"] and "gateway_download" in done.json["fix"]
    write_settings(there, f"https://127.0.0.1:{free_port()}/gw.zip")
    done = run("gateway", "install")
    assert done.code == 75 and "cannot be reached" in done.err


@pytest.mark.parametrize(
    "address", ["http://example.com/gw.zip", "ftp://example.com/gw.zip", "/gw.zip", "https://", "https://[/"]
)
def test_an_address_that_is_not_safe(run: Run, there: Sim, address: str) -> None:
    write_settings(there, address)
    done = run("gateway", "install")
    assert done.code == 2 and "no https:// address" in done.err


def test_a_certificate_of_nobody(run: Run, there: Sim, start_sim: StartSim) -> None:
    other = start_sim()
    write_settings(there, other.ready["download"])
    done = run("gateway", "install")
    assert done.code == 1 and "is not trusted" in done.err and "gateway_download_ca_file" in done.err
    assert downloads(other) == []


def test_a_plain_simulator(run: Run, start_sim: StartSim) -> None:
    write_settings(start_sim("--plain"))
    assert run("gateway", "install").code == 0


def test_from_a_file_and_back(run: Run, there: Sim, tmp_path: Path) -> None:
    first = run("gateway", "install", "--json").json
    file = tmp_path / "old.zip"
    file.write_bytes(make_zip(built="2024-02-03T00:00:00+0000"))
    done = run("gateway", "install", "--from", str(file))
    assert done.code == 0 and "built 2024-02-03" in done.out
    assert "more than a year ago" in done.err and first["version"] in done.out
    shown = run("gateway", "status")
    assert shown.code == 3 and "built 2024-02-03" in shown.out and "more than a year ago" in shown.err
    back = run("gateway", "install", "--rollback", "--json").json
    assert back["version"] == first["version"] and back["previous"].startswith("2024-02-03")
    assert run("gateway", "install", "--rollback", "--from", str(file)).code == 2
    assert file.is_file() and len(downloads(there)) == 1


def test_a_planted_zip(run: Run, there: Sim, tmp_path: Path) -> None:
    evil = tmp_path / "evil.zip"
    evil.write_bytes(make_zip())
    with zipfile.ZipFile(evil, "a") as archive:
        archive.writestr("../../../evil", b"x")
    done = run("gateway", "install", "--from", str(evil))
    assert done.code == 1 and "leads out of the folder" in done.err
    assert not list(tmp_path.rglob("evil")) and names() == []


def test_a_folder_is_adopted_and_used(run: Run, there: Sim, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    with zipfile.ZipFile(io.BytesIO(make_zip())) as archive:
        archive.extractall(theirs)
    before = {path: path.stat().st_mtime_ns for path in theirs.rglob("*")}
    done = run("gateway", "install", "--from", str(theirs))
    assert done.code == 0 and "adopted, only read" in done.out and names() == ["current.json"]
    assert {path: path.stat().st_mtime_ns for path in theirs.rglob("*")} == before
    done = run("gateway", "install", "--from", str(tmp_path))
    assert done.code == 2 and "is not a Client Portal Gateway" in done.err


def test_nothing_to_go_back_to(run: Run) -> None:
    done = run("gateway", "install", "--rollback")
    assert done.code == 1 and "no earlier gateway" in done.err
    assert run("gateway", "install", "--from", "/nowhere.zip").code == 1


def test_a_profile_that_wants_the_installed_one(run: Run, sim: Sim) -> None:
    write_settings(sim, gateway_dir="installed", gateway_url=f"https://127.0.0.1:{free_port()}")
    done = run("gateway", "start")
    assert done.code == 2 and "No gateway is installed" in done.err


def test_a_gateway_elsewhere_stays_elsewhere(run: Run, live_sim: Sim) -> None:
    write_settings(live_sim)
    assert run("gateway", "install").code == 0
    write_settings(live_sim, gateway_url="https://192.0.2.1:5000", fingerprint="ab" * 32)
    assert host.host_for(config.load().chosen()).start_fix == "Start it where it runs"
    # One on this machine that somebody else runs is used as before, and not stopped.
    write_settings(live_sim, gateway_url=live_sim.url, ca_file=live_sim.cert)
    assert run("status", "--json").json["ready"] is True
    assert "started elsewhere" in run("gateway", "start").out
    assert "Stop it where it was started" in run("gateway", "stop").err


def test_no_java_is_said_but_hinders_nothing(run: Run, there: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    done = run("gateway", "install", "--json")
    assert done.code == 0 and done.json["java"] is None and "Java" in done.json["warnings"][0]


def test_interrupted(there: Sim, spawn: Spawn) -> None:
    fault(there, "hang")
    process = spawn("gateway", "install")
    for _ in range(200):
        if downloads(there):
            break
        time.sleep(0.05)
    process.send_signal(2)
    assert process.wait(10) == 130
    assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_a_server_that_is_silent(run: Run, there: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "READ_S", 0.5)
    fault(there, "hang", 1)
    assert run("gateway", "install").code == 0


# A server of IBKR's kind may send us elsewhere -------------------------------------------------


class Elsewhere(BaseHTTPRequestHandler):
    """`/to/ADDRESS` leads there; `/loop` to itself; all else is the zip, whole, whatever is asked."""

    def do_GET(self) -> None:
        if self.path.startswith(("/to/", "/loop")):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = make_zip()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_led_elsewhere(run: Run, there: Sim, elsewhere: str) -> None:
    write_settings(there, f"{elsewhere}/to/{elsewhere}/gw.zip")
    assert run("gateway", "install").code == 0
    write_settings(there, f"{elsewhere}/to/http://example.com/gw.zip")
    done = run("gateway", "install")
    assert done.code == 2 and "http://example.com/gw.zip' is no https:// address" in done.err
    write_settings(there, f"{elsewhere}/loop")
    assert "leads from one address to the next" in run("gateway", "install").err


@pytest.mark.usefixtures("hasty")
def test_whoever_cannot_be_reached_is_named(run: Run, there: Sim, elsewhere: str) -> None:
    gone = f"127.0.0.1:{free_port()}"
    write_settings(there, f"{elsewhere}/to/https://{gone}/gw.zip")
    assert f"{gone} cannot be reached" in run("gateway", "install").err
