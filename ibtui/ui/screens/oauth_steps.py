"""What the OAuth screens are made of beside lines: fields that may be long, a file to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Label

from ibtui.secret import Secret
from ibtui.ui.present.spans import Line, line
from ibtui.ui.screens.detail import Dialog
from ibtui.ui.widgets.lines import Lines
from ibtui.ui.widgets.secret_input import SecretInput

if TYPE_CHECKING:
    from ibtui.ui.app import IbtuiApp


class LongSecretInput(SecretInput):
    """A masked field for a text that a page may have broken into lines, and that is checked as it comes."""

    def peek(self) -> Secret:
        """What was typed so far; the field keeps it."""
        return Secret("".join(self._letters))

    def on_paste(self, event: events.Paste) -> None:
        """All of it: line ends are the page's, not the secret's."""
        event.stop()
        event.prevent_default()
        self.add("".join(event.text.split()))


class OneField(Vertical):
    """A label, a field, and what is thought of it."""

    DEFAULT_CSS = """
    OneField { height: auto; margin: 0 3; }
    OneField Label { color: $text-muted; }
    OneField Input { height: 1; border: none; background: $surface; }
    OneField Input:focus { border: none; background: $panel; }
    OneField Lines { height: auto; min-height: 1; }
    """

    def __init__(self, label: str, field: Widget) -> None:
        super().__init__()
        self._label = label
        self._field = field

    def compose(self) -> ComposeResult:
        """See the class."""
        yield Label(self._label)
        yield self._field
        yield Lines(wraps=True)

    def judge(self, lines: Iterable[Line]) -> None:
        """Say below the field what is thought of it."""
        self.query_one(Lines).show(lines)


def text_field(name: str, placeholder: str = "") -> Input:
    """A plain field in one line."""
    return Input(compact=True, id=name, placeholder=placeholder, select_on_focus=False)


class FileScreen(Dialog[None]):
    """A public file as it is uploaded; y copies, escape closes."""

    DEFAULT_CSS = """
    FileScreen { align: center middle; }
    FileScreen > Vertical { width: 76; height: auto; max-height: 90%; background: $surface; padding: 1 1; }
    FileScreen Lines { background: $surface; height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,v", "close", "Close", id="file.close"),
        Binding("y", "copy", "Copy", id="file.copy"),
    ]

    def __init__(self, name: str, place: str, text: str) -> None:
        super().__init__()
        self._file, self._place, self._text = name, place, text

    def compose(self) -> ComposeResult:
        """Name and keys, then the file."""
        with Vertical():
            yield Lines(self._lines(), focusable=True)

    def _lines(self) -> Sequence[Line]:
        keys: Line = (("    y", "accent"), (" copy", "muted"), ("  esc", "accent"), (" close", "muted"))
        head = [line((f" {self._file}", "title"), *keys), line((f" for {self._place}", "muted")), line("")]
        return [*head, *(line(f" {row}") for row in self._text.splitlines())]

    def action_close(self) -> None:
        """Back."""
        self.dismiss()

    def action_copy(self) -> None:
        """The whole file."""
        cast("IbtuiApp", self.app).copy(self._text, self._file)
