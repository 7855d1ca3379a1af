"""A real pseudo-terminal with a program in it: for tests that look at a screen, and for figures.

The program's output is read and time-stamped at once; `pyte` interprets it, so that what
is looked at is the screen and not the bytes. Questions a terminal is asked are answered.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyte

# What pyte prints as text although a terminal would obey or ignore it.
_UNKNOWN = re.compile(
    rb"\x1b\[[<>=][0-9;]*[ -/]*[@-~]|\x1b\[\??[0-9;]*\$[a-z]|\x1b\[[0-9;]*[ -/]+[@-~]"
    rb"|\x1b[P_^X][^\x1b]*\x1b\\"
)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree has used: CPU seconds, peak resident MiB (summed), number of processes."""

    cpu: float
    rss: float
    processes: int


def family(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def usage(pid: int) -> Usage:
    """CPU and memory of `pid` and its descendants."""
    ticks = peak = 0
    members = family(pid)
    for member in members:
        try:
            with open(f"/proc/{member}/stat", encoding="latin-1") as file:
                fields = file.read().rpartition(")")[2].split()
            with open(f"/proc/{member}/status", encoding="latin-1") as file:
                peak += next((int(line.split()[1]) for line in file if line.startswith("VmHWM")), 0)
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
        if member == pid:
            ticks += int(fields[13]) + int(fields[14])
    return Usage(ticks / _TICKS, peak / 1024, len(members))


class Terminal:
    """One program on one pseudo-terminal; a context manager that leaves no process behind."""

    def __init__(
        self,
        argv: Sequence[str],
        cols: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
        term: str = "xterm-256color",
        cwd: str | None = None,
    ) -> None:
        self.display = pyte.Screen(cols, rows)
        self._stream = pyte.ByteStream(self.display)
        self.raw = bytearray()
        self.ended = False
        self.status: int | None = None
        environment = dict(os.environ if env is None else env)
        environment["TERM"] = term
        for name in ("COLUMNS", "LINES"):
            # Programs believe these more than the terminal, and never hear of a resize.
            environment.pop(name, None)
        if term == "xterm-256color":
            environment["COLORTERM"] = "truecolor"
        else:
            environment.pop("COLORTERM", None)
        self.began = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
                if cwd:
                    os.chdir(cwd)
                os.execvpe(argv[0], list(argv), environment)
            finally:
                os._exit(127)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resize(self, cols: int, rows: int) -> None:
        """Change the size, as a person does by dragging."""
        self.display.resize(rows, cols)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def read(self, timeout: float) -> float | None:
        """Take in what is there within `timeout` seconds; its time stamp since the start."""
        ready, _, _ = select.select([self._fd], [], [], timeout)
        if not ready:
            return None
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return None
        stamp = time.monotonic() - self.began
        self.raw += data
        self._answer(data)
        self._stream.feed(_UNKNOWN.sub(b"", data))
        return stamp

    def _answer(self, data: bytes) -> None:
        reply = b""
        if b"\x1b[c" in data or b"\x1b[0c" in data:
            reply += b"\x1b[?62;22c"
        for _ in range(data.count(b"\x1b[6n")):
            reply += b"\x1b[%d;%dR" % (self.display.cursor.y + 1, self.display.cursor.x + 1)
        for mode in re.finditer(rb"\x1b\[\?([0-9]+)\$p", data):
            reply += b"\x1b[?%s;%d$y" % (mode[1], 2 if mode[1] == b"2026" else 0)
        if b"\x1b[?u" in data:
            reply += b"\x1b[?0u"
        if reply:
            os.write(self._fd, reply)

    @property
    def lines(self) -> list[str]:
        """The screen's lines as text."""
        return [line.rstrip() for line in self.display.display]

    @property
    def text(self) -> str:
        """The whole screen as text."""
        return "\n".join(self.lines)

    def wait(self, wanted: str | Callable[[str], bool], timeout: float = 20.0) -> float:
        """Seconds since the start at which `wanted` stood on the screen.

        Raises:
            AssertionError: it did not come; shows the screen.
        """
        seen = (lambda screen: wanted in screen) if isinstance(wanted, str) else wanted
        end = time.monotonic() + timeout
        stamp = time.monotonic() - self.began
        while not seen(self.text):
            if time.monotonic() > end or self.ended:
                raise AssertionError(f"{wanted!r} never came; the screen:\n{self.text}")
            stamp = self.read(0.05) or stamp
        return stamp

    def settle(self, quiet: float = 0.3, timeout: float = 5.0) -> None:
        """Read until nothing new has come for `quiet` seconds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.read(quiet) is not None:
            pass

    def exit(self, timeout: float = 10.0) -> int:
        """Wait for the program's own end; its exit status (negative: a signal)."""
        end = time.monotonic() + timeout
        while self.status is None:
            if not self.ended:
                self.read(0.02)
            else:
                time.sleep(0.01)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise AssertionError(f"still running; the screen:\n{self.text}")
        return self.status

    def hang_up(self) -> None:
        """Close the terminal, as a broken SSH connection does."""
        os.close(self._fd)
        self._fd = -1
        self.ended = True

    def close(self) -> None:
        """End the program and everything it started."""
        members = family(self.pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.status is not None:
                break
            for member in members:
                try:
                    os.kill(member, number)
                except OSError:
                    continue
            try:
                self.exit(2.0)
            except (AssertionError, ChildProcessError):
                continue
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
