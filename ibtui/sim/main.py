"""Run the simulator until it is told to end: `run(Options(...))`, or `python -m ibtui.sim.main`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from ibtui import given
from ibtui.errors import IbtuiError, UsageError
from ibtui.sim.scenario import load
from ibtui.sim.server import Simulator
from ibtui.sim.tls import write_private

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Options:
    """What `ibtui sim` can be told."""

    host: str = "127.0.0.1"
    port: int = 0
    plain: bool = False
    """HTTP instead of HTTPS, to stand behind a real gateway."""
    scenario: str = "default"
    seed: int = 1
    logged_in: str = ""
    """A user whose sessions are open from the start."""
    tied: bool = False
    """End at the end of standard input."""
    ready: Path | None = None
    """File for the ready object (written by rename, 0600)."""


async def run(options: Options) -> int:
    """Serve until SIGINT, SIGTERM or (tied) the end of standard input; returns the exit status.

    Raises UsageError for an unknown scenario or user or a ready file that cannot be written, and
    IbtuiError for an address that cannot be bound.
    """
    simulator = Simulator(load(options.scenario, options.seed))
    if options.logged_in:
        simulator.log_in(options.logged_in)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDS:
        loop.add_signal_handler(number, stop.set)
    try:
        await simulator.start(options.host, options.port, options.plain)
    except OSError as error:
        # asyncio's own words repeat the address in Python's spelling.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise IbtuiError(
            f"The simulator cannot listen at {options.host}, port {options.port}: {why}.",
            "Choose another --host or --port; 0 takes a free one.",
        ) from None
    try:
        line = json.dumps(simulator.ready(), separators=(",", ":")) + "\n"
        if options.ready is not None:
            _write_ready(options.ready, line)
        _say(line)
        if options.tied:
            _watch_stdin(loop, stop)
        await stop.wait()
    finally:
        await simulator.stop()
        for number in _ENDS:
            loop.remove_signal_handler(number)
    return 0


def _write_ready(path: Path, line: str) -> None:
    given.check(path)
    try:
        write_private(path, line.encode())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Choose another --ready file."
        ) from None


def _say(line: str) -> None:
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads; the file is enough. Keeps the interpreter from complaining at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends; input itself is thrown away."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        stop.set()
        return
    if stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(0)):
        # A file or /dev/null cannot be waited for: it is at its end already.
        stop.set()
        return

    def read() -> None:
        try:
            data = os.read(0, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, read)


def _parse(words: list[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m ibtui.sim.main", description="The simulator as a server."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--scenario", default="default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logged-in", default="", metavar="USER")
    parser.add_argument("--tied", action="store_true")
    parser.add_argument("--ready", type=Path, metavar="FILE")
    return Options(**vars(parser.parse_args(words)))


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(run(_parse(sys.argv[1:]))))
    except IbtuiError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
