"""Logins with a second factor that a person types at a terminal; and what may answer first."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pexpect
import pytest

from ibtui.auth.vault import Vault
from ibtui.secret import Secret
from tests.conftest import Sim
from tests.headless.conftest import Run
from tests.headless.factor_tools import (
    CODE_PROMPT,
    answer,
    enrolled,
    piped,
    profile,
    secret_file,
    sms_code,
)

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
    child.expect(r"The challenge: (\d+)")
    challenge = child.match.group(1)
    child.expect(CODE_PROMPT)
    child.sendline(answer(user, 2, challenge))
    child.expect("brokerage +on")
    assert ended(child) == 0
    child = typist(password=user["password"])  # what worked is remembered
    child.expect(r"The challenge: (\d+)")
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


def test_a_message_from_before_the_password_is_not_this_logins(sim: Sim, typist: Typist) -> None:
    user, twilio = sim.user("4.2"), sim.ready["twilio"]
    profile(sim, user, secret_file("twilio_token", twilio["token"]), twilio_sid=twilio["sid"])
    sim.control("quirks", {"sms_delay_s": 1.5})
    child = typist()
    child.expect("Password of .*: ")
    sim.control("sms", {"body": "Your IBKR authentication code: 111111"})
    time.sleep(1.1)  # the messages' times are whole seconds
    child.sendline(user["password"])
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


def test_a_rival_asked_about_at_the_terminal(sim: Sim, typist: Typist) -> None:
    user = sim.user()
    profile(sim, user)
    sim.control("session", {"action": "compete", "username": user["username"]})
    child = typist(password=user["password"])
    child.expect(r"Take it over\? .y/N.")
    child.sendline("y")
    child.expect("brokerage +on")
    assert ended(child) == 0
