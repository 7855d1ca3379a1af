"""Temp folders of demos and simulators: theirs alone, gone with them, swept when they were killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ibtui import scratch
from ibtui.scratch import Scratch

OWNER = """
import sys, time
from ibtui.scratch import Scratch
one = Scratch("ibtui-demo-")
(one.path / "auth").mkdir()
(one.path / "auth" / "data.json").write_text("{}")
print(one.path, flush=True)
time.sleep(30)
"""


@pytest.fixture(autouse=True)
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_it_is_private_and_goes(temp: Path) -> None:
    one = Scratch("ibtui-sim-")
    assert one.path.parent == temp and one.path.stat().st_mode & 0o777 == 0o700
    assert scratch.sweep() == 0 and one.path.exists()
    one.remove()
    one.remove()
    assert list(temp.iterdir()) == []


def test_what_a_killed_owner_left_is_swept_and_what_a_living_one_has_is_not(temp: Path) -> None:
    owners = [
        subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        left, used = (Path((owner.stdout.readline() if owner.stdout else "").strip()) for owner in owners)
        owners[0].kill()
        owners[0].wait(10)
        assert left.exists()
        assert scratch.sweep() == 1
        assert not left.exists() and (used / "auth" / "data.json").exists()
    finally:
        for owner in owners:
            owner.kill()
            owner.communicate(timeout=10)


def abandoned(temp: Path, name: str = "ibtui-demo-left", mode: int = 0o700) -> Path:
    folder = temp / name
    folder.mkdir(mode=0o700)
    (folder / "owner.lock").touch(0o600)
    folder.chmod(mode)
    return folder


@pytest.mark.parametrize("mode", [0o750, 0o707, 0o777])
def test_a_folder_that_others_may_enter_stays(temp: Path, mode: int) -> None:
    folder = abandoned(temp, mode=mode)
    assert scratch.sweep() == 0 and folder.exists()


def test_other_names_and_folders_without_a_lock_stay(temp: Path) -> None:
    abandoned(temp, "ibtui-other")
    (temp / "ibtui-sim-fresh").mkdir(mode=0o700)
    (temp / "ibtui-sim-file").write_text("")
    assert scratch.sweep() == 0 and len(list(temp.iterdir())) == 3


def test_links_are_not_followed(temp: Path, tmp_path: Path) -> None:
    precious = abandoned(tmp_path, "precious")
    (temp / "ibtui-demo-link").symlink_to(precious)
    (abandoned(temp, "ibtui-demo-a") / "inside").symlink_to(precious)
    odd = temp / "ibtui-demo-b"
    odd.mkdir(mode=0o700)
    (odd / "owner.lock").symlink_to(precious / "owner.lock")
    assert scratch.sweep() == 1
    assert (precious / "owner.lock").exists() and (temp / "ibtui-demo-link").is_symlink() and odd.exists()


def test_nothing_of_another_user_is_touched(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = abandoned(temp)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert scratch.sweep() == 0 and folder.exists()


def test_a_temp_folder_that_is_missing_is_no_failure(tmp_path: Path) -> None:
    assert scratch.sweep(tmp_path / "nowhere") == 0
