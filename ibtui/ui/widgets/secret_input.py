"""`SecretInput`: a field for a password or code that nothing but `take` can read.

Textual's own `Input` copies the clear text with ctrl+c, selects it on focus and prints it in the
repr of its messages. This one has no copy, no selection, no suggestions, and its messages carry
no value.
"""

from __future__ import annotations

from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ibtui.secret import Secret
from ibtui.ui.widgets.inks import ink
from ibtui.ui.widgets.lines import draw

LONGEST = 512


class SecretInput(Widget, can_focus=True):
    """One line; shows a bullet for each character, the newest ones if there are many."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    SecretInput { height: 1; width: 1fr; background: $surface; color: $foreground; padding: 0 1; }
    SecretInput:focus { background: $panel; }
    """

    class Submitted(Message):
        """Enter was pressed; call `take`."""

    class Edited(Message):
        """Something was typed or removed; says nothing else."""

    def __init__(self, placeholder: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._placeholder = placeholder
        self._letters: list[str] = []

    @property
    def filled(self) -> bool:
        """Whether anything was typed."""
        return bool(self._letters)

    def take(self) -> Secret:
        """What was typed; the field is empty afterwards."""
        taken = Secret("".join(self._letters))
        self.clear()
        return taken

    def clear(self) -> None:
        """Forget what was typed."""
        self._letters.clear()
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Edit at the end only: nobody moves about in what cannot be seen."""
        if event.key == "enter":
            event.stop()
            self.post_message(self.Submitted())
        elif event.key in ("backspace", "ctrl+h"):
            event.stop()
            del self._letters[-1:]
            self._edited()
        elif event.key in ("ctrl+u", "ctrl+w", "delete"):
            event.stop()
            self._letters.clear()
            self._edited()
        elif event.is_printable and event.character is not None:
            event.stop()
            event.prevent_default()
            self.add(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """The first line of what was pasted; a trailing line end is not part of a password."""
        event.stop()
        self.add(event.text.split("\n", 1)[0].rstrip("\r"))

    def add(self, text: str) -> None:
        """Append what was typed or pasted."""
        self._letters.extend(char for char in text if char.isprintable())
        del self._letters[LONGEST:]
        self._edited()

    def _edited(self) -> None:
        self.refresh()
        self.post_message(self.Edited())

    def render_line(self, y: int) -> Strip:
        """Bullets and a cursor."""
        room = self.size.width
        cursor = (" ", "cursor") if self.has_focus else (" ", "")
        if not self._letters:
            return draw((cursor, (self._placeholder, "muted")), room, self._style)
        bullets = "•" * min(len(self._letters), room - 1)
        return draw(((bullets, ""), cursor), room, self._style)

    def _style(self, name: str) -> Style:
        return ink(self, name)
