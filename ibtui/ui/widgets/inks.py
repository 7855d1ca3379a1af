"""Styles of spans by word (`good`, `muted` …), kept once a screen.

Component classes on every widget that draws spans would cost the first frame sixty rule look-ups;
so the screen has them, and the widgets on it ask there.
"""

from __future__ import annotations

from rich.style import Style
from textual.widget import Widget

INKS = ("muted", "good", "bad", "warn", "accent", "strong", "up", "down", "title", "live", "cursor")
"""The words a span's style may be; anything else is drawn plain."""
_KNOWN = frozenset(INKS)


INKED = {f"ink--{name}" for name in INKS}
"""Component classes for `COMPONENT_CLASSES` of a screen; their rules are in `tcss/ibtui.tcss`."""


def ink(widget: Widget, name: str) -> Style:
    """The style of a span on `widget`: the ink's colour and weight on the widget's own background."""
    own = widget.rich_style
    if name not in _KNOWN:
        return own
    found = widget.screen.get_component_rich_style(f"ink--{name}", default=own)
    if name in ("live", "cursor"):
        return found
    return own + Style(color=found.color, bold=found.bold or own.bold)
