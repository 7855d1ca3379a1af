"""What `LiveTable` costs on a real terminal, beside Textual's `DataTable`.

    python tools/bench_table.py [--rows 100,10000] [--kinds live,coalesced,datatable]
                                [--frames 60] [--seconds 5] [--rate 500]

Each figure is taken in a fresh process on a pseudo-terminal of 120x40 whose output is read and thrown
away; a headless Textual never encodes its frames and would flatter everybody. Reported are

- `frame ms`: CPU milliseconds for one frame after one visible cell changed (median), everything
  that Textual and the writer thread do included;
- `scroll ms`: the same after scrolling by a line;
- `quiet ms`: what as long a wait without any change cost, to be taken off the former;
- `cpu %`: CPU share while `--rate` JSON market data messages a second (three fields each) arrive;
- `frames/s` painted meanwhile, and KiB sent to the terminal over the whole run per second of load.

Kinds: live (LiveTable, changes drained `--hz` times a second), coalesced (DataTable, the latest value
of each cell four times a second), datatable (DataTable, `update_cell` for each message).
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import pty
import random
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from textual.app import App, ComposeResult
from textual.scroll_view import ScrollView
from textual.widgets import DataTable

from ibtui.ui.widgets.live_table import LiveTable
from ibtui.ui.widgets.rows import Cell, Column, Row

WIDTH, HEIGHT = 120, 40
FIELDS = {"31": "last", "84": "bid", "86": "ask"}
TITLES = ["conid", "symbol", "qty", "last", "bid", "ask", "pnl", "status"]
COLUMNS = [Column(title, title, 10, "left" if title in ("conid", "symbol") else "right") for title in TITLES]


def values(number: int) -> dict[str, str]:
    """The texts of one row."""
    chance = random.Random(number)
    prices = {title: f"{chance.uniform(1, 900):.2f}" for title in ("last", "bid", "ask", "pnl")}
    return {
        "conid": str(10_000_000 + number),
        "symbol": f"SYM{number:05d}",
        "qty": str(chance.randint(-500, 500)),
        "status": "Filled",
        **prices,
    }


def messages(rows: int) -> Iterator[bytes]:
    """Market data messages for random rows, without end."""
    chance = random.Random(3)
    made = []
    for _ in range(20_000):
        price = chance.uniform(1, 900)
        conid = 10_000_000 + chance.randrange(rows)
        fields = {"31": f"{price:.2f}", "84": f"{price - 0.01:.2f}", "86": f"{price + 0.01:.2f}"}
        made.append(json.dumps({"topic": f"smd+{conid}", "conid": conid, **fields}).encode())
    return cycle(made)


class Bench(App[None]):
    """An app with one table that measures itself and leaves its figures in `figures`."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.options = options
        self.rows: int = options.rows
        self.frames = 0
        self.table: ScrollView
        self.figures: dict[str, float] = {}
        self.content = {str(10_000_000 + number): values(number) for number in range(self.rows)}

    def _display(self, screen: Any, renderable: Any) -> None:
        self.frames += 1
        super()._display(screen, renderable)

    async def on_mount(self) -> None:
        """Measure, then leave."""
        self.run_worker(self.measure(), name="measure", group="measure")

    async def measure(self) -> None:
        """Both figures, one after the other."""
        await asyncio.sleep(1.0)
        await self.measure_frames()
        await self.measure_load()
        self.exit()

    async def measure_frames(self) -> None:
        """CPU of single frames, with quiet in between."""

        def change(number: int) -> None:
            self.put(str(10_000_000 + number % min(self.rows, 30)), {"last": f"{100 + number}.25"})
            self.flush()

        def scroll(number: int) -> None:
            self.table.scroll_to(y=number % 50 + 1, animate=False, force=True)

        self.figures["frame ms"] = await self.frame_cost(change)
        self.figures["scroll ms"] = await self.frame_cost(scroll)
        self.table.scroll_to(y=0, animate=False, force=True)
        self.figures["quiet ms"] = await self.frame_cost(lambda number: None, quiet=True)

    async def frame_cost(self, act: Callable[[int], None], quiet: bool = False) -> float:
        """Median CPU milliseconds from `act` until its frame is painted."""
        costs = []
        for number in range(self.options.frames):
            before, start = self.frames, time.process_time()
            act(number)
            deadline = time.monotonic() + (0.02 if quiet else 0.5)
            while self.frames == before and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)
            if quiet or self.frames > before:  # a sorted row may have left the view
                costs.append((time.process_time() - start) * 1000)
        return statistics.median(costs or [float("nan")])

    async def measure_load(self) -> None:
        """CPU share under a paced feed."""
        feed, options = messages(self.rows), self.options
        timer = self.set_interval(1 / self.flushes_a_second(), self.flush)
        self.frames, sent = 0, 0
        began, cpu = time.monotonic(), time.process_time()
        while (passed := time.monotonic() - began) < options.seconds:
            while sent < passed * options.rate:
                message = json.loads(next(feed))
                changes = {name: message[field] for field, name in FIELDS.items()}
                self.put(str(message["conid"]), changes)
                sent += 1
            await asyncio.sleep(0.005)
        self.figures["cpu %"] = (time.process_time() - cpu) / passed * 100
        self.figures["frames/s"] = self.frames / passed
        timer.stop()

    def flushes_a_second(self) -> float:
        """How often collected changes reach the table."""
        return float(self.options.hz)

    def put(self, key: str, changes: dict[str, str]) -> None:
        """Take one message's changes."""
        raise NotImplementedError

    def flush(self) -> None:
        """Bring collected changes into the table."""


class LiveBench(Bench):
    """LiveTable, fed as the bridge feeds it: changed rows, some times a second."""

    def compose(self) -> ComposeResult:
        """One table."""
        self.dirty: set[str] = set()
        self.table = self.live = LiveTable(COLUMNS)
        self.live.apply(self.row(key) for key in self.content)
        if self.options.sort:
            self.live.sort_by("last", descending=True)
        yield self.live

    def row(self, key: str) -> Row:
        """What a presenter makes of the record."""
        record = self.content[key]
        return Row(
            key,
            {
                name: Cell(text) if name in ("conid", "symbol", "status") else Cell(text, sort=float(text))
                for name, text in record.items()
            },
        )

    def put(self, key: str, changes: dict[str, str]) -> None:
        """Remember the record; it is drawn at the next flush."""
        self.content[key].update(changes)
        self.dirty.add(key)

    def flush(self) -> None:
        """Apply the rows that changed."""
        if self.dirty:
            self.live.apply([self.row(key) for key in self.dirty])
            self.dirty.clear()


class DataTableBench(Bench):
    """DataTable with `update_cell` for each message."""

    def compose(self) -> ComposeResult:
        """One table."""
        self.table = self.stock = DataTable[str](cursor_type="row")
        for title in TITLES:
            self.stock.add_column(title, key=title, width=10)
        for key, record in self.content.items():
            self.stock.add_row(*[record[title] for title in TITLES], key=key)
        yield self.stock

    def put(self, key: str, changes: dict[str, str]) -> None:
        """Straight into the table."""
        for name, text in changes.items():
            self.stock.update_cell(key, name, text)


class CoalescedBench(DataTableBench):
    """DataTable, the latest value of each cell four times a second."""

    def put(self, key: str, changes: dict[str, str]) -> None:
        """Remember the latest values."""
        latest: dict[tuple[str, str], str] = self.__dict__.setdefault("latest", {})
        latest.update({(key, name): text for name, text in changes.items()})

    def flush(self) -> None:
        """Bring the latest values into the table."""
        latest: dict[tuple[str, str], str] = self.__dict__.pop("latest", {})
        for (key, name), text in latest.items():
            self.stock.update_cell(key, name, text)

    def flushes_a_second(self) -> float:
        """A DataTable cannot afford more."""
        return 4.0


KINDS: dict[str, Callable[[argparse.Namespace], Bench]] = {
    "live": LiveBench,
    "coalesced": CoalescedBench,
    "datatable": DataTableBench,
}


def run_on_terminal(arguments: list[str], timeout: float) -> tuple[dict[str, float], int]:
    """Run this file with `arguments` on a pseudo-terminal; its figures and the bytes it sent."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        process = subprocess.Popen(
            [sys.executable, __file__, *arguments, "--child", result.name],
            stdin=slave,
            stdout=slave,
            stderr=slave,  # where Textual paints
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        sent, deadline = 0, time.monotonic() + timeout
        try:
            while time.monotonic() < deadline and process.poll() is None:
                if select.select([master], [], [], 0.2)[0]:
                    try:
                        sent += len(os.read(master, 65536))
                    except OSError:  # the other end is closed: how a pty says end of file
                        break
            process.wait(10)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(master)
        return json.loads(Path(result.name).read_text()), sent


def main() -> None:
    """Measure every kind at every size and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="100,10000")
    parser.add_argument("--kinds", default="live,coalesced,datatable")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--hz", type=float, default=30, help="flushes a second of LiveTable")
    parser.add_argument("--sort", action="store_true", help="keep LiveTable sorted by a moving column")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        options.rows = int(options.rows)
        app = KINDS[options.kinds](options)
        app.run()
        Path(options.child).write_text(json.dumps(app.figures))
        return
    names = ("frame ms", "scroll ms", "quiet ms", "cpu %", "frames/s", "KiB/s")
    print(f"{'kind':<12}{'rows':>8}" + "".join(f"{name:>12}" for name in names))
    for kind in options.kinds.split(","):
        for rows in options.rows.split(","):
            flags = ["--kinds", kind, "--rows", rows, "--frames", str(options.frames)]
            flags += ["--seconds", str(options.seconds), "--rate", str(options.rate), "--hz", str(options.hz)]
            flags += ["--sort"] if options.sort else []
            figures, sent = run_on_terminal(flags, options.seconds + options.frames + 60)
            figures["KiB/s"] = sent / 1024 / options.seconds
            print(f"{kind:<12}{rows:>8}" + "".join(f"{figures[name]:>12.2f}" for name in names), flush=True)


if __name__ == "__main__":
    main()
