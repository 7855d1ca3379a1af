"""`ibtui gateway …` on a process of ours, and on one that is not ours; pins and fingerprints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ibtui import paths
from ibtui.service import host, pins
from tests.conftest import Sim, StartSim
from tests.headless.conftest import Run, write_profile
from tests.headless.test_headless_words import free_port


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_of(text: str) -> int:
    return int(text.split("pid ")[1].split()[0])


@pytest.mark.parametrize("plain", [True, False])
def test_a_gateway_of_ours_from_start_to_stop(run: Run, plain: bool) -> None:
    port = free_port()
    command = [sys.executable, "-m", "ibtui", "sim", "--port", str(port), "--logged-in", "demo123"]
    command += ["--plain"] if plain else []
    url = f"http{'' if plain else 's'}://127.0.0.1:{port}"
    write_profile(url, gateway_command=command)
    assert run("gateway", "status").code == 3
    assert run("gateway", "stop").code in (0, 1)
    started = run("gateway", "start")
    assert started.code == 0, started
    pid = pid_of(started.out)
    try:
        assert alive(pid)
        assert pid_of(run("gateway", "start").out) == pid, "a second start finds the first"
        assert run("gateway", "status", "--json").json["state"] == "on"
        status = run("status")
        assert status.code == 0, status
        assert run("gateway", "logs", "-n", "5").code == 0
        logged = run("gateway", "logs", "-n", "5", "--json").out.splitlines()
        assert logged and all(json.loads(line)["line"] for line in logged)
        again = run("gateway", "restart")
        assert again.code == 0
        assert not alive(pid) and alive(pid_of(again.out))
        pid = pid_of(again.out)
        stopped = run("gateway", "stop", "--json")
        assert stopped.code == 0 and stopped.json["state"] == "off"
        assert not alive(pid)
        assert run("status").code == 3
    finally:
        if alive(pid):
            os.kill(pid, 9)


def test_somebody_elses_gateway_is_left_alone(run: Run, at: Sim) -> None:
    assert run("gateway", "start").code == 0
    done = run("gateway", "stop")
    assert done.code == 1 and "Stop it where it was started" in done.err
    assert run("status").code == 0
    for words in ([], ["--follow"]):
        done = run("gateway", "logs", *words)
        assert done.code == 1 and done.out == "" and "was not started by ibtui" in done.err


def test_whose_gateway_it_is_and_since_when(run: Run, live_sim: Sim) -> None:
    for more in ({}, {"gateway_command": [sys.executable, "-c", "pass"]}):
        write_profile(live_sim.url, live_sim.cert, **more)
        lamp = run("gateway", "status", "--json").json
        assert lamp["state"] == "on" and "started elsewhere" in lamp["reason"]
        assert pid_of(lamp["reason"]) == live_sim.process.pid
        age = datetime.now(UTC) - datetime.fromisoformat(lamp["since"])
        assert timedelta(seconds=-2) < age < timedelta(minutes=1)


def test_the_log_of_somebody_elses_gateway_where_ours_should_be(run: Run, live_sim: Sim) -> None:
    write_profile(live_sim.url, gateway_command=[sys.executable, "-c", "pass"])
    assert "started elsewhere" in run("gateway", "status").out
    done = run("gateway", "logs", "--follow")
    assert done.code == 1 and "was not started by ibtui" in done.err


def test_no_log_where_no_gateway_was_started(run: Run) -> None:
    write_profile(f"http://127.0.0.1:{free_port()}", gateway_command=[sys.executable, "-c", "pass"])
    done = run("gateway", "logs")
    assert done.code == 1 and "ibtui gateway start" in done.err
    write_profile("https://127.0.0.1:1", mode="oauth1")
    done = run("gateway", "logs")
    assert done.code == 1 and "without a gateway" in done.err


def test_the_port_is_taken(run: Run, start_sim: StartSim) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "ibtui", "sim", "--port", str(port)]
        write_profile(f"https://127.0.0.1:{port}", gateway_command=command)
        done = run("gateway", "start")
    assert done.code == 1
    assert str(port) in done.err and "port" in done.err.lower()


def test_a_program_that_ends_at_once(run: Run) -> None:
    write_profile(f"http://127.0.0.1:{free_port()}", gateway_command=[sys.executable, "-c", "print('no')"])
    done = run("gateway", "start")
    assert done.code == 1 and done.err.count("\n") >= 2


# Pins ------------------------------------------------------------------------------------


def fingerprint(sim: Sim) -> str:
    import hashlib
    import ssl

    assert sim.cert
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(sim.cert).read_text())).hexdigest()


def test_the_first_use_on_loopback_pins(run: Run, live_sim: Sim) -> None:
    write_profile(live_sim.url)
    assert run("status").code == 0
    assert pins.known(live_sim.url) == fingerprint(live_sim)
    assert (paths.state_dir() / "pins.json").stat().st_mode & 0o777 == 0o600


def test_another_certificate_is_refused_and_sees_nothing(run: Run, live_sim: Sim) -> None:
    write_profile(live_sim.url)
    pins.remember(live_sim.url, "ab" * 32)
    before = len(live_sim.journal())
    for words in (["status"], ["positions"], ["request", "GET", "/tickle"], ["ws", "spl"]):
        done = run(*words)
        assert done.code == 3
        assert "certificate" in done.out + done.err
    assert "nothing was sent" in done.err
    shown = run("status").out
    assert fingerprint(live_sim) in shown and "fingerprint" in shown
    assert [entry for entry in live_sim.journal()[before:] if not entry["path"].startswith("/sim/")] == []


def test_a_fingerprint_in_the_profile(run: Run, live_sim: Sim) -> None:
    print_ = fingerprint(live_sim)
    colons = ":".join(print_[i : i + 2] for i in range(0, 64, 2)).upper()
    write_profile(live_sim.url, fingerprint=colons)
    assert run("status").code == 0
    write_profile(live_sim.url, fingerprint="cd" * 32)
    assert run("status").code == 3


def test_a_ca_file_of_another(run: Run, start_sim: StartSim) -> None:
    one, other = start_sim("--logged-in", "demo123"), start_sim()
    write_profile(one.url, other.cert)
    for words in (["status"], ["positions"]):
        done = run(*words)
        assert done.code == 3 and "certificate" in done.out + done.err
        assert "fingerprint: \n" not in done.out


def test_another_machine_wants_its_fingerprint_named(
    run: Run, live_sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "LOOPBACK", frozenset())
    write_profile(live_sim.url)
    for words in (["status"], ["positions"], ["login"]):
        done = run(*words)
        assert done.code == 2, done
        assert f'fingerprint = "{fingerprint(live_sim)}"' in done.err
    assert pins.known(live_sim.url) == ""


def test_plain_http_on_this_machine(run: Run, start_sim: StartSim) -> None:
    sim = start_sim("--plain", "--logged-in", "demo123")
    write_profile(sim.url)
    assert run("status").code == 0
    assert json.loads(run("accounts", "--json").out)


def test_https_asked_of_a_plain_server(run: Run, start_sim: StartSim) -> None:
    sim = start_sim("--plain")
    write_profile(sim.url.replace("http:", "https:"))
    done = run("status")
    assert done.code == 3 and done.out.count("→") == 1


def test_processes_that_pin_at_once_lose_nothing(own_folders: Path) -> None:
    code = "import sys; from ibtui.service import pins; [pins.remember(f'https://{sys.argv[1]}.{n}', 'aa') \
for n in range(40)]"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(who)]) for who in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert all(pins.known(f"https://{who}.{n}") == "aa" for who in range(3) for n in range(40))


def test_pins_that_cannot_be_read_are_none() -> None:
    paths.write_private(paths.state_dir() / "pins.json", b"{oops")
    assert pins.known("https://x") == ""
    pins.remember("https://x", "aa")
    pins.remember("https://y", "bb")
    pins.remember("https://x", "")
    assert pins.known("https://x") == "" and pins.known("https://y") == "bb"
