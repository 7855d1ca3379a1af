"""Commands as people run them: in this process through `ibtui.cli.main`, or as processes of their own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ibtui import cli, config
from tests.conftest import Sim


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process; `stdin` is what is piped in."""

    def run_(*words: str, stdin: str = "") -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = cli.main(list(words))
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        return Done(code, said.out, said.err)

    return run_


def write_profile(url: str, cert: str | None = None, name: str = "default", **more: Any) -> Path:
    """A settings file with one profile that points at a simulator.

    No process of its own keeps it alive unless the test says `keep_alive=True`.
    """
    values: dict[str, Any] = {"gateway_url": url, "keep_alive": False}
    values |= {**({"ca_file": cert} if cert else {}), **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    path = config.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'profile = "{name}"\n[profiles.{name}]\n' + "\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def at(live_sim: Sim) -> Sim:
    """A simulator with open sessions, and a profile that points there."""
    write_profile(live_sim.url, live_sim.cert)
    return live_sim


@pytest.fixture
def fresh(sim: Sim) -> Sim:
    """A simulator nobody is logged in at, and a profile that points there."""
    write_profile(sim.url, sim.cert)
    return sim


Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start `ibtui` as a process of its own; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **more: Any) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "ibtui", *words], text=True, env=dict(os.environ), **{**pipes, **more}
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)
