"""Textual's terminal driver, made to survive a terminal that goes away.

Without it the thread that writes dies of the first failed write; its queue then fills up and the
event loop waits for ever on the next frame, so that the program neither works nor ends.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class _Forgiving:
    """A text file whose failed writes are lost in silence: nobody is left to read them."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            return

    def fileno(self) -> int:
        return self._file.fileno()


class TerminalDriver(LinuxDriver):
    """`LinuxDriver`, but a dead terminal neither blocks it nor makes it print a traceback."""

    def __init__(
        self,
        app: App[object],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        if self._file is not None:
            self._file = _Forgiving(self._file)  # type: ignore[assignment]

    def run_input_thread(self) -> None:
        """Reading a dead terminal fails; `ending.terminal_gone` ends the app then."""
        try:
            super().run_input_thread()
        except OSError:
            return
