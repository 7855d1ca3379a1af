"""What stands there while the terminal is too small to show anything without lying by omission."""

from __future__ import annotations

from textual.geometry import Size

from ibtui.ui.present.spans import Line, line
from ibtui.ui.widgets.lines import Lines

WIDTH, HEIGHT = 80, 24


class TooSmall(Lines):
    """Covers its screen; the screen takes it away when the terminal has grown."""

    DEFAULT_CSS = """
    TooSmall { layer: cover; width: 100%; height: 100%; background: $background; overflow: hidden; }
    """

    def __init__(self, size: Size) -> None:
        super().__init__(sentence(size), wraps=True)


def fits(size: Size) -> bool:
    """Whether the screens can be read at this size."""
    return size.width >= WIDTH and size.height >= HEIGHT


def sentence(size: Size) -> list[Line]:
    """The plain words."""
    return [
        line(""),
        line(f" This terminal is {size.width}×{size.height}; ibtui needs {WIDTH}×{HEIGHT}."),
        line(" Enlarge the window or make the text smaller; everything goes on meanwhile."),
        line(" ^Q leaves."),
    ]
