from __future__ import annotations

from pathlib import Path

import pytest

from ibtui.errors import GatewayFault, UsageError
from ibtui.gateway.java import find_java, install_hint, parse_version


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def java(home: Path, version: str = "17.0.15") -> Path:
    return program(home / "bin" / "java", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("1.8.0_192", (8, 192)),
        ("1.8.0_411-b09", (8, 411)),
        ("1.8.0", (8, 0)),
        ("17.0.15", (17, 15)),
        ("11", (11, 0)),
        ("21-ea", (21, 0)),
        ("22.0.1+8", (22, 1)),
        ("", (0, 0)),
    ],
)
def test_versions(text: str, release: tuple[int, int]) -> None:
    assert parse_version(text) == release


async def test_order_setting_home_path(tmp_path: Path) -> None:
    set_, home, path = (java(tmp_path / name) for name in ("set", "home", "path"))
    env = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(path.parent)}
    assert (await find_java(str(set_), env)).path == set_
    assert (await find_java(str(tmp_path / "set"), env)).path == set_
    found = await find_java("", env)
    assert found.path == home and found.version == "17.0.15" and found.release == (17, 15)
    assert (await find_java("", {"PATH": str(path.parent)})).path == path
    assert (await find_java("", {**env, "JAVA_HOME": str(tmp_path / "wrong")})).path == path


async def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(GatewayFault, match="needs Java") as caught:
        await find_java("", {"PATH": str(tmp_path)})
    assert caught.value.fix


async def test_setting_that_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a program"):
        await find_java(str(tmp_path / "nothing"), {})


async def test_too_old(tmp_path: Path) -> None:
    with pytest.raises(GatewayFault, match=r"is Java 1\.8\.0_191; .* 8u192"):
        await find_java(str(java(tmp_path, "1.8.0_191")), {})
    assert (await find_java(str(java(tmp_path, "1.8.0_192")), {})).release == (8, 192)


async def test_program_that_is_not_java(tmp_path: Path) -> None:
    stub = program(tmp_path / "java", "echo Unable to locate a Java Runtime >&2; exit 1")
    with pytest.raises(GatewayFault, match="does not run as Java"):
        await find_java(str(stub), {}, platform="darwin")
    broken = tmp_path / "broken"
    broken.write_bytes(b"\0")
    broken.chmod(0o755)
    with pytest.raises(GatewayFault, match="cannot be run"):
        await find_java(str(broken), {})


async def test_program_that_hangs(tmp_path: Path) -> None:
    slow = program(tmp_path / "java", "exec sleep 30")
    with pytest.raises(GatewayFault, match=r"did not answer within 0\.2 s"):
        await find_java(str(slow), {"PATH": "/usr/bin:/bin"}, timeout=0.2)


@pytest.mark.parametrize(
    ("platform", "text", "word"),
    [
        ("darwin", "", "brew install openjdk"),
        ("linux", "ID=debian\n", "apt install"),
        ("linux", 'NAME="Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt install"),
        ("linux", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install"),
        ("linux", "ID=arch\n", "pacman"),
        ("linux", "ID=alpine\n", "apk add"),
        ("linux", 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper"),
        ("linux", "ID=other\nNAME=debian\n", "Java runtime"),
    ],
)
def test_hints(platform: str, text: str, word: str) -> None:
    assert word in install_hint(platform, text)


def test_hint_here() -> None:
    assert install_hint().startswith("Install")
