"""An enrollment that breaks off around its last request: the new key is kept, a full disk stops it before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ibtui import paths
from ibtui.auth.vault import Vault
from ibtui.secret import Secret
from tests.conftest import Sim, StartSim
from tests.drill.kill_tools import ENROLLMENT, Victim
from tests.headless.conftest import Run
from tests.headless.factor_tools import piped, profile, secret_file

MANAGER = "/sso/AuthenticatorMgr"


def with_twilio(sim: Sim, user: dict[str, Any], *more: str, **keys: Any) -> None:
    twilio = sim.ready["twilio"]
    profile(sim, user, secret_file("twilio_token", twilio["token"]), *more, twilio_sid=twilio["sid"], **keys)


def enroll(run: Run, user: dict[str, Any]) -> Any:
    words = ("ibkey", "enroll", "--yes", "--make-pin", "--no-test-login", "--password-stdin")
    return run(*words, stdin=user["password"] + "\n")


def setups(sim: Sim) -> list[bool]:
    return [row["accepted"] for row in sim.control("logins") if row["action"] == "COMPLETE_SETUP"]


def test_a_lost_answer_loses_no_key(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    with_twilio(sim, user)
    sim.control("faults", {"path": MANAGER, "kind": "lose", "count": 1, "skip": 4})
    done = enroll(run, user)
    assert done.code == 75 and "import --unfinished" in done.err, done.err
    assert setups(sim) == [True]
    told = run("ibkey", "status")
    assert "not enrolled" in told.out and "ibkey import --unfinished" in told.out
    assert run("ibkey", "status", "--json").json["unfinished"]
    assert run("ibkey", "import", "--unfinished").code == 0
    assert run("ibkey", "status", "--json").json["unfinished"] is None
    run("login", "--reset-attempts", "--yes")
    sms = len(sim.control("sms"))
    done = piped(run, user)
    assert done.code == 0, done.err
    assert len(sim.control("sms")) == sms and Vault(user["username"]).status().counter == 3
    assert run("ibkey", "import", "--unfinished").code == 2


def test_refused_by_ibkr_nothing_is_kept(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    with_twilio(sim, user)
    sim.control("quirks", {"enroll_activation": False})
    done = enroll(run, user)
    assert done.code != 0 and "did not activate" in done.err, done.err
    data = json.loads((paths.data_dir() / "auth" / f"{user['username']}.json").read_text())
    assert "unfinished" not in data and not data["ocra"]


def test_enrolled_by_itself_it_is_sealed_and_enrolled_again(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    with_twilio(sim, user, secret_file("passphrase", "open sesame"), use_ibkey=True, max_counter=3)
    for number in (1, 2):
        done = piped(run, user)
        assert done.code == 0, done.err
        assert setups(sim) == [True] * number
        data = json.loads((paths.data_dir() / "auth" / f"{user['username']}.json").read_text())
        assert isinstance(data["ocra"], dict) and isinstance(data["pin"], dict) and data["counter"] == 3


@pytest.mark.parametrize("room", [200, 260])
def test_a_full_disk_leaves_the_phones_key(start_sim: StartSim, tmp_path: Path, room: int) -> None:
    """There is room to count the attempt, and none for the key."""
    sim = start_sim()
    victim = Victim(sim, ENROLLMENT, tmp_path / "victim")
    victim.vault.reset()
    size = victim.vault.path.stat().st_size
    done = victim.run(enroll=True, limit=size + room - 100)
    assert done.returncode == 1 and "too large" in done.stderr, done.stderr
    assert "was not asked to activate" in done.stderr and "old one still works" in done.stderr
    assert setups(sim) == [] and not victim.vault.status().enrolled
    proofs = [row for row in sim.control("logins") if row["action"] == "COMPLETEAUTH"]
    assert len(proofs) == 1 and victim.vault.status().record.attempts == 1


def test_a_key_in_a_variable_is_named_where_it_is_needed(
    run: Run, sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = sim.user("5.2a")
    profile(sim, user)
    monkeypatch.setenv("IB_AUTH_OCRA_SECRET", user["ocra"])
    done = piped(run, user)
    command = f"ibtui ibkey import --counter NUMBER --user {user['username']}"
    assert done.code == 6 and "IB_AUTH_OCRA_SECRET is set" in done.err and command in done.err
    assert user["ocra"] not in done.err and Vault(user["username"]).status().record.attempts == 0
    pin = tmp_file("pin", user["pin"])
    words = ("ibkey", "import", "--user", user["username"], "--pin-file", str(pin))
    assert run(*words, "--counter", str(user["counter"])).code == 0
    assert piped(run, user).code == 0
    other = sim.user("4.2")
    profile(sim, other)
    assert "OCRA" not in piped(run, other).err, "not needed there"


def test_sealed_on_request_and_unsealed_again(run: Run, sim: Sim) -> None:
    user = sim.user("5.2a")
    profile(sim, user)
    words = ("--user", user["username"])
    assert run("ibkey", "seal", *words).code == 6, "not enrolled"
    vault = Vault(user["username"])
    vault.import_secret(Secret(user["ocra"]), Secret(user["pin"]), user["counter"])
    assert run("ibkey", "seal", *words).code == 6, "nobody types a passphrase"
    profile(sim, user, secret_file("passphrase", "open sesame"))
    done = run("ibkey", "seal", *words, "--json")
    assert done.code == 0 and done.json["sealed"] is True, done.err
    assert user["ocra"] not in vault.path.read_text()
    assert piped(run, user).code == 0
    assert run("ibkey", "unseal", *words).code == 0
    assert user["ocra"] in vault.path.read_text() and not vault.status().sealed


def tmp_file(name: str, text: str) -> Path:
    path = paths.private(paths.data_dir()) / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path
