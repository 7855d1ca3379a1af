"""`ibtui serve` in place of the node service: its routes, bodies and codes (login.md §7)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.headless.serve_tools import (
    Served,
    alive,
    body,
    curl,
    gateway_pid,
    logins,
    serving,
    stand_in,
    user,
    variables,
)

pytestmark = pytest.mark.timeout(60)
NOT_STARTED = "Error authenticating: Error: IB gateway needs to be first started before trying to login"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway folder that nobody writes to."""
    return stand_in(tmp_path_factory.mktemp("gateway"))


@pytest.fixture
def env(gateway: Path, tmp_path: Path) -> dict[str, str]:
    return variables(gateway, tmp_path)


@pytest.fixture
def served(env: dict[str, str]) -> Iterator[Served]:
    """Served with nothing but the node service's variables."""
    with serving(env) as running:
        yield running


@pytest.fixture
def started(served: Served) -> Served:
    """And its gateway answers."""
    assert served.ask("POST").json() == "OK"
    return served


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_commands_of_the_node_services_readme(served: Served, env: dict[str, str]) -> None:
    json_type, url = "application/json; charset=utf-8", f"{served.url}/api/service"
    status, kind, text = curl("-X", "GET", url)
    assert (status, kind) == (200, json_type)
    assert text.startswith('{"status":"OK","timestamp":"') and json.loads(text)["ready"] is False
    assert datetime.fromisoformat(json.loads(text)["timestamp"]).tzinfo is not None
    put = ("-X", "PUT", "-d")
    assert curl(*put, "username=demo123&password=nothing", url) == (400, json_type, f'"{NOT_STARTED}"')
    assert curl("-X", "POST", url) == (200, json_type, '"OK"')
    pid = gateway_pid()
    assert pid is not None and alive(pid)
    assert curl("-X", "POST", url) == (200, json_type, '"OK"')
    assert gateway_pid() == pid
    who = user(env)
    status, kind, text = curl(
        "-X",
        "PUT",
        "--data-urlencode",
        f"username={who['username']}",
        "-d",
        f"password={who['password']}",
        url,
    )
    assert (status, kind) == (200, json_type)
    found = json.loads(text)
    assert found["authenticated"] is True and found["connected"] is True and "serverInfo" in found
    status, _, text = curl("-X", "GET", url)
    assert status == 200 and json.loads(text)["brokerage"]["state"] == "on"
    assert curl("-X", "DELETE", url) == (200, json_type, '"OK"')
    assert not alive(pid)
    assert curl("-X", "DELETE", url) == (200, json_type, '"OK"')
    assert curl("-X", "GET", url)[0] == 200
    assert who["password"] not in served.said


def test_missing_fields_try_nothing(started: Served, env: dict[str, str]) -> None:
    bodies: list[dict[str, Any]] = [
        {"data": {"username": "demo123"}},
        {"data": {"password": "x"}},
        {"data": {"username": "", "password": "x"}},
        {"json": {"username": "demo123"}},
        {"json": {"username": "demo123", "password": None}},
        {"json": ["demo123", "x"]},
        {},
        {"content": b"username=demo123&password=x"},
    ]
    for one in bodies:
        reply = started.ask("PUT", **one)
        assert (reply.status_code, reply.json()) == (400, "username and password are required"), one
    broken = started.ask("PUT", content=b'{"username":', headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()) == (400, "The body is not JSON.")
    large = started.ask("PUT", content=b"x" * 20_000, headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    assert logins(env, "INIT") == []
    assert not (Path(env["IB_GATEWAY_DATA_STORE_PATH"]) / "data.json").exists()


def test_a_hundred_equal_logins_are_one(started: Served, env: dict[str, str]) -> None:
    one, other = user(env), user(env, name="demo456")
    with started.client() as client, ThreadPoolExecutor(101) as pool:
        first = [pool.submit(client.put, "/api/service", json=body(one), timeout=30) for _ in range(100)]
        second = pool.submit(client.put, "/api/service", data=body(other), timeout=30)
        replies = [future.result() for future in first]
        assert {reply.status_code for reply in replies} == {200}
        assert len({reply.text for reply in replies}) == 1
        assert second.result().json()["authenticated"] is True
    # The other one waited for its turn; nobody was told of a back-off.
    assert sorted(logins(env)) == [one["username"], other["username"]]


def test_refusals_and_the_shared_file(started: Served, env: dict[str, str]) -> None:
    who, file = user(env), Path(env["IB_GATEWAY_DATA_STORE_PATH"]) / "data.json"

    def put(password: str) -> tuple[int, Any]:
        reply = started.ask("PUT", data={"username": who["username"], "password": password})
        return reply.status_code, reply.json()

    def edit(**values: Any) -> None:
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    wrong = "Error authenticating: Error: Invalid username and password combination"
    assert put("Wrong-4711") == (400, wrong)
    kept = json.loads(file.read_text())
    assert kept["attempts"] == 1 and kept["ocra"] is None and 1000 <= int(kept["pin"]) <= 999998
    status, text = put(who["password"])
    left = int(
        text.removeprefix("Error authenticating: Error: Auth is in backoff, try again in ").removesuffix("s")
    )
    assert status == 400 and 50 <= left <= 60
    edit(attempts=4, mine="kept")
    assert put(who["password"]) == (
        400,
        (
            "Error authenticating: Error: Too many failed login attempts (5),"
            " requires manual investigation and reset"
        ),
    )
    assert logins(env) == [who["username"]]
    edit(attempts=0)
    assert put(who["password"])[0] == 200
    kept = json.loads(file.read_text())
    assert kept["attempts"] == 0 and kept["mine"] == "kept"
    assert "Wrong-4711" not in started.said and who["password"] not in started.said


def test_a_totp_secret_comes_with_the_request(started: Served, env: dict[str, str]) -> None:
    who = user(env, "4")
    without = started.ask("PUT", json=body(who))
    assert without.status_code == 400 and "second factor" in without.json()
    file = Path(env["IB_GATEWAY_DATA_STORE_PATH"]) / "data.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "attempts": 0}))
    reply = started.ask("PUT", data=body(who, totpSecret=who["totp_secret"]))
    assert reply.status_code == 200, reply.text
    for folder in (Path(env["IB_GATEWAY_DATA_STORE_PATH"]), Path(os.environ["XDG_STATE_HOME"])):
        for path in folder.rglob("*"):
            if path.is_file() and path.name != "output.log":  # where the stand-in names its users
                assert who["totp_secret"].encode() not in path.read_bytes(), path


def test_a_live_user_is_let_in_where_nobody_said_paper(started: Served, env: dict[str, str]) -> None:
    assert started.ask("PUT", json=body(user(env, name="live1234"))).status_code == 200


def test_no_program_is_an_answer_and_not_an_end(tmp_path: Path) -> None:
    with serving({"IB_GATEWAY_PORT": "1"}) as served:
        reply = served.ask("POST")
        assert reply.status_code == 400
        assert reply.json().startswith(
            "Error launching gateway: Error: Missing bin and/or conf for ib gateway"
        )
        assert served.ask("DELETE").json() == "OK"
        assert served.ask("GET").status_code == 200


def test_a_program_that_cannot_run_says_why(tmp_path: Path) -> None:
    missing = {"IB_GATEWAY_BIN": "./none", "IB_GATEWAY_CONF": "conf.yaml", "IB_GATEWAY_PORT": "59713"}
    with serving(missing, cwd=tmp_path) as served:
        reply = served.ask("POST")
        assert reply.status_code == 400
        assert reply.json().startswith("Error launching gateway: Error: ./none cannot be run in")
        assert served.ask("GET").json()["gateway"]["state"] == "off"
