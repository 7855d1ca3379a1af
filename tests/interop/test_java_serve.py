"""`ibtui serve` in place of the node service, with the real Java gateway and a simulator as IBKR."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sim
from tests.headless.serve_tools import alive, body, curl, gateway_pid, serving, wait_for
from tests.interop.java_tools import free_port, leaks, processes
from tests.interop.peers import Peers

pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("java-one")]
URL = "/api/service"


def proofs(sim: Sim) -> list[str]:
    """Who proved a password at IBKR, in turn."""
    return [row["user"] for row in sim.control("logins") if row["action"] == "COMPLETEAUTH"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_whole_life(peers: Peers, start_sim: Any, tmp_path: Path) -> None:
    install, sim, port = peers.gateway(), start_sim("--plain", "--seed", "7"), free_port()
    conf = tmp_path / "mine.yaml"
    conf.write_text(
        f'listenPort: {port}\nproxyRemoteHost: "{sim.url}"\nproxyRemoteSsl: false\nportalBaseURL: ""\n'
        "ips:\n  allow:\n    - 127.0.0.1\n  deny: []\n"
    )
    env = {
        "IB_GATEWAY_BIN": "bin/run.sh",
        "IB_GATEWAY_CONF": str(conf),
        "IB_GATEWAY_PORT": str(port),
        "IB_GATEWAY_DATA_STORE_PATH": str(tmp_path / "store"),
    }
    plain, other = sim.user(), next(row for row in sim.ready["users"] if row["username"] == "demo456")
    state = Path(os.environ["XDG_STATE_HOME"])
    with serving(env, cwd=install) as served:
        url = served.url + URL
        assert curl("-X", "POST", url) == (200, "application/json; charset=utf-8", '"OK"')
        pid = gateway_pid()
        assert pid is not None
        # No shell in between, nothing in the gateway's own folder, the configuration as it was given.
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        assert line[0].endswith("java") and "mine.yaml" in line
        assert Path(f"/proc/{pid}/cwd").readlink() == state / "ibtui/run/default"
        wrong = served.ask("PUT", data={"username": other["username"], "password": "Wrong-4711"})
        assert wrong.status_code == 400
        assert wrong.json() == "Error authenticating: Error: Invalid username and password combination"
        with served.client() as client, ThreadPoolExecutor(100) as pool:
            replies = list(pool.map(lambda _: client.put(URL, json=body(plain)), range(100)))
        assert {reply.status_code for reply in replies} == {200}
        found = replies[0].json()
        assert found["authenticated"] is True and found["competing"] is False and "MAC" in found
        assert proofs(sim) == [other["username"], plain["username"]]
        wait_for(lambda: served.ask("GET").json()["ready"], 10)
        assert curl("-X", "DELETE", url)[::2] == (200, '"OK"')
        assert not alive(pid) and processes(state) == []
        late = served.ask("PUT", data=body(plain))
        assert late.status_code == 400 and late.json().endswith(
            "needs to be first started before trying to login"
        )
        assert proofs(sim) == [other["username"], plain["username"]]
    assert served.process.returncode == 0
    secrets = [plain["password"], "Wrong-4711"]
    assert leaks(state, secrets) == [] and leaks(tmp_path / "store", secrets) == []
    assert not any(secret in served.said for secret in secrets)


def test_another_port_than_the_configurations_is_told(peers: Peers, tmp_path: Path) -> None:
    install = peers.gateway()
    conf = tmp_path / "mine.yaml"
    conf.write_text("listenPort: 5001\n")
    env = {
        "IB_GATEWAY_BIN": str(install / "bin/run.sh"),
        "IB_GATEWAY_CONF": str(conf),
        "IB_GATEWAY_PORT": str(free_port()),
    }
    with serving(env) as served:
        reply = served.ask("POST")
        assert reply.status_code == 400
        assert reply.json().startswith("Error launching gateway: Error: ")
        assert "https://localhost:5001" in reply.json() and "IB_GATEWAY_PORT" in reply.json()
        conf.unlink()
        assert "There is no configuration" in served.ask("POST").json()
