"""What a login costs: the whole command as a process of its own, and the requests it makes.

Against the simulator over TLS, which opens the brokerage session at once (the gateway's own delay
is not ours) and asks for no second factor. Nothing stands beside it: a browser is not part of it.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.bench_report import Figure, Section, environment, script

RUN = """
import re, sys
from ibtui.cli import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(status)
"""
"""The command, and its peak memory behind everything it says."""
ALONE = """
import asyncio, re, sys
from pathlib import Path
from ibtui.auth.effects import Credentials
from ibtui.auth.login import login
from ibtui.clock import SystemClock
from ibtui.core import drive
from ibtui.core.rest import Rest
from ibtui.core.trust import Trust
from ibtui.secret import Secret

class Nobody:
    def note(self, note):
        pass

async def spend(effect):
    pass

async def main(url, cert, user):
    rest = Rest(url, Trust.ca(Path(cert)))
    flow = login(Credentials(user, Secret(sys.stdin.readline().strip())))
    await drive.run(flow, Nobody(), rest, SystemClock(), spend)
    await rest.close()

asyncio.run(main(*sys.argv[1:]))
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""
"""The login alone, as the library does it: what a browser would do on the login page."""


@contextmanager
def simulator(home: Path, env: Mapping[str, str], *more: str) -> Iterator[dict[str, Any]]:
    """A simulator in a process of its own; gives its ready object."""
    ready = home / "login-ready.json"
    process = subprocess.Popen(
        [script("ibtui"), "sim", "--tied", "--ready", str(ready), *more],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 20
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the simulator did not start")
            time.sleep(0.02)
        yield json.loads(ready.read_text())
    finally:
        process.terminate()
        process.wait(10)
        if process.stdin:
            process.stdin.close()


def _control(ready: dict[str, Any], path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
    request = urllib.request.Request(
        f"{ready['url']}/sim/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method or None,
    )
    context = ssl.create_default_context(cafile=ready["cert"])
    with urllib.request.urlopen(request, context=context, timeout=10) as reply:
        return json.loads(reply.read() or b"null")


def _login(
    words: list[str], password: str, env: Mapping[str, str], program: str = RUN
) -> tuple[float, float, float]:
    """Wall ms, CPU ms, peak MiB of one `ibtui login`, or of another program."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=env,
        text=True,
    ) as process:
        assert process.stdin and process.stderr
        process.stdin.write(password + "\n")
        process.stdin.close()
        said = process.stderr.read()
        _, ended, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode:
        raise RuntimeError(f"the login failed: {said}")
    wall = (time.monotonic() - began) * 1e3
    return wall, (used.ru_utime + used.ru_stime) * 1e3, int(said.split()[-1]) / 1024


def login_section(home: Path, rounds: int) -> Section:
    """`ibtui login`, user name and password to ready."""
    env = environment(home)
    took: list[tuple[float, float, float]] = []
    bare: list[tuple[float, float, float]] = []
    talk: list[float] = []
    own: list[float] = []
    in_all: list[float] = []
    with simulator(home, env) as ready:
        _control(ready, "settings", {"auth_delay_s": 0})
        config = home / "login.toml"
        config.write_text(
            f'[profiles.default]\ngateway_url = "{ready["url"]}"\nca_file = "{ready["cert"]}"\n'
            "keep_alive = false\n",
            "utf-8",
        )
        config.chmod(0o600)
        user = next(user for user in ready["users"] if not user["factors"])
        words = ["login", "--config", str(config), "--user", user["username"], "--password-stdin"]
        for number in range(rounds + 1):
            _control(ready, "journal", method="DELETE")
            sample = _login(words, user["password"], env)
            rows = [row for row in _control(ready, "journal") if not row["path"].startswith("/sim/")]
            paths = [row["path"] for row in rows]
            first = max(at for at, path in enumerate(paths) if path == "/")  # the one before is a look
            last = paths.index("/sso/Dispatcher")
            alone = _login([ready["url"], ready["cert"], user["username"]], user["password"], env, ALONE)
            if number:  # the first one only warms the file cache
                took.append(sample)
                bare.append(alone)
                talk.append((rows[last]["t"] - rows[first]["t"]) * 1e3)
                own.append(last - first + 1)
                in_all.append(len(rows))
    wall, cpu, memory = (list(column) for column in zip(*took, strict=True))
    lone_wall, lone_cpu, lone_memory = (list(column) for column in zip(*bare, strict=True))
    return Section(
        "Login",
        "ibtui login as a process of its own, from exec to ready, against the simulator over TLS; no second\n"
        "factor, no delay of the gateway's own, but the second between two looks whether it has opened the\n"
        "brokerage session. Requests of login.md's sequence: 5 (GET /, where it leads,\n"
        "three POSTs); the others look whether there is a session, and open and check the brokerage session.",
        [
            Figure("ibtui login, wall", "ms", wall),
            Figure("ibtui login, CPU", "ms", cpu),
            Figure("ibtui login, peak memory", "MiB", memory),
            Figure("the login alone (library), wall", "ms", lone_wall),
            Figure("the login alone (library), CPU", "ms", lone_cpu),
            Figure("the login alone (library), peak memory", "MiB", lone_memory),
            Figure("first request to Dispatcher, wall", "ms", talk),
            Figure("requests of the login itself", "", own, digits=0),
            Figure("requests in all", "", in_all, digits=0),
        ],
    )
