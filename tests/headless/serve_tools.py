"""`ibtui serve` as a process of its own, with the simulator's stand-in as the gateway it starts."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from ibtui.sim.download import make_zip
from tests.interop.java_tools import free_port


def stand_in(folder: Path) -> Path:
    """A gateway folder whose bin/run.sh is the simulator."""
    with zipfile.ZipFile(io.BytesIO(make_zip())) as archive:
        archive.extractall(folder)
    (folder / "bin/run.sh").chmod(0o755)
    return folder


def conf_of(folder: Path, port: int) -> Path:
    """A configuration with this port."""
    path = folder / "conf.yaml"
    path.write_text(f"listenPort: {port}\nlistenSsl: true\n")
    return path


class Served:
    """A running `ibtui serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.ready: dict[str, Any] = {}
        self._threads = [threading.Thread(target=self._read_err), threading.Thread(target=self._read_out)]
        for thread in self._threads:
            thread.start()

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.ready = json.loads(line)

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def said(self) -> str:
        """What it has said so far."""
        return "".join(self.lines)

    def until(self, text: str, seconds: float = 15) -> None:
        """Wait until it has said this."""
        wait_for(lambda: text in self.said or self.process.poll() is not None, seconds)
        assert text in self.said, self.said

    def client(self, **more: Any) -> httpx.Client:
        """A client on it."""
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **more)

    def ask(self, method: str, path: str = "/api/service", **more: Any) -> httpx.Response:
        """One request."""
        with self.client() as client:
            return client.request(method, path, **more)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(5)
        for thread in self._threads:
            thread.join(5)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return code


def wait_for(check: Any, seconds: float = 15) -> None:
    """Until it is true."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def variables(gateway: Path, folder: Path, **more: str) -> dict[str, str]:
    """The node service's, for a stand-in; `folder` gets its configuration."""
    port = free_port()
    return {
        "IB_GATEWAY_BIN": str(gateway / "bin/run.sh"),
        "IB_GATEWAY_CONF": str(conf_of(folder, port)),
        "IB_GATEWAY_PORT": str(port),
        "IB_GATEWAY_DATA_STORE_PATH": str(folder / "store"),
        **more,
    }


@contextlib.contextmanager
def serving(env: dict[str, str], *words: str, cwd: Path | None = None) -> Iterator[Served]:
    """A served profile on a free port; it and its gateway are gone at the end."""
    argv = [sys.executable, "-m", "ibtui", "serve", "--json"]
    if "IB_GATEWAY_SERVICE_PORT" not in env and "--port" not in words:
        words = (*words, "--port", "0")
    child = subprocess.Popen(
        [*argv, *words],
        env={**os.environ, **env},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    served = Served(child)
    try:
        wait_for(lambda: served.ready or child.poll() is not None)
        assert served.ready, served.said
        yield served
    finally:
        served.end()
        end_gateway()


def gateway_pid(profile: str = "default") -> int | None:
    """The process of the stand-in; None when none is on record."""
    path = Path(os.environ["XDG_STATE_HOME"]) / "ibtui/run" / profile / "gateway.pid"
    with contextlib.suppress(OSError, ValueError):
        return int(json.loads(path.read_text())["pid"])
    return None


def alive(pid: int) -> bool:
    """Whether it runs, and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def end_gateway() -> None:
    """What a test has left running."""
    pid = gateway_pid()
    if pid is not None and alive(pid):
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), 5)


def tls() -> Any:
    """A client context that checks nothing: the stand-in makes its own certificate."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def stand_in_says(env: dict[str, str], path: str) -> Any:
    """GET `/sim/PATH` at the stand-in."""
    url = f"https://127.0.0.1:{env['IB_GATEWAY_PORT']}/sim/{path}"
    return httpx.get(url, verify=tls(), timeout=10, trust_env=False).json()


def user(env: dict[str, str], *factors: str, name: str = "") -> dict[str, Any]:
    """The first user with exactly these second factors, or of this name."""
    rows = stand_in_says(env, "users")
    return next(row for row in rows if (row["username"] == name if name else row["factors"] == list(factors)))


def logins(env: dict[str, str], action: str = "COMPLETEAUTH") -> list[str]:
    """Who proved a password at the stand-in, in turn (or did another step of a login)."""
    return [row["user"] for row in stand_in_says(env, "logins") if row["action"] == action]


def body(who: dict[str, Any], **more: str) -> dict[str, str]:
    """What a PUT sends for a user of the simulator."""
    return {"username": who["username"], "password": who["password"], **more}


def curl(*words: str) -> tuple[int, str, str]:
    """Status, content type and body, as curl has them."""
    done = subprocess.run(
        ["curl", "-s", "-m", "30", "-w", "\n%{http_code} %{content_type}", *words],
        capture_output=True,
        text=True,
        timeout=40,
        check=True,
    )
    text, _, last = done.stdout.rpartition("\n")
    status, _, kind = last.partition(" ")
    return int(status), kind, text
