"""The question on leaving: what is to become of the session that is kept alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from ibtui.ui.present.leaving import Choice, choices, page
from ibtui.ui.screens.detail import BOX, Dialog
from ibtui.ui.widgets.lines import Lines

if TYPE_CHECKING:
    from ibtui.ui.app import IbtuiApp


class LeaveScreen(Dialog[str]):
    """Gives `leave`, `quiet` (stop the keep-alive) or `stop` (the gateway); None to stay.

    Args:
        ours: whether the profile starts its gateway itself, so that it can be stopped from here.
    """

    DEFAULT_CSS = f"LeaveScreen {{ {BOX} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Choose", id="leave.choose"),
        Binding("q", "pick('leave')", "Leave", id="leave.leave"),
        Binding("k", "pick('quiet')", "Stop the keep-alive", id="leave.quiet"),
        Binding("s", "pick('stop')", "Stop the gateway", id="leave.stop"),
        Binding("escape,n", "stay", "Stay", id="leave.stay"),
        Binding("up", "move(-1)", "Up", id="leave.up"),
        Binding("down,tab", "move(1)", "Down", id="leave.down"),
    ]

    def __init__(self, *, ours: bool) -> None:
        super().__init__()
        self._ours = ours
        self._cursor = 0

    @property
    def _choices(self) -> list[Choice]:
        app = cast("IbtuiApp", self.app)
        shared = app.runtime is not None and app.runtime.keeping.shared
        return choices(shared, ours=self._ours, direct=app.profile.direct)

    def compose(self) -> ComposeResult:
        """The question and its answers."""
        with Vertical():
            yield Lines(wraps=True, hang=5)

    def on_mount(self) -> None:
        """As things are now."""
        self.reload()

    def tick(self) -> None:
        """The supervisor may have begun or ended meanwhile."""
        self.reload()

    def reload(self) -> None:
        """The page anew."""
        app = cast("IbtuiApp", self.app)
        self.query_one(Lines).show(page(self._choices, self._cursor, app.whose()))

    def action_move(self, by: int) -> None:
        """Another answer."""
        self._cursor = (self._cursor + by) % len(self._choices)
        self.reload()

    def action_choose(self) -> None:
        """The answer at the cursor."""
        self.dismiss(self._choices[self._cursor].id)

    def action_pick(self, wanted: str) -> None:
        """An answer by its key, where it is offered."""
        if wanted in {choice.id for choice in self._choices}:
            self.dismiss(wanted)

    def action_stay(self) -> None:
        """Back to the screen."""
        self.dismiss(None)
