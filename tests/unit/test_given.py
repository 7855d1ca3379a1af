"""Files that a person names: what is none is told at once, and nothing is waited for for ever."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from ibtui import given, sources
from ibtui.errors import UsageError


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    path.chmod(0o640)
    assert given.read(path, 4)[0] == b"0123"
    content, mode = given.read(path, 100)
    assert content == b"0123456789" and mode & 0o777 == 0o640
    given.check(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert given.read(link, 100)[0] == b"0123456789"


def test_what_is_missing_is_told_by_who_opens_it(tmp_path: Path) -> None:
    given.check(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        given.read(tmp_path / "none", 1)


def test_folders_pipes_devices_and_sockets_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        for path, what in (
            (tmp_path, "a folder"),
            (tmp_path / "fifo", "a pipe"),
            (Path("/dev/zero"), "a device"),
        ):
            for work in (given.check, lambda path: given.read(path, 1)):
                with pytest.raises(UsageError, match=what):
                    work(path)
        with pytest.raises(UsageError, match="a socket"):
            given.check(tmp_path / "socket")


def test_a_pipe_may_hold_a_secret(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)

    def write() -> None:
        with fifo.open("w") as file:
            file.write("plan")
            file.flush()
            time.sleep(0.2)
            file.write("ted\nmore\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert sources.private_line(fifo) == "planted"
    writer.join()
    began = time.monotonic()
    with pytest.raises(UsageError, match="Nothing came out"):
        sources.private_line(fifo)
    assert time.monotonic() - began < 5
    read, write_ = os.pipe()
    os.write(write_, b"1234\n")
    os.close(write_)
    assert sources.private_line(Path(f"/dev/fd/{read}")) == "1234"
    os.close(read)


def test_a_pipe_without_end_is_read_up_to_the_limit(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    stop = threading.Event()

    def write() -> None:
        with fifo.open("wb", buffering=0) as file:
            try:
                while not stop.is_set():
                    file.write(b"x" * 4096)
            except BrokenPipeError:
                return

    writer = threading.Thread(target=write)
    writer.start()
    content, _ = given.read(fifo, 10_000, pipe=True)
    stop.set()
    writer.join(5)
    assert len(content) == 10_000
