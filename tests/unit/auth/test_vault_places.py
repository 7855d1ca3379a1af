"""The vault's file in odd places, and as people leave it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ibtui.auth.lock import Busy
from ibtui.auth.vault import Vault
from ibtui.errors import IbtuiError, UsageError
from tests.unit.auth.vault_tools import OCRA, PIN, held, private, vault

NODE = {"pin": PIN, "ocra": OCRA, "counter": 57, "attempts": 0}


def linked(tmp_path: Path, target: Path) -> Vault:
    box = vault(tmp_path, plain=True)
    box.folder.mkdir(mode=0o700)
    (box.folder / "data.json").symlink_to(target)
    return box


def test_behind_a_link_the_file_itself_is_changed(tmp_path: Path) -> None:
    """Whoever else reads that file must see the counter that was used."""
    target = private(tmp_path / "real" / "node.json", NODE)
    box = linked(tmp_path, target)
    assert box.next_counter() == 57
    assert json.loads(target.read_text())["counter"] == 58
    assert (box.folder / "data.json").is_symlink() and target.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in target.parent.iterdir()] == ["node.json"]


def test_a_link_into_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    target = private(tmp_path / "real" / "node.json", NODE)
    target.parent.chmod(0o777)
    box = linked(tmp_path, target)
    for call in (box.status, box.attempt):
        with pytest.raises(UsageError, match="mode 777"):
            call()


def test_a_link_to_itself(tmp_path: Path) -> None:
    box = linked(tmp_path, tmp_path / "auth" / "data.json")
    with pytest.raises(IbtuiError):
        box.attempt()


def test_a_link_to_nothing_yet(tmp_path: Path) -> None:
    box = linked(tmp_path, tmp_path / "auth" / "other.json")
    box.attempt()
    assert held(box)["attempts"] == 1 and (box.folder / "other.json").exists()


def test_what_people_do_to_data_json_by_hand(tmp_path: Path) -> None:
    text = json.dumps({**NODE, "attempts": 3, "mine": {"x": [1, None]}, "big": 10**30}, indent=1)
    private(tmp_path / "auth" / "data.json", b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    box = vault(tmp_path, plain=True, person=True)
    assert box.attempt().number == 4
    data = held(box)
    assert (data["attempts"], data["mine"], data["big"]) == (4, {"x": [1, None]}, 10**30)
    private(box.path, {**data, "counter": 10**30})
    with pytest.raises(IbtuiError, match="as often as it can"):
        box.next_counter()


def test_a_folder_without_room_for_a_lock_is_no_other_login(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.attempt()
    (box.folder / ".me.login.lock").mkdir()
    with pytest.raises(IbtuiError, match="cannot be opened") as caught, box.conversation(0):
        pass
    assert not isinstance(caught.value, Busy)
