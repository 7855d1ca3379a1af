"""What the supervisor's fan-out costs: one upstream WebSocket handed on to several readers.

python tools/bench_fan.py [MESSAGES_PER_S] [READERS] [SECONDS]

Simulator, relay and readers are a process each; CPU is what the relay's process used (user and
system), upstream TLS included. On a machine with few cores the three compete.
"""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CONIDS = (265598, 272093, 8894, 756733, 515416632, 8314, 4815747, 76792991, 320227571, 14204)


def cpu() -> float:
    """Seconds this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def relay(url: str, path: str) -> None:
    """Serve until standard input ends; each line of it is answered with the CPU used so far."""
    from aiohttp import web

    from ibtui.clock import SystemClock
    from ibtui.core.client import IbkrClient
    from ibtui.service.relay import Relay

    client = IbkrClient(url)

    async def connect() -> IbkrClient:
        return client

    served = Relay(connect, SystemClock())
    app = web.Application()
    app.add_routes(served.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(cpu(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
    await served.close()
    await client.close()
    await runner.cleanup()


async def readers(path: str, count: int, seconds: float) -> None:
    """Print how many messages each reader got in `seconds`, after a line on standard input."""
    from ibtui.core.client import IbkrClient
    from ibtui.core.wire import frames

    got = [0] * count

    def counter(number: int) -> Any:
        def on_frame(data: Any) -> bool:
            got[number] += 1
            return b'"smd+' in data

        return on_frame

    clients = [IbkrClient("http://ibtui", uds=path) for _ in range(count)]
    for number, client in enumerate(clients):
        stream = client.socket(on_frame=counter(number))
        await stream.open()
        for conid in CONIDS:
            await stream.send(frames.market_data(conid, ["31", "84", "86"]))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    before, begun = list(got), time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - begun
    print(json.dumps([(now - then) / took for now, then in zip(got, before, strict=True)]), flush=True)
    for client in clients:
        await client.close()


def child(*words: str) -> subprocess.Popen[str]:
    """This file once more, as a part of the measurement."""
    return subprocess.Popen(
        [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def line(process: subprocess.Popen[str], say: str = "") -> str:
    """What the child says next, after having been told `say`."""
    assert process.stdin is not None and process.stdout is not None
    if say:
        process.stdin.write(say + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def measure(rate: int, count: int, seconds: float) -> None:
    """Run all three and print the figures."""
    with tempfile.TemporaryDirectory(prefix="ibtui-") as folder:
        ready, path = Path(folder, "ready.json"), str(Path(folder, "s"))
        words = ["sim", "--logged-in", "demo123", "--tied", "--ready", str(ready)]
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "ibtui", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
        ]
        try:
            while not ready.exists():
                time.sleep(0.05)
            facts = json.loads(ready.read_text())
            running.append(served := child("relay", facts["url"], path))
            line(served)
            running.append(listening := child("readers", path, str(count), str(seconds)))
            line(listening)
            post(facts, "rate", {"messages_per_s": rate})
            time.sleep(1)
            before, begun = float(line(served, "cpu").split()[0]), time.monotonic()
            got = json.loads(line(listening, "go"))
            after, memory = line(served, "cpu").split()
            share = (float(after) - before) / (time.monotonic() - begun)
            total = sum(got)
            print(f"messages/s by reader: {', '.join(f'{one:,.0f}' for one in got)}")
            print(f"relay: {share:.1%} of a core, {share / total * 1e6:.1f} µs a message, {memory} MB")
        finally:
            for process in reversed(running):
                process.kill()
                process.wait()


def post(facts: dict[str, Any], path: str, body: dict[str, Any]) -> None:
    """Tell the simulator."""
    request = urllib.request.Request(f"{facts['url']}/sim/{path}", json.dumps(body).encode())
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=facts["cert"]), timeout=10)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["relay", url, path]:
            asyncio.run(relay(url, path))
        case ["readers", path, count, seconds]:
            asyncio.run(readers(path, int(count), float(seconds)))
        case given:
            numbers = [*map(float, given), *(5_000.0, 3.0, 10.0)[len(given) :]]
            measure(int(numbers[0]), int(numbers[1]), numbers[2])
