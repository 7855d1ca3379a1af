"""The Session screen: three lamps, what to do next, what happened. The first thing seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from ibtui.ui import keymap
from ibtui.ui.messages import EventLogged, LogLines, StatusChanged
from ibtui.ui.present import session as present
from ibtui.ui.present.spans import line, plain
from ibtui.ui.screens.base import Pane
from ibtui.ui.widgets.bar import Hints
from ibtui.ui.widgets.lines import Lines


class SessionScreen(Pane):
    """Gateway, login and brokerage session: their state, since when, why, and the next step."""

    mode = "session"
    title_spans = (("Session", "title"),)
    BINDINGS: ClassVar[list[BindingType]] = [*keymap.bindings("session")]

    def body(self) -> Iterable[Widget]:
        """Lamps, facts, time line; the log is there but closed."""
        yield Lines(wraps=True, hang=15, id="lamps")
        yield Lines(id="events", focusable=True, wraps=True, hang=22)

    def reload(self) -> None:
        """All of it."""
        self._show_lamps()
        self._show_events()
        self._show_log()

    def tick(self) -> None:
        """Ages grow."""
        super().tick()
        self._show_lamps()

    def on_status_changed(self, message: StatusChanged) -> None:
        """A lamp changed, or what is being done."""
        self._show_lamps()

    def on_event_logged(self, _: EventLogged) -> None:
        """The time line grew."""
        self._show_events()

    def on_log_lines(self, _: LogLines) -> None:
        """The log grew."""
        self._show_log()

    def _show_lamps(self) -> None:
        app = self.ibtui
        lines = present.lamps(app.status, app.now(), hide=app.hidden, names=app.private_names)
        trouble = app.problem
        if trouble is not None:
            lines += [line(""), *present.problem(trouble.title, trouble.what, trouble.fix)]
        if app.runtime is not None:
            alive = present.keep_alive(app.profile.keep_alive, app.keep_alive_age(), app.status)
            lines += [line(""), present.facts(app.runtime.login_facts, app.now(), alive)]
        self.query_one("#lamps", Lines).show([*lines, line("")])
        verbs = present.verbs(app.status)
        hints = keymap.hints("session")
        start = verbs["start"].label
        self.query_one(Hints).set_hints(
            [(key, start if action == "app.verb('start')" else word, action) for key, word, action in hints]
        )

    def _show_events(self) -> None:
        runtime = self.ibtui.runtime
        events = [] if runtime is None else runtime.events
        found = present.time_line(list(events), hide=self.ibtui.hidden, names=self.ibtui.private_names)
        self.query_one("#events", Lines).show(found)

    def _show_log(self) -> None:
        runtime, pane = self.ibtui.runtime, self.query("#log")
        if not pane or runtime is None:
            return
        shown = present.log(runtime.log_lines, hide=self.ibtui.hidden, names=self.ibtui.private_names)
        log = pane.first(Lines)
        log.show(shown or [line((" nothing logged yet", "muted"))])
        log.scroll_end(animate=False)

    async def action_toggle_log(self) -> None:
        """Open the gateway's log, or close it; it is made on first use."""
        if not self.query("#log"):
            log = Lines(id="log", focusable=True)
            log.border_title = "gateway log"
            await self.mount(log, after="#events")
        self.query_one("#log").toggle_class("-open")
        self._show_log()

    def action_copy(self) -> None:
        """The lamps as text."""
        lines = self.query_one("#lamps", Lines).lines
        self.ibtui.copy("\n".join(plain(spans).rstrip() for spans in lines).strip("\n"), "the three lamps")
