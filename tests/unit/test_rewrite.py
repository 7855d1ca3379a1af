"""Changing the settings file keeps what a person wrote there."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ibtui import config, rewrite
from ibtui.errors import UsageError

TEXT = """# mine
profile = "me"   # the one

[ui]
theme = "ibtui-light"

[profiles.me]
# two lines
username = "joe"
account_type = "paper"  # for now
[profiles.me.password]
command = ["pass", "show", "ibkr"]

[profiles.other]
username = "ann"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "config.toml"
    path.parent.mkdir()
    path.write_text(TEXT)
    path.chmod(0o600)
    return path


def test_one_value_changes_and_nothing_else(file: Path) -> None:
    rewrite.set_keys(file, {"profiles.me.account_type": "live"})
    assert file.read_text() == TEXT.replace('"paper"', '"live"')
    assert file.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in file.parent.iterdir() if p.suffix not in (".lock", ".toml")] == []


def test_new_keys_and_tables(file: Path) -> None:
    rewrite.set_keys(
        file,
        {"profiles.me.hook": ("notify", "x"), "serve.port": 5051, "profiles.me.trading": True,
         "profiles.me.twilio_token": {"file": "/run/token"},
         "profiles.me.totp_secret": {"command": ("otp", "x")},
         "profiles.new.username": "eve"},
    )  # fmt: skip
    found = config.load(file, env={})
    me = found.profiles["me"]
    assert (me.hook, me.trading, me.username, me.password.command[0]) == (
        ("notify", "x"),
        True,
        "joe",
        "pass",
    )
    assert me.twilio_token.file == "/run/token" and found.serve.port == 5051
    assert found.profiles["new"].username == "eve" and found.profiles["other"].username == "ann"
    assert "# two lines" in file.read_text() and "# the one" in file.read_text()


APART = """[profiles.me]
username = "joe"  # x
[addresses]
twilio = "https://x.example"
[profiles.me.password]
file = "/p"
[ui]
theme = "t"
[profiles.other]
username = "ann"
"""


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("profiles.me.username", "eve", '"joe"', '"eve"'),
        ("profiles.me.account_type", "live", "# x\n", '# x\naccount_type = "live"\n'),
        ("profiles.other.username", "eve", '"ann"', '"eve"'),
        ("profiles.me.password.file", "/q", "/p", "/q"),
        ("profiles.me.password", {"env": "X"}, 'file = "/p"', 'env = "X"'),
    ],
)
def test_tables_whose_parts_stand_apart(file: Path, key: str, value: object, old: str, new: str) -> None:
    file.write_text(APART)
    rewrite.set_keys(file, {key: value})
    assert file.read_text() == APART.replace(old, new)


def test_new_tables_where_parts_stand_apart(file: Path) -> None:
    file.write_text(APART)
    rewrite.set_keys(file, {"profiles.new.username": "eve", "profiles.me.totp_secret": {"env": "X"}})
    found = config.load(file, env={}).profiles
    assert (found["new"].username, found["me"].username, found["me"].password.file) == ("eve", "joe", "/p")
    assert found["me"].totp_secret.env == "X" and "# x" in file.read_text()


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    rewrite.set_keys(path, {"profiles.default.account_type": "live"})
    assert config.load(path, env={}).chosen().account_type == "live"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("profiles.me.account_type", "papre", "must be one of paper, live"),
        ("profiles.me.acount_type", "paper", "did you mean 'account_type'"),
        ("profiles.me.max_attempts", 99, "must be from 1 to 10"),
        ("profile.me", "x", "profile is not a table"),
        ("nothing", "x", "unknown key 'nothing'"),
    ],
)
def test_a_bad_value_changes_nothing(file: Path, key: str, value: object, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        rewrite.set_keys(file, {key: value})
    assert str(file) in str(caught.value) and ".new" not in str(caught.value)
    assert file.read_text() == TEXT


def test_what_is_not_toml_is_left_alone(file: Path) -> None:
    file.write_text("a = [")
    with pytest.raises(UsageError, match="not TOML"):
        rewrite.set_keys(file, {"profiles.me.account_type": "live"})
    assert file.read_text() == "a = ["


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(file: Path) -> None:
    file.parent.chmod(0o500)
    try:
        with pytest.raises(UsageError, match="cannot be changed"):
            rewrite.set_keys(file, {"profiles.me.account_type": "live"})
    finally:
        file.parent.chmod(0o700)


def test_a_link_stays_and_what_it_leads_to_changes(file: Path, tmp_path: Path) -> None:
    dotfiles, home = tmp_path / "dotfiles", tmp_path / "joe"
    dotfiles.mkdir()
    home.mkdir()
    real = file.rename(dotfiles / "ibtui.toml")
    real.chmod(0o644)
    (home / "ibtui").symlink_to("../dotfiles")
    link = home / "config.toml"
    link.symlink_to("ibtui/ibtui.toml")
    rewrite.set_keys(link, {"profiles.me.account_type": "live"})
    assert link.is_symlink() and real.read_text() == TEXT.replace('"paper"', '"live"')
    assert real.stat().st_mode & 0o777 == 0o644
    assert {it.name for it in home.iterdir()} == {"ibtui", "config.toml"}
    assert {it.name for it in dotfiles.iterdir()} <= {"ibtui.toml", ".ibtui.toml.lock"}
    with pytest.raises(UsageError, match="must be one of") as caught:
        rewrite.set_keys(link, {"profiles.me.account_type": "x"})
    assert str(link) in str(caught.value)


def test_a_link_that_leads_nowhere_yet(tmp_path: Path) -> None:
    link = tmp_path / "config.toml"
    link.symlink_to(tmp_path / "dotfiles" / "ibtui.toml")
    rewrite.set_keys(link, {"serve.port": 5051})
    assert link.is_symlink() and config.load(link, env={}).serve.port == 5051
    round_ = tmp_path / "round.toml"
    round_.symlink_to(round_)
    with pytest.raises(UsageError, match="circle"):
        rewrite.set_keys(round_, {"serve.port": 5051})
    assert round_.is_symlink()


def test_what_is_no_text_is_left_alone(file: Path) -> None:
    file.write_bytes(b"a = '\xff'")
    with pytest.raises(UsageError, match="not UTF-8"):
        rewrite.set_keys(file, {"serve.port": 5051})
    assert file.read_bytes() == b"a = '\xff'"


def test_a_file_that_is_far_too_large_is_left_alone(file: Path) -> None:
    text = TEXT + "# x\n" * 1_100_000
    file.write_text(text)
    with pytest.raises(UsageError, match="too large"):
        rewrite.set_keys(file, {"serve.port": 5051})
    with pytest.raises(UsageError, match="too large"):
        config.load(file, env={})
    assert file.read_text() == text


def test_line_ends_of_another_system_stay(file: Path) -> None:
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    rewrite.set_keys(file, {"profiles.me.account_type": "live"})
    assert file.read_bytes() == TEXT.replace('"paper"', '"live"').replace("\n", "\r\n").encode()


def test_writers_wait_for_each_other(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: rewrite.set_keys(file, {f"profiles.p{n}.username": f"u{n}"}), range(24)))
    found = config.load(file, env={})
    assert {found.profiles[f"p{n}"].username for n in range(24)} == {f"u{n}" for n in range(24)}
