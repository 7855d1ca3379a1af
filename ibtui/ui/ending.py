"""Leaving in good order when the terminal goes away: hang-up, termination, end of input.

Textual reads a dead terminal again and again without noticing, so it is looked at once a second.
"""

from __future__ import annotations

import asyncio
import select
import signal
import sys
from collections.abc import Callable

SIGNALS = {signal.SIGHUP: 129, signal.SIGTERM: 143}
"""Which signals end the app, and with which exit status."""


def on_signals(end: Callable[[int], None]) -> None:
    """Call `end(exit status)` in the event loop when asked to go; not available on every platform."""
    loop = asyncio.get_running_loop()
    for number, status in SIGNALS.items():
        try:
            loop.add_signal_handler(number, end, status)
        except (NotImplementedError, RuntimeError, ValueError):
            return


def terminal_gone() -> bool:
    """Whether nobody is left at the other end of standard input."""
    stdin = sys.__stdin__
    if stdin is None or stdin.closed:
        return True
    try:
        poll = select.poll()
        poll.register(stdin.fileno(), select.POLLIN)
        found = poll.poll(0)
    except (OSError, ValueError, AttributeError):
        return False
    return any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in found)
