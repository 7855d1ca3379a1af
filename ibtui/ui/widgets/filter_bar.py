"""The line that opens with `/`: what is typed filters the table at once."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class FilterBar(Horizontal):
    """Says `Changed` while typing and `Closed` on enter (keep) or escape (give up)."""

    DEFAULT_CSS = """
    FilterBar { dock: bottom; height: 1; margin-bottom: 1; background: $panel; }
    FilterBar Static { width: auto; color: $text-accent; }
    FilterBar Input { width: 1fr; height: 1; border: none; padding: 0; background: $panel; }
    FilterBar Input:focus { border: none; }
    """

    class Changed(Message):
        """The text as it is now."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """Typing is over; `keep` says whether the filter stays."""

        def __init__(self, keep: bool) -> None:
            super().__init__()
            self.keep = keep

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """A slash and the field."""
        yield Static(" / ", markup=False)
        yield Input(self._text, compact=True, select_on_focus=False, id="filter")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Pass it on."""
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter keeps the filter."""
        event.stop()
        self.post_message(self.Closed(keep=True))

    def on_key(self, event: events.Key) -> None:
        """Escape gives it up."""
        if event.key == "escape":
            event.stop()
            self.post_message(self.Closed(keep=False))
