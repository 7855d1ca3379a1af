"""Every second factor through the real Java gateway, by the command: typed at a terminal, and by itself.

The simulator is IBKR behind the gateway, IBKR's login host for the enrollment, and Twilio.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ibtui.auth.vault import Vault
from ibtui.secret import Secret
from ibtui.sim import ocra, totp
from tests.interop.java_world import World, started
from tests.interop.peers import Peers

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("java-one")]


@pytest.fixture
def world(peers: Peers, start_sim: Any, tmp_path: Path) -> Iterator[World]:
    """A world whose gateway has been started by the command."""
    with started(peers.gateway(), start_sim("--plain", "--seed", "7"), tmp_path) as world:
        yield world


def test_typed_at_a_terminal(world: World) -> None:
    by_sms = world.sim.user("4.2")
    child = world.at_the_prompt(by_sms)
    child.expect("Code .*: ")
    child.sendline(world.sim.control("sms")[-1]["body"][-6:])
    world.finish(child)
    assert world.answered() == (by_sms["username"], "login")

    by_totp = world.sim.user("4")
    child = world.at_the_prompt(by_totp)
    child.expect("Code .*: ")
    if time.time() % 30 > 27:
        time.sleep(3.5)
    child.sendline(totp.code_at(by_totp["totp_secret"], time.time()))
    world.finish(child)
    assert world.answered() == (by_totp["username"], "login")

    by_phone = world.sim.user("5.2a")
    child = world.at_the_prompt(by_phone)
    child.expect(r"The challenge: (\d+)")
    value = ocra.value_of(by_phone["counter"], rfc=False)
    answer = ocra.answer(bytes.fromhex(by_phone["ocra"]), value, child.match[1], by_phone["pin"])
    child.expect("Response .*: ")
    child.sendline(answer)
    world.finish(child)
    assert world.answered() == (by_phone["username"], "login")
    assert all(world.kept(user)["attempts"] == 0 for user in (by_sms, by_totp, by_phone))


def test_by_itself(world: World) -> None:
    by_totp = world.sim.user("4")
    secret = world.private("totp", by_totp["totp_secret"])
    world.settings(f'totp_secret.file = "{secret}"')
    world.piped(by_totp)
    assert world.answered() == (by_totp["username"], "login")
    assert world.idle() < 1.0  # 0.5 s on a quiet machine

    user = world.sim.user("4.2")
    world.settings(*world.twilio)
    world.piped(user)
    assert world.answered() == (user["username"], "login")

    words = (
        "ibkey",
        "enroll",
        "--user",
        user["username"],
        "--password-stdin",
        "--yes",
        "--make-pin",
        "--json",
    )
    told = json.loads(world.run(*words, stdin=user["password"] + "\n"))
    assert told["login"] == "ready" and told["logins_left"] == 93
    assert world.kept(user)["counter"] == 3
    setups = [row for row in world.sim.control("logins") if row["action"] == "COMPLETE_SETUP"]
    assert [(row["user"], row["accepted"]) for row in setups] == [(user["username"], True)]

    code_at = len(world.sim.control("sms"))
    world.piped(user)
    assert world.kept(user)["counter"] == 4 and len(world.sim.control("sms")) == code_at
    used = [row["counter"] for row in world.sim.control("logins") if row["counter"] is not None]
    assert used[-2:] == [2, 3]
    via = {row["via"] for row in world.sim.journal() if row["path"].startswith("/sso/Authenticator?")}
    direct = {row["via"] for row in world.sim.journal() if row["path"].startswith("/sso/AuthenticatorMgr")}
    assert "gateway" not in direct and via <= {"gateway"}
    assert world.kept(user)["ocra"] not in world.said


def test_a_terminal_where_only_the_password_is_typed(world: World) -> None:
    """No factor, Twilio, an authenticator's secret, an imported IB Key: no code is asked for."""
    plain, by_sms, by_totp, by_key = (world.sim.user(*code) for code in ((), ("4.2",), ("4",), ("5.2a",)))
    world.finish(world.at_the_prompt(plain))

    world.settings(*world.twilio)
    world.finish(world.at_the_prompt(by_sms))
    assert world.answered() == (by_sms["username"], "login")

    secret = world.private("totp", by_totp["totp_secret"])
    world.settings(f'totp_secret.file = "{secret}"')
    world.finish(world.at_the_prompt(by_totp))
    assert world.answered() == (by_totp["username"], "login")

    Vault(by_key["username"]).import_secret(Secret(by_key["ocra"]), Secret(by_key["pin"]), by_key["counter"])
    world.settings()
    world.finish(world.at_the_prompt(by_key))
    assert world.answered() == (by_key["username"], "login")
    assert world.kept(by_key)["counter"] == by_key["counter"] + 1


def test_no_terminal_and_the_code_from_a_program(world: World) -> None:
    """No factor, then a text message whose code a program prints."""
    world.piped(world.sim.user())

    by_sms = world.sim.user("4.2")
    script = (
        "import json, urllib.request as u;"
        f"print(json.load(u.urlopen('{world.sim.url}/sim/sms'))[-1]['body'][-6:])"
    )
    world.piped(by_sms, "--code-command", json.dumps([sys.executable, "-c", script]))
    assert world.answered() == (by_sms["username"], "login")
