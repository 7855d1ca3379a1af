"""The install page: what is here, a download with its progress, roll-back; the same verb as the command."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Label
from textual.worker import Worker, WorkerState

from ibtui.ui import keymap
from ibtui.ui.messages import StatusChanged
from ibtui.ui.present import install as present
from ibtui.ui.present.spans import line
from ibtui.ui.screens.stepped import HELP, Stepped
from ibtui.ui.verbs import as_problem

if TYPE_CHECKING:
    from ibtui.service.installing import Outcome, Survey

PAINT_S = 0.2
"""How often the progress is painted."""
_CLOSE = ("esc", "close", "leave")


class InstallScreen(Stepped):
    """`page` is `looking`, `offer`, `file`, `working`, `result` or `failure`."""

    mode = "install"
    title_spans = (("Install the gateway", "title"),)
    step_names = present.STEPS
    optional_steps = (present.DOWNLOAD,)
    forms: ClassVar[dict[str, str]] = {"file": "#files"}
    BINDINGS: ClassVar[list[BindingType]] = [*keymap.bindings("install")]

    def __init__(self) -> None:
        super().__init__()
        self._found: Survey | None = None
        self._outcome: Outcome | None = None
        self._meter = present.Meter(lambda: self.ibtui.monotonic())
        self._worker: Worker[None] | None = None
        self._back = False
        self._source: Path | None = None

    def fields(self) -> Iterable[Widget]:
        """A path."""
        with Vertical(id="files", classes="form"):
            yield Label("Zip or folder")
            yield Input(compact=True, id="file", select_on_focus=False)

    def on_mount(self) -> None:
        """Look first."""
        self.set_interval(PAINT_S, self._paint)
        self._look()

    # Pages -----------------------------------------------------------------------------

    def _look(self, note: str = "") -> None:
        from ibtui.service.installing import survey

        async def look() -> None:
            self._found = await survey(self.ibtui.settings, self.ibtui.clock)
            if not self.left:
                self._show_offer(note)

        self._track.clear()
        self.show_page("looking", present.looking())
        self.hint([_CLOSE, HELP])
        self.run_worker(
            look(), group="look", exclusive=True, description="what is installed", exit_on_error=False
        )

    def _show_offer(self, note: str = "") -> None:
        found = self._found
        assert found is not None
        self.show_page("offer", present.offer(found, note))
        word = "go on" if found.begun else "download"
        hints = [("enter", word, "go_on"), ("f", "from a file", "from_file")]
        if found.previous is not None:
            hints.append(("b", "back to the one before", "rollback"))
        self.hint([*hints, _CLOSE, HELP])

    def _show_result(self, outcome: Outcome) -> None:
        self._outcome = outcome
        if self._back:
            self._track.clear()
        self.enter(present.READY)
        self.finish(present.READY)
        used = self._found is not None and self._found.used
        lines = present.result(outcome, back=self._back, running=self._gateway_up, used=used)
        self.show_page("result", lines)
        hints = [("enter", "restart it" if self._gateway_up else "start it", "go_on")] if used else []
        if outcome.previous is not None:
            hints.append(("b", "back to the one before", "rollback"))
        self.hint([*hints, _CLOSE, HELP])

    def _paint(self) -> None:
        """The progress as it is now; whatever thread moves it."""
        if self.page != "working" or self.left:
            return
        step = present.PHASES.get(self._meter.phase)
        if step is not None and self._track.state(step) == "waiting":
            self.enter(step)
        self._lines = present.working(self._meter, self.ibtui.settings.addresses.gateway_download)
        self.reload()

    @property
    def _gateway_up(self) -> bool:
        status = self.ibtui.status
        return status is not None and status.gateway.state in ("on", "warn")

    # The work --------------------------------------------------------------------------

    def _begin(self, text: str, work: Coroutine[Any, Any, Outcome], *, back: bool) -> None:
        async def keep() -> None:
            self._outcome = await work

        self._back, self._outcome = back, None
        self._meter = present.Meter(self.ibtui.monotonic)
        self._track.clear()
        self.enter(present.UNPACK if back or self._source is not None else present.DOWNLOAD)
        self.show_page("working", [])
        self.hint([("esc", "stop", "leave"), HELP])
        self._worker = self.ibtui.verbs.run_alone(text, keep())

    def _install(self, source: Path | None) -> None:
        from ibtui.service.installing import install

        self._source = source
        app = self.ibtui
        self._begin("installing", install(app.settings, source, self._told, app.clock), back=False)

    def _told(self, phase: str, done: int, total: int | None) -> None:
        self._meter(phase, done, total)

    def on_status_changed(self, _: StatusChanged) -> None:
        """The work may have ended."""
        worker = self._worker
        if self.left or worker is None or worker.state in (WorkerState.PENDING, WorkerState.RUNNING):
            return
        self._worker = None
        if worker.state is WorkerState.SUCCESS and self._outcome is not None:
            self._show_result(self._outcome)
        elif worker.state is WorkerState.ERROR and worker.error is not None:
            self.call_later(self._show_failure, worker.error)
        else:
            self._look("Stopped.")

    async def _show_failure(self, error: BaseException) -> None:
        from ibtui.service.installing import survey

        self._track.fail(self.ibtui.monotonic())
        self._found = await survey(self.ibtui.settings, self.ibtui.clock)
        kept = self._found.begun if self._source is None else 0
        self.show_page("failure", present.failed(as_problem(error), kept))
        self.hint([("enter", "try again", "go_on"), ("f", "from a file", "from_file"), _CLOSE, HELP])

    # Keys ------------------------------------------------------------------------------

    def action_go_on(self) -> None:
        """Install, try again, or start what was installed."""
        if self.page in ("offer", "failure"):
            self._install(None if self.page == "offer" else self._source)
        elif self.page == "result" and self._found is not None and self._found.used:
            self._close(start=True)

    def action_from_file(self) -> None:
        """Ask for a path."""
        if self.page in ("offer", "failure"):
            self.show_page("file", [line("   IBKR's clientportal.gw.zip, or a folder with a gateway in it.")])
            self.query_one("#file").focus()
            self.hint([("enter", "install", "submit"), ("esc", "back", "leave")])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the path."""
        event.stop()
        path = event.value.strip()
        if path:
            self._install(Path(path))

    def action_rollback(self) -> None:
        """Back to the gateway before."""
        from ibtui.service.installing import rollback

        offered = self._outcome if self.page == "result" else self._found if self.page == "offer" else None
        if offered is not None and offered.previous is not None:
            self._begin("going back", rollback(self.ibtui.settings, self.ibtui.clock), back=True)

    def action_leave(self) -> None:
        """Stop what is being done; else close."""
        if self.page == "working":
            self.ibtui.verbs.cancel()
        elif self.page == "file":
            self._look()
        else:
            self._close(start=False)

    def _close(self, *, start: bool) -> None:
        app = self.ibtui
        changed = self._outcome is not None and self._outcome.changed
        self.go_away()
        if start and self._gateway_up:
            app.call_later(app.verbs.do_restart)
        elif start or (changed and not self._gateway_up):
            app.call_later(app.remake, start=start)
