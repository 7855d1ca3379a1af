from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ibtui.clock import FakeClock, SystemClock
from ibtui.errors import GatewayFault
from ibtui.gateway import diagnose, launch, pidfile, procs
from ibtui.gateway.health import Health, Kind
from tests.unit.gateway.gateway_tools import free_port, until


@pytest.fixture(params=["proc", "ps"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to look at processes: Linux's, and the commands that macOS has."""
    if request.param == "ps":
        if shutil.which("ps") is None:
            pytest.skip("there is no ps here")
        monkeypatch.setattr(procs, "PROC", Path("/nowhere"))
    elif not procs.has_proc():
        pytest.skip("there is no /proc here")
    return str(request.param)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["sleep", "30"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_identity(system: str, sleeper: subprocess.Popen[bytes]) -> None:
    born = procs.birth(sleeper.pid)
    assert born and born == procs.birth(sleeper.pid)
    assert procs.group_members(sleeper.pid) == [sleeper.pid]
    assert (procs.resident(sleeper.pid) or 0) > 10_000
    assert procs.command(sleeper.pid) == "sleep"
    assert procs.group_of(sleeper.pid) == sleeper.pid
    if system == "proc":
        assert born != procs.birth(os.getpid())
        assert procs.left_behind(sleeper.pid, born, Path.cwd()) == [sleeper.pid]
        assert procs.left_behind(sleeper.pid, born, Path("/else")) == []
        boot, _, start = born.partition(":")
        assert procs.left_behind(sleeper.pid, f"{boot}:{int(start) + 100}", Path.cwd()) == []
    assert procs.left_behind(sleeper.pid, "other boot:1", Path.cwd()) == []


def test_when_a_process_was_started(system: str, sleeper: subprocess.Popen[bytes]) -> None:
    since = procs.started(sleeper.pid)
    assert since is not None and abs((datetime.now(UTC) - since).total_seconds()) < 5
    sleeper.kill()
    sleeper.wait()
    assert procs.started(sleeper.pid) is None


def test_words_of_command_lines(system: str, sleeper: subprocess.Popen[bytes]) -> None:
    assert procs.mentioned(["sleep 30", "no such words on any command line, " + "x" * 9]) == {"sleep 30"}


def test_zombies_and_the_dead_do_not_count(system: str) -> None:
    child = subprocess.Popen(["true"], start_new_session=True)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert procs.birth(child.pid) is None and procs.group_members(child.pid) == []
    child.wait()
    assert procs.birth(child.pid) is None and procs.resident(child.pid) is None
    assert procs.group_of(child.pid) is None and procs.command(child.pid) == "?"


def test_ports(system: str) -> None:
    port = free_port()
    assert procs.port_free(port) and procs.holder(port) is None
    with socket.create_server(("127.0.0.1", port)):
        assert not procs.port_free(port)
        who = procs.holder(port)
        if system == "proc" or shutil.which("lsof"):
            assert who and who.pid == os.getpid() and "pid" in str(who)
    assert str(procs.Holder(0, "a program of another user")) == "a program of another user"


def test_port_on_ipv6_alone(system: str) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            assert not procs.port_free(server.getsockname()[1])
    except OSError:
        pytest.skip("no IPv6 loopback")


def test_lsof_output_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procs, "PROC", Path("/nowhere"))
    monkeypatch.setattr(procs, "_run", lambda argv: "p77\ncControlCe\nf9\n")
    assert procs.holder(5000) == procs.Holder(77, "ControlCe")


async def test_lock_excludes_and_gives_up(tmp_path: Path) -> None:
    path = tmp_path / "run" / "gateway.lock"
    async with pidfile.locked(path, SystemClock(), 1):
        with pytest.raises(GatewayFault, match="too long"):
            async with pidfile.locked(path, FakeClock(), 5):
                raise AssertionError("got a lock that is held")
    async with pidfile.locked(path, SystemClock(), 1):
        pass


def test_pid_file_that_is_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "gateway.pid"
    assert pidfile.read(path) is None
    for text in ("", "12", '{"pid": "x"}'):
        path.write_text(text)
        assert pidfile.read(path) is None


async def test_group_of_nobody() -> None:
    child = subprocess.Popen(["true"], start_new_session=True)
    child.wait()
    await launch.end_group(child.pid, None, 1, SystemClock())


async def test_group_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(procs, "group_members", lambda _: [sleeper.pid])
    with pytest.raises(GatewayFault, match="does not end"):
        await launch.end_group(sleeper.pid, None, 0.1, FakeClock())


async def test_group_of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "killpg", refuse)
    monkeypatch.setattr(procs, "group_members", lambda _: [1])
    with pytest.raises(GatewayFault, match="another user"):
        await launch.end_group(12345, None, 1, FakeClock())
    monkeypatch.setattr(procs, "group_members", lambda _: [])
    await launch.end_group(12345, None, 1, FakeClock())


async def test_tether_ends_a_program_whose_owner_was_killed(tmp_path: Path) -> None:
    """The owner dies by SIGKILL: nobody can clean up but the watcher."""
    tether = Path(launch.__file__).with_name("tether.py")
    code = (
        "import subprocess, sys, time\n"
        f"c = subprocess.Popen([sys.executable, '-I', '-S', {str(tether)!r}, 'sleep', '60'],"
        " stdin=subprocess.PIPE, start_new_session=True)\n"
        "print(c.pid, flush=True)\ntime.sleep(60)\n"
    )
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout
    group = int(await asyncio.wait_for(owner.stdout.readline(), 10))
    await until(lambda: len(procs.group_members(group)) == 2 and procs.command(group) == "sleep")
    owner.kill()
    await owner.wait()
    await until(lambda: procs.group_members(group) == [])


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (None, "reason unknown"),
        (-9, "killed by SIGKILL"),
        (-200, "killed by signal 200"),
        (143, "ended by SIGTERM"),
        (1, "exit status 1"),
    ],
)
def test_endings(code: int | None, text: str) -> None:
    assert diagnose.ending(code) == text


def test_sentences() -> None:
    assert "AirPlay" in diagnose.port_taken(5000, "ControlCe (pid 7)", "darwin").fix
    assert "another port" in diagnose.port_taken(5000, "", "linux").fix
    assert "printed nothing" in str(diagnose.early_death(1, [], 0.5))
    assert "memory" in str(diagnose.no_answer(45, Health(Kind.NOTHING), ["java.lang.OutOfMemoryError"]))
    for kind in Kind:
        assert diagnose.describe(Health(kind))


def test_first_thread_may_end_before_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process whose first thread has ended looks like a zombie and may still hold its port."""
    (tmp_path / "7").mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "stat").write_text("")
    monkeypatch.setattr(procs, "PROC", tmp_path)
    for threads, alive in ((3, True), (1, False)):
        fields = ["Z", "1", "7", "7", *["0"] * 13, str(threads), "0", "99", "0"]
        (tmp_path / "7" / "stat").write_text(f"7 (a (b) c) {' '.join(fields)}")
        assert (procs.birth(7) is not None) is alive
        assert procs.group_members(7) == ([7] if alive else [])
