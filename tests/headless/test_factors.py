"""Logins with every second factor through the command: typed, made here, mixed, refused, guarded."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from ibtui import config, paths
from ibtui.auth import ocra
from ibtui.auth.vault import Vault
from ibtui.config import Profile, Settings
from ibtui.secret import Secret
from ibtui.service.local import LocalRuntime
from tests.conftest import Sim, StartSim
from tests.headless.conftest import Done, Run, Spawn

CODE_PROMPT = r"Code \(r send again"


def profile(sim: Sim, user: dict[str, Any], *tables: str, **keys: Any) -> None:
    """A profile for a user; `tables` are texts like `[profiles.default.password]\\n…`."""
    values = {"gateway_url": sim.url, "ca_file": sim.cert, "username": user["username"], "keep_alive": False}
    values |= keys
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    twilio = sim.ready["twilio"]
    head = f'[addresses]\ntwilio = "{twilio["url"]}"\ntwilio_ca_file = "{sim.cert}"\n'
    head += f'login_host = "{sim.url}"\nlogin_ca_file = "{sim.cert}"\n'
    path = config.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "[profiles.default]\n" + "\n".join([*lines, *tables]) + "\n")
    path.chmod(0o600)


def secret_file(name: str, text: str) -> str:
    path = paths.private(paths.data_dir()) / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return f'[profiles.default.{name}]\nfile = "{path}"'


def piped(run: Run, user: dict[str, Any], *more: str, password: str = "") -> Done:
    return run("login", "--password-stdin", *more, stdin=(password or user["password"]) + "\n")


def enrolled(user: dict[str, Any], counter: int | None = None) -> Vault:
    vault = Vault(user["username"])
    vault.import_secret(Secret(user["ocra"]), Secret(user["pin"]), counter or user["counter"])
    return vault


def sms_code(sim: Sim) -> str:
    found = re.search(r"\d{6}", sim.control("sms")[-1]["body"])
    assert found is not None
    return found[0]


def proofs(sim: Sim) -> int:
    """How many passwords IBKR has judged."""
    return sum(row["action"] == "COMPLETEAUTH" for row in sim.control("logins"))


def answer(user: dict[str, Any], counter: int, challenge: str) -> str:
    return ocra.respond(Secret(user["ocra"]), Secret(user["pin"]), counter, challenge).reveal()


Typist = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def typist() -> Any:
    """`ibtui login` on a terminal; ended with the test."""
    children = []

    def start(*words: str, password: str = "") -> pexpect.spawn[str]:
        child = pexpect.spawn(
            sys.executable, ["-m", "ibtui", "login", *words], encoding="utf-8", timeout=30,
            env=dict(os.environ), dimensions=(40, 200),
        )  # fmt: skip
        children.append(child)
        if password:
            child.expect("Password of .*: ")
            child.sendline(password)
        return child

    yield start
    for child in children:
        child.close(force=True)


def ended(child: pexpect.spawn[str]) -> int:
    child.expect(pexpect.EOF)
    child.close()
    assert "Traceback" not in str(child.before)
    return int(child.exitstatus)  # type: ignore[arg-type]


# Made here -------------------------------------------------------------------------------


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


# Typed -----------------------------------------------------------------------------------------


def test_sms_typed_sent_again(sim: Sim, typist: Typist) -> None:
    user = sim.user("4.2")
    profile(sim, user)
    child = typist(password=user["password"])
    child.expect("text message .SMS. .4.2.")
    child.expect(CODE_PROMPT)
    child.sendline("12 34")  # too short: not sent
    child.expect("not sent: the answer has 6 digits")
    child.expect(CODE_PROMPT)
    child.sendline("r")
    child.expect(CODE_PROMPT)
    assert len(sim.control("sms")) == 2
    code = sms_code(sim)
    child.sendline(f"{code[:3]} {code[3:]}")
    child.expect("brokerage +on")
    assert ended(child) == 0


def test_choose_remember_and_take_the_other(sim: Sim, typist: Typist) -> None:
    user = sim.user("4.2", "5.2a")
    profile(sim, user)
    child = typist(password=user["password"])
    child.expect("Which one .1 to 2")
    child.sendline("9")
    child.expect("Which one .1 to 2")
    child.sendline("1")
    child.expect(CODE_PROMPT)
    child.sendline("o")
    child.expect(r"Enter (\d+) in the IBKR Mobile app")
    challenge = child.match.group(1)
    child.expect(CODE_PROMPT)
    child.sendline(answer(user, 2, challenge))
    child.expect("brokerage +on")
    assert ended(child) == 0
    child = typist(password=user["password"])  # what worked is remembered
    child.expect(r"Enter (\d+) in the IBKR Mobile app")
    child.expect(CODE_PROMPT)
    child.sendline("")
    assert ended(child) == 6
    assert Vault(user["username"]).status().record.attempts == 0


def test_wrong_code_then_confirmed(sim: Sim, typist: Typist) -> None:
    user = sim.user("4.2")
    profile(sim, user)
    child = typist(password=user["password"])
    child.expect(CODE_PROMPT)
    wrong = f"{(int(sms_code(sim)) + 1) % 1_000_000:06d}"
    child.sendline(wrong)
    child.expect("Completing two factor .4.2. returned error")
    assert ended(child) == 5
    assert Vault(user["username"]).status().record.attempts == 1
    child = typist(password=user["password"])
    child.expect(r"This is attempt 2 of 4 - go on\? .y/N. ")
    child.sendline("n")
    assert ended(child) == 5
    assert Vault(user["username"]).status().record.attempts == 1, "nothing was tried"
    child = typist(password=user["password"])
    child.expect("go on")
    child.sendline("y")
    child.expect(CODE_PROMPT)
    child.sendline(sms_code(sim))
    child.expect("brokerage +on")
    assert ended(child) == 0
    assert Vault(user["username"]).status().record.attempts == 0


def test_an_expired_code_counts(sim: Sim, typist: Typist) -> None:
    user = sim.user("4.2")
    profile(sim, user)
    child = typist(password=user["password"])
    child.expect(CODE_PROMPT)
    sim.control("clock", {"advance_s": 310})
    child.sendline(sms_code(sim))
    assert ended(child) == 5
    assert Vault(user["username"]).status().record.attempts == 1


def test_control_c_at_the_code_leaves_neither_lock_nor_attempt(run: Run, sim: Sim, typist: Typist) -> None:
    user = sim.user("4.2")
    profile(sim, user)
    child = typist(password=user["password"])
    child.expect(CODE_PROMPT)
    child.sendintr()
    assert ended(child) == 130
    assert Vault(user["username"]).status().record.attempts == 0
    with Vault(user["username"]).conversation(0.0):
        pass


def test_twilio_answers_while_the_person_is_asked(sim: Sim, typist: Typist) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    profile(sim, user, secret_file("twilio_token", twilio["token"]), twilio_sid=twilio["sid"])
    sim.control("quirks", {"sms_delay_s": 2.0})
    child = typist(password=user["password"])
    child.expect("looking for the message too")
    child.expect(CODE_PROMPT)
    child.expect("brokerage +on")
    assert ended(child) == 0


def test_the_person_is_quicker_than_twilio(sim: Sim, typist: Typist) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    profile(sim, user, secret_file("twilio_token", twilio["token"]), twilio_sid=twilio["sid"])
    sim.control("quirks", {"sms_delay_s": 60.0})
    child = typist(password=user["password"])
    child.expect(CODE_PROMPT)
    child.sendline(sms_code(sim))
    child.expect("brokerage +on")
    assert ended(child) == 0


def test_a_wrong_token_is_told_and_the_person_goes_on(run: Run, sim: Sim, typist: Typist) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    profile(sim, user, secret_file("twilio_token", "0" * 32), twilio_sid=twilio["sid"])
    child = typist(password=user["password"])
    child.expect("Twilio refused")
    child.sendline(sms_code(sim))
    child.expect("brokerage +on")
    assert ended(child) == 0
    done = piped(run, user)
    assert done.code == 6 and "Twilio refused" in done.err
    assert Vault(user["username"]).status().record.attempts == 0


def test_a_sealed_key_wants_its_passphrase(run: Run, sim: Sim, typist: Typist) -> None:
    user = sim.user("5.2a")
    enrolled(user).seal(Secret("open sesame"))
    profile(sim, user)
    done = piped(run, user)
    assert done.code == 6 and "sealed" in done.err
    child = typist(password=user["password"])
    child.expect("Passphrase of IB Key")
    child.sendline("open sesame")
    child.expect("brokerage +on")
    assert ended(child) == 0
    run("logout")
    profile(sim, user, secret_file("passphrase", "open sesame"))
    assert piped(run, user).code == 0


def test_ibkey_is_enrolled_by_itself_where_that_was_switched_on(run: Run, sim: Sim) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    token = secret_file("twilio_token", twilio["token"])
    profile(sim, user, token, twilio_sid=twilio["sid"], use_ibkey=True)
    done = piped(run, user)
    assert done.code == 0, done.err
    assert "enrolling it" in done.err and "answering with the enrolled key" in done.err
    assert Vault(user["username"]).status().counter == 3


# The guard ---------------------------------------------------------------------------------------


def test_waits_and_the_limit(run: Run, sim: Sim) -> None:
    user = sim.user()
    profile(sim, user, max_attempts=2)
    assert piped(run, user, password="wrong").code == 5
    done = piped(run, user)
    assert done.code == 5 and "backoff" in done.err and "try again in" in done.err
    assert "attempts used: 1 of 2 · automatic logins wait" in run("status").out
    vault = Vault(user["username"])
    vault.person = True
    vault.attempt()
    before = proofs(sim)
    done = piped(run, user)
    assert done.code == 5 and "the limit is 2" in done.err
    assert proofs(sim) == before
    refused = run("login", "--reset-attempts")
    assert refused.code == 6 and "locks the account" in refused.err
    assert run("login", "--reset-attempts", "--yes", "--json").json["were"] == 2
    assert piped(run, user).code == 0


def test_a_refused_password_of_a_source_is_not_sent_again_by_itself(run: Run, sim: Sim) -> None:
    user = sim.user()
    profile(sim, user, secret_file("password", "wrong-4711"))
    assert run("login").code == 5
    before = proofs(sim)
    done = run("login")
    assert done.code == 5 and "not sent again by itself" in done.err and "wrong-4711" not in done.err
    assert proofs(sim) == before
    secret_file("password", user["password"])
    run("login", "--reset-attempts", "--yes")
    assert run("login").code == 0


def test_two_at_once_are_one_login(sim: Sim, spawn: Spawn) -> None:
    user = sim.user()
    profile(sim, user, secret_file("password", user["password"]))
    sim.control("faults", {"path": "/sso/Authenticator", "kind": "delay", "seconds": 1.5, "count": 2})
    both = [spawn("login") for _ in range(2)]
    said = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sum("another ibtui is logging in" in err for _, err in said) == 1
    assert proofs(sim) == 1


def test_two_at_once_with_a_wrong_password_are_one_refusal(sim: Sim, spawn: Spawn) -> None:
    user = sim.user()
    profile(sim, user, secret_file("password", "wrong-4711"))
    sim.control("faults", {"path": "/sso/Authenticator", "kind": "delay", "seconds": 1.5, "count": 2})
    both = [spawn("login") for _ in range(2)]
    said = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [5, 5], said
    assert all("refused user name or password" in err for _, err in said)
    assert proofs(sim) == 1
    assert Vault(user["username"]).status().record.attempts == 1


# After it ------------------------------------------------------------------------------------------


def test_a_live_user_name_in_a_paper_profile(run: Run, sim: Sim) -> None:
    user = next(user for user in sim.ready["users"] if user["username"] == "live1234")
    profile(sim, user)
    done = piped(run, user)
    assert done.code == 5
    assert (
        "live user name" in done.err and "meant for paper" in done.err and 'account_type = "live"' in done.err
    )
    assert Vault(user["username"]).status().record.attempts == 0
    assert run("status").code == 4, "it was logged out again"
    profile(sim, user, account_type="live")
    assert piped(run, user).code == 0


def test_paper_is_known_by_the_accounts_too(run: Run, sim: Sim) -> None:
    sim.control("quirks", {"paper_element": False})
    user = sim.user()
    profile(sim, user, account_type="live")
    done = piped(run, user)
    assert done.code == 5 and "meant for live" in done.err


@pytest.mark.parametrize(
    ("policy", "code", "word"), [("ask", 8, "--take-over"), ("yield", 8, "left there"), ("take", 0, "")]
)
def test_a_rival(run: Run, sim: Sim, policy: str, code: int, word: str) -> None:
    user = sim.user()
    profile(sim, user, competing=policy)
    sim.control("session", {"action": "compete", "username": user["username"]})
    done = piped(run, user)
    assert done.code == code, done.err
    assert word in done.err


def test_a_rival_asked_about_at_the_terminal(sim: Sim, typist: Typist) -> None:
    user = sim.user()
    profile(sim, user)
    sim.control("session", {"action": "compete", "username": user["username"]})
    child = typist(password=user["password"])
    child.expect(r"Take it over\? .y/N.")
    child.sendline("y")
    child.expect("brokerage +on")
    assert ended(child) == 0


def test_wait_ready(run: Run, sim: Sim, spawn: Spawn) -> None:
    user = sim.user()
    profile(sim, user)
    done = run("wait", "ready", "--timeout", "1.5")
    assert done.code == 4 and "nobody is logged in" in done.out
    waiting = spawn("wait", "ready", "--timeout", "40", "--json")
    assert piped(run, user).code == 0
    out, err = waiting.communicate(timeout=45)
    assert waiting.returncode == 0 and json.loads(out)["ready"] is True, err


def test_maintenance_costs_no_attempt(run: Run, sim: Sim) -> None:
    user = sim.user()
    profile(sim, user)
    sim.control("session", {"action": "maintenance", "seconds": 600})
    assert piped(run, user).code == 75
    assert Vault(user["username"]).status().record.attempts == 0


@pytest.mark.parametrize("user", ["grid1234", "novel123", "card1234"])
def test_a_factor_that_cannot_be_answered(run: Run, sim: Sim, user: str) -> None:
    found = next(it for it in sim.ready["users"] if it["username"] == user)
    profile(sim, found)
    done = piped(run, found)
    assert done.code == 6
    assert all(f"[{code}]" in done.err for code in found["factors"]) and "browser" in done.err


def test_secrets_of_the_environment_stay_there(run: Run, sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    profile(sim, sim.user())
    monkeypatch.setenv("IB_AUTH_TWILIO_ACCOUNT_SID", "AC0815")
    monkeypatch.setenv("IB_AUTH_TWILIO_AUTH_TOKEN", "Planted-4711")
    monkeypatch.setenv("IBTUI_PROFILES_DEFAULT_PASSWORD", "Planted-4712")
    for words in (
        ("config", "show"),
        ("config", "show", "--json"),
        ("config", "check"),
        ("login", "--debug"),
    ):
        done = run(*words)
        assert "Planted" not in done.out + done.err
    shown = {row["key"]: row for row in run("config", "show", "--json").json}
    token = shown["profiles.default.twilio_token"]
    assert token["value"] == "env IB_AUTH_TWILIO_AUTH_TOKEN"
    assert token["origin"] == "environment IB_AUTH_TWILIO_AUTH_TOKEN"
    assert shown["profiles.default.password"]["value"] == "env IBTUI_PROFILES_DEFAULT_PASSWORD"


def test_a_live_session_opened_elsewhere_is_told_on_the_time_line(start_sim: StartSim) -> None:
    sim = start_sim("--logged-in", "live1234")

    async def look() -> list[str]:
        where = Profile(name="p", gateway_url=sim.url, ca_file=sim.cert or "")
        runtime = LocalRuntime(Settings(profile="p", profiles={"p": where}))
        try:
            await runtime.refresh()
            await runtime.go_live()
            return [event.text for event in runtime.events if event.level == "warn"]
        finally:
            await runtime.close()

    assert any("live accounts, and the profile is meant for paper" in text for text in asyncio.run(look()))


def test_nothing_secret_is_left_anywhere(run: Run, sim: Sim, own_folders: Path) -> None:
    user = sim.user("4", "4.2", "5.2a")
    twilio = sim.ready["twilio"]
    profile(
        sim, user, secret_file("twilio_token", twilio["token"]), twilio_sid=twilio["sid"], second_factor="sms"
    )
    (paths.data_dir() / "twilio_token").rename(own_folders.parent / "token")
    text = (
        config.default_path()
        .read_text()
        .replace(str(paths.data_dir() / "twilio_token"), str(own_folders.parent / "token"))
    )
    config.default_path().write_text(text)
    said = ""
    for _ in range(2):
        done = piped(run, user, "--debug")
        assert done.code == 0, done.err
        said += done.out + done.err
        time.sleep(1)
    said += run("config", "show").out
    code = sms_code(sim)
    written = {path: path.read_bytes() for path in own_folders.rglob("*") if path.is_file()}
    assert len(written) >= 4
    for secret in (user["password"], twilio["token"], code):
        assert secret not in said
        for path, content in written.items():
            assert secret.encode() not in content, path
    assert all(path.stat().st_mode & 0o077 == 0 for path in written)
