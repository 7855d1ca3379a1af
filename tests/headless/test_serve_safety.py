"""Who may use `ibtui serve`, how it begins, ends and reads its settings anew."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.headless.conftest import Run
from tests.headless.serve_tools import (
    Served,
    alive,
    end_gateway,
    gateway_pid,
    serving,
    stand_in,
    user,
    variables,
    wait_for,
)
from tests.interop.java_tools import free_port

pytestmark = pytest.mark.timeout(60)
NONE = {"IB_GATEWAY_PORT": "1"}
"""No gateway at all."""


def settings(folder: Path, text: str) -> dict[str, str]:
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return {"IBTUI_CONFIG": str(path)}


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(NONE) as running:
        yield running


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_crash_leaves_no_core() -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if not hard:
        pytest.skip("no core here at all")
    soft = resource.getrlimit(resource.RLIMIT_CORE)[0]
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20 if hard < 0 else hard, hard))
    try:
        with serving(NONE) as running:
            limits = Path(f"/proc/{running.process.pid}/limits").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert re.search(r"(?m)^Max core file size +0 ", limits), limits


def test_web_pages_from_elsewhere_are_kept_out(served: Served) -> None:
    port = served.url.rpartition(":")[2]
    good = [
        {},
        {"Host": f"localhost:{port}"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:5050"},
        {"Origin": served.url},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin"},
    ]
    bad = [
        {"Host": f"rebound.example:{port}"},
        {"Host": "127.0.0.1.rebound.example"},
        {"Host": "10.1.2.3"},
        {"Host": ""},
        {"Origin": "http://rebound.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{int(port) + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    with served.client() as client:
        for headers in good:
            assert client.get("/api/service", headers=headers).status_code == 200, headers
        for headers in bad:
            for method, path in (("GET", "/api/service"), ("PUT", "/api/service"), ("GET", "/api/events")):
                reply = client.request(method, path, headers=headers)
                assert reply.status_code == 403 and isinstance(reply.json(), str), headers
        preflight = {"Origin": served.url, "Access-Control-Request-Method": "PUT"}
        reply = client.options("/api/service", headers=preflight)
        assert reply.status_code == 403 and "access-control-allow-origin" not in reply.headers
        assert client.get("/api/nothing").status_code == 404
        assert client.patch("/api/service").status_code == 405
        assert client.get("/api/service/").headers["server"] == "ibtui"


def test_status_is_what_the_command_says(served: Served, run: Run) -> None:
    found = served.ask("GET", "/api/status").json()
    assert set(found) == {"ready", "gateway", "sso", "brokerage"}
    assert set(found["gateway"]) == {"state", "since", "reason", "fix"}
    assert found["ready"] is False and found["gateway"]["state"] == "off"
    # A terminal attaches to the serving process.
    kept = run("keep", "status", "--json")
    assert kept.json["running"] is True and kept.json["pid"] == served.process.pid
    assert run("keep", "stop").code == 0
    assert served.process.wait(10) == 0


def test_a_token_is_asked_of_everybody(tmp_path: Path) -> None:
    file = private(tmp_path / "token", "Token-4711\n")
    env = {**NONE, **settings(tmp_path, f'[profiles.default]\nserve_token.file = "{file}"\n')}
    with serving(env, "--host", "0.0.0.0") as served:
        url = served.url.replace("0.0.0.0", "127.0.0.1")
        served.until("0.0.0.0, plain HTTP")
        for shown in ("", "Bearer", "Bearer Token-4712", "Basic Token-4711", "bearer"):
            reply = httpx.get(f"{url}/api/service", headers={"Authorization": shown} if shown else {})
            assert reply.status_code == 401 and reply.headers["www-authenticate"] == "Bearer"
        with_token = {"Authorization": "Bearer Token-4711"}
        assert httpx.get(f"{url}/api/service", headers=with_token).status_code == 200
        # Another token after SIGHUP, and a name that is allowed; the port stays.
        private(file, "Token-4713\n")
        more = '[serve]\nallowed_hosts = ["box.lan"]\nport = 1\n'
        settings(tmp_path, f'{more}[profiles.default]\nserve_token.file = "{file}"\n')
        served.process.send_signal(signal.SIGHUP)
        served.until("were read anew")
        assert httpx.get(f"{url}/api/service", headers=with_token).status_code == 401
        renewed = {"Authorization": "Bearer Token-4713", "Host": "box.lan"}
        assert httpx.get(f"{url}/api/service", headers=renewed).status_code == 200
        # What is wrong changes nothing.
        settings(tmp_path, "[serve]\nhots = 1\n")
        served.process.send_signal(signal.SIGHUP)
        served.until("stay as they were")
        assert httpx.get(f"{url}/api/service", headers=renewed).status_code == 200
        assert "Token-471" not in served.said


def test_other_machines_are_not_let_in_by_accident(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IB_GATEWAY_PORT", "1")
    done = run("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 2 and "no token" in done.err and "serve_token" in done.err
    done = run("serve", "--host", "203.0.113.9", "--port", "0", "--profile", "nobody")
    assert done.code == 2
    monkeypatch.setenv("IBTUI_SERVE_INSECURE_BIND", "true")
    done = run("serve", "--host", "203.0.113.9", "--port", "0")
    assert done.code == 1 and "cannot listen" in done.err and "without any token" in done.err


def test_a_taken_port_is_told_with_its_holder(served: Served) -> None:
    port = served.url.rpartition(":")[2]
    env = {**os.environ, **NONE, "IB_GATEWAY_SERVICE_PORT": port}
    argv = [sys.executable, "-m", "ibtui", "serve", "--json"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert f"Port {port} is taken by" in done.stderr and str(served.process.pid) in done.stderr
    assert json.loads(done.stdout)["exit"] == 1
    # On another port: the profile is kept already.
    env["IB_GATEWAY_SERVICE_PORT"] = "0"
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and f"pid {served.process.pid}" in done.stderr
    assert served.ask("GET").status_code == 200


@pytest.mark.parametrize("stop", [False, True])
def test_sigterm_leaves_the_gateway_or_stops_it(stop: bool, tmp_path: Path) -> None:
    env = variables(stand_in(tmp_path / "gw"), tmp_path)
    if stop:
        env["IBTUI_PROFILES_DEFAULT_STOP_GATEWAY_ON_EXIT"] = "true"
    try:
        with serving(env) as served:
            assert served.ask("POST").json() == "OK"
            pid = gateway_pid()
            assert pid is not None and alive(pid)
            assert served.end() == 0
            assert alive(pid) is not stop
    finally:
        end_gateway()


def test_interrupted(served: Served) -> None:
    assert served.end(signal.SIGINT) == 130
    assert "Traceback" not in served.said


def test_systemd_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(10)
        with serving({**NONE, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}) as served:
            words = b""
            while b"READY=1" not in words or words.count(b"WATCHDOG=1") < 2:
                words += heard.recv(4096) + b"\n"
            assert served.url.encode() in words
            served.process.send_signal(signal.SIGHUP)
            while b"RELOADING=1" not in words or b"READY=1" not in words.partition(b"RELOADING=1")[2]:
                words += heard.recv(4096) + b"\n"
            assert served.end() == 0
            while b"STOPPING=1" not in words:
                words += heard.recv(4096) + b"\n"


def test_events_as_they_come(tmp_path: Path) -> None:
    env = variables(stand_in(tmp_path / "gw"), tmp_path)
    with serving(env) as served, served.client() as client:
        seen: list[str] = []

        def names() -> set[str]:
            return {line.removeprefix("event: ") for line in seen if line.startswith("event: ")}

        with client.stream("GET", "/api/events") as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            lines = stream.iter_lines()
            while names() != {"event", "status", "keeping"}:
                seen.append(next(lines))
            assert served.ask("POST").json() == "OK"
            while '"state":"on"' not in seen[-1]:
                seen.append(next(lines))
            served.ask("PUT", json={"username": "demo123", "password": "Wrong-4711"})
            while "refused" not in seen[-1]:
                seen.append(next(lines))
        assert not any("Wrong-4711" in line for line in seen)
        # Whoever comes again says what it has already.
        last = [line for line in seen if line.startswith("id: ")][-1].removeprefix("id: ")
        with client.stream("GET", "/api/events", headers={"Last-Event-ID": last}) as stream:
            first = next(stream.iter_lines())
        assert first == "event: status"


def test_terminals_read_what_the_service_keeps(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = variables(stand_in(tmp_path / "gw"), tmp_path)
    with serving(env) as served:
        assert served.ask("POST").json() == "OK"
        who = user(env)
        body = {"username": who["username"], "password": who["password"]}
        assert served.ask("PUT", json=body).status_code == 200
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        done = run("status", "--json")
        assert done.code == 0 and done.json["ready"] is True
        wait_for(lambda: served.ask("GET", "/api/status").json()["ready"])


def test_what_is_no_request_is_refused_and_not_written_down(served: Served) -> None:
    port, noise = int(served.url.rpartition(":")[2]), random.Random(4)
    put, like_json = (
        b"PUT /api/service HTTP/1.1\r\nHost: localhost\r\n",
        b"Content-Type: application/json\r\n",
    )
    heads = [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (put + b"Content-Length: -1\r\n\r\n", 400),
        (put + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\nPlanted-4711", 400),
        (put + b"Authorization Bearer Planted-4711\r\n\r\n", 400),
        (put + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 400),
        (put + like_json + b"Content-Length: 30000\r\n\r\n" + b"Planted-4711" * 2_500, 413),
        (put + like_json + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\nPlanted-4711", 400),
        (b"GET /%zz HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"\x16\x03\x01\x02\x00Planted-4711", 400),
        *((noise.randbytes(noise.randrange(1, 300)), 0) for _ in range(40)),
    ]
    for head, status in heads:
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.settimeout(5 if status else 0.02)
            try:
                caller.sendall(head)
                found = caller.recv(4096)
            except OSError:
                found = b""  # an end of the connection is an answer to noise
            assert not status or int(found.split()[1]) == status, (head[:60], found)
    assert served.ask("GET").status_code == 200
    log = Path(os.environ["XDG_STATE_HOME"]) / "ibtui/log/ibtui.log"
    assert "Traceback" not in served.said + log.read_text() and "Planted" not in log.read_text()


def test_a_dead_client_and_a_slow_one_hold_nobody_up(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    open_ends = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    for one in open_ends:
        one.sendall(b"PUT /api/service HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nuser")
    assert served.ask("GET").status_code == 200
    for one in open_ends:
        one.close()
    assert free_port() != port
    assert served.ask("GET").status_code == 200
