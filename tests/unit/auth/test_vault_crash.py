"""The vault after crashes: at any byte, at any step, by kill -9 and on a full disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ibtui.auth.effects import Enrolled
from ibtui.auth.fields import Prepared
from ibtui.auth.vault import Vault
from ibtui.errors import IbtuiError
from ibtui.secret import Secret

KEY = Enrolled(Secret("0258"), Secret("ab" * 20))
ROOT = Path(__file__).parents[3]


class Killed(BaseException):
    """The process ends here: nothing after it runs, nothing is cleaned up."""


@contextmanager
def dying(step: str | None, cut: int, error: BaseException) -> Iterator[None]:
    """Fail in a replacement: after `cut` bytes, at an fsync, before or after the rename (None: do not)."""
    replace, fsync, unlink = Path.replace, os.fsync, Path.unlink
    synced: list[int] = []

    def sync(handle: int) -> None:
        synced.append(handle)
        if step == "write":
            os.ftruncate(handle, min(cut, os.fstat(handle).st_size))
            raise error
        if step == "fsync" or (step == "folder" and len(synced) == 2):
            raise error
        fsync(handle)

    def rename(self: Path, target: Path) -> Path:
        if step == "rename":
            raise error
        return replace(self, target)

    def remove(self: Path, missing_ok: bool = False) -> None:
        if not isinstance(error, Killed):
            unlink(self, missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(Path, "replace", rename)
        patch.setattr(Path, "unlink", remove)
        yield


STEPS = ("write", "fsync", "rename", "folder")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["attempt", "success", "counter", "store", "prepare", "take", "refund", "reset"]),
            st.sampled_from([None, *STEPS]),
            st.integers(0, 400),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_whatever_dies_the_file_parses_and_never_counts_too_little(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, str | None, int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("vault") / "auth"
    box = Vault("me", folder, person=True)
    box.store(KEY)
    prepared = False
    attempts, used = 0, 1  # what a server would have seen since the last success; the last counter it saw
    for word, step, cut, killed in script:
        error: BaseException = Killed() if killed else OSError(28, "No space left on device")
        counted = box._counted is not None
        done, result = True, None
        try:
            with dying(step, cut, error):
                result = box.next_counter() if word == "counter" else OPERATIONS[word](box)
        except (IbtuiError, Killed):
            # Nothing is sent after that; but what died after its rename is on disk all the same.
            done = step == "folder" and not (word == "take" and not prepared)
            box = Vault("me", folder, person=True)
        if done and word in ("success", "reset"):
            attempts = 0
        elif done and word == "refund" and counted:
            attempts = max(0, attempts - 1)
        elif done and (word == "store" or (word == "take" and prepared)):
            used = 1
            prepared = False
        elif done and word == "prepare":
            prepared = True
        elif result is not None and word == "attempt":
            attempts += 1
        elif result is not None and word == "counter":
            assert result > used, "no counter twice"
            used = result
        data = json.loads((folder / "me.json").read_bytes())
        status = Vault("me", folder).status()
        assert status.enrolled and (status.unfinished is not None) == prepared
        assert data["attempts"] >= attempts
        assert data["counter"] > used


OPERATIONS: dict[str, Callable[[Vault], Any]] = {
    "attempt": Vault.attempt,
    "success": Vault.success,
    "refund": Vault.refund,
    "reset": Vault.reset,
    "store": lambda box: box.store(KEY),
    "prepare": lambda box: box.store(Prepared(KEY.pin, KEY.ocra_hex)),
    "take": lambda box: box.take_unfinished(replace=True),
}


def test_leftovers_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "auth"
    box = Vault("me", folder, person=True)
    other = Vault("me.json", folder)
    box.attempt()
    other.attempt()
    stray = folder / ".me.json.json.abcdefgh"
    stray.write_bytes(b"{")
    with pytest.raises(Killed), dying("write", 7, Killed()):
        box.attempt()
    left = {path.name for path in folder.iterdir()} - {"me.json", "me.json.json"}
    assert len([name for name in left if name.startswith(".me.json.") and not name.endswith("lock")]) == 2
    assert Vault("me", folder).status().record.attempts == 1
    Vault("me", folder, person=True).attempt()
    assert sorted(path.name for path in folder.iterdir()) == [
        ".me.json.json.abcdefgh", ".me.json.lock", ".me.lock", "me.json", "me.json.json",
    ]  # fmt: skip


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    box = Vault("me", tmp_path / "auth")
    box.store(KEY)
    before = box.path.read_bytes()
    for step in STEPS[:3]:
        with dying(step, 5, OSError(28, "No space left on device")):
            for call in (box.attempt, box.next_counter):
                with pytest.raises(IbtuiError, match="No space left"):
                    call()
    assert box.path.read_bytes() == before
    assert [path.name for path in box.folder.iterdir() if "lock" not in path.name] == ["me.json"]


LIMITED = """
import resource, sys
from pathlib import Path
from ibtui.auth.vault import Vault
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
try:
    Vault("me", Path(sys.argv[1]), person=True).attempt()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    box = Vault("me", tmp_path / "auth")
    box.store(KEY)
    before = box.path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(box.folder)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.stdout.startswith("IbtuiError") and "too large" in done.stdout, done
    assert box.path.read_bytes() == before


WORKER = textwrap.dedent("""
    import os, sys
    from pathlib import Path
    from ibtui.auth.vault import Vault

    # What a server sees: written before the next step, one line a request.
    journal = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        box = Vault("me", Path(sys.argv[1]), person=True, max_counter=100, timeout=20)
        status = box.status()
        if status.counter > 90:
            from ibtui.auth.effects import Enrolled
            from ibtui.secret import Secret
            os.write(journal, b"enrolled\\n")
            box.store(Enrolled(Secret("0258"), Secret("cd" * 20)))
        box.spend("attempt")
        os.write(journal, b"attempt\\n")
        counter = box.next_counter()
        box.spend("counter")
        os.write(journal, b"counter %d\\n" % counter)
        os.write(journal, b"success\\n")
        box.spend("success")
""")


@pytest.mark.slow
def test_kill_9_at_twenty_points(tmp_path: Path) -> None:
    """A writer in a loop, killed at random moments; the next one goes on where the server is."""
    folder, journal = tmp_path / "auth", tmp_path / "journal"
    Vault("me", folder).store(KEY)
    moments = random.Random(20260131)
    # A killed process would leave half a coverage file.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    for _ in range(20):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(journal)], cwd=ROOT, env=env
        )
        try:
            size = journal.stat().st_size if journal.exists() else 0
            deadline = time.monotonic() + 30
            while not journal.exists() or journal.stat().st_size == size:
                assert worker.poll() is None and time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(moments.uniform(0, 0.08))
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait(10)
        data = json.loads((folder / "me.json").read_bytes())
        attempts, last = seen(journal)
        assert data["attempts"] >= attempts
        assert data["counter"] > last
        # A killed attempt counts; a person lifts it, as the guard asks for.
        Vault("me", folder, timeout=20).reset()
    assert [path for path in folder.iterdir() if "lock" not in path.name] == [folder / "me.json"]


def seen(journal: Path) -> tuple[int, int]:
    """Attempts since the last success, and the last counter, as a server saw them."""
    attempts = last = 0
    for line in journal.read_text().splitlines():
        word, _, number = line.partition(" ")
        if word == "attempt":
            attempts += 1
        elif word == "success":
            attempts = 0
        elif word == "enrolled":
            last = 0
        elif number:
            assert int(number) > last, "no counter twice"
            last = int(number)
    return min(attempts, 1), last
