"""`ibtui ibkey`: enrolled over Twilio or typed, kept, backed up, imported, exported; the login after it."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ibtui import config, paths
from tests.conftest import Sim
from tests.headless.conftest import Done, Run

SECRET = "0123456789abcdef0123456789abcdef01234567"


def write(sim: Sim, user: str = "", *, twilio: bool = True, **more: Any) -> Path:
    """Settings that point everything at the simulator."""
    cert = json.dumps(sim.cert)
    account = sim.ready["twilio"]
    values: dict[str, Any] = {"gateway_url": sim.url, "ca_file": sim.cert, "username": user}
    values |= {"keep_alive": False, **more}
    if twilio:
        values["twilio_sid"] = account["sid"]
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    text = f'[addresses]\nlogin_host = "{sim.url}"\nlogin_ca_file = {cert}\n'
    text += f'twilio = "{account["url"]}"\ntwilio_ca_file = {cert}\n[profiles.default]\n' + "\n".join(lines)
    if twilio:
        text += f'\n[profiles.default.twilio_token]\nfile = "{private("token", account["token"])}"\n'
    path = config.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def private(name: str, text: str) -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"]) / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def kept(user: str) -> dict[str, Any]:
    """What lies in the vault."""
    found: dict[str, Any] = json.loads((paths.data_dir() / "auth" / f"{user}.json").read_text())
    return found


def enroll(run: Run, user: dict[str, Any], *more: str) -> Done:
    words = ("ibkey", "enroll", "--user", user["username"], "--password-stdin", "--yes", *more)
    return run(*words, stdin=user["password"] + "\n")


def seen(sim: Sim, action: str) -> list[dict[str, Any]]:
    return [row for row in sim.control("logins") if row["action"] == action]


def test_enroll_with_twilio_and_log_in(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim)
    before = run("ibkey", "status", "--user", user["username"], "--json").json
    assert (before["enrolled"], before["logins_left"]) == (False, 0)
    done = enroll(run, user, "--make-pin", "--json")
    assert done.code == 0, done.err
    assert done.json["login"] == "ready"
    assert "phone's app stops working" in done.err
    data = kept(user["username"])
    assert data["attempts"] == 0 and len(data["ocra"]) == 40
    assert data["counter"] == 3, "the test login used counter 2"
    assert data["ocra"] not in done.out + done.err and data["pin"] not in done.out
    after = run("ibkey", "status", "--user", user["username"], "--json").json
    assert (after["enrolled"], after["logins_left"], after["counter"]) == (True, 92, 3)
    assert after["used"] and after["attempts"] == 0
    text = run("ibkey", "status", "--user", user["username"])
    assert "92 left" in text.out and data["ocra"] not in text.out
    again = run("login", "--user", user["username"], "--password-stdin", stdin=user["password"] + "\n")
    assert again.code == 0, again.err
    assert kept(user["username"])["counter"] == 4


def test_nothing_leaves_before_yes(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim)
    words = ("ibkey", "enroll", "--user", user["username"], "--password-stdin")
    done = run(*words, stdin=user["password"] + "\n")
    assert done.code == 6 and "--yes" in done.err
    done = run(*words, "--yes", stdin=user["password"] + "\n")
    assert done.code == 6 and "--make-pin" in done.err
    assert sim.control("logins") == []


def test_a_bad_pin_and_a_backup_that_is_there(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim)
    assert enroll(run, user, "--pin-file", str(private("pin", "12"))).code == 2
    there = private("there", "x")
    assert enroll(run, user, "--make-pin", "--backup", str(there)).code == 2
    assert sim.control("logins") == []


def test_wrong_password_counts(run: Run, sim: Sim) -> None:
    user = {**sim.user("4.2"), "password": "Wrong-Password-1"}
    write(sim)
    done = enroll(run, user, "--make-pin", "--no-test-login")
    assert done.code == 5 and "Wrong-Password-1" not in done.err
    status = run("ibkey", "status", "--user", user["username"], "--json").json
    assert status["attempts"] == 1 and status["not_before"]
    again = enroll(run, sim.user("4.2"), "--make-pin", "--no-test-login")
    assert again.code == 5 and "backoff" in again.err


def test_no_code_and_nobody_there(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim, twilio=False)
    done = enroll(run, user, "--make-pin")
    assert done.code == 6, done.err
    assert kept(user["username"])["attempts"] == 0, "a good password and no answer cost nothing"
    assert not kept(user["username"])["ocra"]


def test_the_login_host_is_not_trusted_by_itself(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    path = write(sim)
    path.write_text(path.read_text().replace("login_ca_file", "# login_ca_file"))
    done = enroll(run, user, "--make-pin")
    assert done.code == 3 and "not trusted" in done.err
    assert not any("Authenticator" in row["path"] for row in sim.journal())


def test_sealed_backup_and_back(run: Run, sim: Sim, tmp_path: Path) -> None:
    user = sim.user("4.2")
    path = write(sim)
    backup = tmp_path / "backup.json"
    source = f'[profiles.default.passphrase]\nfile = "{private("phrase", "correct horse")}"\n'
    path.write_text(path.read_text() + source)
    done = enroll(run, user, "--make-pin", "--no-test-login", "--backup", str(backup), "--json")
    assert done.code == 0 and done.json["backup"] == str(backup), done.err
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    text = backup.read_text()
    assert isinstance(json.loads(text)["ocra"], dict) and isinstance(kept(user["username"])["ocra"], dict)
    assert run("ibkey", "status", "--user", user["username"], "--json").json["sealed"] is True
    done = run("login", "--user", user["username"], "--password-stdin", stdin=user["password"] + "\n")
    assert done.code == 0, done.err
    own = paths.data_dir() / "auth" / f"{user['username']}.json"
    own.unlink()
    assert run("ibkey", "import", str(backup), "--user", user["username"]).code == 0
    assert kept(user["username"])["counter"] == 2
    assert run("ibkey", "import", str(backup), "--user", user["username"]).code == 2, "not over a key"
    assert run("ibkey", "import", str(backup), "--user", user["username"], "--replace").code == 0


def test_the_node_services_files(run: Run, sim: Sim, tmp_path: Path) -> None:
    node = tmp_path / "ib-key-auth-some.one-1760000000000.json"
    node.write_text(json.dumps({"pin": "007615", "ocra": SECRET, "counter": 57, "attempts": 1}))
    write(sim)
    assert run("ibkey", "import", str(node)).code == 2, "others may read it"
    node.chmod(0o600)
    done = run("ibkey", "import", str(node), "--json")
    assert done.code == 0, done.err
    assert (done.json["user"], done.json["counter"], done.json["attempts"]) == ("some.one", 57, 0)
    out = tmp_path / "data.json"
    done = run("ibkey", "export", str(out), "--user", "some.one", "--plain")
    assert done.code == 0 and SECRET not in done.out + done.err
    data = json.loads(out.read_text())
    assert (data["pin"], data["ocra"], data["counter"]) == ("007615", SECRET, 57)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert run("ibkey", "export", str(out), "--user", "some.one", "--plain").code == 2
    assert run("ibkey", "export", str(tmp_path / "x"), "--user", "some.one").code == 6, "no passphrase"
    text = tmp_path / "ocra"
    assert run("ibkey", "export", str(text), "--user", "some.one", "--secret").code == 0
    assert text.read_text() == SECRET + "\n" and stat.S_IMODE(text.stat().st_mode) == 0o600


def test_the_text_of_the_secret(run: Run, sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    write(sim, "me")
    pin = str(private("pin", "007615"))
    assert run("ibkey", "import").code == 2
    file = str(private("ocra", SECRET))
    assert run("ibkey", "import", "--secret-file", file, "--pin-file", pin, "--counter", "9").code == 0
    assert (kept("me")["ocra"], kept("me")["counter"], kept("me")["pin"]) == (SECRET, 9, "007615")
    monkeypatch.setenv("IB_AUTH_OCRA_SECRET", SECRET.upper())
    done = run("ibkey", "import", "--pin-file", pin, "--replace")
    assert done.code == 0 and kept("me")["counter"] == 9, "a counter is never given twice"
    assert "--counter" not in done.err
    done = run("ibkey", "import", "--pin-file", pin, "--user", "you")
    assert done.code == 0 and "import it again with --counter" in done.err
    assert run("ibkey", "import", "--replace").code == 6
    assert SECRET.upper() not in done.out + done.err


def test_nothing_is_enrolled_here(run: Run, sim: Sim, tmp_path: Path) -> None:
    write(sim, "me")
    done = run("ibkey", "status")
    assert done.code == 0 and "not enrolled" in done.out and "ibtui ibkey enroll" in done.out
    assert run("ibkey", "export", str(tmp_path / "x"), "--plain").code == 6
    write(sim)
    assert run("ibkey", "status").code == 2


def test_typed_at_a_terminal(sim: Sim, tmp_path: Path) -> None:
    user = sim.user("4.2")
    write(sim, twilio=False)
    words = ["-m", "ibtui", "ibkey", "enroll", "--user", user["username"]]
    child = pexpect.spawn(sys.executable, words, encoding="utf-8", timeout=30, env=dict(os.environ))
    said: list[str] = []
    child.logfile_read = type("Log", (), {"write": lambda _, s: said.append(s), "flush": lambda _: None})()
    child.expect("Password of ")
    child.sendline(user["password"])
    child.expect("Type yes to go on: ")
    child.sendline("yes")
    child.expect("PIN: ")
    child.sendline("12")
    child.expect("4 to 6 digits")
    child.expect("PIN: ")
    child.sendline("009513")
    child.expect("Once more: ")
    child.sendline("009513")
    child.expect("text message|SMS")
    child.expect(r"[Cc]ode|digits")
    code = sim.control("sms")[-1]["body"][-6:]
    child.sendline(code)
    child.expect("File for a sealed backup")
    child.sendline(str(tmp_path / "sealed.json"))
    for _ in range(2):
        child.expect("(Passphrase|Once more).*: ")
        child.sendline("correct horse")
    child.expect("IB Key works")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, "".join(said)
    assert kept(user["username"])["pin"] == "009513"
    assert isinstance(json.loads((tmp_path / "sealed.json").read_text())["ocra"], dict)
    text = "".join(said)
    assert "009513" not in text and "correct horse" not in text and user["password"] not in text


def test_no_at_the_terminal(sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim)
    words = ["-m", "ibtui", "ibkey", "enroll", "--user", user["username"]]
    child = pexpect.spawn(sys.executable, words, encoding="utf-8", timeout=30, env=dict(os.environ))
    child.expect("Password of ")
    child.sendline(user["password"])
    child.expect("Type yes to go on: ")
    child.sendline("y")
    child.expect("phone's IB Key is as it was")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6 and sim.control("logins") == []


# By itself ------------------------------------------------------------------------------


def login(run: Run, user: dict[str, Any]) -> Done:
    return run(
        "login", "--user", user["username"], "--password-stdin", "--json", stdin=user["password"] + "\n"
    )


def test_enrolled_by_itself_at_first_and_when_used_up(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim, use_ibkey=True, max_counter=4)
    done = login(run, user)
    assert done.code == 0, done.err
    assert len(seen(sim, "COMPLETE_SETUP")) == 1 and kept(user["username"])["counter"] == 3
    first = kept(user["username"])["ocra"]
    assert login(run, user).code == 0 and kept(user["username"])["counter"] == 4
    assert len(seen(sim, "COMPLETE_SETUP")) == 1
    done = login(run, user)
    assert done.code == 0, done.err
    assert len(seen(sim, "COMPLETE_SETUP")) == 2
    assert kept(user["username"])["counter"] == 3 and kept(user["username"])["ocra"] != first


def test_not_by_itself_without_twilio_or_the_wish(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim, use_ibkey=True, twilio=False)
    done = login(run, user)
    assert done.code == 6 and "SMS credentials are not set" in done.err
    write(sim, use_ibkey=False)
    assert login(run, user).code == 0, "by text message alone"
    assert seen(sim, "COMPLETE_SETUP") == []


def test_the_node_services_variables_and_data(
    run: Run, sim: Sim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = sim.user("4.2")
    write(sim, twilio=False)
    store = tmp_path / "store"
    store.mkdir(mode=0o700)
    data = store / "data.json"
    data.write_text(json.dumps({"pin": "881796", "ocra": None, "counter": 2, "attempts": 0, "mine": [1]}))
    data.chmod(0o600)
    monkeypatch.setenv("IB_GATEWAY_DATA_STORE_PATH", str(store))
    monkeypatch.setenv("IB_AUTH_USE_IBKEY", "false")
    monkeypatch.setenv("IB_AUTH_TWILIO_ACCOUNT_SID", sim.ready["twilio"]["sid"])
    monkeypatch.setenv("IB_AUTH_TWILIO_AUTH_TOKEN", sim.ready["twilio"]["token"])
    assert login(run, user).code == 0
    assert json.loads(data.read_text())["ocra"] is None, "false means false"
    monkeypatch.setenv("IB_AUTH_USE_IBKEY", "true")
    done = login(run, user)
    assert done.code == 0, done.err
    found = json.loads(data.read_text())
    assert len(found["ocra"]) == 40 and (found["counter"], found["mine"]) == (3, [1])
    assert found["pin"] == "881796", "the file's own"
    status = run("ibkey", "status", "--user", user["username"], "--json").json
    assert status["file"] == str(data) and status["logins_left"] == 92
    assert not (paths.data_dir() / "auth").exists()
    assert sim.ready["twilio"]["token"] not in done.out + done.err


def test_secrets_lie_in_the_vault_alone(run: Run, sim: Sim, own_folders: Path) -> None:
    user = sim.user("4.2")
    write(sim)
    done = enroll(run, user, "--make-pin", "--debug")
    assert done.code == 0, done.err
    data = kept(user["username"])
    codes = [row["body"][-6:] for row in sim.control("sms")]
    secrets = [user["password"], data["pin"], data["ocra"], sim.ready["twilio"]["token"], *codes]
    found = {
        (path.name, number)
        for path in own_folders.rglob("*")
        if path.is_file()
        for number, secret in enumerate(secrets)
        if secret in path.read_text(errors="replace")
    }
    assert found == {(f"{user['username']}.json", 1), (f"{user['username']}.json", 2), ("token", 3)}
    assert not any(secret in done.out + done.err for secret in secrets)


def test_the_enrollments_message_does_not_answer_the_login(run: Run, sim: Sim) -> None:
    user = sim.user("4.2")
    write(sim, use_ibkey=True, second_factor="sms")
    sim.control("quirks", {"sms_delay_s": 1.5})
    done = login(run, user)
    assert done.code == 0, done.err
    answers = [(row["where"], row["accepted"]) for row in seen(sim, "COMPLETETWOFACT")]
    assert answers == [("enroll", True), ("login", True)]
