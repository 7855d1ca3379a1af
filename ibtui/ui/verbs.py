"""What a person may do to the session: one worker at a time, with its progress and its failure in sight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.worker import Worker, WorkerState

from ibtui.errors import IbtuiError

if TYPE_CHECKING:
    from ibtui.service.runtime import Runtime
    from ibtui.ui.app import IbtuiApp

GROUP = "verb"
_log = logging.getLogger("ibtui.ui")
Work = Callable[["Runtime"], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Busy:
    """What is being done now; `since` is the app's monotonic clock."""

    text: str
    since: float
    can_cancel: bool = True
    waiting: bool = False
    """It waits for the person: no clock runs."""


class Verbs:
    """Runs the verbs of `service.actions` for the app. At most one runs; the others say so."""

    def __init__(self, app: IbtuiApp) -> None:
        self._app = app
        self._worker: Worker[None] | None = None
        self.busy: Busy | None = None
        self.problem: IbtuiError | None = None
        """What went wrong with the last verb; None once another one has begun."""

    def do(self, verb: str) -> None:
        """Do `start` (or stop), `login`, `enroll`, `logout`, `takeover` or `refresh`, or say why not."""
        from ibtui.ui.present import session

        busy = self.busy.text if self.busy is not None else ""
        found = session.verbs(self._app.status, busy)[verb]
        if found.why_not:
            self._app.notify(found.why_not, markup=False)
            return
        getattr(self, f"do_{verb}")()

    def do_start(self) -> None:
        """Start the gateway, or ask and stop it."""
        from ibtui.service import actions

        status = self._app.status
        if status is None or status.gateway.state not in ("on", "warn"):
            self.run("starting the gateway", lambda runtime: actions.start(runtime, self.progress))
            return
        self._ask(
            "Stop the gateway?",
            "The login and the brokerage session end with it. Orders that work at IBKR go on working.",
            lambda: self.run("stopping the gateway", actions.stop_gateway),
        )

    def do_login(self) -> None:
        """Log in without asking where nobody need be asked, else open the wizard."""
        runtime = self._app.runtime
        answers = runtime.unattended() if runtime is not None else None
        if answers is None:
            self._app.open_wizard()
            return
        from ibtui.service import actions

        self.run("logging in", lambda runtime: actions.bring_up(runtime, answers, self.progress))

    def do_enroll(self) -> None:
        """Open the enrolment wizard."""
        self._app.open_enrolment()

    def do_logout(self) -> None:
        """Ask and log out."""
        from ibtui.service import actions

        self._ask(
            "Log out?",
            "The brokerage session ends too. Orders that work at IBKR go on working.",
            lambda: self.run("logging out", actions.logout),
        )

    def do_takeover(self) -> None:
        """Take the brokerage session from whatever program holds it."""
        from ibtui.service import actions

        self.run(
            "taking the brokerage session over", lambda runtime: actions.take_over(runtime, self.progress)
        )

    def do_refresh(self) -> None:
        """Look at everything anew; from the wizard it replaces the login that waits there."""
        from ibtui.service import actions

        self.run("looking anew", actions.refresh)

    def _ask(self, question: str, consequence: str, then: Callable[[], object]) -> None:
        from ibtui.ui.screens.detail import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                then()

        self._app.push_screen(ConfirmScreen(question, consequence), answered)

    # The worker --------------------------------------------------------------------

    def run(self, text: str, work: Work) -> Worker[None]:
        """Run `work` in the app's one worker for verbs; its failure becomes `problem`."""
        self.busy = Busy(text, self._app.monotonic())
        self.problem = None
        self._worker = self._app.run_worker(
            self._run(work), group=GROUP, exclusive=True, name=text, description=text, exit_on_error=False
        )
        self._app.told()
        return self._worker

    async def _run(self, work: Work) -> None:
        runtime = self._app.runtime
        if runtime is not None:
            await work(runtime)

    def progress(self, text: str) -> None:
        """What the verb is doing now, as `service.actions` tells it."""
        if self.busy is not None and text != self.busy.text:
            self.busy = Busy(text, self._app.monotonic())
            self._app.told()

    def wait_for_person(self, waiting: bool) -> None:
        """The verb asks the person something, or goes on: then its clock begins anew."""
        if self.busy is not None and self.busy.waiting != waiting:
            self.busy = replace(self.busy, since=self._app.monotonic(), waiting=waiting)
            self._app.told()

    def cancel(self) -> None:
        """Stop what is being done."""
        if self._worker is not None and self.busy is not None:
            self._worker.cancel()

    def ended(self, worker: Worker[object], state: WorkerState) -> None:
        """A worker of the group changed its state."""
        if worker is not self._worker or state in (WorkerState.PENDING, WorkerState.RUNNING):
            return
        self.busy = None
        if state is WorkerState.ERROR and worker.error is not None:
            self.problem = as_problem(worker.error)
            if self._app.current_mode != "session":
                self._app.notify(str(self.problem), title=self.problem.title, severity="error", markup=False)
        self._app.told()


def as_problem(error: BaseException) -> IbtuiError:
    """The error itself if it was foreseen; else one that says where to look, and a traceback in the log."""
    if isinstance(error, IbtuiError):
        return error
    if isinstance(error, asyncio.CancelledError | TimeoutError):
        return IbtuiError("It took too long and was given up.", "Try again: r looks anew.")
    _log.error("unforeseen error in a verb", exc_info=error)
    return IbtuiError(
        f"Something inside ibtui broke ({type(error).__name__}).", "Its log says where; r looks anew."
    )
