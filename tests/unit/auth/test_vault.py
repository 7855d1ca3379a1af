"""Auth data on disk: fields, modes, names, sealing (login.md §7)."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibtui.auth import files, guard, lock
from ibtui.auth.guard import Record
from ibtui.auth.vault import Vault
from ibtui.errors import Backoff, IbtuiError, LoginLocked, PersonNeeded, UsageError
from tests.unit.auth.vault_tools import KEY, NOW, OCRA, PIN, held, mode, private, vault

# The file


def test_a_fresh_start_needs_no_file(tmp_path: Path) -> None:
    box = vault(tmp_path)
    status = box.status()
    assert (status.record, status.counter, status.enrolled, status.sealed) == (Record(), 2, False, False)
    assert status.logins_left == 0 and box.permit().text == "attempt 1 of 4"
    assert not box.folder.exists()


def test_the_file_is_private_and_has_the_node_services_fields(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.attempt()
    assert mode(box.path) == 0o600 and mode(box.folder) == 0o700
    assert held(box) == {
        "pin": None, "ocra": None, "counter": 2, "attempts": 1, "user": "Me",
        "not_before": "2026-01-31T09:10:53.123Z",
    }  # fmt: skip
    assert sorted(os.listdir(box.folder)) == [".me.lock", "me.json"]
    assert mode(box.folder / ".me.lock") == 0o600


def test_every_folder_that_was_missing_is_private(tmp_path: Path) -> None:
    box = Vault("Me", tmp_path / "share" / "ibtui" / "auth")
    box.attempt()
    assert [mode(it) for it in (box.folder, *box.folder.parents)][:3] == [0o700] * 3


def test_the_usual_folder_is_our_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibtui.paths.data_dir", lambda: tmp_path / "data")
    assert Vault("Me").path == tmp_path / "data" / "auth" / "me.json"


def test_extra_keys_and_their_order_are_kept(tmp_path: Path) -> None:
    before = {"zeta": [1, 2.5, None], "attempts": 2, "ocra": OCRA, "pin": PIN, "note": "ä", "counter": 7}
    private(tmp_path / "auth" / "me.json", before)
    box = vault(tmp_path, person=True)
    box.attempt()
    box.next_counter()
    after = held(box)
    assert list(after)[:6] == list(before)
    assert after["zeta"] == before["zeta"] and after["note"] == "ä"
    assert (after["attempts"], after["counter"], after["user"]) == (3, 8, "Me")


@pytest.mark.parametrize(("user", "name"), [
    ("Me", "me.json"), (" me ", "me.json"), ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.json"),
    (".hidden", "%2Ehidden.json"), ("a b%", "a%20b%25.json"), ("a~b", "a%7Eb.json"), ("Ä", "%C3%A4.json"),
])  # fmt: skip
def test_names_that_are_odd_stay_in_the_folder(tmp_path: Path, user: str, name: str) -> None:
    box = vault(tmp_path, user)
    box.attempt()
    assert box.path == box.folder / name and box.path.exists()


@settings(max_examples=50)
@given(st.text(min_size=1), st.text(min_size=1))
def test_no_two_user_names_share_a_file(one: str, two: str) -> None:
    if not one.strip() or not two.strip():
        with pytest.raises(UsageError):
            files.safe_name(one if not one.strip() else two)
        return
    names = files.safe_name(one), files.safe_name(two)
    assert (names[0] == names[1]) == (one.strip().lower() == two.strip().lower())
    for name in names:
        assert name.isascii() and "/" not in name and not name.startswith(".") and len(name) <= 100


def test_very_long_names_are_cut_and_stay_apart() -> None:
    names = {files.safe_name("x" * 300 + end) for end in ("", "y", "z")}
    assert len(names) == 3 and all(len(name) < 100 and "~" in name for name in names)


# Modes and damage


@pytest.mark.parametrize(("bits", "command"), [(0o644, "600"), (0o660, "600"), (0o601, "600")])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, bits: int, command: str) -> None:
    box = vault(tmp_path)
    box.attempt()
    box.path.chmod(bits)
    for call in (box.status, box.success):
        with pytest.raises(UsageError, match="open to other users") as caught:
            call()
        assert caught.value.fix == f"chmod {command} '{box.path}'"
    assert mode(box.path) == bits


def test_a_folder_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.attempt()
    box.folder.chmod(0o755)
    with pytest.raises(UsageError, match="mode 755") as caught:
        box.status()
    assert caught.value.fix == f"chmod 700 '{box.folder}'"


def test_a_folder_of_the_persons_own_may_be_looked_into_but_not_written(tmp_path: Path) -> None:
    box = vault(tmp_path, plain=True)
    box.attempt()
    box.folder.chmod(0o755)
    box.success()
    box.folder.chmod(0o775)
    with pytest.raises(UsageError, match="chmod 700"):
        box.status()


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = vault(tmp_path)
    box.attempt()
    if os.geteuid() == 0:
        os.chown(box.path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(UsageError, match="belongs to another user"):
        box.status()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b'{"a":1} x', b'{"a":' * 9999])
def test_a_damaged_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = private(tmp_path / "auth" / "me.json", content)
    for call in (vault(tmp_path).status, vault(tmp_path).attempt):
        with pytest.raises(UsageError, match="not a JSON object"):
            call()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("field", "value"),
    [("attempts", -1), ("attempts", "many"), ("attempts", True), ("attempts", 1.5), ("counter", 0),
     ("counter", "5"), ("counter", False), ("counter", 2.5)],
)  # fmt: skip
def test_fields_that_make_no_sense_are_not_guessed(tmp_path: Path, field: str, value: Any) -> None:
    private(
        tmp_path / "auth" / "me.json", {"pin": PIN, "ocra": OCRA, "counter": 3, "attempts": 0, field: value}
    )
    box = vault(tmp_path)
    with pytest.raises(UsageError, match=f"`{field}` in .*me.json") as caught:
        box.status()
    assert "Correct it there" in caught.value.fix


def test_what_people_write_by_hand(tmp_path: Path) -> None:
    private(
        tmp_path / "auth" / "me.json", b'\xef\xbb\xbf{"attempts": "2", "counter": null, "not_before": "soon"}'
    )
    status = vault(tmp_path).status()
    assert (status.record, status.counter) == (Record(2), 2)


def test_naive_moments_are_utc(tmp_path: Path) -> None:
    private(tmp_path / "auth" / "me.json", {"attempts": 1, "not_before": "2026-01-31T09:10:00"})
    assert vault(tmp_path).status().record.not_before == datetime(2026, 1, 31, 9, 10, tzinfo=UTC)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("a file")
    with pytest.raises(IbtuiError, match="cannot be made"):
        vault(tmp_path).attempt()


def test_a_file_that_is_none(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.attempt()
    box.path.unlink()
    box.path.mkdir(mode=0o700)
    with pytest.raises(UsageError, match="is a folder, not a file"):
        box.status()
    box.path.rmdir()
    os.mkfifo(box.path, 0o600)
    with pytest.raises(UsageError, match="is a pipe, not a file"):
        box.status()


def test_rubbish_that_cannot_be_swept_does_no_harm(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.attempt()
    (box.folder / ".me.json.abcdefgh").mkdir()
    box.success()


# Counting


def test_attempts_waits_and_success(tmp_path: Path) -> None:
    box = vault(tmp_path)
    assert box.attempt().number == 1
    with pytest.raises(Backoff):
        vault(tmp_path).attempt()
    with pytest.raises(Backoff):
        vault(tmp_path).permit()
    assert held(box)["attempts"] == 1
    person = vault(tmp_path, person=True)
    assert person.permit().confirm and person.attempt().text == "attempt 2 of 4"
    person.success()
    assert (held(box)["attempts"], held(box)["not_before"]) == (0, None)
    assert vault(tmp_path).permit().number == 1


def test_the_limit_holds_also_when_two_race(tmp_path: Path) -> None:
    for _ in range(4):
        vault(tmp_path, person=True).attempt()
    with pytest.raises(LoginLocked):
        vault(tmp_path, person=True).attempt()
    assert held(vault(tmp_path))["attempts"] == 4
    vault(tmp_path).reset()
    assert vault(tmp_path).permit().number == 1


def test_editing_attempts_to_0_lifts_the_wait(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.attempt()
    private(box.path, {**held(box), "attempts": 0})
    assert vault(tmp_path).attempt().number == 1


def test_a_clock_set_back_begins_the_wait_anew_and_it_ends(tmp_path: Path) -> None:
    vault(tmp_path, now=lambda: NOW + timedelta(days=3650)).attempt()
    with pytest.raises(Backoff, match="try again in 60s"):
        vault(tmp_path).permit()
    assert held(vault(tmp_path))["not_before"] == "2026-01-31T09:10:53.123Z"
    with pytest.raises(Backoff, match="try again in 30s"):
        vault(tmp_path, now=lambda: NOW + timedelta(seconds=30)).permit()
    assert vault(tmp_path, now=lambda: NOW + timedelta(seconds=61)).permit().number == 2


def test_an_attempt_is_given_back_once_with_its_wait(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.refund()
    assert not box.path.exists()
    box.attempt()
    box.success()
    box.refund()
    vault(tmp_path).attempt()
    later = vault(tmp_path, now=lambda: NOW + timedelta(hours=1))
    later.attempt()
    assert held(box)["attempts"] == 2
    later.refund()
    later.refund()
    assert (held(box)["attempts"], held(box)["not_before"]) == (1, "2026-01-31T09:10:53.123Z")


def test_giving_back_never_touches_anothers(tmp_path: Path) -> None:
    one, two = vault(tmp_path, person=True), vault(tmp_path, person=True)
    one.attempt()
    two.attempt()
    one.refund()
    assert held(one)["attempts"] == 1
    two.success()
    two.attempt()
    one.refund()
    assert held(one)["attempts"] == 1


def test_effects_are_carried_out_by_name(tmp_path: Path) -> None:
    box = vault(tmp_path)
    box.store(KEY)
    box.spend("attempt")
    box.spend("refund")
    assert held(box)["attempts"] == 0
    with pytest.raises(UsageError, match="without taking a counter"):
        box.spend("counter")
    box.next_counter()
    box.spend("counter")
    with pytest.raises(UsageError):
        box.spend("counter")
    box.spend("success")


def test_counters_are_used_once_and_end(tmp_path: Path) -> None:
    box = vault(tmp_path, max_counter=5)
    with pytest.raises(PersonNeeded, match="not enrolled"):
        box.next_counter()
    box.store(KEY)
    assert box.status().logins_left == 3
    drawn = []
    for _ in range(3):
        drawn.append(box.next_counter())
        assert held(box)["counter"] == drawn[-1] + 1, "synced before it is used"
    assert drawn == [2, 3, 4]
    assert box.status().used == NOW.replace(microsecond=123000)
    with pytest.raises(PersonNeeded, match="as often as it can") as caught:
        box.next_counter()
    assert "enroll" in caught.value.fix
    assert held(box)["counter"] == 5 and box.status().logins_left == 0


@pytest.mark.parametrize("number", [101, 2, 0])
def test_maximum_counters_that_cannot_work(tmp_path: Path, number: int) -> None:
    with pytest.raises(UsageError, match="maximum counter"):
        vault(tmp_path, max_counter=number)


# Locks


def test_a_writer_waits_for_the_other(tmp_path: Path) -> None:
    box = vault(tmp_path, timeout=0.1)
    box.attempt()
    with (
        lock.held(box.folder / ".me.lock", "testing"),
        pytest.raises(IbtuiError, match="has been writing the auth data for more than 0.1 s"),
    ):
        box.success()
    box.success()


def test_the_wait_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    box = vault(tmp_path, timeout=30, stop=stop)
    box.attempt()
    with lock.held(box.folder / ".me.lock", "testing"):
        threading.Timer(0.1, stop.set).start()
        began = time.monotonic()
        with pytest.raises(IbtuiError, match="Stopped waiting"):
            box.success()
    assert time.monotonic() - began < 5


def test_a_lock_that_was_removed_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    seen = []
    real = os.path.samestat

    def once(one: Any, two: Any) -> bool:
        seen.append(1)
        return len(seen) > 1 and real(one, two)

    monkeypatch.setattr(os.path, "samestat", once)
    with lock.held(path, "testing"):
        assert len(seen) == 2


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(IbtuiError, match="cannot be opened"), lock.held(tmp_path / "no" / "lock", "testing"):
        pass


def test_many_threads_count_exactly(tmp_path: Path) -> None:
    vault(tmp_path).store(KEY)
    drawn: list[int] = []

    def work() -> None:
        box = vault(tmp_path, timeout=30)
        drawn.extend(box.next_counter() for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(drawn) == list(range(2, 22))


def test_one_login_at_a_time(tmp_path: Path) -> None:
    box = vault(tmp_path)
    with box.conversation(1):
        with pytest.raises(IbtuiError, match="logging in"), vault(tmp_path).conversation(0.05):
            pass
        with vault(tmp_path, "other").conversation(0.05):
            vault(tmp_path).attempt()
    with vault(tmp_path).conversation(1):
        pass
    assert guard.LIMIT == 4
