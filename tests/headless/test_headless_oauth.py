"""Profiles without a gateway: every command on mode oauth1 and oauth2, against the simulator's API host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ibtui import config, paths
from ibtui.core import ways
from tests.conftest import Sim, StartSim
from tests.headless.conftest import Done, Run


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "SETTLE_S", 0.1)


def write(sim: Sim, **more: Any) -> Path:
    """Settings with the profiles `one` (1.0a) and `two` (2.0) at a simulator; `more` goes to both."""
    second = sim.ready["oauth2"]
    extra = {"keep_alive": False, **more}
    profiles: dict[str, dict[str, Any]] = {
        "one": {"mode": "oauth1", "oauth_file": sim.ready["oauth1"], **extra},
        "two": {
            "mode": "oauth2",
            "oauth2_client_id": second["client_id"],
            "oauth2_key_id": second["key_id"],
            "oauth2_credential": second["credential"],
            "oauth2_key_file": second["private_key"],
            "oauth2_ip": "203.0.113.7",
            **extra,
        },
    }
    lines = ['profile = "one"', "[addresses]", f'api_host = "{sim.url}"', f'api_ca_file = "{sim.cert}"']
    for name, values in profiles.items():
        lines += [f"[profiles.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path = config.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


BOTH = pytest.mark.parametrize("name", ["one", "two"])


def lamps(done: Done) -> dict[str, str]:
    return {name: done.json[name]["state"] for name in ("gateway", "sso", "brokerage")}


@BOTH
def test_from_nothing_to_positions_and_back(sim: Sim, run: Run, name: str, own_folders: Path) -> None:
    write(sim)
    found = run("--debug", "--profile", name, "login")
    assert found.code == 0, found.err
    assert "asking IBKR for a token" in found.err
    status = run("--profile", name, "--json", "status")
    assert status.code == 0 and set(lamps(status).values()) == {"on"}
    assert status.json["gateway"]["reason"].startswith("token 0 min old, renewed in 23 h")
    route = "/oauth/live_session_token" if name == "one" else "/sso-sessions"
    rows = run("--profile", name, "--json", "positions").json
    assert len(rows) > 5
    stocks = run("--profile", name, "request", "GET", "/trsrv/stocks", "--param", "symbols=AAPL,IBM").json
    assert set(stocks) == {"AAPL", "IBM"}
    frames = run("--debug", "--profile", name, "ws", "spl+{}", "--count", "3")
    assert frames.code == 0 and len(frames.out.splitlines()) == 3
    # One token for all these commands.
    assert sum(entry["path"].endswith(route) for entry in sim.journal()) == 1
    kind = "oauth1" if name == "one" else "oauth2"
    kept = paths.oauth_dir(name) / f"token-{kind}.json"
    assert kept.stat().st_mode & 0o777 == 0o600 and kept.parent.stat().st_mode & 0o777 == 0o700
    check_secrecy(sim, own_folders, kept, found.out + found.err + frames.out + frames.err)
    if name == "two":
        return

    assert run("--profile", name, "logout").code == 0
    assert "token" not in json.loads(kept.read_text())
    gone = run("--profile", name, "--json", "status")
    assert gone.code == 4 and lamps(gone)["gateway"] == "off"
    refused = run("--profile", name, "positions")
    assert refused.code == 4 and "login" in refused.err


def check_secrecy(sim: Sim, folder: Path, kept: Path, said: str) -> None:
    """No key, secret or token is said, logged or kept but the token in its file."""
    given = json.loads(Path(sim.ready["oauth1"]).read_text())
    second = Path(sim.ready["oauth2"]["private_key"]).read_text()
    secrets = [given["accessToken"], given["accessTokenSecret"][:40], second.splitlines()[5]]
    secrets += [given[name].splitlines()[5] for name in ("signature", "encryption")]
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for secret in secrets:
        assert secret not in said and not any(secret.encode() in content for content in files.values())
    token = json.loads(files.pop(kept))["token"]
    assert token not in said and not any(token.encode() in content for content in files.values())


def test_start_and_stop(sim: Sim, run: Run) -> None:
    write(sim)
    assert run("gateway", "start").code == 0
    assert run("gateway", "stop").code == 0
    assert run("status").code == 4
    assert run("gateway", "start").code == 0
    assert run("--json", "status").json["gateway"]["state"] == "on"


def test_a_file_that_others_may_read_is_refused(sim: Sim, run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "open.json"
    copy.write_bytes(Path(sim.ready["oauth1"]).read_bytes())
    copy.chmod(0o644)
    write(sim, oauth_file=str(copy))
    found = run("positions")
    assert found.code == 4 and f"hmod 600 '{copy}'" in found.err
    login = run("login")
    assert login.code == 2 and f"chmod 600 '{copy}'" in login.err
    copy.unlink()
    missing = run("login")
    assert missing.code == 2 and "ibtui oauth configure" in missing.err


def test_the_usual_place_of_the_registration(sim: Sim, run: Run) -> None:
    write(sim, oauth_file="")
    folder = paths.oauth_dir("one")
    folder.mkdir(parents=True, mode=0o700)
    (folder / "oauth1.json").write_bytes(Path(sim.ready["oauth1"]).read_bytes())
    os.chmod(folder / "oauth1.json", 0o600)
    assert run("request", "GET", "/trsrv/stocks?symbols=AAPL").code == 0


def test_not_active_yet_and_nobody_there(sim: Sim, run: Run) -> None:
    write(sim)
    sim.control("oauth", {"action": "deactivate"})
    refused = run("login")
    assert refused.code == 5 and "not active yet" in refused.err and "ibtui oauth check" in refused.err
    status = run("--json", "status")
    assert status.code == 4 and "not active yet" in status.json["gateway"]["reason"]
    sim.stop()
    away = run("status")
    assert away.code == 75 and "Nothing answers" in away.out
    assert run("positions").code == 75


@BOTH
def test_check(sim: Sim, run: Run, name: str) -> None:
    write(sim)
    found = run("--profile", name, "oauth", "check")
    assert found.code == 0, found.out
    assert "FAILED" not in found.out and "This registration works." in found.err
    for step in ("Registration", "Token", "Signed request with a query", "Brokerage session", "Accounts"):
        assert step in found.out
    assert not (paths.oauth_dir(name) / "token-oauth1.json").exists()
    # What was opened for the test does not stand in the way.
    assert run("--profile", name, "login").code == 0


def test_check_offline_sends_nothing_and_names_what_is_wrong(sim: Sim, run: Run, tmp_path: Path) -> None:
    write(sim)
    found = run("oauth", "check", "--offline")
    assert found.code == 0 and "Nothing was sent." in found.err
    given = json.loads(Path(sim.ready["oauth1"]).read_text())
    cases = {
        "swapped": {"signature": given["encryption"], "encryption": given["signature"]},
        "same key": {"signature": given["encryption"]},
        "safe prime": {"dhPrime": f"{int(given['dhPrime'], 16) + 2:x}"},
        "cut off": {"accessTokenSecret": given["accessTokenSecret"][:-20]},
        "nine letters": {"consumerKey": "ABC"},
    }
    path = tmp_path / "bad.json"
    write(sim, oauth_file=str(path))
    for words, change in cases.items():
        path.write_text(json.dumps({**given, **change}))
        path.chmod(0o600)
        bad = run("--json", "oauth", "check", "--offline")
        assert bad.code == 2 and not bad.json["ok"]
        assert words in json.dumps(bad.json["checks"]), words
    path.write_text(json.dumps({**given, "consumerKey": given["consumerKey"].lower()}))
    assert run("oauth", "check", "--offline").code == 0  # the page stores capitals
    assert not any("/v1/api/" in entry["path"] for entry in sim.journal())


def test_check_says_what_ibkr_said(sim: Sim, run: Run) -> None:
    write(sim, account_type="live")
    wrong = run("oauth", "check")
    assert wrong.code == 5 and "account_type" in wrong.out and "paper" in wrong.out
    login = run("login")
    assert login.code == 5 and "logged out again" in login.err
    assert run("status").code == 4
    sim.control("oauth", {"action": "deactivate"})
    found = run("oauth", "check")
    assert found.code == 5 and "not active yet" in found.out and "Waiting helps." in found.out


def test_check_without_a_registration(run: Run, start_sim: StartSim) -> None:
    found = run("oauth", "check")
    assert found.code == 2 and "ibtui oauth configure" in found.err


def test_a_supervisor_keeps_the_token(sim: Sim, run: Run) -> None:
    write(sim, keep_alive=True)
    try:
        assert run("login").code == 0
        assert run("--json", "keep", "status").json["running"]
        assert set(lamps(run("--json", "status")).values()) == {"on"}
        sim.control("oauth", {"action": "expire"})
        assert run("request", "GET", "/trsrv/stocks?symbols=AAPL").json["AAPL"]
        assert run("logout").code == 0
        assert run("status").code == 4
    finally:
        assert run("keep", "stop").code == 0
