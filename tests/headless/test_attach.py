"""Commands and the supervisor that outlives them, as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ibtui import config, paths
from ibtui.service.link import find
from tests.conftest import Sim
from tests.flows.test_fan_out import check_budget
from tests.headless.conftest import Run, Spawn, write_profile
from tests.interop.java_tools import free_port, leaks
from tests.supervising import is_supervisor

PASSWORD = "IBTUI_PROFILES_DEFAULT_PASSWORD"


def until(wanted: Callable[[], Any], timeout: float = 15.0) -> Any:
    end = time.monotonic() + timeout
    while not (found := wanted()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


@pytest.fixture
def kept(live_sim: Sim) -> Sim:
    """A simulator with open sessions, and a profile to keep alive."""
    write_profile(live_sim.url, live_sim.cert, keep_alive=True)
    return live_sim


def pid_of(profile: str = "default") -> int:
    link = find(profile)
    assert link is not None
    return link.pid


def test_a_start_begins_it_and_keep_stop_ends_it(run: Run, kept: Sim) -> None:
    assert run("keep", "status").code == 1
    assert run("gateway", "start").code == 0
    pid = pid_of()
    assert is_supervisor(pid)
    done = run("keep", "status")
    assert done.code == 0 and f"pid {pid}" in done.out and "brokerage" in done.out
    found = run("keep", "status", "--json").json
    assert found["running"] and found["pid"] == pid and found["keeping"]["shared"]
    assert run("gateway", "status").code == 0
    assert run("positions").out.count("\n") > 3
    done = run("keep", "stop")
    assert done.code == 0 and f"pid {pid}" in done.err
    until(lambda: not is_supervisor(pid))
    assert run("keep", "stop").code == 0
    assert run("keep", "stop", "--json").json == {"stopped": False, "pid": None}
    assert run("keep", "status", "--json").json == {"running": False}
    assert run("status").code == 0, "the session is left as it was"


def test_status_tells_of_a_session_that_is_left_to_others(run: Run, kept: Sim) -> None:
    assert run("gateway", "start").code == 0
    assert "another program" not in run("status").err
    link = find("default")
    assert link is not None
    asyncio.run(link.do("yield", minutes=5))
    done = run("status")
    assert "leaves the brokerage session to another program until" in done.err
    assert "--take-over" in done.err and run("status", "--json").json["brokerage"]


def test_a_start_that_fails_leaves_none_behind(run: Run) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no')"]
    path = write_profile(f"https://127.0.0.1:{free_port()}", gateway_command=command, keep_alive=True)
    assert run("gateway", "start").code == 1
    until(lambda: run("keep", "status").code == 1, 5)
    assert (paths.log_dir() / "keep-default.log").exists(), "there was one"
    # One that was there before stays, and so does one with something to keep.
    begun = subprocess.run([sys.executable, "-c", BEGIN, str(path)], timeout=30, check=True)
    assert begun.returncode == 0 and run("gateway", "start").code == 1
    time.sleep(1.5)
    assert run("keep", "status").code == 0


BEGIN = "import sys; from pathlib import Path; from ibtui import config; from ibtui.service import spawn; \
spawn.ensure_now(config.load(Path(sys.argv[1])))"


def test_a_failure_with_something_to_keep_ends_nothing(run: Run, kept: Sim) -> None:
    kept.control("session", {"action": "compete"})
    write_profile(kept.url, kept.cert, keep_alive=True, competing="ask")
    user = kept.user()
    login = ("login", "--user", user["username"], "--password-stdin")
    assert run(*login, stdin=user["password"] + "\n").code == 8
    time.sleep(1.5)
    assert run("keep", "status").code == 0, "somebody is logged in"


def test_a_login_that_fails_leaves_none_behind(run: Run, sim: Sim) -> None:
    write_profile(sim.url, sim.cert, keep_alive=True, username=sim.user()["username"])
    assert run("login", "--password-stdin", stdin="wrong\n").code == 5
    until(lambda: run("keep", "status").code == 1, 5)


def test_it_is_detached_and_knows_no_secret(
    run: Run, sim: Sim, monkeypatch: pytest.MonkeyPatch, own_folders: Path
) -> None:
    user = sim.user()
    write_profile(sim.url, sim.cert, keep_alive=True, username=user["username"])
    monkeypatch.setenv(PASSWORD, user["password"])
    assert run("login").code == 0
    pid = pid_of()
    proc = Path(f"/proc/{pid}")
    assert user["password"].encode() not in proc.joinpath("environ").read_bytes()
    assert PASSWORD.encode() not in proc.joinpath("environ").read_bytes()
    assert user["password"].encode() not in proc.joinpath("cmdline").read_bytes()
    assert os.getsid(pid) == pid and proc.joinpath("cwd").resolve() == Path("/")
    assert proc.joinpath("fd/0").resolve() == Path("/dev/null")
    log = paths.log_dir() / "keep-default.log"
    assert proc.joinpath("fd/1").resolve() == proc.joinpath("fd/2").resolve() == log.resolve()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_typed_password_is_held_where_that_is_wanted(run: Run, sim: Sim, own_folders: Path) -> None:
    user = sim.user()
    write_profile(sim.url, sim.cert, keep_alive=True, relogin="memory")
    words = ("login", "--user", user["username"], "--password-stdin")
    assert run(*words, stdin=user["password"] + "\n").code == 0
    sim.control("session", {"action": "logout"})
    until(lambda: run("status").code == 4, 20)
    until(lambda: run("status").code == 0, 20)
    assert leaks(own_folders, [user["password"]]) == []
    assert user["password"].encode() not in Path(f"/proc/{pid_of()}/environ").read_bytes()
    # Logged out by a person: dropped.
    assert run("logout").code == 0
    time.sleep(2)
    assert run("status").code == 4, "it does not log in again against a person's will"


def test_it_stops_the_gateway_where_that_is_wanted(run: Run) -> None:
    port = free_port()
    command = [sys.executable, "-m", "ibtui", "sim", "--port", str(port), "--logged-in", "demo123"]
    url = f"https://127.0.0.1:{port}"
    write_profile(url, gateway_command=command, keep_alive=True, stop_gateway_on_exit=True)
    assert run("gateway", "start").code == 0
    assert run("gateway", "logs", "-n", "5").code == 0
    pid = int(run("gateway", "status").out.split("pid ")[1].split()[0])
    os.kill(pid_of(), signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert run("gateway", "status").code == 3
    # Without a word of it the gateway lives on, and a stop by hand ends it.
    assert run("gateway", "start").code == 0
    assert run("gateway", "restart").code == 0
    assert run("keep", "stop").code == 0
    assert run("gateway", "status").code == 0
    assert run("gateway", "stop").code == 0
    assert run("gateway", "status").code == 3


def test_status_asks_it_and_loads_little(run: Run, kept: Sim) -> None:
    assert run("gateway", "start").code == 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "ibtui", "status", "--json"], capture_output=True, text=True, timeout=20
    )
    took = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and json.loads(done.stdout)["ready"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu < 0.35 and took < 5, (cpu, took)
    code = "import sys\nfrom ibtui.cli import main\nmain(['status'])\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    heavy = {"textual", "aiohttp", "httpx", "websockets", "cryptography", "ibtui.service.local"}
    assert not heavy & set(done.stdout.split()), done.stderr


def test_one_that_does_not_answer(run: Run, kept: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibtui.service.link.CALL_S", 0.5)
    assert run("gateway", "start").code == 0
    pid = pid_of()
    os.kill(pid, signal.SIGSTOP)
    try:
        done = run("status")
        assert done.code == 0 and f"kill -9 {pid}" in done.err, "it is looked at from here then"
    finally:
        os.kill(pid, signal.SIGCONT)


def test_killed_and_another_takes_its_place(run: Run, kept: Sim) -> None:
    assert run("gateway", "start").code == 0
    first = pid_of()
    os.kill(first, signal.SIGKILL)
    until(lambda: find("default") is None)
    assert run("keep", "status").code == 1, "nobody is there, whatever files say"
    assert run("status").code == 0
    assert run("gateway", "start").code == 0
    assert pid_of() != first and is_supervisor(pid_of())


def test_two_starts_at_one_moment_make_one(kept: Sim, spawn: Spawn) -> None:
    both = [spawn("gateway", "start") for _ in range(3)]
    assert [process.wait(30) for process in both] == [0, 0, 0]
    keep = paths.state_dir() / "keep"
    assert len(list(keep.glob("*.lock"))) == 1 and is_supervisor(pid_of())


def test_settings_that_have_changed_since(run: Run, kept: Sim, start_sim: Callable[..., Sim]) -> None:
    assert run("gateway", "start").code == 0
    pid = pid_of()
    other = start_sim()
    write_profile(other.url, other.cert, keep_alive=True)
    done = run("gateway", "start")
    assert done.code == 0 and other.url in done.out and pid_of() == pid
    done = run("status")
    assert done.code == 4 and other.url in done.out


def test_settings_in_another_file(run: Run, kept: Sim, tmp_path: Path) -> None:
    assert run("gateway", "start").code == 0
    pid = pid_of()
    other = tmp_path / "other.toml"
    other.write_text(config.default_path().read_text() + "yield_minutes = 7\n")
    other.chmod(0o600)
    began = time.monotonic()
    assert run("gateway", "start", "--config", str(other)).code == 0
    assert time.monotonic() - began < 4 and pid_of() == pid


def test_one_of_another_version_is_replaced(
    run: Run, kept: Sim, spawn: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.control("quirks", {"cold_replies": False})
    assert run("gateway", "start").code == 0
    pid = pid_of()
    reader = Reader(spawn("positions", "--watch"))
    until(lambda: reader.lines)
    monkeypatch.setattr("ibtui.__version__", "99.0")
    assert run("gateway", "start").code == 0
    assert pid_of() != pid and not is_supervisor(pid)


def test_ended_by_a_signal_the_files_are_gone(run: Run, kept: Sim) -> None:
    assert run("gateway", "start").code == 0
    pid = pid_of()
    os.kill(pid, signal.SIGHUP)
    time.sleep(0.5)
    assert pid_of() == pid, "it has read its settings anew"
    os.kill(pid, signal.SIGTERM)
    until(lambda: not is_supervisor(pid))
    assert (paths.state_dir() / "keep" / "default.lock").read_bytes() == b""
    assert find("default") is None


def test_it_cannot_be_started(run: Run, kept: Sim) -> None:
    keep = paths.state_dir() / "keep"
    keep.parent.mkdir(parents=True, exist_ok=True)
    keep.write_text("not a folder")
    done = run("gateway", "start")
    assert done.code == 0, "the gateway is there all the same"
    assert "nothing keeps the session alive" in done.err and "Not a directory" in done.err, done.err
    assert run("status").code == 0


class Reader:
    """Lines of a process, as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)


def sockets(sim: Sim) -> int:
    return sum((row["method"], row["path"]) == ("GET", "/v1/api/ws") for row in sim.journal())


def test_terminals_share_one_socket_and_one_budget(run: Run, kept: Sim, spawn: Spawn) -> None:
    assert run("gateway", "start").code == 0
    words = (
        ("orders", "--watch"),
        ("positions", "--watch"),
        ("pnl", "--watch"),
        ("orders", "--watch", "--json"),
    )
    watching = [spawn(*each) for each in words]
    readers = [Reader(process) for process in watching]
    until(lambda: all(reader.lines for reader in readers), 40)
    assert sockets(kept) == 1
    check_budget([row for row in kept.journal() if row["path"].startswith("/v1/")])
    # The process in the middle dies: they find their way back, through a new one.
    first = pid_of()
    os.kill(first, signal.SIGKILL)
    until(lambda: find("default") is not None and pid_of() != first)
    seen = [len(reader.lines) for reader in readers]

    def news() -> bool:
        conid = next(iter(kept.control("books")["positions"].values()))[0]["conid"]
        kept.control("prices", {"conid": conid, "price": 150 + time.monotonic() % 50})
        return len(readers[1].lines) > seen[1] and sockets(kept) == 2

    until(news, 40)
    assert all(process.poll() is None for process in watching)


def test_a_login_that_is_killed_leaves_no_busy_lamp(run: Run, sim: Sim, spawn: Spawn, tmp_path: Path) -> None:
    user = sim.user()
    password = tmp_path / "password"
    password.write_text(user["password"] + "\n")
    password.chmod(0o600)
    write_profile(sim.url, sim.cert, keep_alive=True, username=user["username"], relogin="off")
    with config.default_path().open("a") as file:
        file.write(f'password.file = "{password}"\n')
    assert run("gateway", "start").code == 0
    sim.control("faults", {"path": "/sso/Authenticator", "kind": "delay", "seconds": 3, "count": 1})
    login = spawn("login")
    until(lambda: lamps(run)["sso"]["state"] == "busy")
    login.kill()
    until(lambda: lamps(run)["sso"]["state"] == "off")
    assert run("keep", "status", "--json").json["terminals"] <= 1
    assert run("login").code == 0


def lamps(run: Run) -> Any:
    return run("keep", "status", "--json").json["status"]
