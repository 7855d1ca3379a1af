"""Where a supervisor lies, what it is given, and who is heard at its door."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from ibtui import config, errors
from ibtui.config import Profile, Settings, Source
from ibtui.errors import IbtuiError
from ibtui.service import spawn, wire
from ibtui.service.link import Lost, find
from ibtui.service.place import LONGEST, Mark, Place, peer_uid
from ibtui.service.supervisor import listen


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder with a short name."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="ib"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_the_socket_lies_beside_the_lock(short: Path) -> None:
    place = Place.of("paper")
    path = place.new_socket()
    assert path == place.lock.with_suffix(".sock") and path.is_relative_to(short)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o755)
    place.new_socket()
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_long_path_falls_back_to_a_short_private_folder(
    tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    monkeypatch.setenv("XDG_STATE_HOME", str(deep))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    path = Place.of("paper").new_socket()
    assert path.is_relative_to(short) and len(os.fsencode(path)) <= LONGEST
    assert path == Place.of("paper").new_socket() != Place.of("live").new_socket()
    made = listen(path)
    assert path.stat().st_mode & 0o777 == 0o600
    made.close()
    # Nowhere at all.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    monkeypatch.setattr("ibtui.service.place._ours", lambda folder: False)
    with pytest.raises(IbtuiError, match="no place for the keep-alive's socket"):
        Place.of("paper").new_socket()


def test_a_folder_of_somebody_else_is_not_used(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = short / "there"
    there.mkdir()
    keep = short / "ibtui"
    keep.mkdir(mode=0o700)
    (keep / "keep").symlink_to(there)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    assert Place.of("paper").new_socket().parent != keep / "keep"


def test_marks(short: Path) -> None:
    place = Place.of("paper")
    assert place.mark() is None
    place.new_socket()
    place.lock.touch(mode=0o600)
    place.write(Mark(4, "/nowhere.sock"))
    assert place.mark() == Mark(4, "/nowhere.sock") and find("paper") is None
    place.write(None)
    assert place.mark() is None and place.lock.exists()
    place.lock.write_bytes(b"\x00half a")
    assert place.mark() is None and find("paper") is None


def test_the_peer_of_a_socket_is_known() -> None:
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        assert peer_uid(one) == os.getuid()
    assert peer_uid(one) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_not_heard(short: Path) -> None:
    from aiohttp import web

    from ibtui.service.door import own_user_alone

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="heard")

    app = web.Application(middlewares=[own_user_alone])
    app.router.add_get("/ibtui/state", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    path = short / "door.sock"
    await web.SockSite(runner, listen(path)).start()
    # Even where the folders would let them in.
    short.chmod(0o755)
    path.chmod(0o666)
    code = (
        "import os, socket, sys\nos.setuid(int(sys.argv[2]))\ns = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\ns.sendall(b'GET /ibtui/state HTTP/1.0\\r\\n\\r\\n')\n"
        "print(s.recv(4096).decode())"
    )

    def ask(uid: int) -> str:
        words = [sys.executable, "-I", "-S", "-c", code, str(path), str(uid)]
        return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout

    assert "heard" in await asyncio.to_thread(ask, 0)
    refused = await asyncio.to_thread(ask, 65534)
    assert "403" in refused and "heard" not in refused
    await runner.cleanup()


def test_what_it_is_given() -> None:
    profile = Profile(name="paper", password=Source(env="MY_WORD"))
    settings = Settings(profile="paper", profiles={"paper": profile})
    env = {
        "PATH": "/bin",
        "XDG_STATE_HOME": "/s",
        "LC_ALL": "C",
        "JAVA_HOME": "/j",
        "MY_WORD": "secret",
        "IBTUI_UI_THEME": "x",
        "IB_AUTH_PASSWORD": "secret",
        "AWS_SECRET": "other",
        "PYTHONPATH": "/evil",
    }
    assert spawn.environment(env) == {k: env[k] for k in ("PATH", "XDG_STATE_HOME", "LC_ALL", "JAVA_HOME")}
    assert set(spawn.variables(settings, env)) == {
        *("MY_WORD", "IBTUI_UI_THEME", "IB_AUTH_PASSWORD", "IBTUI_CONFIG")
    }
    orders = wire.Orders(profile="paper", variables={"MY_WORD": "secret"})
    assert "secret" not in repr(orders) and "secret" not in repr(wire.Held("me", "secret"))
    assert "secret" not in repr(wire.Wish(variables={"MY_WORD": "secret"}))


def test_variables_of_a_pipe_are_read_like_the_environment() -> None:
    config.hand_over({"IBTUI_PROFILES_DEFAULT_ACCOUNT_TYPE": "live"})
    try:
        assert config.load().chosen().account_type == "live"
        config.hand_over({"IBTUI_PROFILES_DEFAULT_TRADING": "true"})
        found = config.load().chosen()
        assert found.trading and found.account_type == "paper", "in place of those before"
    finally:
        config.hand_over({})


def test_who_is_kept() -> None:
    assert spawn.wanted(Profile())
    assert not spawn.wanted(Profile(keep_alive=False))
    assert not spawn.wanted(Profile(mode="demo"))


def test_settings_have_a_digest() -> None:
    one = Settings()
    assert spawn.digest(one) == spawn.digest(replace(one, ui=replace(one.ui, theme="other")))
    other = replace(one, profiles={"default": replace(one.chosen(), yield_minutes=5)})
    assert spawn.digest(one) != spawn.digest(other)


@pytest.mark.parametrize(
    "error",
    [
        errors.Backoff("wait", "later", until=datetime(2026, 4, 24, tzinfo=UTC)),
        errors.Rejected("no", "why", status=400),
        errors.Competing("other", "t"),
        errors.WrongAccountType("paper", "live"),
        IbtuiError("just so"),
    ],
)
def test_errors_travel(error: IbtuiError) -> None:
    line = msgspec.json.encode(wire.Trouble.of(error))
    again = msgspec.json.decode(line, type=wire.Trouble).error()
    assert type(again) is type(error) and (again.what, again.fix) == (error.what, error.fix)
    assert vars(again) == vars(error)


def test_an_error_of_another_version_is_an_error() -> None:
    assert type(wire.Trouble(kind="Newer", what="x").error()) is IbtuiError
    assert type(wire.Trouble(kind="datetime", what="x").error()) is IbtuiError
    assert type(wire.Trouble(kind="Backoff", what="x").error()) is IbtuiError


def test_a_terminal_loads_no_web_server() -> None:
    code = "import sys, ibtui.service.runtimes, ibtui.service.commands.supervise\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert not {"aiohttp", "textual", "httpx", "ibtui.service.door"} & set(done.stdout.split())


@pytest.mark.parametrize("said", [b"", b"nonsense", b'{"variables": {}}'])
def test_it_is_not_for_people(said: bytes) -> None:
    words = [sys.executable, "-m", "ibtui", "supervise"]
    done = subprocess.run(words, input=said, capture_output=True, timeout=30)
    assert done.returncode == 2 and b"started by ibtui itself" in done.stderr and not done.stdout


async def test_one_that_lives_without_a_socket_is_ended_by_a_signal(short: Path) -> None:
    place = Place.of("paper")
    path = place.new_socket()
    place.lock.touch(mode=0o600)
    code = "import fcntl, sys, time\nf = open(sys.argv[1], 'r+')\nfcntl.flock(f, 2)\nprint(1, flush=True)\n"
    holder = subprocess.Popen(
        [sys.executable, "-I", "-c", code + "time.sleep(30)", str(place.lock)], stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline()
        place.write(Mark(holder.pid, str(path)))
        assert place.taken() and await spawn.end("paper", "") == holder.pid
        assert holder.wait(10) == -15
    assert not place.taken() and await spawn.end("paper", "") == 0


async def test_nobody_to_end() -> None:
    assert await spawn.end("default", "") == 0


async def test_one_that_goes_away_in_the_middle(short: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
        await writer.drain()
        writer.close()

    path = Place.of("paper").new_socket()
    Place.of("paper").lock.touch(mode=0o600)
    Place.of("paper").write(Mark(os.getpid(), str(path)))
    async with await asyncio.start_unix_server(answer, path):
        link = find("paper")
        assert link is not None and "pid" in repr(link)
        with pytest.raises(Lost):
            await link.truth()
        with pytest.raises(Lost):
            await anext(link.changes())
    with pytest.raises(Lost, match="does not answer"):
        await link.truth()
    with pytest.raises(Lost):
        async with link.conversation():
            pass
