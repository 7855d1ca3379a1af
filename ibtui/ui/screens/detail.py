"""Dialogs: details of a row, a question before something hard to undo, the help page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from ibtui.ui import keymap
from ibtui.ui.present.spans import Line, clean, line
from ibtui.ui.screens.base import table_text
from ibtui.ui.widgets.inks import INKED
from ibtui.ui.widgets.lines import Lines

if TYPE_CHECKING:
    from ibtui.ui.app import IbtuiApp

BOX = """
    align: center middle;
    & > Vertical {
        width: 80; max-width: 100%; height: auto; max-height: 90%;
        background: $surface; padding: 1 1;
    }
    & Lines { background: $surface; }
    & .page { height: auto; max-height: 100%; }
"""


Result = TypeVar("Result")
Found = tuple[str, Sequence[tuple[str, str]]]
"""A heading and the (name, text) pairs below it."""


class Dialog(ModalScreen[Result]):
    """What lies over a screen: keys of the app stop here, but the one that masks works everywhere."""

    COMPONENT_CLASSES = INKED
    BINDINGS: ClassVar[list[BindingType]] = [Binding("h", "app.toggle_privacy", "Hide", id="dialog.hide")]


class DetailScreen(Dialog[None]):
    """Names and values, kept up to date; escape or enter closes, y copies.

    Args:
        found: what is shown first.
        look: gives the same as it is now; None once the row is gone, then the last values stay.
    """

    DEFAULT_CSS = f"DetailScreen {{ {BOX} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "close", "Close", id="detail.close"),
        Binding("y", "copy", "Copy", id="detail.copy"),
    ]

    def __init__(self, found: Found, look: Callable[[], Found | None]) -> None:
        super().__init__()
        self._heading, self._pairs = found
        self._look = look

    def compose(self) -> ComposeResult:
        """A heading with the keys, then the pairs."""
        with Vertical():
            hang = self._wide() + 3
            yield Lines(self._lines(), focusable=True, wraps=True, hang=hang, classes="page")

    def _wide(self) -> int:
        return max((len(name) for name, _ in self._pairs), default=0)

    def _lines(self) -> list[Line]:
        wide = self._wide()
        keys: Line = (("    y", "accent"), (" copy", "muted"), ("  esc", "accent"), (" close", "muted"))
        lines: list[Line] = [line((f" {clean(self._heading)}", "title"), *keys), line("")]
        return lines + [line((f" {name:<{wide}}  ", "muted"), text) for name, text in self._pairs]

    def reload(self) -> None:
        """The values as they are now, masked or not."""
        found = self._look()
        if found is not None:
            self._heading, self._pairs = found
            self.query_one(Lines).show(self._lines())

    def tick(self) -> None:
        """A second has passed."""
        self.reload()

    def action_close(self) -> None:
        """Back to the table."""
        self.dismiss()

    def action_copy(self) -> None:
        """All pairs."""
        cast("IbtuiApp", self.app).copy(table_text(self._pairs), self._heading)


class ConfirmScreen(Dialog[bool]):
    """A question; only `y` means yes, enter and escape mean no.

    Args:
        consequence: what happens then; a function where it names what `h` masks.
    """

    DEFAULT_CSS = f"ConfirmScreen {{ {BOX} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("escape,enter,n,q", "answer(False)", "No", id="confirm.no"),
    ]

    def __init__(self, question: str, consequence: str | Callable[[], str]) -> None:
        super().__init__()
        self._question = question
        self._consequence = consequence

    def compose(self) -> ComposeResult:
        """Question, consequence, keys."""
        with Vertical():
            yield Lines(self._lines(), wraps=True)

    def _lines(self) -> list[Line]:
        consequence = self._consequence
        return [
            line((f" {self._question}", "title")),
            line(""),
            line(f" {consequence if isinstance(consequence, str) else consequence()}"),
            line(""),
            line((" y", "accent"), (" yes ", "muted"), (" esc", "accent"), (" no", "muted")),
        ]

    def reload(self) -> None:
        """Masked or not."""
        self.query_one(Lines).show(self._lines())

    def action_answer(self, yes: bool) -> None:
        """Done."""
        self.dismiss(yes)


class HelpScreen(Dialog[None]):
    """The keys that work on a screen, made from the key map."""

    DEFAULT_CSS = f"HelpScreen {{ {BOX} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "close", "Close", id="help.close"),
    ]

    def __init__(self, screen: str) -> None:
        super().__init__()
        self._screen = screen

    def compose(self) -> ComposeResult:
        """This screen first, then what works everywhere, then the table's keys."""
        with Vertical():
            yield Lines(help_lines(self._screen), focusable=True, wraps=True, classes="page")

    def action_close(self) -> None:
        """Back."""
        self.dismiss()


_TABLE_KEYS = (
    ("↑ ↓ j k", "Move the cursor; it stays on its row while values change"),
    ("home end g G", "First and last row"),
    ("space", "Mark a row"),
    ("S", "Turn the order round"),
)


def help_lines(screen: str) -> list[Line]:
    """The help page of a screen."""
    out: list[Line] = []
    title = keymap.TITLES.get(screen, screen.capitalize())
    blocks = [(title, [(keymap.face(key.key), key.description) for key in keymap.of(screen)])]
    if screen in ("positions", "orders"):
        blocks.append(("In the table", list(_TABLE_KEYS)))
    blocks.append(("Everywhere", [(keymap.face(key.key), key.description) for key in keymap.of("")]))
    for heading, keys in blocks:
        out.append(line((f" {heading}", "title")))
        out += [line((f"   {face:<13}", "accent"), text) for face, text in keys]
        out.append(line(""))
    out.append(line((" ● on   ◐ on its way   ▲ look   ○ off   · not looked yet", "muted")))
    return out
