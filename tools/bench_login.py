"""What a login costs: the whole command as a process of its own, and the requests it makes.

Against the simulator over TLS, which opens the brokerage session at once (the gateway's own delay
is not ours) and asks for no second factor. Beside the login alone, a headless browser where there is one.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import bench_browser
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


_Cost = tuple[float, float, float]
"""Wall ms, CPU ms, peak MiB."""


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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


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


def _login(words: list[str], password: str, env: Mapping[str, str], program: str = RUN) -> _Cost:
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


@dataclass(frozen=True, slots=True)
class _Round:
    command: _Cost
    alone: _Cost
    browser: _Cost | None
    talk_ms: float
    """From the first request to the Dispatcher's reply."""
    own: float
    in_all: float


def _rounds(home: Path, rounds: int) -> Iterator[_Round]:
    env = environment(home)
    programs = bench_browser.found()
    with simulator(home, env) as ready, bench_browser.page() as form:
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
            command = _login(words, user["password"], env)
            rows = [row for row in _control(ready, "journal") if not row["path"].startswith("/sim/")]
            paths = [row["path"] for row in rows]
            first = max(at for at, path in enumerate(paths) if path == "/")  # the one before is a look
            last = paths.index("/sso/Dispatcher")
            alone = _login([ready["url"], ready["cert"], user["username"]], user["password"], env, ALONE)
            browser = bench_browser.login(*programs, form, _free_port()) if programs else None
            if number:  # the first one only warms the file cache
                talk = (rows[last]["t"] - rows[first]["t"]) * 1e3
                yield _Round(command, alone, browser, talk, last - first + 1, len(rows))


def login_section(home: Path, rounds: int) -> Section:
    """`ibtui login`, user name and password to ready; the login alone beside a headless browser."""
    took = list(_rounds(home, rounds))
    browsers = [it.browser for it in took if it.browser]
    peer = "headless browser" if browsers else "(no chromedriver here)"
    kinds = (("wall", "ms"), ("CPU", "ms"), ("peak memory", "MiB"))
    return Section(
        "Login",
        "ibtui login as a process of its own, from exec to ready, against the simulator over TLS; no second\n"
        "factor, no delay of the gateway's own, but the second between two looks whether it has opened the\n"
        "brokerage session. Requests of login.md's sequence: 5 (GET /, where it leads, three POSTs); the\n"
        "others look whether there is a session, and open and check the brokerage session.\n"
        "Beside it a browser from starting its driver to the sentence behind a form, without TLS or proof.",
        [
            *(
                Figure(f"ibtui login, {what}", unit, [it.command[at] for it in took])
                for at, (what, unit) in enumerate(kinds)
            ),
            *(
                Figure(
                    f"the login alone (library), {what}",
                    unit,
                    [it.alone[at] for it in took],
                    [it[at] for it in browsers],
                    peer,
                    0.1,
                )
                for at, (what, unit) in enumerate(kinds)
            ),
            Figure("first request to Dispatcher, wall", "ms", [it.talk_ms for it in took]),
            Figure("requests of the login itself", "", [it.own for it in took], digits=0),
            Figure("requests in all", "", [it.in_all for it in took], digits=0),
        ],
    )
