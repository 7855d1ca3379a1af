"""IB Key's secrets on disk: sealing, data.json, import and export (login.md §7, DESIGN §2.3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ibtui.auth import sealing
from ibtui.auth.effects import Enrolled
from ibtui.auth.fields import Prepared
from ibtui.auth.vault import Vault
from ibtui.errors import IbtuiError, PersonNeeded, UsageError
from ibtui.secret import Secret
from tests.unit.auth.vault_tools import KEY, NOW, OCRA, PASS, PIN, held, mode, private, vault

# Keys


def test_a_stored_key_comes_back(tmp_path: Path) -> None:
    box = vault(tmp_path)
    with pytest.raises(PersonNeeded, match="not enrolled"):
        box.key()
    box.attempt()
    box.store(KEY)
    data = held(box)
    assert (data["pin"], data["ocra"], data["counter"], data["serial"]) == (PIN, OCRA, 2, "S-1")
    assert data["attempts"] == 1
    key = vault(tmp_path).key()
    assert (key.pin.reveal(), key.ocra.reveal()) == (PIN, OCRA)
    assert PIN not in repr(key) + repr(box.status()) and OCRA not in repr(key)
    box.next_counter()
    box.store(Enrolled(Secret("1"), Secret(OCRA)))
    assert "serial" not in held(box) and box.status().used is None, "those were the last key's"


def test_a_prepared_key_lies_beside_the_old_one_until_it_is_active(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.store(KEY)
    box.next_counter()
    new = Prepared(Secret("4711"), Secret("cd" * 20))
    box.store(new)
    assert (box.key().ocra.reveal(), box.status().counter) == (OCRA, 3), "the old one still answers"
    assert box.status().unfinished == NOW.replace(microsecond=123000)
    box.export(tmp_path / "backup.json")
    assert "cdcd" not in (tmp_path / "backup.json").read_text()
    with pytest.raises(UsageError, match="holds an IB Key already"):
        box.take_unfinished()
    box.forget_unfinished()
    assert "cdcd" not in box.path.read_text() and box.status().unfinished is None
    with pytest.raises(UsageError, match="broken off"):
        box.take_unfinished(replace=True)
    box.store(new)
    box.take_unfinished(replace=True)
    assert (box.key().pin.reveal(), box.key().ocra.reveal()) == ("4711", "cd" * 20)
    assert (box.status().counter, box.status().unfinished, box.status().enrolled) == (2, None, True)
    box.store(new)
    box.store(Enrolled(Secret("4711"), Secret("cd" * 20), serial="S-2"))
    assert "unfinished" not in held(box) and held(box)["serial"] == "S-2"


def test_a_prepared_key_is_sealed_with_the_rest(tmp_path: Path) -> None:
    first = vault(tmp_path / "first")
    (tmp_path / "first").mkdir()
    first.store(KEY)
    first.store(Prepared(Secret("4711"), Secret("cd" * 20)))
    first.seal(PASS)
    assert OCRA not in first.path.read_text() and "cdcd" not in first.path.read_text()
    first.unseal()
    assert "cdcd" in first.path.read_text()
    box = vault(tmp_path, passphrase=PASS)
    box.store(Prepared(Secret("4711"), Secret("cd" * 20)))
    assert "cdcd" not in box.path.read_text() and "4711" not in box.path.read_text()
    with pytest.raises(PersonNeeded, match="sealed"):
        vault(tmp_path).take_unfinished()
    box.take_unfinished()
    assert box.status().sealed and box.key().pin.reveal() == "4711"


def test_a_damaged_key_is_not_used(tmp_path: Path) -> None:
    private(tmp_path / "auth" / "me.json", {"pin": 258, "ocra": OCRA})
    with pytest.raises(UsageError, match="`pin`"):
        vault(tmp_path).key()


def test_sealing(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.store(KEY)
    box.seal(PASS)
    text = box.path.read_text()
    assert PIN not in text and OCRA not in text and PASS.reveal() not in text
    data = held(box)
    assert data["pin"]["sealed"] == "scrypt+aes-256-gcm" and (data["pin"]["n"], data["pin"]["r"]) == (
        32768,
        8,
    )
    assert data["pin"]["nonce"] != data["ocra"]["nonce"]
    assert box.key().ocra.reveal() == OCRA
    other = vault(tmp_path)
    assert other.status().sealed and other.status().enrolled
    assert other.next_counter() == 2, "counters need no passphrase"
    other.attempt()
    with pytest.raises(PersonNeeded, match="is sealed") as caught:
        other.key()
    assert caught.value.exit_code == 6
    other.passphrase = Secret("wrong")
    with pytest.raises(PersonNeeded, match="does not open"):
        other.key()
    other.passphrase = PASS
    other.unseal()
    assert not other.status().sealed and held(box)["ocra"] == OCRA
    assert held(box)["counter"] == 3


def test_a_key_is_stored_sealed_where_there_is_a_passphrase(tmp_path: Path) -> None:
    box = vault(tmp_path, passphrase=PASS)
    box.store(KEY)
    assert box.status().sealed and box.key().pin.reveal() == PIN


def test_sealing_needs_a_passphrase_and_a_key(tmp_path: Path) -> None:
    box = vault(tmp_path)
    with pytest.raises(UsageError, match="empty"):
        box.seal(Secret(""))
    with pytest.raises(PersonNeeded):
        box.seal(PASS)


def test_the_same_passphrase_typed_elsewhere() -> None:
    sealed = sealing.Sealer(Secret("é")).seal(Secret("x"), "a")
    assert sealing.Sealer(Secret("e\u0301")).open(sealed, "a").reveal() == "x"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"sealed": "rot13"}, UsageError),
        ({"n": 2**30}, UsageError),
        ({"n": 3}, UsageError),
        ({"n": "2"}, UsageError),
        ({"p": 99}, UsageError),
        ({"salt": "!"}, UsageError),
        ({"salt": 5}, UsageError),
        ({"nonce": ""}, UsageError),
        ({"nonce": "AAAA"}, UsageError),
        ({"data": "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, PersonNeeded),
    ],
)
def test_a_sealed_text_that_was_changed(change: dict[str, Any], error: type[IbtuiError]) -> None:
    sealer = sealing.Sealer(PASS)
    sealed = sealer.seal(Secret("x"), "ibtui:me:pin")
    with pytest.raises(error):
        sealer.open({**sealed, **change}, "ibtui:me:pin")
    with pytest.raises(PersonNeeded):
        sealer.open(sealed, "ibtui:you:pin")


# data.json and import, export


def test_data_json_is_exactly_there_and_never_sealed(tmp_path: Path) -> None:
    box = vault(tmp_path, plain=True, passphrase=PASS)
    box.attempt()
    assert box.path == tmp_path / "auth" / "data.json"
    data = held(box)
    assert len(data["pin"]) == 6 and data["pin"].isdecimal() and data["user"] == "Me"
    box.store(KEY)
    assert held(box)["ocra"] == OCRA
    with pytest.raises(UsageError, match="stays unsealed"):
        box.seal(PASS)


def test_data_json_of_the_node_service_is_taken_over_by_the_first_user(tmp_path: Path) -> None:
    path = private(
        tmp_path / "auth" / "data.json",
        {"pin": "881796", "ocra": OCRA, "counter": 57, "attempts": 0, "more": {"a": 1}},
    )
    first, second = vault(tmp_path, plain=True), vault(tmp_path, "Other", plain=True)
    assert second.status().counter == 57, "nobody's yet"
    assert first.next_counter() == 57
    assert json.loads(path.read_text())["more"] == {"a": 1}
    assert second.path == tmp_path / "auth" / "data.other.json"
    assert not second.status().enrolled
    second.attempt()
    assert held(second)["user"] == "Other" and held(first)["attempts"] == 0
    path.unlink()
    assert second.path.name == "data.other.json" and first.path == path
    assert vault(tmp_path, "ME", plain=True).path == path
    private(path, {"user": ""})
    assert second.path.name == "data.other.json" and first.path == path


def test_it_is_read_anew_each_time(tmp_path: Path) -> None:
    box = vault(tmp_path, plain=True)
    box.attempt()
    private(box.path, {**held(box), "attempts": 3, "counter": 9, "ocra": OCRA})
    assert (box.status().record.attempts, box.next_counter()) == (3, 9)


def test_import_of_a_data_json(tmp_path: Path) -> None:
    given = private(
        tmp_path / "auth" / "given.json",
        {"pin": "881796", "ocra": OCRA.upper(), "counter": 57, "attempts": 3, "more": 1},
    )
    box = vault(tmp_path)
    box.import_file(given)
    data = held(box)
    assert (data["pin"], data["ocra"], data["counter"]) == ("881796", OCRA, 57)
    assert (data["attempts"], data["more"]) == (0, 1)
    with pytest.raises(UsageError, match="holds an IB Key already"):
        box.import_file(given)
    box.next_counter()
    box.import_file(given, replace=True)
    assert held(box)["counter"] == 58, "a counter used here is not used again"
    private(given, {**json.loads(given.read_text()), "ocra": "ab" * 20})
    box.import_file(given, replace=True)
    assert held(box)["counter"] == 57


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ({"pin": PIN, "ocra": OCRA, "user": "You"}, UsageError, "belongs to the user name You"),
        ({"pin": PIN, "ocra": None}, PersonNeeded, "not enrolled"),
        ({"pin": "x", "ocra": OCRA}, UsageError, "PIN"),
        ({"pin": PIN, "ocra": "x"}, UsageError, "40 hex"),
        ({"pin": PIN, "ocra": OCRA, "counter": -1}, UsageError, "counter"),
        (b"nonsense", UsageError, "JSON"),
    ],
)
def test_imports_that_make_no_sense(
    tmp_path: Path, content: Any, error: type[IbtuiError], words: str
) -> None:
    with pytest.raises(error, match=words):
        vault(tmp_path).import_file(private(tmp_path / "auth" / "given.json", content))
    assert not vault(tmp_path).path.exists()


def test_import_wants_a_private_file_that_exists(tmp_path: Path) -> None:
    given = private(tmp_path / "auth" / "given.json", {"pin": PIN, "ocra": OCRA})
    given.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        vault(tmp_path).import_file(given)
    with pytest.raises(UsageError, match="There is no file"):
        vault(tmp_path).import_file(tmp_path / "nothing")


def test_import_and_export_of_the_secret(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.import_secret(Secret(f" {OCRA}\n"), Secret(PIN), 12)
    assert box.export_secret() == Secret(OCRA) and box.status().counter == 12
    with pytest.raises(UsageError, match="begins at 1"):
        vault(tmp_path, "b").import_secret(Secret(OCRA), Secret(PIN), 0)


def test_export_and_back(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.store(KEY)
    box.seal(PASS)
    box.next_counter()
    open_file, backup = tmp_path / "data.json", tmp_path / "backup.json"
    box.export(open_file)
    box.export(backup, Secret("other"))
    assert mode(open_file) == mode(backup) == 0o600
    data = json.loads(open_file.read_text())
    assert (data["pin"], data["ocra"], data["counter"], data["attempts"]) == (PIN, OCRA, 3, 0)
    assert PIN not in backup.read_text() and OCRA not in backup.read_text()
    with pytest.raises(UsageError, match="exists already"):
        box.export(open_file)
    back = Vault("me", tmp_path / "elsewhere", passphrase=Secret("other"), now=lambda: NOW)
    back.import_file(backup)
    assert back.key().ocra.reveal() == OCRA and back.status().counter == 3 and back.status().sealed
    with pytest.raises(PersonNeeded):
        Vault("me", tmp_path / "third", passphrase=PASS).import_file(backup)
