"""The Session screen: three lamps, what to do next, what happened. The first thing seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from ibtui.ui import keymap
from ibtui.ui.messages import EventLogged, LogLines, StatusChanged
from ibtui.ui.present import session as present
from ibtui.ui.present import timeline
from ibtui.ui.present.keeping import facts, keep_alive
from ibtui.ui.present.spans import line, plain
from ibtui.ui.screens.base import Pane
from ibtui.ui.widgets.bar import Hints
from ibtui.ui.widgets.lines import Lines

TALL = 34
"""Lines of a terminal from which on the log is open without being asked for."""
_VERB = "app.verb('"


class SessionScreen(Pane):
    """Gateway, login and brokerage session: their state, since when, why, and the next step."""

    mode = "session"
    title_spans = (("Session", "title"),)
    BINDINGS: ClassVar[list[BindingType]] = [*keymap.bindings("session")]

    def __init__(self) -> None:
        super().__init__()
        self._line = timeline.TimeLine([], [])
        self._log_chosen = False
        """Whether the person has opened or closed the log."""

    def body(self) -> Iterable[Widget]:
        """Lamps, facts, time line; the log is made when it is opened."""
        yield Lines(wraps=True, hang=15, id="lamps")
        yield Lines(id="events", focusable=True, wraps=True, hang=22)
        yield Lines(id="count")

    def on_mount(self) -> None:
        """The counter follows the time line when it is scrolled."""
        super().on_mount()
        self.watch(self.query_one("#events"), "scroll_y", self._show_count, init=False)

    def reload(self) -> None:
        """All of it."""
        self._show_lamps()
        self._show_events()
        self.call_later(self._follow_log)

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

    async def on_log_lines(self, _: LogLines) -> None:
        """The log grew."""
        await self._follow_log()

    async def _follow_log(self) -> None:
        """Where there is room for the log, it is open until somebody closes it."""
        runtime = self.ibtui.runtime
        if runtime is None or not self.is_mounted or not runtime.log_lines:
            return
        if not self._log_chosen and self.app.size.height >= TALL and not self.query("#log"):
            await self._open_log()
        self._show_log()

    def _show_lamps(self) -> None:
        app = self.ibtui
        runtime = app.runtime
        scene = present.Scene(
            app.now(),
            app.hidden,
            tuple(app.private_names),
            runtime.keeping.next_reset if runtime is not None else None,
            app.profile.yield_minutes,
            max(app.size.width - 16, 40),
            not self._verbs()["yield"].why_not,
            app.busy is None and (runtime is None or runtime.keeping.mode != "on"),
            app.profile.direct,
        )
        lines = present.lamps(self.lamps, scene)
        trouble = app.problem
        if trouble is not None and not present.told(trouble, app.status):
            lines += [
                line(""),
                *present.problem(trouble.title, scene.masked(trouble.what), scene.masked(trouble.fix)),
            ]
        if runtime is not None:
            alive = keep_alive(
                runtime.keeping, app.profile.keep_alive, app.keep_alive_age(), app.status, app.now()
            )
            room = max(app.size.width - 2, 40)
            lines += [line(""), *facts(runtime.login_facts, app.now(), alive, room)]
        self.query_one("#lamps", Lines).show([*lines, line("")])
        self.query_one(Hints).set_hints(self._hints())

    def _verbs(self) -> dict[str, present.Verb]:
        app = self.ibtui
        keeping = app.runtime.keeping if app.runtime is not None else None
        return present.verbs(app.status, keeping=keeping, mode=app.profile.mode)

    def _hints(self) -> list[tuple[str, str, str]]:
        """What can be done now; what cannot says why when its key is pressed."""
        app, verbs = self.ibtui, self._verbs()
        out = []
        for key, word, action in keymap.hints("session"):
            if action.startswith(_VERB):
                verb = verbs[action.removeprefix(_VERB).removesuffix("')")]
                up = app.status is not None and app.status.gateway.state != "off"
                if (app.status is not None and verb.why_not) or (verb.id == "install" and up):
                    continue
                word = verb.label if verb.id == "start" else word
            out.append((key, word, action))
        return out

    def _show_events(self) -> None:
        app = self.ibtui
        events = [] if app.runtime is None else list(app.runtime.events)
        self._line = timeline.time_line(
            events, app.now(), away=app.away, hide=app.hidden, names=app.private_names
        )
        self.query_one("#events", Lines).show(self._line.lines)
        self._show_count()

    def _show_count(self) -> None:
        """Which event stands at the top, of how many: at the right edge."""
        text = self._line.counter(self.query_one("#events", Lines).top)
        room = max(self.app.size.width - 1, 0)
        self.query_one("#count", Lines).show([line((f"{text:>{room}}", "muted"))])

    def _show_log(self) -> None:
        runtime, pane = self.ibtui.runtime, self.query("#log")
        if not pane or runtime is None:
            return
        shown = present.log(runtime.log_lines, hide=self.ibtui.hidden, names=self.ibtui.private_names)
        log = pane.first(Lines)
        log.show(shown or [line((" nothing logged yet", "muted"))])
        log.scroll_end(animate=False)

    async def action_toggle_log(self) -> None:
        """Open the gateway's log, or close it."""
        self._log_chosen = True
        if not self.query("#log"):
            await self._open_log()
        else:
            self.query_one("#log").toggle_class("-open")
        self._show_log()

    async def _open_log(self) -> None:
        """It is made on first use."""
        log = Lines(id="log", focusable=True, classes="-open")
        log.border_title = "gateway log"
        await self.mount(log, after="#count")

    def action_copy(self) -> None:
        """The lamps as text."""
        lines = self.query_one("#lamps", Lines).lines
        self.ibtui.copy("\n".join(plain(spans).rstrip() for spans in lines).strip("\n"), "the three lamps")
