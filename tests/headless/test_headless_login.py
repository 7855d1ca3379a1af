"""`ibtui login` and `logout`: piped, typed, refused, locked out by others, IBKR away."""

from __future__ import annotations

import os
import sys

import pexpect
import pytest

from tests.conftest import Sim
from tests.headless.conftest import Run, write_profile


def piped(run: Run, sim: Sim, *more: str, factors: tuple[str, ...] = (), password: str = "") -> object:
    user = sim.user(*factors)
    words = ("login", "--user", user["username"], "--password-stdin", *more)
    return run(*words, stdin=(password or user["password"]) + "\n")


def test_login_from_standard_input(run: Run, fresh: Sim) -> None:
    done = piped(run, fresh)
    assert done.code == 0, done.err
    assert "brokerage  on" in done.out
    assert "User name and password" in done.err
    status = run("status", "--json")
    assert status.code == 0 and status.json["ready"] is True


def test_login_as_json_and_the_profiles_user_name(run: Run, sim: Sim) -> None:
    user = sim.user()
    write_profile(sim.url, sim.cert, username=user["username"])
    done = run("login", "--password-stdin", "--json", stdin=user["password"] + "\n")
    assert done.code == 0 and done.json["ready"] is True


def test_login_if_needed_does_nothing_when_ready(run: Run, at: Sim) -> None:
    done = run("login", "--if-needed")
    assert done.code == 0 and "nothing to do" in done.err
    assert not any("Authenticator" in entry["path"] for entry in at.journal())


def test_wrong_password(run: Run, fresh: Sim) -> None:
    done = piped(run, fresh, password="wrong-Password-77")
    assert done.code == 5
    assert "refused user name or password" in done.err and "try again" in done.err
    assert "wrong-Password-77" not in done.out + done.err


def test_wrong_password_until_locked(run: Run, fresh: Sim) -> None:
    for _ in range(6):
        done = piped(run, fresh, password="nonsense")
        assert done.code == 5
        # Our own guard would have stopped it before IBKR does.
        assert run("login", "--user", fresh.user()["username"], "--reset-attempts", "--yes").code == 0
    assert "no further attempt" in done.err and "Do not try again" in done.err


def test_no_terminal_and_no_password(run: Run, fresh: Sim) -> None:
    done = run("login", "--user", "demo123")
    assert done.code == 6 and "--password-stdin" in done.err
    assert run("login", "--password-stdin", stdin="").code == 6


def test_nobody_said_which_user(run: Run, fresh: Sim) -> None:
    done = run("login", "--password-stdin", stdin="secret\n")
    assert done.code == 6 and "--user" in done.err


@pytest.mark.parametrize(
    ("factors", "names"),
    [(("4",), ["authenticator app"]), (("4.2", "5.2a"), ["text message (SMS)", "IB Key on Android"])],
)
def test_a_second_factor_is_named(run: Run, fresh: Sim, factors: tuple[str, ...], names: list[str]) -> None:
    done = piped(run, fresh, factors=factors)
    assert done.code == 6
    assert all(name in done.err for name in names)
    assert "browser" in done.err


def test_ibkr_in_maintenance(run: Run, fresh: Sim) -> None:
    fresh.control("faults", {"path": "/sso/Authenticator", "kind": "status", "status": 503, "count": None})
    done = piped(run, fresh)
    assert done.code == 75
    assert "maintenance" in done.err and "Try again" in done.err


def test_reading_while_ibkr_is_away(run: Run, at: Sim) -> None:
    at.control("faults", {"path": "/tickle", "kind": "status", "status": 503, "count": None})
    for command in ("status", "positions"):
        done = run(command)
        assert done.code == 75, done
        assert "503" in done.out + done.err


def test_another_program_holds_the_session(run: Run, fresh: Sim) -> None:
    user = fresh.user()
    fresh.control("session", {"action": "compete", "username": user["username"]})
    done = piped(run, fresh)
    assert done.code == 8
    assert "--take-over" in done.err
    status = run("status")
    assert status.code == 8 and "another program" in status.out
    taken = run("login", "--take-over")
    assert taken.code == 0, taken.err
    assert run("status").code == 0


def test_login_and_take_over_in_one(run: Run, fresh: Sim) -> None:
    fresh.control("session", {"action": "compete", "username": fresh.user()["username"]})
    done = piped(run, fresh, "--take-over")
    assert done.code == 0, done.err


def test_logout(run: Run, at: Sim) -> None:
    done = run("logout")
    assert done.code == 0 and "Logged out" in done.err
    assert run("status").code == 4
    again = run("logout")
    assert again.code == 0 and "Nobody was logged in" in again.err


def test_the_password_is_not_echoed_on_a_terminal(fresh: Sim) -> None:
    user = fresh.user()
    child = pexpect.spawn(
        sys.executable, ["-m", "ibtui", "login"], encoding="utf-8", timeout=30, env=dict(os.environ)
    )
    seen = []
    child.logfile_read = type("Log", (), {"write": lambda _, s: seen.append(s), "flush": lambda _: None})()
    child.expect("User name: ")
    child.sendline(user["username"])
    child.expect("Password of demo123: ")
    child.sendline(user["password"])
    child.expect("brokerage +on")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert user["password"] not in "".join(seen)


def test_control_c_at_the_password_prompt(fresh: Sim) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "ibtui", "login", "--user", "demo123"],
        encoding="utf-8", timeout=20, env=dict(os.environ),
    )  # fmt: skip
    child.expect("Password of demo123: ")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert "Traceback" not in child.before
    assert child.exitstatus == 130
