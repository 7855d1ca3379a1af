"""Logins with a second factor: the guard against too many of them, and what comes after one."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from ibtui import config, paths
from ibtui.auth.vault import Vault
from ibtui.config import Profile, Settings
from ibtui.service.local import LocalRuntime
from tests.conftest import Sim, StartSim
from tests.headless.conftest import Run, Spawn
from tests.headless.factor_tools import (
    piped,
    profile,
    proofs,
    secret_file,
    sms_code,
)

# The guard --------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("skip", "code", "attempts"), [(0, 0, 0), (1, 5, 1)])
def test_the_one_that_logs_in_is_killed_while_another_waits(
    sim: Sim, spawn: Spawn, skip: int, code: int, attempts: int
) -> None:
    """Before the proof left the other logs in; after it, it waits like anybody: nobody knows the outcome."""
    user = sim.user()
    profile(sim, user, secret_file("password", user["password"]))
    fault = {"path": "/sso/Authenticator", "kind": "hang", "count": 1, "skip": skip, "seconds": 30}
    sim.control("faults", fault)
    first = spawn("login")
    end = time.monotonic() + 20
    while sum(row["path"].startswith("/sso/Authenticator") for row in sim.journal()) <= skip:
        assert first.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    second = spawn("login")
    assert second.stderr is not None
    while "another ibtui is logging in" not in second.stderr.readline():
        assert second.poll() is None and time.monotonic() < end
    first.kill()
    said = second.communicate(timeout=30)[1]
    assert second.returncode == code, said
    assert ("backoff" in said) == bool(attempts)
    assert Vault(user["username"]).status().record.attempts == attempts
    assert proofs(sim) <= 1


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
    port = sim.url.rpartition(":")[2]
    assert f"The address: {sim.url} " in done.err and f"ssh -L {port}:localhost:{port} HOST" in done.err


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
