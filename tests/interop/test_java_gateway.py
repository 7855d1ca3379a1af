"""The real Client Portal Gateway: started, adopted, watched and stopped (login.md §9)."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ibtui.errors import GatewayFault
from ibtui.gateway import procs
from ibtui.gateway.health import Kind, probe
from ibtui.gateway.java import Java, find_java
from ibtui.gateway.process import GatewayProcess
from ibtui.gateway.spec import JAR, Spec, java_spec
from ibtui.gateway.state import State

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PLACES = (
    *([Path(os.environ["IBTUI_GATEWAY_DIR"])] if os.environ.get("IBTUI_GATEWAY_DIR") else []),
    *([Path(os.environ["IBTUI_PEERS"]) / "clientportal.gw"] if os.environ.get("IBTUI_PEERS") else []),
    _CACHE / "ibtui-peers/clientportal.gw",
    _CACHE / "cpgw/clientportal.gw",
)
"""Read at import, before the shared fixture redirects the folders for each test."""


FOUND = next((place for place in PLACES if (place / JAR).is_file()), None)
if FOUND is None or shutil.which("java") is None:
    MISSING = "the Java gateway: make peers" if FOUND is None else "java"
    if os.environ.get("CI") != "true" or shutil.which("java") is None:
        pytest.skip(f"not here: {MISSING}", allow_module_level=True)


def folder() -> Path:
    if FOUND is None:
        pytest.fail("the Java gateway was not fetched: make peers", pytrace=False)
    return FOUND


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
async def java() -> Java:
    folder()
    return await find_java("", os.environ)


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    """An IBKR that sets cookies and answers garbage, so that the gateway has something to log."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ")[1]
            status = "302 Found" if path.startswith("/sso/Dispatcher") else "200 OK"
            body = b'{"session": "planted-session-secret", broken'
            writer.write(
                f"HTTP/1.1 {status}\r\nSet-Cookie: JSESSIONID=planted-jsession; Path=/\r\n"
                f"Set-Cookie: XYZAB=planted-xyzab\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def made(java: Java, run: Path, upstream: str, *, port: int = 0, tied: bool = False) -> Spec:
    url = f"https://localhost:{port or free_port()}"
    return java_spec(url, folder(), run, java=java, env=os.environ, proxy_host=upstream, tied=tied)


async def ask(gateway: GatewayProcess, method: str, path: str, cookie: str = "") -> int:
    """One request over a connection that trusts our certificate alone, names checked; the status."""
    assert gateway.ca_file is not None
    context = ssl.create_default_context(cafile=str(gateway.ca_file))
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(
            "localhost", gateway.spec.port, ssl=context, server_hostname="localhost"
        )
        extra = f"Cookie: {cookie}\r\n" if cookie else ""
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{extra}{length}\r\n".encode())
        status = int((await reader.readline()).split()[1])
        writer.transport.abort()
        return status


async def test_start_adopt_stop(java: Java, tmp_path: Path, upstream: str) -> None:
    run = tmp_path / "run"
    spec = made(java, run, upstream)
    before = sorted((p, p.stat().st_mtime_ns) for p in folder().rglob("*"))
    gateway, second = GatewayProcess(spec), GatewayProcess(spec)
    info = await gateway.start()
    try:
        assert info.state is State.RUNNING and info.pid and info.rss and info.rss > 50_000_000
        assert procs.command(info.pid) == "java" and procs.group_members(info.pid) == [info.pid]
        for host in ("localhost", "127.0.0.1"):
            seen = await probe(f"https://{host}:{spec.port}", ca_file=gateway.ca_file)
            assert seen.kind is Kind.UP and seen.status == 302
        assert (await second.start()).pid == info.pid
        assert any("Client Portal Gateway" in line for line in gateway.tail())
    finally:
        assert await second.stop()
    assert procs.birth(info.pid) is None and procs.port_free(spec.port)
    assert sorted((p, p.stat().st_mtime_ns) for p in folder().rglob("*")) == before  # only read


async def test_no_secret_is_written_and_everything_is_private(
    java: Java, tmp_path: Path, upstream: str
) -> None:
    run = tmp_path / "run"
    gateway = GatewayProcess(made(java, run, upstream))
    await gateway.start()
    try:
        await ask(gateway, "GET", "/sso/Login", "XYZAB_AM.LOGIN=planted-login-key; x=planted-other")
        await ask(gateway, "POST", "/sso/Dispatcher", "XYZAB=planted-xyzab-2")
        await asyncio.sleep(2)  # its own handshake meets the garbage
        await ask(gateway, "GET", "/v1/api/tickle", "api=planted-api")
    finally:
        await gateway.stop()
    assert "authentication to cp failed" in gateway.spec.folder.log.read_text()
    files = [path for path in run.rglob("*") if path.is_file()]
    assert {"gateway.log", "output.log", "conf.yaml"} <= {path.name for path in files}
    for path in files:
        assert b"planted" not in path.read_bytes(), path
    assert [path for path in files if path.stat().st_mode & 0o077] == []
    assert run.stat().st_mode & 0o777 == 0o700 and not (run / "logs").exists()


async def test_log_settings_hide_values_even_at_debug(java: Java, tmp_path: Path, upstream: str) -> None:
    """What the delivered settings write in clear is there, but hidden; so the pattern works."""
    from dataclasses import replace

    spec = made(java, tmp_path / "run", upstream)

    def loud() -> None:
        spec.prepare()
        text = spec.folder.logback.read_text().replace('root level="WARN"', 'root level="DEBUG"')
        spec.folder.logback.write_text(text)

    gateway = GatewayProcess(replace(spec, prepare=loud))
    await gateway.start()
    try:
        await ask(gateway, "GET", "/sso/Login", "XYZAB_AM.LOGIN=planted-login-key; api=planted-api")
        await ask(gateway, "POST", "/sso/Dispatcher")
        await asyncio.sleep(2)
    finally:
        await gateway.stop()
    text = spec.folder.log.read_text()
    assert len(text) > 500
    assert "Set-cookies [JSESSIONID=***" in text and '"session": ***' in text
    assert [line for line in text.splitlines() if "planted" in line] == []
    password = spec.folder.conf.read_text().partition("sslPwd: ")[2].split('"')[1]
    assert password not in text


async def test_tied_gateway_ends_with_us(java: Java, tmp_path: Path, upstream: str) -> None:
    gateway = GatewayProcess(made(java, tmp_path / "run", upstream, tied=True))
    info = await gateway.start()
    assert info.pid and info.tied and procs.command(info.pid) == "java"
    await gateway.close()
    assert procs.group_members(info.pid) == []


async def test_kill_is_seen_and_restart_works(java: Java, tmp_path: Path, upstream: str) -> None:
    gateway = GatewayProcess(made(java, tmp_path / "run", upstream))
    info = await gateway.start()
    assert info.pid
    certificate = gateway.ca_file and gateway.ca_file.read_bytes()
    os.kill(info.pid, signal.SIGKILL)
    death = await asyncio.wait_for(gateway.wait_death(), 10)
    assert death.reason == "killed by SIGKILL" and not death.asked
    try:
        again = await gateway.start()
        assert again.restarts == 1 and again.pid != info.pid
        assert gateway.ca_file and gateway.ca_file.read_bytes() == certificate
    finally:
        assert await gateway.stop()


async def test_port_taken_by_a_stranger_and_by_another_gateway(
    java: Java, tmp_path: Path, upstream: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        with pytest.raises(GatewayFault, match=rf"Port {port} is taken by .*pid {os.getpid()}"):
            await GatewayProcess(made(java, tmp_path / "a", upstream, port=port)).start()
    first = GatewayProcess(made(java, tmp_path / "b", upstream))
    theirs = await first.start()
    try:
        other = GatewayProcess(made(java, tmp_path / "c", upstream, port=theirs.port))
        info = await other.start()
        assert info.state is State.EXTERNAL and info.pid == theirs.pid
        # Not our certificate: a pinned look refuses it.
        GatewayProcess(made(java, tmp_path / "c", upstream, port=theirs.port)).spec.prepare()
        seen = await probe(theirs.url, ca_file=tmp_path / "c" / "gateway.pem")
        assert seen.kind is Kind.CERTIFICATE
    finally:
        await first.stop()


async def test_gateway_that_finds_its_port_taken_too_late(java: Java, tmp_path: Path, upstream: str) -> None:
    """Between our look and its start somebody takes the port: it says so and lives on; we end it."""
    from dataclasses import replace

    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    spec = made(java, tmp_path / "run", upstream)

    def late() -> None:
        spec.prepare()
        taken.bind(("127.0.0.1", spec.port))
        taken.listen()

    gateway = GatewayProcess(replace(spec, prepare=late))
    with taken, pytest.raises(GatewayFault, match=rf"Port {spec.port} is taken by .*pid {os.getpid()}"):
        await gateway.start()
    assert (await gateway.info()).state is State.STOPPED


async def test_address_list_and_preflight_and_curl(java: Java, tmp_path: Path, upstream: str) -> None:
    """Only named addresses come in; a foreign page's preflight is refused; curl verifies our certificate."""
    port = free_port()
    spec = java_spec(
        f"https://localhost:{port}",
        folder(),
        tmp_path / "run",
        java=java,
        env=os.environ,
        proxy_host=upstream,
        allow=("127.0.7.*",),
        auth_delay_ms=1000,
    )
    gateway = GatewayProcess(spec)
    await gateway.start()
    try:
        seen = {it: await status_from(gateway, it) for it in ("127.0.0.1", "127.0.7.9", "127.0.0.2")}
        assert seen == {"127.0.0.1": 302, "127.0.7.9": 302, "127.0.0.2": 404}
        curl = ["curl", "-sS", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}"]
        for host in ("localhost", "127.0.0.1"):
            done = await output_of(*curl, "--cacert", str(gateway.ca_file), f"https://{host}:{port}/")
            assert done == (0, "302"), done
        assert (await output_of(*curl, f"https://localhost:{port}/"))[0] == 60, "nobody else trusts it"
        asked = ("-H", "Origin: https://evil.example", "-H", "Access-Control-Request-Method: POST")
        for path in ("/v1/api/tickle", "/v1/api/iserver/account/orders", "/sso/Dispatcher"):
            url = f"https://localhost:{port}{path}"
            done = await output_of(*curl, "--cacert", str(gateway.ca_file), "-X", "OPTIONS", *asked, url)
            assert done == (0, "403"), (path, done)
    finally:
        await gateway.stop()


async def output_of(*argv: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, out.decode()


async def status_from(gateway: GatewayProcess, source: str) -> int:
    """What `GET /` gets when it comes from another of this machine's own addresses."""
    context = ssl.create_default_context(cafile=str(gateway.ca_file))
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.spec.port, ssl=context, local_addr=(source, 0)
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        status = int((await reader.readline()).split()[1])
        writer.transport.abort()
        return status


async def test_own_configuration_with_the_delivered_certificate(
    java: Java, tmp_path: Path, upstream: str
) -> None:
    port = free_port()
    own = tmp_path / "mine" / "conf.yaml"
    own.parent.mkdir()
    own.write_text(
        f'listenPort: {port}\nlistenSsl: true\nsslCert: "vertx.jks"\nsslPwd: "mywebapi"\n'
        f'proxyRemoteHost: "{upstream}"\nproxyRemoteSsl: false\nportalBaseURL: ""\n'
        "ips:\n  allow:\n    - 127.0.0.1\n  deny: []\n"
    )
    url = f"https://localhost:{port}"
    spec = java_spec(url, folder(), tmp_path / "run", java=java, env=os.environ, own_conf=own)
    gateway = GatewayProcess(spec)
    info = await gateway.start()
    try:
        assert info.state is State.RUNNING and gateway.ca_file is None
        assert (await gateway.health()).fingerprint
        assert not (tmp_path / "mine" / "logs").exists()
    finally:
        await gateway.stop()
