"""What stands beside our login: a headless browser that fills in a form on this machine.

The page is a form answered by a sentence, without TLS, script or proof, so the browser has less to do
than at IBKR's; the driver is spoken to with nothing but urllib.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

_FORM = (
    b"<form method=post><input id=user name=u><input id=password name=p type=password>"
    b"<button id=go>Log in</button></form>"
)
_DONE = b"<p id=done>Client login succeeds</p>"
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""WebDriver's name for a reference to an element."""


class _Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm: ClassVar[bool] = True

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self) -> None:
        self._answer(_FORM)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._answer(_DONE)

    def log_message(self, *_: Any) -> None:
        return


def found() -> tuple[str, str] | None:
    """chromedriver and a browser for it; None where there is none."""
    driver = shutil.which("chromedriver")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    return (driver, browser) if driver and browser and Path("/proc/self/smaps_rollup").exists() else None


@contextmanager
def page() -> Iterator[str]:
    """Serves the form; gives its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(slots=True)
class _Driver:
    base: str

    def say(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)["value"]

    def element(self, css: str) -> str:
        return f"/element/{self.say('/element', {'using': 'css selector', 'value': css})[_ELEMENT]}"


def _tree(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(entry.read_text().rpartition(")")[2].split()[1]), []).append(
                int(entry.parent.name)
            )
        except (OSError, IndexError):
            continue
    every, at = [root], 0
    while at < len(every):
        every += parents.get(every[at], [])
        at += 1
    return every


def _memory(pids: list[int]) -> float:
    """MiB, shared pages shared out."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
    return total / 1024


def _cpu_ms(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks * 1e3 / os.sysconf("SC_CLK_TCK")


def login(driver: str, browser: str, url: str, port: int) -> tuple[float, float, float]:
    """Wall ms, CPU ms and highest MiB of one login by browser, from starting its driver."""
    began = time.monotonic()
    command = [driver, f"--port={port}"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    most, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            most[0] = max(most[0], _memory(_tree(process.pid)))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        session = _opened(f"http://127.0.0.1:{port}", browser, began + 30)
        session.say("/timeouts", {"implicit": 5_000})
        session.say("/url", {"url": url})
        session.say(f"{session.element('#user')}/value", {"text": "somebody"})
        session.say(f"{session.element('#password')}/value", {"text": "a password"})
        session.say(f"{session.element('#go')}/click")
        session.element("#done")
        wall = (time.monotonic() - began) * 1e3
        cpu = _cpu_ms(_tree(process.pid))
        ended.set()
        session.say("", method="DELETE")
        return wall, cpu, most[0]
    finally:
        ended.set()
        watching.join()
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)


def _opened(base: str, browser: str, until: float) -> _Driver:
    root = _Driver(base)
    while True:
        try:
            if root.say("/status", method="GET")["ready"]:
                break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
    wanted = {"browserName": "chrome", "goog:chromeOptions": {"binary": browser, "args": list(_FLAGS)}}
    session = root.say("/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
    return _Driver(f"{base}/session/{session}")
