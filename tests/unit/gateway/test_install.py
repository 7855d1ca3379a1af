"""Versions on the shelf: whole or not at all, one kept to go back to."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ibtui.errors import GatewayFault, UsageError
from ibtui.gateway import install
from ibtui.gateway.install import Installed, Shelf
from ibtui.gateway.spec import JAR
from tests.unit.gateway import install_zips as zips
from tests.unit.gateway.install_zips import gateway, jar

Add = Callable[..., Installed]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data" / "gateway")


@pytest.fixture
def add(shelf: Shelf, tmp_path: Path) -> Add:
    def add_(*of: Any, **more: Any) -> Installed:
        path = zips.write(tmp_path / "gw.zip", *gateway(*of, **more))
        with shelf.alone():
            return shelf.add(path)

    return add_


def names(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in shelf.root.iterdir() if not path.name.startswith(".lock"))


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_mode) for p in [folder, *folder.rglob("*")]}


def test_a_version_is_its_build_date_and_its_programs(add: Add, shelf: Shelf) -> None:
    one = add("2026-01-02")
    assert one.version.startswith("2026-01-02-") and one.built == date(2026, 1, 2)
    assert one.folder == shelf.root / one.version and (one.folder / JAR).is_file()
    assert shelf.current == one and shelf.previous is None
    assert add("2026-01-02", b"other").version != one.version


def test_the_one_before_is_kept_and_older_ones_go(add: Add, shelf: Shelf) -> None:
    _, two, three = add("2026-01-01"), add("2026-01-02"), add("2026-01-03")
    assert (shelf.current, shelf.previous) == (three, two)
    assert names(shelf) == [two.version, three.version, "current.json"]


def test_a_version_that_a_process_runs_from_stays_until_it_has_ended(add: Add, shelf: Shelf) -> None:
    one = add("2026-01-01")
    path = f"/somewhere:{one.folder}/root:{one.folder / JAR}"
    # As java has it: the folder stands on the command line.
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)", "-cp", path])
    try:
        two, three = add("2026-01-02"), add("2026-01-03")
        assert names(shelf) == [one.version, two.version, three.version, "current.json"]
        assert (one.folder / JAR).is_file()
    finally:
        running.kill()
        running.wait()
    four = add("2026-01-04")
    assert names(shelf) == [three.version, four.version, "current.json"]


def test_the_same_again_changes_nothing(add: Add, shelf: Shelf) -> None:
    one, two = add("2026-01-01"), add("2026-01-02")
    before = tree(two.folder)
    assert add("2026-01-02") == two
    assert (shelf.current, shelf.previous) == (two, one)
    assert tree(two.folder) == before


def test_back_and_forth(add: Add, shelf: Shelf) -> None:
    one, two = add("2026-01-01"), add("2026-01-02")
    with shelf.alone():
        assert shelf.rollback() == one
        assert (shelf.current, shelf.previous) == (one, two)
        assert shelf.rollback() == two
    assert (shelf.current, shelf.previous) == (two, one)


def test_nothing_to_go_back_to(add: Add, shelf: Shelf) -> None:
    with shelf.alone(), pytest.raises(GatewayFault, match="no earlier gateway"):
        shelf.rollback()
    one = add("2026-01-01")
    two = add("2026-01-02")
    (one.folder / JAR).unlink()
    with shelf.alone(), pytest.raises(GatewayFault, match="is missing"):
        shelf.rollback()
    assert shelf.current == two


def test_a_damaged_installation_is_replaced(add: Add, shelf: Shelf) -> None:
    one = add("2026-01-01")
    (one.folder / zips.RUNTIME).write_bytes(b"damaged")
    assert add("2026-01-01") == one
    assert install.look(one.folder).version == one.version
    (one.folder / JAR).unlink()
    assert add("2026-01-01") == one
    assert names(shelf) == [one.version, "current.json"]


def test_an_existing_folder_is_adopted_and_only_read(add: Add, shelf: Shelf, tmp_path: Path) -> None:
    one = add("2026-01-01")
    theirs = tmp_path / "opt" / "clientportal.gw"
    (one.folder).rename(shelf.root / "away")
    theirs.parent.mkdir()
    (shelf.root / "away").rename(theirs)
    before = tree(theirs)
    with shelf.alone():
        found = shelf.adopt(theirs)
    assert found.adopted and found.folder == theirs and shelf.current == found
    two, three = add("2026-01-02"), add("2026-01-03")
    assert (shelf.current, shelf.previous) == (three, two)
    assert tree(theirs) == before
    with shelf.alone(), pytest.raises(UsageError, match="is not a Client Portal Gateway"):
        shelf.adopt(tmp_path)
    (theirs / JAR).write_bytes(b"no zip")
    with shelf.alone(), pytest.raises(GatewayFault, match="is no program"):
        shelf.adopt(theirs)
    assert shelf.current == three


@pytest.mark.parametrize(
    ("manifest", "built"),
    [
        ("When-Built: 2023-04-24T15:42:44-0400\n", date(2023, 4, 24)),
        ("Implementation-Version: gw-20230424154245\n", date(2023, 4, 24)),
        ("Implementation-Version: a.very.long.name.that.goes\n  on-202304241\n 54245\n", date(2023, 4, 24)),
        ("When-Built: 2023-99-24\n", None),
        ("Manifest-Version: 1.0\n", None),
        ("", None),
    ],
)
def test_build_dates(manifest: str, built: date | None, tmp_path: Path) -> None:
    (tmp_path / JAR).parent.mkdir()
    (tmp_path / JAR).write_bytes(jar(manifest=manifest))
    assert install.built_of(tmp_path) == built
    assert not install.is_stand_in(tmp_path)


def test_older_than_a_year() -> None:
    found = Installed("v", "/x", date(2025, 4, 24))
    assert not found.old(date(2026, 4, 24)) and found.old(date(2026, 4, 25))
    assert not Installed("v", "/x", None).old(date(2026, 4, 25))


def test_a_record_that_got_lost(add: Add, shelf: Shelf) -> None:
    add("2026-01-01")
    (shelf.root / "current.json").write_text("{oops")
    assert shelf.current is None
    two = add("2026-01-02")
    assert shelf.current == two and shelf.previous is None


def test_one_at_a_time(shelf: Shelf) -> None:
    with (
        shelf.alone(),
        pytest.raises(GatewayFault, match="Another ibtui"),
        Shelf(shelf.root).alone(),
    ):
        pass
    with Shelf(shelf.root).alone():
        pass


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "cannot be written: Read-only"),
        (errno.EACCES, "Make it yours and writable"),
        (errno.EIO, "Input/output error"),
    ],
)
@pytest.mark.parametrize("after", [0, 3, 9, 12])
def test_the_disk_fails_at_any_step(
    number: int, words: str, after: int, add: Add, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = add("2026-01-01")
    calls, real = 0, os.fsync

    def failing(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(GatewayFault) as caught:
        add("2026-01-02")
    monkeypatch.undo()
    assert words in str(caught.value)
    assert shelf.current == one and install.look(one.folder).version == one.version
    assert [name for name in names(shelf) if name.startswith(".")] == []
    two = add("2026-01-02")
    assert shelf.current == two and shelf.previous == one


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    shelf = Shelf(tmp_path / "data" / "gateway")
    assert shelf.current is None
    with pytest.raises(GatewayFault, match="cannot be written: Not a directory"), shelf.alone():
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    with (
        pytest.raises(GatewayFault, match="Make it yours and writable"),
        Shelf(tmp_path / "data" / "gateway").alone(),
    ):
        pass


def test_killed_at_any_step(tmp_path: Path) -> None:
    """`kill -9` after each fsync in turn: the old one or the new one is in use, and it is whole."""
    old = zips.write(tmp_path / "old.zip", *gateway("2026-01-01"))
    new = zips.write(tmp_path / "new.zip", *gateway("2026-01-02"))
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom ibtui.gateway.install import Shelf\n"
        "real, left = os.fsync, int(sys.argv[3])\n"
        "def fsync(handle):\n    global left\n    real(handle)\n    left -= 1\n"
        "    left or os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.fsync = fsync\nshelf = Shelf(Path(sys.argv[1]))\n"
        "with shelf.alone(): shelf.add(Path(sys.argv[2]))\n"
    )
    seen, ended = set(), False
    for step in range(1, 40, 3):
        shelf = Shelf(tmp_path / f"shelf-{step}")
        with shelf.alone():
            shelf.add(old)
        done = subprocess.run(
            [sys.executable, "-c", code, str(shelf.root), str(new), str(step)], timeout=30, check=False
        )
        assert shelf.current is not None
        assert install.look(shelf.current.folder).version == shelf.current.version
        seen.add(shelf.current.version[:10])
        with shelf.alone():
            shelf.add(new)
        assert all(not name.startswith(".") for name in names(shelf)), "what was left is swept"
        if done.returncode == 0:
            ended = True
            break
    assert seen == {"2026-01-01", "2026-01-02"} and ended
