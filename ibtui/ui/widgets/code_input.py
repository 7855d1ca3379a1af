"""`CodeInput`: boxes for the digits of a second factor. Letters are not its own: they stay keys."""

from __future__ import annotations

from textual import events
from textual.strip import Strip

from ibtui.ui.present.spans import Line, Span
from ibtui.ui.widgets.lines import draw
from ibtui.ui.widgets.secret_input import SecretInput

_ASIDE = 46
"""The column where what stands beside the boxes begins."""


class CodeInput(SecretInput):
    """`Code   [ • • _ _ _ _ ]   waiting 2:46 more`. Digits are shown only when asked for.

    Keys and guarantees of `SecretInput`; digits alone are taken, from a paste too.
    """

    DEFAULT_CSS = """
    CodeInput { background: $background; padding: 0; }
    CodeInput:focus { background: $background; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._boxes = 6
        self._label = ""
        self._aside: Line = ()
        self._open = False

    @property
    def boxes(self) -> int:
        """How many digits are wanted."""
        return self._boxes

    @property
    def complete(self) -> bool:
        """Whether all boxes are filled."""
        return len(self._letters) == self._boxes

    def begin(self, label: str, boxes: int) -> None:
        """Empty boxes for another code."""
        self._label, self._boxes, self._open = label, boxes, False
        self.clear()

    def set_aside(self, spans: Line) -> None:
        """What stands to the right of the boxes."""
        if spans != self._aside:
            self._aside = spans
            self.refresh()

    def toggle_shown(self) -> None:
        """Show the digits, or hide them again."""
        self._open = not self._open
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Digits go into the boxes; other printable keys are left to the screen."""
        if event.is_printable and event.character is not None and not _digit(event.character):
            event.prevent_default()  # and not stopped: `r`, `m`, `b` … are the page's keys
            if event.character in " -":
                event.stop()

    def on_paste(self, event: events.Paste) -> None:
        """The digits of the first line: `123 456` and `123-456` are as good as `123456`."""
        event.stop()
        event.prevent_default()
        self.add("".join(char for char in event.text.strip().split("\n", 1)[0] if _digit(char)))

    def add(self, text: str) -> None:
        """As many digits as there are boxes left for."""
        super().add(text[: max(0, self._boxes - len(self._letters))])

    def render_line(self, y: int) -> Strip:
        """Label, boxes, what stands beside them."""
        spans: list[Span] = [(f"   {self._label}   ", "muted"), ("[ ", "muted")]
        for at in range(self._boxes):
            if at < len(self._letters):
                spans.append((self._letters[at] if self._open else "•", "strong"))
            else:
                here = at == len(self._letters) and self.has_focus
                spans.append(("_", "cursor" if here else "muted"))
            spans.append((" ", ""))
        spans.append(("]", "muted"))
        used = sum(len(text) for text, _ in spans)
        return draw((*spans, (" " * max(2, _ASIDE - used), ""), *self._aside), self.size.width, self._style)


def _digit(char: str) -> bool:
    return char in "0123456789"
