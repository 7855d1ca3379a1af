"""The porch: secrets that cannot be printed, the redactor, private files, clocks and tasks."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import logging
import pickle
import stat
from pathlib import Path

import pytest

from ibtui import errors, log, paths, plain
from ibtui.clock import FakeClock, SystemClock, Tasks
from ibtui.secret import Secret


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hunter2")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>10}", "%s" % secret, repr([secret])]  # noqa: UP031
    assert "hunter2" not in "".join(shown)
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2") and secret != Secret("other") and secret != "hunter2"
    assert bool(secret) and not Secret("")
    for travel in (pickle.dumps, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            travel(secret)
    assert len({secret, Secret("hunter2")}) == 2


PLANTED = "s3cr3tVALUE"


@pytest.mark.parametrize(
    "text",
    [
        f"Cookie: api={PLANTED}; other=1",
        f'Set-Cookie: x-sess-uuid="{PLANTED}"; Path=/',
        f'{{"session":"{PLANTED}","ssoExpires":1}}',
        f'cookie: api={{"session":"{PLANTED}"}}',
        f"Authorization: Bearer {PLANTED}",
        f"Authorization: OAuth oauth_token={PLANTED}",
        f"password={PLANTED}&user=x",
        f"{{'password': '{PLANTED}'}}",
        f"XYZAB_AM.LOGIN={PLANTED}",
        f"<ib_auth_res><M2>{PLANTED}</M2></ib_auth_res>",
        "key 0123456789abcdef0123456789abcdef01234567 s3cr3t".replace("s3cr3t", ""),
        f"wss://h/v1/api/ws?oauth_token={PLANTED}",
        f"JSESSIONID={PLANTED}",
        f'{{"totp_secret":"{PLANTED}","pin":"{PLANTED}","ocra":"{PLANTED}"}}',
        f'"accessTokenSecret": "{PLANTED}"',
        f"E_PIN={PLANTED}&CHALLENGE_RESPONSE={PLANTED}",
    ],
)
def test_the_redactor_hides_planted_secrets(text: str) -> None:
    cleaned = log.redact(text)
    assert PLANTED not in cleaned
    assert "0123456789abcdef" not in cleaned
    assert "***" in cleaned


def test_the_redactor_leaves_plain_talk_alone() -> None:
    text = "tickle ok in 48 ms; order 1834567001 is Submitted at 185.00"
    assert log.redact(text) == text


def test_the_log_is_private_and_redacted(tmp_path: Path) -> None:
    path = log.set_up(tmp_path / "logs", debug=True)
    logging.getLogger("ibtui.x").warning("session=%s", PLANTED)
    assert path is not None and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert PLANTED not in path.read_text() and "session=***" in path.read_text()
    for name in log.LOUD:
        assert logging.getLogger(name).level == logging.WARNING
    for handler in logging.getLogger("ibtui").handlers:
        handler.close()


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert log.set_up(in_the_way / "log") is None
    logging.getLogger("ibtui.x").error("lost")
    path = log.set_up(tmp_path / "log")
    handler = logging.getLogger("ibtui").handlers[0]
    assert path is not None and isinstance(handler, logging.FileHandler)
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:
        own = handler.setStream(full)
        logging.getLogger("ibtui.x").error("no space for this")
        handler.stream = own  # type: ignore[assignment]
    assert capsys.readouterr().err == ""


def test_a_stream_without_our_signs_shows_stand_ins() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    plain.prepare(stream)
    stream.write("→ AAPL ▲+1.00 — … ┌▇ 界 é")
    stream.flush()
    assert raw.getvalue() == b"> AAPL ^+1.00 - . +# ?? ?"


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    paths.write_private(path, b"one")
    paths.write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_folder_of_the_persons_own_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    paths.write_private(tmp_path / "file", b"x")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file"
    paths.write_private(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        paths.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_folders_lie_where_the_platform_wants_them() -> None:
    for folder in (paths.config_dir(), paths.data_dir(), paths.state_dir(), paths.log_dir()):
        assert folder.is_absolute() and "ibtui" in str(folder)
    assert paths.run_dir("a") != paths.run_dir("b")


def every(error: type[errors.IbtuiError]) -> list[type[errors.IbtuiError]]:
    return [error, *(deep for sub in error.__subclasses__() for deep in every(sub))]


def test_each_error_stands_in_the_drawn_tree_with_its_exit_code() -> None:
    drawn = {
        words[0]: int(words[1])
        for line in (errors.__doc__ or "").splitlines()
        if (words := line.strip(" │├└─").split()) and len(words) > 1 and words[1].isdecimal()
    }
    own = {
        error.__name__: error.exit_code
        for error in every(errors.IbtuiError)
        if error.__module__ == "ibtui.errors"
    }
    assert drawn == own


async def test_fake_clock_jumps_instead_of_waiting() -> None:
    clock = FakeClock()
    before = clock.now()
    await clock.sleep(3600)
    clock.advance(60)
    assert (clock.now() - before).total_seconds() == 3660
    assert clock.monotonic() == 3660


async def test_system_clock_tells_the_time() -> None:
    clock = SystemClock()
    first = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= first
    assert clock.now().tzinfo is not None


async def test_tasks_end_with_their_owner_and_report_errors() -> None:
    seen: list[BaseException] = []
    tasks = Tasks(seen.append)

    async def fail() -> None:
        raise ValueError("boom")

    tasks.start(fail(), "fails")
    sleeper = tasks.start(asyncio.sleep(60), "sleeps")
    await asyncio.sleep(0.01)
    await tasks.close()
    assert [str(error) for error in seen] == ["boom"]
    assert sleeper.cancelled()
