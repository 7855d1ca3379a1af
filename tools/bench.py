"""Figures of speed and size, all measured in this run, each beside a peer where there is one.

python tools/bench.py [--quick] [--only start,keys,login,oauth,stream,rest,screen,memory]

Ratios are ours by the peer's, taken pair by pair in turn; their median is shown and between which
values they lay. Quote ratios, and CPU rather than wall time where the machine is not quiet.
Needs Linux (/proc) and ibtui installed with its test extras.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import bench_live, bench_login, bench_net, bench_oauth, bench_start
from tools.bench_report import ROOT, Figure, Section, facts, header, lines

_PARTS = ("start", "keys", "login", "oauth", "stream", "rest", "screen", "memory")


def stream_section(home: Path, rounds: int, count: int) -> Section:
    """CPU per WebSocket message of the client core and of websockets with json."""
    took: dict[str, list[dict[str, float]]] = {"core": [], "bare": []}
    with bench_net.Server(home) as server:
        for _ in range(rounds):
            for kind, samples in took.items():
                samples.append(bench_net.client("stream", kind, server.urls["ws"], str(count)))

    def per(kind: str, what: str) -> list[float]:
        return [it[what] / it["count"] * 1e6 for it in took[kind]]

    def rate(kind: str) -> list[float]:
        return [it["count"] / it["wall"] for it in took[kind]]

    peer = "websockets + json.loads"
    return Section(
        "Stream",
        f"{count:,} market data messages of three fields and {bench_net.LINES} contracts, as fast as they\n"
        "are taken, from a server process over loopback. ibtui: decoded, into the store (a position each),\n"
        "into a feed drained 10 times a second. Beside it: received and parsed, nothing else.",
        [
            Figure("CPU per message", "us", per("core", "cpu"), per("bare", "cpu"), peer, 0.8, 2),
            Figure("messages a second, saturated", "/s", rate("core"), rate("bare"), peer, digits=0),
        ],
    )


def rest_section(home: Path, rounds: int, count: int) -> Section:
    """CPU per request of the client core and of httpx."""
    figures: list[Figure] = []
    peer = "httpx + json"
    with bench_net.Server(home) as server:
        for parallel in (1, 8):
            took: dict[str, list[dict[str, float]]] = {"core": [], "bare": []}
            for _ in range(rounds):
                for kind, samples in took.items():
                    words = (kind, server.urls["https"], str(count), str(parallel))
                    samples.append(bench_net.client("rest", *words))
            cpu, rate = (
                {kind: [it[a] / it[b] * by for it in samples] for kind, samples in took.items()}
                for a, b, by in (("cpu", "count", 1e6), ("count", "wall", 1.0))
            )
            figures += [
                Figure(f"{what}, {parallel} at a time", unit, found["core"], found["bare"], peer, digits=0)
                for what, unit, found in (("CPU per request", "us", cpu), ("requests a second", "/s", rate))
            ]
    return Section(
        "REST",
        f"{count:,} GETs over TLS with keep-alive from a server process on loopback, 300 bytes of JSON.\n"
        "ibtui: core.rest with its checks, error reading and pacing (whose clock is made to run fast).",
        figures,
    )


def sections(home: Path, *, quick: bool) -> dict[str, Callable[[], Section]]:
    """What can be measured, by name."""
    return {
        "start": lambda: bench_start.paint_section(home, 4 if quick else 11),
        "keys": lambda: bench_start.key_section(home, 1 if quick else 5),
        "login": lambda: bench_login.login_section(home, 3 if quick else 11),
        "oauth": lambda: bench_oauth.section(1 if quick else 5),
        "stream": lambda: stream_section(home, 3 if quick else 7, 50_000 if quick else 150_000),
        "rest": lambda: rest_section(home, 1 if quick else 5, 500 if quick else 1500),
        "screen": lambda: bench_live.live_section(home, 2 if quick else 10),
        "memory": lambda: bench_live.size_section(home, (10, 1_000) if quick else (10, 10_000)),
    }


def main() -> int:
    """Measure what is asked for and print it as it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer samples: within a minute")
    parser.add_argument("--only", default=",".join(_PARTS), help="parts, separated by commas")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(_PARTS):
        parser.error(f"unknown part {min(unknown)!r}; known are {', '.join(_PARTS)}")
    began = time.monotonic()
    compileall.compile_dir(str(ROOT / "ibtui"), quiet=2)
    print(facts())
    print()
    print(header(), flush=True)
    with tempfile.TemporaryDirectory(prefix="ibtui-bench-") as folder:
        parts = sections(Path(folder), quick=options.quick)
        for name in wanted:
            print("\n".join(lines(parts[name]())), flush=True)
    print(f"\n{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
