"""Scenarios: built-in ones, TOML files, mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibtui.errors import UsageError
from ibtui.sim import scenario


def test_the_built_in_users() -> None:
    chosen = scenario.load(seed=5)
    names = [user.username for user in chosen.users]
    assert names[0] == "demo123"
    assert len(set(names)) == len(names)
    assert chosen.users[0].accounts == ["DU1234567"]
    assert any(len(user.accounts) == 2 for user in chosen.users)
    assert {login.group.proto for login in chosen.logins} == {"3", "6", "6a"}
    assert any(login.group.short for login in chosen.logins)
    assert any(login.group.g != 2 for login in chosen.logins)
    assert any(not user.paper for user in chosen.users)
    assert len({account for user in chosen.users for account in user.accounts}) == len(names) + 1


def test_calm_has_no_pacing() -> None:
    assert scenario.load("calm").quirks.pacing is False


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(
        """
        [quirks]
        binary_frames = false
        questions = ["o163"]
        bridge_delay_s = 2
        [settings]
        auth_delay_s = 3
        [[users]]
        username = "Someone"
        password = "pa55"
        factors = ["4.2"]
        accounts = ["U1111111"]
        proto = "6a"
        group = "other"
        short = true
        [[users]]
        username = "plain"
        """,
        encoding="utf-8",
    )
    chosen = scenario.load(str(file), seed=2)
    assert chosen.quirks.binary_frames is False
    assert chosen.quirks.questions == ["o163"]
    assert chosen.quirks.bridge_delay_s == 2.0
    assert chosen.settings.auth_delay_s == 3.0
    first, second = chosen.logins
    assert (first.user.password, first.user.paper, first.user.factors) == ("pa55", False, ["4.2"])
    assert (first.group.proto, first.group.short, first.group.g) == ("6a", True, 5)
    assert second.user.accounts == ["DU8000001"]
    assert len(second.user.password) == 12
    assert chosen.find("SOMEONE") is first


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[quirk]\nx=1",
        "[quirks]\nno_such = 1",
        "[quirks]\nbinary_frames = 1",
        "[settings]\nauth_delay_s = 'x'",
        "[[users]]\npassword = 'x'",
        "[[users]]\nusername = 'x'\nproto = '7'",
        "[[users]]\nusername = 'x'\ncolour = 'red'",
        "[[users]]\nusername = 'x'\naccounts = []",
    ],
)
def test_mistakes_in_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError):
        scenario.load(str(file))


def test_no_such_scenario() -> None:
    with pytest.raises(UsageError, match="default, calm"):
        scenario.load("/no/such/file.toml")
