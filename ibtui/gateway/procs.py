"""What the operating system knows of processes: identity, memory, groups, who holds a port.

Linux tells through /proc, macOS through `ps` and `lsof`. Everything here is read-only and
synchronous (a few milliseconds; `holder` up to a tenth of a second): call it through
`asyncio.to_thread`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PROC = Path("/proc")
_STAT_STATE, _STAT_PGRP, _STAT_SESSION, _STAT_THREADS, _STAT_START = 0, 2, 3, 17, 19
"""Positions in /proc/PID/stat after the command's closing bracket (proc(5), minus three)."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port; pid 0 when the system hides whose it is."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})" if self.pid else self.command


def has_proc() -> bool:
    """Whether this system has Linux's /proc."""
    return (PROC / "self" / "stat").exists()


def birth(pid: int) -> str | None:
    """When `pid` was started, as a text that no other process ever has together with that
    pid; None when there is no such process or only its zombie is left."""
    if has_proc():
        stat = _stat(pid)
        if stat is None or _ended(stat):
            return None
        return f"{_boot_id()}:{stat[_STAT_START]}"
    words = _ps(pid, "stat=,lstart=").split(maxsplit=1)
    return None if len(words) < 2 or words[0].startswith("Z") else words[1].strip()


def started(pid: int) -> datetime | None:
    """When `pid` was started, aware, to the second; None when it is gone or the system does not tell."""
    if has_proc():
        stat, boot = _stat(pid), _boot_time()
        if stat is None or not boot:
            return None
        return datetime.fromtimestamp(boot + int(stat[_STAT_START]) // os.sysconf("SC_CLK_TCK"), UTC)
    # The names of days and months are the locale's.
    text = _run(["env", "LC_ALL=C", "ps", "-o", "lstart=", "-p", str(pid)]).strip()
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").astimezone(UTC)
    except ValueError:
        return None


def mentioned(words: Iterable[str]) -> set[str]:
    """Which of these words stand on the command line of a living process, as far as we may look.

    Command lines may hold secrets: they are searched here and never handed out.
    """
    text = "\n".join(_command_lines())
    return {word for word in words if word in text}


def _command_lines() -> Iterator[str]:
    if not has_proc():
        # `ww`: never cut to the width of a terminal.
        yield _run(["ps", "-axww", "-o", "args="])
        return
    for pid in _pids():
        with contextlib.suppress(OSError):
            yield (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


def resident(pid: int) -> int | None:
    """Bytes of memory `pid` holds; None when unknown."""
    if has_proc():
        try:
            pages = int((PROC / str(pid) / "statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")
    text = _ps(pid, "rss=").strip()
    return int(text) * 1024 if text.isdecimal() else None


def group_members(pgid: int) -> list[int]:
    """The living processes (no zombies) of a process group."""
    if has_proc():
        found = []
        for pid in _pids():
            stat = _stat(pid)
            if stat is not None and int(stat[_STAT_PGRP]) == pgid and not _ended(stat):
                found.append(pid)
        return found
    rows = (line.split() for line in _run(["ps", "-axo", "pid=,pgid=,stat="]).splitlines())
    return [int(r[0]) for r in rows if len(r) == 3 and r[1] == str(pgid) and not r[2].startswith("Z")]


def left_behind(pgid: int, born: str, cwd: Path | None) -> list[int]:
    """Members of a group whose leader has died that are still recognisably its children.

    Same group, same session, not older than the leader, in the same folder (unless `cwd` is
    None: the leader was our own child): a pid number that was given out again does not fulfil
    all of them. Empty where there is no /proc.
    """
    if not has_proc():
        return []
    boot, _, start = born.partition(":")
    if boot != _boot_id():
        return []
    found = []
    for pid in group_members(pgid):
        stat = _stat(pid)
        if stat is None or int(stat[_STAT_SESSION]) != pgid or int(stat[_STAT_START]) < int(start or 0):
            continue
        try:
            if cwd is None or (PROC / str(pid) / "cwd").readlink() == cwd:
                found.append(pid)
        except OSError:
            continue
    return found


def group_of(pid: int) -> int | None:
    """The process group of `pid`; None when it is gone."""
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def port_free(port: int) -> bool:
    """Whether a server can listen on `port` on all addresses of this machine.

    SO_REUSEADDR, so that connections that linger after a stop do not count; the two
    connects because macOS lets a wildcard bind pass beside a listener on one address.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            # A port below 1024, say: the program itself will tell why it cannot listen.
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                probe.settimeout(1)
                probe.connect((host, port))
                return False
        except OSError:
            continue
    return True


def holder(port: int) -> Holder | None:
    """Who listens on `port`; None when nobody does (on macOS also when it is another user's)."""
    if has_proc():
        inodes = _listening_inodes(port)
        if not inodes:
            return None
        pid = _owner_of(inodes)
        return Holder(pid, command(pid)) if pid else Holder(0, "a program of another user")
    fields = _run(["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"]).splitlines()
    pids = [line[1:] for line in fields if line.startswith("p")]
    names = [line[1:] for line in fields if line.startswith("c")]
    return Holder(int(pids[0]), names[0] if names else "?") if pids else None


def command(pid: int) -> str:
    """The program's name, without its arguments: those may carry secrets."""
    if not has_proc():
        return Path(_ps(pid, "comm=").strip() or "?").name
    try:
        return (PROC / str(pid) / "comm").read_text().strip() or "?"
    except OSError:
        return "?"


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()]


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command may hold blanks and brackets: what counts comes after the last bracket.
    return text.rpartition(")")[2].split()


def _ended(stat: list[str]) -> bool:
    """A zombie without living threads. Java's first thread is one a moment before the others
    have let go of the port."""
    return stat[_STAT_STATE] in "ZX" and int(stat[_STAT_THREADS]) <= 1


def _boot_id() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _boot_time() -> int:
    """Seconds since 1970 at which the system was started; 0 when it does not tell."""
    try:
        rows = (PROC / "stat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in rows if row.startswith("btime ")), 0)


def _listening_inodes(port: int) -> set[str]:
    listen = "0A"
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            words = row.split()
            if words[3] == listen and int(words[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{words[9]}]")
    return found


def _owner_of(inodes: set[str]) -> int | None:
    for pid in _pids():
        try:
            for handle in (PROC / str(pid) / "fd").iterdir():
                if str(handle.readlink()) in inodes:
                    return pid
        except OSError:
            continue
    return None


def _ps(pid: int, columns: str) -> str:
    return _run(["ps", "-o", columns, "-p", str(pid)])


def _run(argv: list[str]) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
