from __future__ import annotations

import asyncio
from pathlib import Path

from ibtui.clock import FakeClock
from ibtui.gateway.logs import added, clean, follow, rotate, size_of, tail
from tests.unit.gateway.gateway_tools import mode


def test_lines_are_redacted_and_cannot_move_the_cursor() -> None:
    assert "abc123" not in clean(b"Cookie: JSESSIONID=abc123\n")
    assert clean(b"\x1b[2Jhello\x07\r\n") == "·[2Jhello·"
    assert clean(b"a\tb\xff") == "a   b�"
    assert len(clean(b"x y " * 10_000)) == 2000


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert tail(path) == []
    path.write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert tail(path, 3) == ["line 99997", "line 99998", "line 99999"]
    assert tail(path, 0) == []
    big = tail(path, 10**6)
    assert 10_000 < len(big) < 100_000 and big[0].startswith("line ")  # bounded, no cut line


def test_added(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert added(path, 0) == [] and size_of(path) == 0
    path.write_text("old\n")
    mark = size_of(path)
    path.write_text("old\nnew\n")
    assert added(path, mark) == ["new"]
    path.write_text("x\n")
    assert added(path, mark) == ["x"]


async def take(stream: object, count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [await anext(stream) for _ in range(count)]  # type: ignore[call-overload]


async def test_follow_two_files_through_rotation(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a\nb\nc\n")
    stream = follow([one, two], 2, clock=FakeClock())
    assert await take(stream, 2) == ["b", "c"]
    with one.open("a") as file:
        file.write("half")
    two.write_text("late\n")
    assert await take(stream, 1) == ["late"]
    with one.open("a") as file:
        file.write(" whole\n")
    assert await take(stream, 1) == ["half whole"]
    one.write_text("d\n")  # cut
    assert await take(stream, 1) == ["d"]
    one.rename(tmp_path / "one.1")  # moved aside
    one.write_text("e\n")
    assert await take(stream, 1) == ["e"]
    with one.open("ab") as file:
        file.write(b"x" * 600_000)
    assert len((await take(stream, 1))[0]) == 2000  # a line without end does not fill the memory
    await stream.aclose()  # type: ignore[attr-defined]


def test_rotate_keeps_three_and_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    assert not rotate(path)
    with path.open("a") as writer:
        for n in range(5):
            writer.write(f"{n}" * 100)
            writer.flush()
            assert not rotate(path, 1000)
            assert rotate(path, 100)
        writer.write("end")
    assert path.read_text() == "end"
    assert [p.read_text()[0] for p in sorted(tmp_path.glob("output.log.*"))] == ["4", "3", "2"]
    assert all(mode(p) == 0o600 for p in tmp_path.glob("output.log.*"))
