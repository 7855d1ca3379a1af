"""What is typed where no field is open may be a password: a burst of it is no row of keys."""

from __future__ import annotations

from textual import events

from ibtui.ui.themed import ThemedApp

FIRST_S = 1.5
"""So long after a page for a password did not come, or went away, nothing typed is a key."""
NEXT_S = 1.0
"""And so long after each key that was dropped: whoever types a password goes on faster."""


class HushedApp(ThemedApp):
    """Keys that may belong to a password reach neither bindings nor fields they were not meant for.

    A screen may have `takes(key)`: True where it has made use of a key before anything else could.
    """

    _hushed_until = 0.0
    _hush_told = False

    def monotonic(self) -> float:
        """Seconds; see `IbtuiApp`."""
        raise NotImplementedError

    def hush(self) -> None:
        """Somebody may be typing a password that nobody asks for any more: drop it."""
        self._hushed_until, self._hush_told = self.monotonic() + FIRST_S, False

    async def on_event(self, event: events.Event) -> None:
        """Keys go by here before any binding sees them."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self._drops(event):
                return
            takes = getattr(self.screen, "takes", None)
            if takes is not None and takes(event):
                return
        await super().on_event(event)

    def _drops(self, event: events.Key) -> bool:
        if self.monotonic() >= self._hushed_until:
            return False
        if not (event.is_printable or event.key in ("enter", "backspace", "delete")):
            self._hushed_until = 0.0  # escape and the like are no part of a password
            return False
        self._hushed_until = self.monotonic() + NEXT_S
        if not self._hush_told:
            self._hush_told = True
            self.notify("What you type now is dropped: it may be a password.", markup=False)
        return True
