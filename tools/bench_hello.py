"""The smallest Textual application: what start, memory and keys are measured beside."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static


class Hello(App[None]):
    """One line of text."""

    def compose(self) -> ComposeResult:
        """The line."""
        yield Static("first frame painted")


if __name__ == "__main__":
    Hello().run()
