"""Logins with every second factor through the command: made here, or given by files and programs."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from ibtui.auth.vault import Vault
from tests.conftest import Sim
from tests.headless.conftest import Run, Spawn
from tests.headless.factor_tools import (
    enrolled,
    piped,
    profile,
    secret_file,
    sms_code,
)

# Made here --------------------------------------------------------------------------------


def test_totp_from_a_secret(run: Run, sim: Sim) -> None:
    user = sim.user("4")
    profile(
        sim, user, secret_file("password", user["password"]), secret_file("totp_secret", user["totp_secret"])
    )
    done = run("login")
    assert done.code == 0, done.err
    assert "one factor, not two" in done.err
    for secret in (user["password"], user["totp_secret"]):
        assert secret not in done.err + done.out


def test_totp_by_a_clock_that_is_wrong(run: Run, sim: Sim) -> None:
    user = sim.user("4")
    profile(sim, user, secret_file("totp_secret", user["totp_secret"]))
    sim.control("clock", {"advance_s": 3000})
    done = piped(run, user)
    assert done.code == 0, done.err
    assert "3000 s ahead" in done.err and "one factor" not in done.err


def test_ibkey_by_the_enrolled_key_counts_before_it_answers(run: Run, sim: Sim) -> None:
    user = sim.user("5.2a")
    vault = enrolled(user)
    profile(sim, user)
    for counter in (2, 3):
        assert vault.status().counter == counter
        done = piped(run, user)
        assert done.code == 0, done.err
    status = vault.status()
    assert (status.counter, status.record.attempts) == (4, 0) and status.used is not None
    assert json.loads(run("status", "--json").out)["ready"] is True


def test_ibkey_refused_uses_the_counter_and_an_attempt(run: Run, sim: Sim) -> None:
    user = sim.user("5.2a")
    vault = enrolled(user, counter=80)  # far beyond the look-ahead window
    profile(sim, user)
    done = piped(run, user)
    assert done.code == 5 and "Completing two factor (5.2a)" in done.err
    assert "1 of 4 attempts are used" in done.err
    status = vault.status()
    assert (status.counter, status.record.attempts) == (81, 1)


def test_sms_read_at_twilio(run: Run, sim: Sim) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    profile(sim, user, secret_file("twilio_token", twilio["token"]), twilio_sid=twilio["sid"])
    sim.control("sms", {"body": "Your IBKR authentication code: 111111", "age_s": 600})
    done = piped(run, user)
    assert done.code == 0, done.err
    assert twilio["token"] not in done.err


def test_a_mix_uses_what_needs_nobody(run: Run, sim: Sim) -> None:
    user = sim.user("4", "4.2", "5.2a")
    profile(sim, user, secret_file("totp_secret", user["totp_secret"]))
    assert piped(run, user).code == 0
    run("logout")
    profile(sim, user)
    enrolled(user)
    assert piped(run, user).code == 0


def test_a_data_json_of_the_node_service(
    run: Run, sim: Sim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = sim.user("5.2a")
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    data = folder / "data.json"
    data.write_text(
        json.dumps({"pin": user["pin"], "ocra": user["ocra"], "counter": 2, "attempts": 0, "x": 1})
    )
    data.chmod(0o600)
    monkeypatch.setenv("IB_GATEWAY_DATA_STORE_PATH", str(folder))
    monkeypatch.setenv("IB_GATEWAY_PORT", sim.url.rsplit(":", 1)[1])
    monkeypatch.setenv("IB_GATEWAY_DOMAIN", "127.0.0.1")
    done = piped(run, user, "--user", user["username"])
    assert done.code == 0, done.err
    found = json.loads(data.read_text())
    assert (found["counter"], found["attempts"], found["x"]) == (3, 0, 1)
    shown = run("config", "show").out
    assert "IB_GATEWAY_DATA_STORE_PATH" in shown and "environment IB_GATEWAY_DOMAIN" in shown


# Given by files and programs ----------------------------------------------------------------


def test_a_code_out_of_a_file(sim: Sim, spawn: Spawn, tmp_path: Path) -> None:
    user = sim.user("4.2")
    profile(sim, user, secret_file("password", user["password"]))
    path = tmp_path / "code"
    path.write_text("999999\n")
    path.chmod(0o600)
    os.utime(path, (time.time() - 600, time.time() - 600))  # an old one is not used
    child = spawn("login", "--code-file", str(path))
    end = time.monotonic() + 20
    while not sim.control("sms"):
        assert time.monotonic() < end and child.poll() is None
        time.sleep(0.05)
    path.write_text(sms_code(sim) + "\n")
    out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert sms_code(sim) not in out + err


def test_a_code_out_of_a_program_that_sees_the_challenge(run: Run, sim: Sim) -> None:
    user = sim.user("5.2a")
    profile(sim, user)
    code = (
        "import os; from ibtui.auth import ocra; from ibtui.secret import Secret;"
        f"print(ocra.respond(Secret('{user['ocra']}'), Secret('{user['pin']}'), 2,"
        " os.environ['IBTUI_CHALLENGE']).reveal())"
    )
    done = piped(run, user, "--code-command", json.dumps([sys.executable, "-c", code]))
    assert done.code == 0, done.err


def test_what_is_wrong_with_a_code_program(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    profile(sim, user)
    done = piped(run, user, "--code-command", "pass otp ibkr")
    assert done.code == 2 and "JSON list" in done.err
    done = piped(run, user, "--code-command", '["true"]')
    assert done.code == 6 and "printed no code" in done.err
    done = piped(run, user, "--code-command", '["x"]', "--code-file", "y")
    assert done.code == 2
    assert Vault(user["username"]).status().record.attempts == 0


@pytest.mark.parametrize("factors", [("4",), ("4.2",), ("5.2a",), ("4.2", "5.2a")])
def test_nobody_is_there(run: Run, sim: Sim, factors: tuple[str, ...]) -> None:
    user = sim.user(*factors)
    profile(sim, user)
    done = piped(run, user)
    assert done.code == 6
    assert all(f"[{code}]" in done.err for code in factors) and "browser" in done.err
    assert Vault(user["username"]).status().record.attempts == 0, "a good password costs nothing"
