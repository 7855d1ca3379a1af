"""`Bar`: one or two fixed lines, for the top of a screen and its footer; draws spans, knows no account."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ibtui.ui.present.spans import Line, Span, width
from ibtui.ui.widgets.inks import ink
from ibtui.ui.widgets.lines import draw


class Bar(Widget):
    """Base of the bars: `render_line` over `spans(y)`, repainted only when a line differs."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Bar { height: 1; width: 1fr; color: $foreground; }"

    def spans(self, y: int) -> Line:
        """The line at `y`, made for the present width."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """See `spans`."""
        return draw(self.spans(y), self.size.width, self.style_of)

    def style_of(self, name: str) -> Style:
        """The theme's style for a span."""
        return ink(self, name)


class TopBar(Bar):
    """Line 1: program, account, lamps, title, time. Line 2: a rule that also says what is being done."""

    DEFAULT_CSS = "TopBar { height: 2; dock: top; }"

    def __init__(self, title: Sequence[Span]) -> None:
        super().__init__()
        self._title: Line = tuple(title)
        self._who: Line = ()
        self._lamps: Line = ()
        self._time = ""
        self._busy: Line = ()

    def set_title(self, title: Sequence[Span]) -> None:
        """What the screen is, in the middle of the line."""
        if tuple(title) != self._title:
            self._title = tuple(title)
            self.refresh()

    def set_state(self, who: Line, lamps: Line, time: str, busy: Line) -> None:
        """Account, lamps, wall-clock time and what is being done now (empty: nothing)."""
        first, second = (self._who, self._lamps, self._time) != (who, lamps, time), self._busy != busy
        self._who, self._lamps, self._time, self._busy = who, lamps, time, busy
        if first:
            self._redraw(0)
        if second:
            self._redraw(1)

    def _redraw(self, y: int) -> None:
        self.refresh(Region(0, y, self.size.width, 1))

    def spans(self, y: int) -> Line:
        """The title stands in the middle as long as there is room left of it."""
        room = self.size.width
        if y == 1:
            if not self._busy:
                return (("─" * room, "muted"),)
            head: Line = (("── ", "muted"), *self._busy, (" ", ""))
            return (*head, ("─" * max(0, room - width(head)), "muted"))
        left: Line = ((" ibtui", "strong"), ("  ", ""), *self._who, ("  ", ""), *self._lamps)
        right: Line = ((f"{self._time} ", "muted"),)
        title = width(self._title)
        if width(left) + title + width(right) + 3 > room:
            right = ()  # the views of a screen are worth more than the clock
        middle = max((room - title) // 2, width(left) + 2)
        middle = max(min(middle, room - width(right) - title - 1), width(left) + 1)
        gap = " " * (middle - width(left))
        rest = " " * max(1, room - middle - title - width(right))
        return (*left, (gap, ""), *self._title, (rest, ""), *right)


class Hints(Bar):
    """The footer: what works here, and the digits of the screens; each word can be clicked."""

    DEFAULT_CSS = "Hints { dock: bottom; }"

    def __init__(self, hints: Sequence[tuple[str, str, str]], digits: Sequence[tuple[str, str]] = ()) -> None:
        """`hints` are (key, word, action), `digits` (digit, action)."""
        super().__init__()
        self._hints = list(hints)
        self._digits = list(digits)
        self._current = ""
        self._places: list[tuple[int, int, str]] = []

    def set_hints(self, hints: Sequence[tuple[str, str, str]]) -> None:
        """Other things work here now."""
        if list(hints) != self._hints:
            self._hints = list(hints)
            self.refresh()

    def spans(self, y: int) -> Line:
        """Hints from the left, digits at the right; what does not fit is left out from the end."""
        room = self.size.width
        tail = " ".join(digit for digit, _ in self._digits)
        space = room - len(tail) - 2
        out: list[Span] = []
        self._places = []
        x = 0
        for key, word, action in self._hints:
            size = len(key) + len(word) + 3
            if x + size > space:
                break
            out += [(f" {key}", "accent"), (f" {word} ", "muted")]
            self._places.append((x, x + size, action))
            x += size
        start = room - len(tail) - 1
        out.append((" " * max(0, start - x), ""))
        for digit, action in self._digits:
            self._places.append((start, start + len(digit) + 1, action))
            start += len(digit) + 1
            out.append((f"{digit} ", "accent"))
        return tuple(out)

    async def on_click(self, event: events.Click) -> None:
        """A click on a hint is its key."""
        for start, end, action in self._places:
            if start <= event.x < end:
                event.stop()
                await self.screen.run_action(action)
                return
