"""The real Java gateway in front of the simulator: what it does by itself must succeed."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from ibtui.sim import scenario
from ibtui.sim.server import Simulator
from tests.conftest import PEERS
from tests.sim.platform_tools import Client, frame, frame_with, started

HOME = PEERS / "clientportal.gw"
pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.skipif(
        not HOME.is_dir() or shutil.which("java") is None, reason="needs java and the gateway"
    ),
]
CONF = """listenPort: {port}
listenSsl: true
sslCert: "vertx.jks"
sslPwd: "mywebapi"
proxyRemoteHost: "{remote}"
proxyRemoteSsl: false
portalBaseURL: ""
ips:
  allow:
    - 127.0.0.1
  deny: []
"""


class Behind(Client):
    """A client of the gateway, which is the simulator's only caller."""

    def __init__(self, sim: Simulator, port: int) -> None:
        self.sim = sim
        # The delivered certificate expired in 2019 and is public: nothing about it can be verified.
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE
        self.port = port
        self.http = httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}", verify=self.tls, trust_env=False, timeout=10.0
        )

    def connect(self) -> Any:
        return websockets.connect(f"wss://127.0.0.1:{self.port}/v1/api/ws", ssl=self.tls, proxy=None)


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Behind]:
    sim = await started(scenario.load(), plain=True)
    run = tmp_path / "gateway"
    run.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("vertx.jks", "logback.xml"):
        shutil.copy(HOME / "root" / name, run)
    (run / "conf.yaml").write_text(CONF.format(port=port, remote=sim.url))
    parts = [run, HOME / "root", *HOME.glob("dist/*.jar"), HOME / "build/lib/runtime/*"]
    process = await asyncio.create_subprocess_exec(
        "java",
        "-Dvertx.disableDnsResolver=true",
        "-Djava.net.preferIPv4Stack=true",
        "-cp",
        ":".join(map(str, parts)),
        "ibgroup.web.core.clientportal.gw.GatewayStart",
        "--conf",
        "conf.yaml",
        cwd=run,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with Behind(sim, port) as client:
            async with asyncio.timeout(30):
                while not await _answers(client):
                    await asyncio.sleep(0.1)
            yield client
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        await sim.stop()


async def _answers(client: Client) -> bool:
    try:
        return (await client.http.get("/")).status_code == 302
    except httpx.HTTPError:
        return False


async def test_login_handshake_stream_and_the_way_back(behind: Behind) -> None:
    reply = await behind.login()
    assert (reply.status_code, reply.text) == (200, "Client login succeeds")
    await behind.ready()
    asked = [(row["method"], row["path"]) for row in behind.sim.journal.rows() if "/portal/" in row["path"]]
    for step in (
        ("GET", "/v1/portal/sso/validate"),
        ("GET", "/v1/portal/one/user"),
        ("GET", "/v1/portal/ssodh/init"),
        ("GET", "/v1/portal/ssodh/st"),
        ("POST", "/v1/portal/iserver/auth/ssodh/init"),
        ("POST", "/v1/portal/iserver/auth/ssodh/response"),
    ):
        assert asked.count(step) == 1
    accounts = (await behind.get("/iserver/accounts")).json()
    assert accounts["accounts"] == ["DU1234567"]
    assert "acctProps" in accounts
    async with behind.connect() as ws:
        assert (await frame(ws))["success"] == "demo123"
        await frame_with(ws, "sts")
        await ws.send('smd+265598+{"fields":["31","84","86"]}')
        assert "31" in await frame_with(ws, "smd+265598")
    # A rival takes the session; the gateway's own reauthenticate takes it back.
    life = behind.sim.sessions.jar
    assert life is not None
    behind.sim.sessions.lose_brokerage(life)
    assert (await behind.get("/iserver/reauthenticate")).json() == {"message": "triggered"}
    await behind.ready()
    assert life.opened == 2
    assert all(row["via"] == "gateway" for row in behind.sim.journal.rows() if row["method"] != "WS")
