"""Requests of `ibtui serve` that meet: starts, logins and stops at the same time."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import Sim
from tests.headless.conftest import Run
from tests.headless.serve_tools import (
    Served,
    alive,
    body,
    gateway_pid,
    logins,
    serving,
    stand_in,
    tls,
    user,
    variables,
    wait_for,
)

pytestmark = pytest.mark.timeout(60)
URL = "/api/service"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(tmp_path_factory.mktemp("gateway"))


@pytest.fixture
def env(gateway: Path, tmp_path: Path) -> dict[str, str]:
    return variables(gateway, tmp_path)


@pytest.fixture
def served(env: dict[str, str]) -> Iterator[Served]:
    with serving(env) as running:
        yield running


def fault(env: dict[str, str], path: str, kind: str, seconds: float) -> None:
    url = f"https://127.0.0.1:{env['IB_GATEWAY_PORT']}/sim/faults"
    wish = {"path": path, "kind": kind, "count": 1, "seconds": seconds}
    httpx.post(url, json=wish, verify=tls(), timeout=10, trust_env=False).raise_for_status()


def session(env: dict[str, str], action: str) -> None:
    url = f"https://127.0.0.1:{env['IB_GATEWAY_PORT']}/sim/session"
    httpx.post(url, json={"action": action}, verify=tls(), timeout=10, trust_env=False).raise_for_status()


def test_starts_share_one_and_a_login_waits_for_it(served: Served, env: dict[str, str]) -> None:
    with served.client() as client, ThreadPoolExecutor(12) as pool:
        starts = [pool.submit(client.post, URL) for _ in range(10)]
        wait_for(lambda: gateway_pid() is not None or any(one.done() for one in starts))
        early = pool.submit(client.put, URL, json={"username": "demo123", "password": "Wrong-4711"})
        assert {one.result().text for one in starts} == {'"OK"'}
        assert early.result().json() == (
            "Error authenticating: Error: Invalid username and password combination"
        )
    assert served.said.count("Starting run.sh") == 1
    assert logins(env) == ["demo123"]


def test_a_stop_ends_a_login_that_is_at_work(served: Served, env: dict[str, str]) -> None:
    assert served.ask("POST").json() == "OK"
    pid, who = gateway_pid(), user(env)
    assert pid is not None
    fault(env, "/sso/Authenticator", "hang", 20)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(served.ask, "PUT", json=body(who))
        wait_for(lambda: "asking IBKR" in served.said)
        second = pool.submit(served.ask, "PUT", json=body(user(env, name="demo456")))
        assert served.ask("DELETE").json() == "OK"
        assert not alive(pid)
        for reply in (first.result(), second.result()):
            assert reply.status_code == 400 and reply.json().startswith("Error authenticating: Error: ")
        assert second.result().json().endswith("needs to be first started before trying to login")
    # All is as at the beginning.
    assert served.ask("POST").json() == "OK"
    again = served.ask("PUT", json=body(user(env, name="demo456")))
    assert again.status_code == 200, again.text


def test_a_caller_that_leaves_ends_nothing(served: Served, env: dict[str, str]) -> None:
    assert served.ask("POST").json() == "OK"
    who = user(env)
    with pytest.raises(httpx.ReadTimeout):
        served.ask("PUT", json=body(who), timeout=httpx.Timeout(5, read=0.3))
    assert served.ask("PUT", json=body(who)).status_code == 200
    assert logins(env) == [who["username"]]


def test_a_stop_ends_a_start_that_is_at_work(tmp_path: Path) -> None:
    program = tmp_path / "slow"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    env = {
        "IB_GATEWAY_BIN": "./slow",
        "IB_GATEWAY_CONF": "conf.yaml",
        "IB_GATEWAY_PORT": "1",
    }
    with serving(env, cwd=tmp_path) as served:
        replies: list[httpx.Response] = []
        start = threading.Thread(target=lambda: replies.append(served.ask("POST")))
        start.start()
        wait_for(lambda: gateway_pid() is not None)
        pid = gateway_pid()
        assert pid is not None
        # In the current folder, with the configuration as its argument, leader of its own group.
        assert Path(f"/proc/{pid}/cwd").readlink() == tmp_path
        assert served.ask("DELETE").json() == "OK"
        start.join(10)
        assert replies[0].status_code == 400
        assert replies[0].json() == "Error launching gateway: Error: It was stopped meanwhile. Ask again."
        assert not alive(pid)


def test_a_password_is_kept_in_memory_where_that_is_wished(env: dict[str, str]) -> None:
    env["IBTUI_PROFILES_DEFAULT_RELOGIN"] = "memory"
    with serving(env) as served:
        assert served.ask("POST").json() == "OK"
        who = user(env)
        assert served.ask("PUT", json=body(who)).status_code == 200
        pid = gateway_pid()
        assert pid is not None
        session(env, "logout")
        wait_for(lambda: served.ask("GET", "/api/status") and len(logins(env)) == 2)
        assert logins(env) == [who["username"]] * 2
        # Dropped with the stop: after a new start nobody logs in.
        assert served.ask("DELETE").json() == "OK"
        assert served.ask("POST").json() == "OK"
        assert served.ask("GET", "/api/status").json()["sso"]["state"] == "off"
        assert logins(env) == [] and who["password"] not in served.said


def test_second_factors_with_the_node_services_variables(sim: Sim, tmp_path: Path) -> None:
    twilio, file = sim.ready["twilio"], tmp_path / "store/data.json"
    env = {
        "IB_GATEWAY_PORT": sim.url.rpartition(":")[2],
        "IB_GATEWAY_DATA_STORE_PATH": str(file.parent),
        "IB_AUTH_USE_IBKEY": "true",
        "IB_AUTH_TWILIO_ACCOUNT_SID": twilio["sid"],
        "IB_AUTH_TWILIO_AUTH_TOKEN": twilio["token"],
        "IBTUI_ADDRESSES_TWILIO": sim.url,
        "IBTUI_ADDRESSES_TWILIO_CA_FILE": str(sim.cert),
        "IBTUI_ADDRESSES_LOGIN_HOST": sim.url,
        "IBTUI_ADDRESSES_LOGIN_CA_FILE": str(sim.cert),
    }
    with serving(env) as served:
        # Somebody else's gateway runs already: that is as good as started, and not ours to stop.
        assert served.ask("POST").json() == "OK"
        who = sim.user("5.2a")
        reply = served.ask("PUT", data=body(who))
        assert reply.status_code == 200, reply.text
        kept = json.loads(file.read_text())
        # Enrolled by itself; the counter that was sent is used up.
        assert kept["ocra"] and kept["counter"] == 3 and kept["attempts"] == 0
        reply = served.ask("DELETE")
        assert reply.status_code == 400
        assert reply.json().startswith(
            "Error stopping gateway: Error: This gateway was not started by ibtui."
        )
    for secret in (who["password"], kept["ocra"], twilio["token"]):
        assert secret not in served.said


def test_a_counter_that_cannot_work_keeps_it_from_starting(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IB_AUTH_MAX_COUNTER", "101")
    done = run("serve", "--port", "0")
    assert done.code == 2 and "IB_AUTH_MAX_COUNTER" in done.err


@pytest.mark.parametrize(("policy", "status"), [("", 200), ("yield", 400)])
def test_the_session_is_taken_over_unless_the_profile_leaves_it(sim: Sim, policy: str, status: int) -> None:
    who = sim.user()
    sim.control("session", {"action": "compete", "username": who["username"]})
    env = {"IB_GATEWAY_PORT": sim.url.rpartition(":")[2]}
    if policy:
        env["IBTUI_PROFILES_DEFAULT_COMPETING"] = policy
    with serving(env) as served:
        reply = served.ask("PUT", json=body(who))
        assert reply.status_code == status, reply.text
        if policy:
            assert "Another program holds the brokerage session" in reply.json()
        else:
            assert reply.json()["authenticated"] is True and reply.json()["competing"] is False


def test_new_settings_wait_for_a_login_and_leave_the_session(served: Served, env: dict[str, str]) -> None:
    assert served.ask("POST").json() == "OK"
    pid, who = gateway_pid(), user(env)
    fault(env, "/sso/Dispatcher", "delay", 1.0)
    with ThreadPoolExecutor(1) as pool:
        login = pool.submit(served.ask, "PUT", json=body(who))
        wait_for(lambda: "opening the session" in served.said)
        served.process.send_signal(signal.SIGHUP)
        assert login.result().status_code == 200
        served.until("read anew")
    wait_for(lambda: served.ask("GET", "/api/status").json()["ready"])
    assert gateway_pid() == pid and logins(env) == [who["username"]]
    assert served.process.poll() is None
