"""When this person last looked: a small private file that may be missing, broken or not writable."""

from __future__ import annotations

from datetime import UTC, datetime

from ibtui import paths
from ibtui.service.seen import last_seen, mark_seen

AT = datetime(2026, 4, 24, 2, 14, tzinfo=UTC)


async def test_what_is_marked_is_read() -> None:
    assert await last_seen("default") is None
    await mark_seen("default", AT)
    assert await last_seen("default") == AT
    assert await last_seen("live") is None, "each profile has its own"
    (file,) = (paths.state_dir() / "seen").iterdir()
    assert file.stat().st_mode & 0o077 == 0


async def test_a_broken_file_is_none() -> None:
    await mark_seen("default", AT)
    (file,) = (paths.state_dir() / "seen").iterdir()
    for content in ("", "yesterday", "2026-04-24T02:14:00"):
        file.write_text(content)
        assert await last_seen("default") is None


async def test_a_disk_that_refuses_is_no_failure() -> None:
    paths.state_dir().mkdir(parents=True, exist_ok=True)
    (paths.state_dir() / "seen").write_text("a file where the folder should be")
    await mark_seen("default", AT)
    assert await last_seen("default") is None
