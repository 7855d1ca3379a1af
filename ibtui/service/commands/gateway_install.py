"""`ibtui gateway install`: a progress line, then what is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ibtui.clock import Clock, SystemClock
from ibtui.errors import UsageError
from ibtui.service import output
from ibtui.service.commands.context import Context, run
from ibtui.service.installing import Outcome
from ibtui.service.installing import install as install_
from ibtui.service.installing import rollback as rollback_

_WIDTH = 60
_REPAINT_S = 0.1


def install(context: Context, *, source: Path | None, rollback: bool) -> int:
    """Install from the address in the settings, a zip or a folder; or go back to the one before."""
    if source is not None and rollback:
        raise UsageError("--from and --rollback do not go together.", "Choose one of them.")
    clock = SystemClock()
    line = ProgressLine(sys.stderr, clock.monotonic)

    async def work(clock: Clock) -> Outcome:
        if rollback:
            return await rollback_(context.settings, clock)
        try:
            return await install_(context.settings, source, line, clock)
        finally:
            line.end()

    _tell(context, run(work(clock)))
    return 0


def _tell(context: Context, outcome: Outcome) -> None:
    found = outcome.installed
    for warning in outcome.warnings:
        output.say(f"Note: {warning}")
    if context.as_json:
        output.dump(
            {
                "version": found.version,
                "built": found.built.isoformat() if found.built else None,
                "path": found.path,
                "adopted": found.adopted,
                "changed": outcome.changed,
                "previous": outcome.previous.version if outcome.previous else None,
                "java": outcome.java or None,
                "warnings": list(outcome.warnings),
            }
        )
        return
    output.out(f"gateway    {found.version}  built {found.built or 'at an unknown date'}")
    output.out(f"folder     {output.safe(found.path)}{'  (adopted, only read)' if found.adopted else ''}")
    if outcome.previous is not None:
        output.out(f"previous   {outcome.previous.version}  (back to it: ibtui gateway install --rollback)")
    if outcome.java:
        output.out(f"java       {outcome.java}")
    if not outcome.changed:
        output.say("It was installed already; nothing has changed.")
    elif not context.profile.gateway_command and context.profile.gateway_dir in ("", "installed"):
        output.say("Next: ibtui gateway start (restart, where one runs: it goes on with the old one).")
    else:
        output.say('The profile names another gateway. To use this one: gateway_dir = "installed"')


class ProgressLine:
    """`downloading  42 %  3.1 MB/s  5 of 11 MB` on one line of a terminal; else a line each 10 %."""

    def __init__(self, stream: TextIO, monotonic: Callable[[], float]) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._live = stream.isatty()
        self._phase = ""
        self._began = self._painted = self._start = 0.0
        self._told = -1
        self._open = False

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        now = self._monotonic()
        if phase != self._phase:
            self.end()
            self._phase, self._began, self._start, self._told, self._painted = phase, now, done, -1, 0.0
        full = total is not None and done >= total
        percent = 100 * done // total if total else None
        step = percent // 10 if percent is not None else done // 1_000_000
        due = now - self._painted >= _REPAINT_S or full if self._live else step != self._told
        if not due:
            return
        self._painted, self._told = now, step
        text = self._text(percent, done, total, now)
        self._write(f"\r{text:<{_WIDTH}}" if self._live else f"{text}\n")
        self._open = self._live

    def _text(self, percent: int | None, done: int, total: int | None, now: float) -> str:
        share = f"{percent:3d} %" if percent is not None else "  ? %"
        # What was here from an earlier download does not count for the speed.
        speed = (done - self._start) / 1e6 / max(now - self._began, 1e-3)
        rate = f"{speed:5.1f} MB/s" if done > self._start else "  0.0 MB/s"
        size = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        return f"{self._phase:<12} {share}  {rate}  {size}"

    def end(self) -> None:
        """The line is done; what comes next begins on a new one."""
        if self._open:
            self._write("\n")
            self._open = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            return  # nobody looks any more; the download does not mind
