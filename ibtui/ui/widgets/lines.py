"""`Lines`: styled lines of text, scrolled if they do not fit; foreign text is never markup."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ibtui.ui.present.spans import Line, wrap
from ibtui.ui.widgets.inks import ink


class Lines(ScrollView, can_focus=True):
    """Shows lines of spans. `wrap` breaks long ones at spaces, else they are cut at the edge."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Lines { height: auto; overflow-x: hidden; scrollbar-size-vertical: 1; color: $foreground; }
    """

    def __init__(
        self,
        lines: Iterable[Line] = (),
        *,
        wraps: bool = False,
        hang: int | None = None,
        focusable: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.can_focus = focusable
        self._given: list[Line] = list(lines)
        self._shown: list[Line] = self._given
        self._from: list[int] = []
        """Which of the given lines each shown one is a part of; empty where none is wrapped."""
        self._wraps = wraps
        self._hang = hang

    @property
    def lines(self) -> Sequence[Line]:
        """What was given last."""
        return self._given

    @property
    def top(self) -> int:
        """Which of the given lines stands at the top."""
        first = round(self.scroll_y)
        return self._from[min(first, len(self._from) - 1)] if self._from else first

    def show(self, lines: Iterable[Line]) -> None:
        """Show other lines; equal ones cost a comparison and no repaint."""
        new = list(lines)
        if new != self._given:
            self._given = new
            self._arrange()

    def _arrange(self) -> None:
        room = self.scrollable_content_region.width
        old = self._shown
        if self._wraps and room > 0:
            wrapped = [wrap(spans, room, self._hang) for spans in self._given]
            self._shown = [part for parts in wrapped for part in parts]
            self._from = [number for number, parts in enumerate(wrapped) for _ in parts]
        else:
            self._shown, self._from = self._given, []
        size = Size(0, len(self._shown))
        if size != self.virtual_size:
            self.virtual_size = size
            self.refresh(layout=self.styles.is_auto_height)
            return
        top = round(self.scroll_y)
        for y, (before, after) in enumerate(zip(old, self._shown, strict=False)):
            if before != after:
                self.refresh_lines(y - top, 1)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are, wrapped to the width there will be."""
        if self._wraps:
            return sum(len(wrap(spans, width, self._hang)) for spans in self._given)
        return len(self._given)

    def on_mount(self) -> None:
        """Lines given before the mount are laid out now."""
        self._arrange()

    def on_resize(self) -> None:
        """Wrap to the new width."""
        if self._wraps:
            self._arrange()

    def render_line(self, y: int) -> Strip:
        """One line, with the styles of the theme."""
        index = y + round(self.scroll_y)
        width = self.size.width
        if index >= len(self._shown):
            return Strip.blank(width, self.rich_style)
        return draw(self._shown[index], width, self.style_of)

    def style_of(self, name: str) -> Style:
        """The theme's style for a span."""
        return ink(self, name)


def draw(spans: Line, width: int, style_of: Callable[[str], Style]) -> Strip:
    """A line as a strip of exactly `width` cells."""
    strip = Strip([Segment(text, style_of(style)) for text, style in spans if text])
    return strip.adjust_cell_length(width, style_of(""))
