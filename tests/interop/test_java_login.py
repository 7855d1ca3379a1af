"""Login, values and stream through the real Java gateway, with a simulator in IBKR's place."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from ibtui.config import load
from ibtui.errors import NotLoggedIn, Stalled
from ibtui.secret import Secret
from ibtui.service import actions
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.local import LocalRuntime
from tests.interop.java_tools import ACCOUNT, free_port, gateway, leaks, logged_in, processes, until
from tests.interop.peers import IBIND_VERSIONS, Peers, run_ibind

pytestmark = [pytest.mark.timeout(90), pytest.mark.xdist_group("java-two")]


@pytest.fixture
def install(peers: Peers) -> Path:
    return peers.gateway()


@pytest.fixture
def upstream(install: Path, start_sim: Any) -> Any:
    """IBKR, as the gateway sees it."""
    sim = start_sim("--plain", "--seed", "7")
    sim.control("positions", {"count": 230})
    return sim


async def test_login_read_and_stream(install: Path, upstream: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    user = upstream.user()
    async with gateway(install, run, upstream.url) as process:
        assert len(processes(run)) == 1
        async with logged_in(process, user) as (client, done):
            assert done.username == "demo123"

            async def ready() -> bool:
                return (await client.status()).ready

            # The gateway opens the brokerage session by itself, 3 s after the login.
            assert 1 < await until(ready, 15) < 12
            tickle = await client.tickle()
            assert tickle.status.ready
            await client.load()
            store = client.store
            assert [one.id for one in store.accounts] == [ACCOUNT]
            assert len(store.positions) == 230
            truth = upstream.control("books")
            assert {str(one) for one in store.orders} == _orders(truth)
            await _stream(client)
            secrets = [user["password"], done.session_key, client.session, *await _cookies(process)]
    assert processes(run) == []
    assert len(secrets) >= 4
    assert leaks(run, secrets) == []
    via = {row["via"] for row in upstream.journal() if row["path"].startswith("/sso/Auth")}
    assert via == {"gateway"}


def _orders(books: Any) -> set[str]:
    return {str(order["order_id"]) for order in books["orders"] if order["account"] == ACCOUNT}


async def _stream(client: Any) -> None:
    socket = client.socket()
    try:
        async with asyncio.timeout(15), socket.orders() as orders, socket.pnl() as pnl:
            first = await anext(orders)
            assert first["topic"] == "sor" and first["args"][0]["orderId"] > 0
            async for message in pnl:
                if message["args"]:
                    assert set(message["args"]) == {f"{ACCOUNT}.Core"}
                    break
    finally:
        await socket.close()


async def _cookies(process: Any) -> list[str]:
    """What upstream set, as it comes back through the gateway."""
    context = ssl.create_default_context(cafile=str(process.ca_file))
    async with httpx.AsyncClient(verify=context, trust_env=False) as http:
        await http.get(f"{process.url}/sso/Login?forwardTo=22&RL=1")
        await http.post(f"{process.url}/v1/api/tickle")
        return [cookie.value for cookie in http.cookies.jar if len(cookie.value or "") >= 12]


async def test_upstream_goes_and_comes_back(install: Path, start_sim: Any, tmp_path: Path) -> None:
    port = str(free_port())
    words = ("--plain", "--seed", "7", "--port", port)
    first = start_sim(*words)
    async with (
        gateway(install, tmp_path / "run", first.url) as process,
        logged_in(process, first.user(), timeout=1.5) as (client, _),
    ):
        await client.status()
        first.stop()
        began = asyncio.get_running_loop().time()
        with pytest.raises(Stalled):
            await client.request("/portfolio/accounts")
        assert asyncio.get_running_loop().time() - began < 5
        assert (await process.health()).up  # says nothing about upstream
        start_sim(*words, "--logged-in", "demo123")
        assert (await client.request("/portfolio/accounts"))[0]["id"] == ACCOUNT
    assert processes(tmp_path / "run") == []


async def test_runtime_from_nothing_to_values(install: Path, upstream: Any, tmp_path: Path) -> None:
    user = upstream.user()
    config = _config(tmp_path, install, upstream.url)
    runtime = LocalRuntime(load(config, env={}))
    try:
        status = await actions.bring_up(runtime, FixedAnswers(user["username"], Secret(user["password"])))
        assert status.ready
        assert {status.gateway.state, status.sso.state, status.brokerage.state} == {"on"}
        assert len(runtime.store.positions) == 230
        assert {str(one) for one in runtime.store.orders} == _orders(upstream.control("books"))
        state = Path(os.environ["XDG_STATE_HOME"])
        assert processes(state)
        await actions.stop_gateway(runtime)
        assert runtime.status.gateway.state == "off"
    finally:
        await actions.stop_gateway(runtime) if runtime.status.gateway.state == "on" else None
        await runtime.close()
    assert processes(state) == []
    assert leaks(state, [user["password"]]) == []


def _config(folder: Path, install: Path, upstream: str) -> Path:
    file = folder / "config.toml"
    file.write_text(
        f'[profiles.default]\ngateway_url = "https://localhost:{free_port()}"\n'
        f'gateway_dir = "{install}"\nupstream = "{upstream}"\n'
    )
    file.chmod(0o600)
    return file


class Shell:
    """A person at a shell: `ibtui` commands, each a process of its own."""

    def __init__(self, config: Path) -> None:
        self._env = os.environ | {"IBTUI_CONFIG": str(config)}
        self.said = ""

    def run(self, *words: str, stdin: str = "", status: int = 0) -> Any:
        """The output, decoded where it is JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "ibtui", *words],
            env=self._env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=45,
        )
        self.said += done.stdout + done.stderr
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout


def test_commands(install: Path, upstream: Any, tmp_path: Path) -> None:
    user = upstream.user()
    shell = Shell(_config(tmp_path, install, upstream.url))
    state = Path(os.environ["XDG_STATE_HOME"])
    assert shell.run("status", "--json", status=3)["ready"] is False
    try:
        assert shell.run("gateway", "start", "--json")["state"] == "on"
        assert shell.run("gateway", "status", "--json")["state"] == "on"
        assert shell.run("status", "--json", status=4)["gateway"]["state"] == "on"
        words = ("login", "--user", user["username"], "--password-stdin", "--json")
        assert shell.run(*words, stdin=user["password"] + "x\n", status=5) is not None
        shell.run("login", "--user", user["username"], "--reset-attempts", "--yes", "--json")
        assert shell.run(*words, stdin=user["password"] + "\n")["ready"] is True
        assert len(shell.run("positions", "--json")) == 230
        orders = {str(one["order_id"]) for one in shell.run("orders", "--json")}
        assert orders == _orders(upstream.control("books"))
        found = shell.run("request", "GET", "/portfolio/accounts")
        assert [one["id"] for one in found] == [ACCOUNT]
        frames = shell.run("ws", "spl+{}", "--count", "3", "--seconds", "20").splitlines()
        assert len(frames) == 3
        assert {"topic"} <= set(json.loads(frames[-1]))
        path = f"/iserver/account/{ACCOUNT}/orders"
        shell.run("request", "POST", path, "--data", "{}", status=7)
        shell.run("logout")
        shell.run("status", "--json", status=4)
    finally:
        shell.run("gateway", "stop")
    assert processes(state) == []
    assert user["password"] not in shell.said
    assert leaks(state, [user["password"]]) == []


@pytest.mark.parametrize("version", IBIND_VERSIONS[:1])
async def test_ibind_through_the_gateway(
    version: str, peers: Peers, install: Path, upstream: Any, tmp_path: Path
) -> None:
    python = peers.ibind(version)
    async with gateway(install, tmp_path / "run", upstream.url) as process:
        async with logged_in(process, upstream.user()) as (client, _):

            async def ready() -> bool:
                try:
                    return (await client.status()).ready
                except NotLoggedIn:
                    return False

            await until(ready, 15)
        options = {
            "IBIND_REST_URL": f"{process.url}/v1/api/",
            "IBIND_WS_URL": process.url.replace("https", "wss") + "/v1/api/ws",
            "IBIND_CACERT": str(process.ca_file),
            "IBIND_ACCOUNT_ID": ACCOUNT,
        }
        told = await asyncio.to_thread(run_ibind, python, "ibind_rest.py", options, tmp_path, "--read-only")
        assert told["health"] is True and told["positions"]["sizes"] == [100, 100, 30]
        told = await asyncio.to_thread(run_ibind, python, "ibind_ws.py", options, tmp_path)
    assert told["started"] is True and all(told["subscribed"].values())
    order_id = int(told["placed"]["order_id"])
    assert any(row["orderId"] == order_id for news in told["order_news"] for row in news["args"])
    assert [name for name in told["subscribed"] if not told[name]] == []
    assert processes(tmp_path / "run") == []
