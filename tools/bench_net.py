"""Throughput of the client core: WebSocket messages and REST requests, beside the bare libraries.

python tools/bench_net.py serve FOLDER                       a server in a process of its own
python tools/bench_net.py stream core|bare URL COUNT         one client: {"wall", "cpu", "count"} as JSON
python tools/bench_net.py rest core|bare URL COUNT PARALLEL

The server writes frames that were made beforehand, as fast as they are taken, and answers each
HTTPS request with 300 bytes of JSON; it is several times faster than any client here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FIRST = 265598
LINES = 100
"""Contracts the messages are of; one position each."""
WARM = 5_000
"""Messages before the clock starts."""
_BODY = json.dumps(
    {
        "session": "0" * 32,
        "ssoExpires": 458000,
        "collission": False,
        "userId": 1,
        "hmds": {"error": "no bridge"},
        "iserver": {
            "authStatus": {
                "authenticated": True,
                "competing": False,
                "connected": True,
                "message": "",
                "MAC": "00:00:00:00:00:00",
                "serverInfo": {"serverName": "JifX10427", "serverVersion": "Build 10.25.0p"},
            }
        },
    }
).encode()
_REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


# the server


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return b"\x81" + head + payload


def _messages() -> list[bytes]:
    """Ten thousand `smd` frames with three fields each, as the gateway words them (web-api.md §7.7)."""
    chance = random.Random(11)
    out = []
    for number in range(10_000):
        conid = _FIRST + chance.randrange(LINES)
        price = chance.uniform(1, 900)
        message = {
            "server_id": "q0",
            "conidEx": str(conid),
            "conid": conid,
            "_updated": 1_700_000_000_000 + number,
            "6119": "q0",
            "31": f"{price:.2f}",
            "84": f"{price - 0.01:.2f}",
            "86": f"{price + 0.01:.2f}",
            "topic": f"smd+{conid}",
        }
        out.append(_frame(json.dumps(message).encode()))
    return out


async def _flood(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Shake hands, write as many messages as the path says, then one with the topic `end`."""
    key = next(
        line.split(b":", 1)[1].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    writer.write(_frame(b'{"topic":"system","success":"demo","isFT":false,"isPaper":true}'))
    await asyncio.sleep(0.2)
    left, frames = int(head.split(b" ", 2)[1].rsplit(b"/", 1)[1]), _messages()
    while left > 0:
        for at in range(0, len(frames), 500):
            part = frames[at : at + min(500, left)]
            writer.write(b"".join(part))
            left -= len(part)
            await writer.drain()
    writer.write(_frame(b'{"topic":"end"}'))
    while data := await reader.read(65536):
        if data[0] & 15 == 8:  # the client closes
            writer.write(b"\x88\x00")
            return


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                await _flood(head, reader, writer)
                return
            writer.write(_REPLY)
    except (ConnectionError, asyncio.IncompleteReadError):
        return  # the client has finished
    finally:
        writer.close()


async def _serve(folder: Path) -> None:
    from ibtui.sim.tls import make_certificate

    certificate, key = make_certificate(folder)
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    plain = await asyncio.start_server(_answer, "127.0.0.1", 0)
    tls = await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=secure)
    ports = [server.sockets[0].getsockname()[1] for server in (plain, tls)]
    print(json.dumps({"ws": f"ws://127.0.0.1:{ports[0]}", "https": f"https://127.0.0.1:{ports[1]}"}))
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until our maker is gone


# the clients


class _Stopwatch:
    """CPU and wall time of this process between the warm-up and the end of the messages."""

    def __init__(self) -> None:
        self.count = 0
        self.cpu = self.wall = 0.0

    def start(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self, count: int) -> dict[str, float]:
        return {
            "wall": time.perf_counter() - self.wall,
            "cpu": time.process_time() - self.cpu,
            "count": count,
        }


async def _stream_bare(url: str, count: int) -> dict[str, float]:
    from websockets.asyncio.client import connect

    watch, seen = _Stopwatch(), -1  # the welcome
    loads = json.loads
    async with connect(f"{url}/{count}", compression=None, max_size=None, ping_interval=None) as socket:
        async for message in socket:
            found = loads(message)
            seen += 1
            if seen == WARM:
                watch.start()
            if found["topic"] == "end":
                return watch.stop(seen - WARM)
    raise RuntimeError("the server stopped early")


async def _stream_core(url: str, count: int) -> dict[str, float]:
    from ibtui.core.feed import Hub
    from ibtui.core.models import Position
    from ibtui.core.store import Store
    from ibtui.core.stream import Stream
    from ibtui.core.trust import Trust
    from ibtui.core.wire import decode as wire

    store, hub = Store(), Hub()
    held = [Position(account="DU1", conid=_FIRST + n, description="X", position="1") for n in range(LINES)]
    store.replace_positions("DU1", held)
    feed = hub.subscribe()
    watch, seen, ended = _Stopwatch(), -1, asyncio.Event()

    def on_event(event: wire.Event) -> None:
        nonlocal seen
        changes = store.apply(event)
        if changes:
            hub.publish(changes)
        seen += 1
        if seen == WARM:
            watch.start()
        elif event.__class__ is wire.Unknown:
            ended.set()

    async def watcher() -> None:
        while True:  # as the screens do
            await feed.wait()
            await asyncio.sleep(0.1)
            feed.drain()

    async def no_session() -> None:
        return None

    stream = Stream(f"{url}/{count}", Trust.system(), no_session, on_event=on_event)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watcher())
        async with stream:
            await ended.wait()
            result = watch.stop(seen - WARM)
        watching.cancel()
    assert len(store.quotes) == LINES and store.positions["DU1:265598"].market_price
    return result


async def _requests(get: Callable[[], Awaitable[Any]], count: int, parallel: int) -> dict[str, float]:
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await get()

    await asyncio.gather(*(get() for _ in range(parallel * 3)))
    watch = _Stopwatch()
    watch.start()
    await asyncio.gather(*(worker() for _ in range(parallel)))
    return watch.stop(count)


async def _rest_bare(url: str, count: int, parallel: int) -> dict[str, float]:
    import httpx

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:

        async def get() -> Any:
            return json.loads((await client.get(f"{url}/v1/api/portfolio/DU1/summary")).content)

        return await _requests(get, count, parallel)


async def _rest_core(url: str, count: int, parallel: int) -> dict[str, float]:
    from ibtui.clock import SystemClock
    from ibtui.core.pacing import Pacing
    from ibtui.core.rest import Rest
    from ibtui.core.trust import Trust

    class Hasty(SystemClock):
        """For the pacing alone: its ten requests a second would be all that is measured."""

        def monotonic(self) -> float:
            return super().monotonic() * 1e6

    rest = Rest(url, Trust.first_use(), Pacing(Hasty()))
    try:
        return await _requests(lambda: rest.request("/portfolio/DU1/summary"), count, parallel)
    finally:
        await rest.close()


# the parent's side


class Server:
    """The server process; a context manager with `ws` and `https` addresses."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.urls: dict[str, str] = json.loads(self._process.stdout.readline())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=5)


def client(*words: str) -> dict[str, float]:
    """Run one client in a process of its own; its figures."""
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main(words: list[str]) -> None:
    """One role; see the top of the file."""
    role, *rest = words
    if role == "serve":
        asyncio.run(_serve(Path(rest[0])))
        return
    kind, url, count = rest[0], rest[1], int(rest[2])
    if role == "stream":
        run = _stream_core if kind == "core" else _stream_bare
        result = asyncio.run(run(url, count))
    else:
        call = _rest_core if kind == "core" else _rest_bare
        result = asyncio.run(call(url, count, int(rest[3])))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
