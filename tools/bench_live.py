"""The demo under load, on a real pseudo-terminal: from the socket to the cell, CPU, memory.

python tools/bench_live.py child rate SECONDS RESULT 500,5000
python tools/bench_live.py child size COUNT,COUNT RESULT

The child is the whole program (UI, runtime, gateway process) with three stamps added: when a market
data message has been received, when its row was handed to the table, and when the frame after that
was given to the terminal. What waits for the frame of a row is the oldest news of it, so a figure
here is the longest that any of a cell's news waited.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from collections.abc import Callable, Iterable
from fcntl import ioctl
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ibtui import config
from ibtui.core.watch import Watcher
from ibtui.core.wire import decode as wire
from ibtui.service.commands.terminal import demo_settings
from ibtui.service.local import LocalRuntime
from ibtui.ui.app import IbtuiApp
from ibtui.ui.widgets.live_table import LiveTable
from ibtui.ui.widgets.rows import Row
from tools.bench_report import Figure, Section, environment
from tools.terminal import family

COLS, ROWS = 120, 40
WARM_S = 0.7


class Stamps:
    """Since when each contract's news waits, and how long those that were painted had waited."""

    def __init__(self) -> None:
        self.waiting: dict[str, float] = {}
        self.handed: list[float] = []
        self.waits: list[float] = []
        self.messages = self.frames = 0

    def clear(self) -> None:
        """Begin anew."""
        self.__init__()  # type: ignore[misc]

    def install(self, app: IbtuiApp) -> None:
        """Put the stamps into the program's path."""
        take, apply, replace, display = Watcher.on_event, LiveTable.apply, LiveTable.replace, app._display

        def on_event(watcher: Watcher, event: wire.Event) -> None:
            if isinstance(event, wire.MarketData):
                self.messages += 1
                self.waiting.setdefault(str(event.conid), time.perf_counter())
            take(watcher, event)

        def hand(act: Callable[[LiveTable, Iterable[Row]], None]) -> Callable[..., None]:
            def handed(table: LiveTable, rows: Iterable[Row]) -> None:
                given = list(rows)
                act(table, given)
                for row in given:
                    since = self.waiting.pop(str(row.key).rpartition(":")[2], None)
                    if since is not None:
                        self.handed.append(since)

            return handed

        def painted(*given: Any) -> None:
            display(*given)
            now = time.perf_counter()
            self.frames += 1
            self.waits += [now - since for since in self.handed]
            self.handed.clear()

        for owner, name, act in (
            (Watcher, "on_event", on_event),
            (LiveTable, "apply", hand(apply)),
            (LiveTable, "replace", hand(replace)),
            (app, "_display", painted),
        ):
            setattr(owner, name, act)


def _post(url: str, **body: Any) -> None:
    """Steer the simulator, which has a certificate of its own making."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30, context=trusting).close()


async def _until(condition: Callable[[], object], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


class Driver:
    """What is done with the running app; figures by name."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.figures: dict[str, float] = {}
        self.stamps = Stamps()
        self.runtime: LocalRuntime | None = None
        settings = demo_settings(config.load(env={}), 7)

        async def make() -> LocalRuntime:
            self.runtime = LocalRuntime(settings)
            return self.runtime

        self.app = IbtuiApp(settings, make, demo=True)
        self.stamps.install(self.app)

    def run(self) -> dict[str, float]:
        """The app until its figures are there."""
        self.app.call_later(self._begin)
        self.app.run()
        return self.figures

    def _begin(self) -> None:
        self.app.run_worker(self._drive(), name="bench", exit_on_error=False)

    async def _drive(self) -> None:
        try:
            await _until(lambda: self.runtime is not None and "pnl" in self.runtime.store.loaded, 60)
            await _until(lambda: self.app.busy is None, 60)
            assert self.runtime is not None
            found = re.search(r"https?://[\d.]+:\d+", self.runtime.status.gateway.reason)
            assert found is not None, self.runtime.status
            await self.app.action_go("positions")
            await (self._rates(found[0]) if self.words[0] == "rate" else self._size(found[0]))
        except Exception as error:  # noqa: BLE001 - told to the parent
            self.figures["error"] = 1.0
            Path(self.words[2]).with_suffix(".error").write_text(repr(error))
        finally:
            await self.app.action_quit()

    async def _rates(self, url: str) -> None:
        for rate in self.words[3].split(","):
            await asyncio.to_thread(_post, f"{url}/sim/rate", messages_per_s=int(rate))
            await asyncio.sleep(WARM_S)
            self.stamps.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            await asyncio.sleep(float(self.words[1]))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            waits = sorted(self.stamps.waits) or [0.0]
            self.figures |= {
                f"{rate} p50": statistics.median(waits) * 1e3,
                f"{rate} p99": waits[int(len(waits) * 0.99)] * 1e3,
                f"{rate} cpu": 100 * cpu / wall,
                f"{rate} messages": self.stamps.messages / wall,
                f"{rate} frames": self.stamps.frames / wall,
            }
        await asyncio.to_thread(_post, f"{url}/sim/rate", messages_per_s=0)

    async def _size(self, url: str) -> None:
        assert self.runtime is not None
        table = self.app.screen.query_one(LiveTable)
        for count in map(int, self.words[1].split(",")):
            await asyncio.to_thread(_post, f"{url}/sim/positions", count=count)
            began = time.perf_counter()
            await self.runtime.load("positions")
            async with asyncio.timeout(60):
                while table.total != count:
                    await asyncio.sleep(0.05)
            self.figures[f"{count} seconds"] = time.perf_counter() - began
            await asyncio.sleep(1)
            self._measure(count)

    def _measure(self, count: int) -> None:
        own = os.getpid()
        for pid in family(own):
            text = Path(f"/proc/{pid}/status").read_text()
            name = "app" if pid == own else "gateway"
            for key, word in (("now", "VmRSS"), ("peak", "VmHWM")):
                found = re.search(rf"{word}:\s+(\d+)", text)
                self.figures[f"{count} {name} {key}"] = int(found[1]) / 1024 if found else 0.0


def run_child(home: Path, *words: str, timeout: float) -> dict[str, float]:
    """One child on a pseudo-terminal whose output is read and thrown away; its figures."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
    env = {**environment(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "figures.json"
        argv = [sys.executable, __file__, "child", words[0], words[1], str(result), *words[2:]]
        process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        deadline, tail = time.monotonic() + timeout, b""
        try:
            while time.monotonic() < deadline and process.poll() is None:
                if select.select([master], [], [], 0.2)[0]:
                    try:
                        tail = (tail + os.read(master, 65536))[-3000:]
                    except OSError:  # the other end is closed: how a pty says end of file
                        break
            process.wait(10)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(master)
        told = result.with_suffix(".error")
        if told.exists() or not result.exists():
            why = told.read_text() if told.exists() else tail.decode(errors="replace")
            raise RuntimeError(f"{words}: {why}")
        found: dict[str, float] = json.loads(result.read_text())
        return found


def live_section(home: Path, seconds: float, rates: tuple[int, ...] = (500, 5000)) -> Section:
    """Market data of the simulator through the whole program onto the terminal."""
    found = run_child(home, "rate", str(seconds), ",".join(map(str, rates)), timeout=60 + 3 * seconds)
    figures = []
    for rate in rates:
        for key, what, unit, digits in (
            ("messages", "messages received", "/s", 0),
            ("p50", "received to painted, p50", "ms", 0),
            ("p99", "received to painted, p99", "ms", 0),
            ("frames", "frames painted", "/s", 1),
            ("cpu", "CPU of the program", "%", 1),
        ):
            figures.append(Figure(f"{what}, at {rate:,}/s", unit, [found[f"{rate} {key}"]], digits=digits))
    hz = config.load(env={}).ui.refresh_hz
    return Section(
        "Market data to the screen",
        f"ibtui demo on a pseudo-terminal of {COLS}x{ROWS}, Positions in front, refresh_hz {hz} (values\n"
        f"wait up to {1000 // hz} ms on purpose); stamped when core has a message and when the frame with\n"
        "its row is written.",
        figures,
    )


def size_section(home: Path, counts: tuple[int, ...] = (10, 10_000)) -> Section:
    """Memory with few and many positions, one after the other in one program."""
    figures = []
    found = run_child(home, "size", ",".join(map(str, counts)), timeout=150)
    for count in counts:
        for key, what, unit in (
            ("app now", "program", "MiB"),
            ("app peak", "program, peak", "MiB"),
            ("gateway now", "simulated gateway", "MiB"),
            ("seconds", "read and shown within", "s"),
        ):
            figures.append(Figure(f"{count:,} positions: {what}", unit, [found[f"{count} {key}"]]))
    return Section(
        "Memory", "Resident set of ibtui demo with all positions loaded and in the table.", figures
    )


def main(words: list[str]) -> None:
    """The child."""
    figures = Driver(words[1:]).run()
    Path(words[3]).write_text(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
