"""Ties a program that does not look at its standard input to the process that started it.

Run as a file: `python -I -S tether.py PROGRAM ARGUMENT…`, with a pipe on standard input whose
other end the owner holds. It turns into PROGRAM (same pid, standard input empty) and leaves
one watcher behind: when the pipe closes, because the owner let go or died in whatever way,
the watcher ends the process group. It works where PR_SET_PDEATHSIG does not exist (macOS),
and does not depend on which thread of the owner started the program.
"""

import os
import signal
import sys
import time

GRACE = 5.0
"""Seconds between asking and killing."""


def watch(program: int) -> None:
    """Wait for the end of standard input, then end `program`'s group, unless it ended first.

    A program that has died is no longer our parent, so a pid given out again is never hit.
    """
    while os.read(0, 4096):
        pass
    if os.getppid() != program:
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while os.getppid() == program and time.monotonic() < deadline:
        time.sleep(0.05)  # noqa: TID251 - a process of its own, without an event loop
    if os.getppid() == program:
        os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Leave the watcher behind and turn into the program."""
    program = os.getpid()
    if os.fork() == 0:
        try:
            watch(program)
        finally:
            os._exit(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)


if __name__ == "__main__":
    main()
