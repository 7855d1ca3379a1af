"""A screen that leads through steps: what is done above, the present page below, fields where it has some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from ibtui.ui.present import login as present
from ibtui.ui.present import privacy
from ibtui.ui.present.spans import Line
from ibtui.ui.screens.base import Pane
from ibtui.ui.widgets.bar import Hints, TopBar
from ibtui.ui.widgets.lines import Lines

ESC = ("esc", "cancel", "leave")
HELP = ("?", "help", "app.show_help")
ASKING = frozenset({"credentials", "code", "browser", "choice", "confirm", "secret"})
"""Pages of a wizard on which the person has the word."""


class Stepped(Pane):
    """Steps above, the present page below. One screen, so that escape always means the same.

    `page` is what stands below the steps: `working`, `failure`, or one of a subclass.
    """

    AUTO_FOCUS = ""  # each page says itself what has the focus
    step_names: ClassVar[Sequence[str]] = present.STEPS
    optional_steps: ClassVar[Sequence[str]] = ()
    forms: ClassVar[dict[str, str]] = {}
    """The fields of a page."""
    DEFAULT_CSS = """
    Stepped #steps { margin: 1 0; }
    Stepped .form { display: none; height: auto; margin: 1 0 1 3; width: 56; }
    Stepped .form Label { color: $text-muted; }
    Stepped .form Input { height: 1; border: none; background: $surface; margin-bottom: 1; padding: 0 1; }
    Stepped .form Input:focus { border: none; background: $panel; }
    Stepped .form.-open { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.page = "working"
        self.left = self._gone = False
        self._track = present.Track(self.step_names, self.optional_steps)
        self._lines: list[Line] = []
        self._below: list[Line] = []

    def compose(self) -> ComposeResult:
        """Bars, steps, page, fields."""
        yield TopBar(self.title_spans)
        yield Lines(id="steps")
        yield Lines(id="page", wraps=True)
        yield from self.fields()
        yield Lines(id="below", wraps=True)
        yield Hints([ESC, HELP])

    def fields(self) -> Iterable[Widget]:
        """The fields of pages (`forms`)."""
        return ()

    def masked_names(self) -> tuple[str, ...]:
        """Texts that are hidden with privacy on."""
        return tuple(self.ibtui.private_names)

    def on_screen_resume(self) -> None:
        """It may have ended while a help page lay over it."""
        if self.left:
            self.call_later(self.go_away)

    def go_away(self) -> None:
        """Close, now or as soon as nothing lies over it: Textual would take away what does."""
        self.left = True
        if self.app.screen is self and not self._gone:
            self._gone = True
            self.dismiss()

    def tick(self) -> None:
        """Elapsed times."""
        super().tick()
        self.show_steps()

    def enter(self, name: str, text: str = "") -> None:
        """`name` is the step now; those before it are done."""
        self._track.enter(name, self.ibtui.monotonic(), text)
        self.show_steps()

    def finish(self, name: str, text: str = "") -> None:
        """A step is done."""
        self._track.finish(name, self.ibtui.monotonic(), text)
        self.show_steps()

    def show_steps(self) -> None:
        """The steps with their times as they are now."""
        lines = self._track.lines(self.app.size.width, self.ibtui.monotonic(), self._mask)
        self.query_one("#steps", Lines).show(lines)

    def show_page(self, page: str, lines: list[Line]) -> None:
        """Another page; the fields that belong to it are opened, the others emptied."""
        self.page = page
        for name, fields in self.forms.items():
            self.query_one(fields).set_class(name == page, "-open")
        if page not in self.forms:
            self.set_focus(None)
        self._lines, self._below = lines, []
        self.reload()
        self.ibtui.verbs.wait_for_person(page in ASKING)

    def show_below(self, lines: list[Line]) -> None:
        """What stands below the fields."""
        self._below = lines
        self.query_one("#below", Lines).show(self._masked(lines))

    def reload(self) -> None:
        """The page anew, with names masked or not."""
        self.query_one("#page", Lines).show(self._masked(self._lines))
        self.query_one("#below", Lines).show(self._masked(self._below))
        self.show_steps()

    def _masked(self, lines: list[Line]) -> list[Line]:
        return [tuple((self._mask(text), style) for text, style in spans) for spans in lines]

    def _mask(self, text: str) -> str:
        return privacy.text(text, hide=self.ibtui.hidden, names=self.masked_names())

    def hint(self, hints: list[tuple[str, str, str]]) -> None:
        """What works on this page."""
        self.query_one(Hints).set_hints(hints)
