"""What is planted must never be found: passwords, session tokens, cookies, proofs."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.conftest import Sim, StartSim
from tests.headless.conftest import Run, write_profile
from tools.terminal import family

PLANTED = "Planted-pass-4711-zebra"
HEX = "0123456789abcdef"


def token_of(sim: Sim) -> str:
    """The session's token, asked for as a client would."""
    import json

    context = ssl.create_default_context(cafile=sim.cert)
    request = urllib.request.Request(f"{sim.url}/v1/api/tickle", b"", {"User-Agent": "tests"})
    with urllib.request.urlopen(request, context=context, timeout=10) as reply:
        session: str = json.loads(reply.read())["session"]
    return session


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_planted_is_found_anywhere(run: Run, fresh: Sim, own_folders: Path) -> None:
    user = fresh.user()
    said = []

    def note(*words: str, stdin: str = "") -> None:
        done = run(*words, stdin=stdin)
        said.append(done.out + done.err)

    login = ("login", "--debug", "--user", user["username"], "--password-stdin")
    reset = ("login", "--user", user["username"], "--reset-attempts", "--yes")
    note(*login, stdin=PLANTED + "\n")
    note(*reset)
    note(*login, stdin=user["password"] + "\n")
    time.sleep(1.1)
    token = token_of(fresh)
    assert len(token) >= 16
    time.sleep(1.1)
    note("status", "--debug")
    note("ws", "spl", "--count", "5", "--debug")
    note("request", "GET", "/portfolio/accounts", "--debug")
    note("request", "GET", "/no/such/thing", "--debug")
    for kind in ("garble", "cut", "status"):
        fresh.control("faults", {"path": "/portfolio/accounts", "kind": kind, "count": 1})
        note("request", "GET", "/portfolio/accounts", "--debug")
    for step in ("/sso/Authenticator", "/sso/Dispatcher"):
        fresh.control("faults", {"path": step, "kind": "garble", "count": 1})
        note(*login, stdin=user["password"] + "\n")
        note(*reset)
    note("logout", "--debug")
    written = files_below(own_folders)
    assert any(path.name == "ibtui.log" for path in written), "there must be something to search"
    everything = {str(path): content for path, content in written.items()}
    everything["stdout and stderr"] = "\n".join(said).encode()
    everything["the journal"] = repr(fresh.journal()).encode()
    for secret in (PLANTED, user["password"], token):
        for where, content in everything.items():
            assert secret.encode() not in content, f"{secret[:4]}… in {where}"
    for path in written:
        assert path.stat().st_mode & 0o077 == 0, f"{path} can be read by others"


def test_a_secret_in_a_request_is_the_askers_own_affair_but_not_the_logs(
    run: Run, at: Sim, own_folders: Path
) -> None:
    run("request", "POST", "/tickle", "--debug", "--data", f'{{"password": "{PLANTED}"}}')
    assert all(PLANTED.encode() not in content for content in files_below(own_folders).values())
    assert PLANTED not in repr(at.journal())


def test_neither_arguments_nor_environment_of_our_processes_hold_it(
    start_sim: StartSim, own_folders: Path
) -> None:
    sim = start_sim()
    user = sim.user()
    write_profile(sim.url, sim.cert)
    sim.control("faults", {"path": "/sso/Dispatcher", "kind": "delay", "seconds": 1.5, "count": 1})
    process = subprocess.Popen(
        [sys.executable, "-m", "ibtui", "login", "--user", user["username"], "--password-stdin"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(user["password"].encode() + b"\n")
    process.stdin.flush()
    seen = b""
    while process.poll() is None:
        for pid in family(process.pid):
            for name in ("cmdline", "environ"):
                try:
                    seen += Path(f"/proc/{pid}/{name}").read_bytes()
                except OSError:
                    continue
        time.sleep(0.1)
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert b"ibtui" in seen and user["password"].encode() not in seen
