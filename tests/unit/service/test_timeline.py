"""The time line on disk: bounded, private, readable whatever byte a crash stopped at."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ibtui.core.models import Event
from ibtui.service.timeline import BOUND, KEPT, Scribe, Timeline, path_of

T0 = datetime(2026, 4, 24, 14, 0, tzinfo=UTC)


def event(number: int, text: str = "") -> Event:
    return Event(at=T0 + timedelta(seconds=number), source="keep-alive", text=text or f"event {number}")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "timeline" / "default.jsonl"
    assert Timeline(path).read() == []
    Timeline(path).add([event(1), event(2)])
    Timeline(path).add([event(3)])
    assert Timeline(path).read() == [event(1), event(2), event(3)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    timeline = Timeline(path)
    for number in range(3 * BOUND):
        timeline.add([event(number)])
        if number % 100 == 0:
            assert len(path.read_bytes().splitlines()) <= BOUND
    found = timeline.read()
    assert KEPT <= len(found) <= BOUND and found[-1] == event(3 * BOUND - 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["home", "line.jsonl"], "nothing half-written is left"


def test_a_crash_at_any_byte_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    Timeline(path).add([event(number) for number in range(5)])
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        before = Timeline(path).read()
        assert before == [event(number) for number in range(len(before))]
        assert len(before) >= whole[:cut].count(b"\n")
        Timeline(path).add([event(9)])
        assert Timeline(path).read() == [*before, event(9)], cut


def test_garbage_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    path.write_bytes(b'\xff\xfe\x00\n{"at": 3}\n[]\n' + os.urandom(200).replace(b"\n", b"") + b"\n")
    Timeline(path).add([event(1)])
    assert Timeline(path).read() == [event(1)]


def test_secrets_do_not_get_there(tmp_path: Path) -> None:
    path = tmp_path / "line.jsonl"
    Timeline(path).add([event(1, "password=hunter22 Cookie: api=abcdef")])
    assert b"hunter22" not in path.read_bytes() and b"abcdef" not in path.read_bytes()


async def test_the_scribe_writes_in_the_background_and_at_the_end(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "line.jsonl")
    scribe = Scribe(timeline)
    await scribe.flush()
    for number in range(3):
        scribe.put(event(number))
    await scribe.flush()
    assert timeline.read() == [event(0), event(1), event(2)]


async def test_a_disk_that_fails_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "line.jsonl").mkdir()
    scribe = Scribe(Timeline(tmp_path / "line.jsonl"))
    for number in range(2):
        scribe.put(event(number))
        await scribe.flush()


def test_each_profile_has_its_own() -> None:
    assert path_of("live") != path_of("paper") and path_of("live").name == "live.jsonl"
