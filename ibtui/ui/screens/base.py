"""What all screens of the shell share: the bars, the clock, privacy, and covering up when too small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from ibtui.ui import keymap
from ibtui.ui.messages import StatusChanged, SummaryChanged
from ibtui.ui.present import privacy
from ibtui.ui.present.numbers import clock, duration
from ibtui.ui.present.session import dots, seen
from ibtui.ui.present.spans import Line, Span, line
from ibtui.ui.widgets.bar import Hints, TopBar
from ibtui.ui.widgets.inks import INKED
from ibtui.ui.widgets.too_small import TooSmall, fits

if TYPE_CHECKING:
    from ibtui.core.models import Status
    from ibtui.ui.app import IbtuiApp

_DIGITS = tuple((digit, f"app.go('{mode}')") for digit, mode, _ in keymap.SCREENS)


class Pane(Screen[None]):
    """A place in the shell. Subclasses name their `mode`, compose a `body` and fill it in `reload`.

    Messages reach the screen in front only; coming back to a screen calls `reload`, which reads
    everything anew from the store.
    """

    COMPONENT_CLASSES = INKED
    mode: ClassVar[str] = ""
    title_spans: ClassVar[tuple[Span, ...]] = ()

    @property
    def ibtui(self) -> IbtuiApp:
        """The app, by its own type."""
        return cast("IbtuiApp", self.app)

    @property
    def lamps(self) -> Status | None:
        """The three lamps as they are to be shown; None until there is a runtime."""
        runtime = self.ibtui.runtime
        return seen(self.ibtui.status, runtime.keeping if runtime is not None else None, self.ibtui.now())

    def compose(self) -> ComposeResult:
        """Bars around the body."""
        yield TopBar(self.title_spans)
        yield from self.body()
        yield Hints(keymap.hints(self.mode), _DIGITS)

    def body(self) -> Iterable[Widget]:
        """The widgets between the bars."""
        return ()

    def reload(self) -> None:
        """Show what the store holds now; called when the screen comes to the front."""

    def tick(self) -> None:
        """A second has passed: clocks and ages."""
        self._show_state()

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was in front."""
        if self.is_mounted:
            self._show_state()
            self.reload()

    def on_mount(self) -> None:
        """First values; nothing may be known yet."""
        self._show_state()
        self.reload()

    def on_status_changed(self, _: StatusChanged) -> None:
        """Lamps and what is being done stand in every bar."""
        self._show_state()

    def on_summary_changed(self, _: SummaryChanged) -> None:
        """The list of accounts may have come."""
        self._show_state()

    def on_resize(self, event: events.Resize) -> None:
        """Below 80×24 a sentence covers the screen."""
        cover = self.query(TooSmall)
        if fits(event.size):
            cover.remove()
        elif cover:
            cover.remove()
            self.mount(TooSmall(event.size))
        else:
            self.mount(TooSmall(event.size))

    def _show_state(self) -> None:
        app = self.ibtui
        bar = next(iter(self.query(TopBar)), None)
        if bar is None:
            return  # the screen is being taken down
        bar.set_state(_who(app), dots(self.lamps), clock(app.now()), self._doing())
        if self.title_spans:
            bar.set_title(self.title_spans)

    def _doing(self) -> Line:
        busy = self.ibtui.busy
        if busy is None or busy.waiting:
            return ()
        seconds = duration(self.ibtui.monotonic() - busy.since)
        text = privacy.text(busy.text, hide=self.ibtui.hidden, names=self.ibtui.private_names)
        return line(
            ("◐ ", "accent"),
            text,
            (f" {seconds}", "muted"),
            ("   esc cancels", "muted") if busy.can_cancel else "",
        )

    def say(self, text: str, *, severity: str = "information") -> None:
        """A toast; its text is never markup."""
        self.notify(text, severity=severity, markup=False)  # type: ignore[arg-type]


def _who(app: IbtuiApp) -> Line:
    profile = app.profile
    name = privacy.account(app.account, hide=app.hidden)
    live = profile.account_type == "live" and profile.mode != "demo"
    kind: Span = (
        (" LIVE ", "live") if live else ("demo" if profile.mode == "demo" else profile.account_type, "")
    )
    return (kind, (f" · {name}", "")) if name else (kind,)


def table_text(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values as tab-separated lines, for the clipboard."""
    return "\n".join(f"{name}\t{value}" for name, value in pairs)
