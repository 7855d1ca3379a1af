"""Passwords that were refused: none of them is sent again by itself, whatever came in between."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pexpect
import pytest

from ibtui.auth.vault import Vault
from tests.conftest import Sim
from tests.headless.conftest import Run
from tests.headless.factor_tools import piped, profile, proofs, secret_file

WRONG = "wrong-4711"


@pytest.fixture
def terminal() -> Iterator[Any]:
    """`ibtui login` on a terminal; ended with the test."""
    children = []

    def start() -> pexpect.spawn[str]:
        child = pexpect.spawn(
            sys.executable, ["-m", "ibtui", "login"], encoding="utf-8", timeout=30,
            env=dict(os.environ), dimensions=(40, 200),
        )  # fmt: skip
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)


def lift_the_wait(username: str) -> None:
    """As if hours had gone by; the attempts stay."""
    path = Vault(username).path
    path.write_text(json.dumps({**json.loads(path.read_text()), "not_before": None}))


def test_a_typed_success_does_not_make_the_sources_password_right(run: Run, sim: Sim, terminal: Any) -> None:
    user = sim.user()
    profile(sim, user, secret_file("password", WRONG))
    assert run("login").code == 5
    child = terminal()
    child.expect("Have you corrected it.*N. ")
    child.sendline("n")
    child.expect("Password of .*: ")
    child.sendline(user["password"])
    child.expect("go on.*N. ")
    child.sendline("y")
    child.expect("brokerage +on")
    child.expect(pexpect.EOF)
    assert Vault(user["username"]).status().record.attempts == 0
    run("logout")
    before = proofs(sim)
    done = run("login")
    assert done.code == 5 and "not sent again by itself" in done.err
    assert proofs(sim) == before
    secret_file("password", user["password"])
    assert run("login", "--reset-attempts", "--yes").code == 0
    assert run("login").code == 0
    run("logout")
    assert run("login").code == 0


def test_an_outage_in_between_does_not_make_it_right(run: Run, sim: Sim) -> None:
    user = sim.user()
    profile(sim, user, secret_file("password", WRONG))
    assert run("login").code == 5
    lift_the_wait(user["username"])
    sim.control("session", {"action": "maintenance", "seconds": 600})
    assert piped(run, user).code == 75
    before = proofs(sim)
    assert "not sent again by itself" in run("login").err
    assert proofs(sim) == before


def test_where_ibkr_allows_no_more_nothing_is_sent_again(run: Run, sim: Sim) -> None:
    user = sim.user()
    profile(sim, user)
    for _ in range(6):
        done = piped(run, user, password=WRONG)
        if "no further attempt" in done.err:
            break
        assert run("login", "--reset-attempts", "--yes").code == 0
    assert "no further attempt" in done.err
    before = proofs(sim)
    lift_the_wait(user["username"])
    done = piped(run, user)
    assert done.code == 5 and "allowed no further attempt" in done.err and "--reset-attempts" in done.err
    assert proofs(sim) == before
    assert run("login", "--reset-attempts", "--yes").code == 0
    piped(run, user)
    assert proofs(sim) == before + 1
