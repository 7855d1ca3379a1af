"""What a person may do to the session: one worker at a time, with its progress and its failure in sight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from textual.worker import Worker, WorkerState

from ibtui.errors import IbtuiError

if TYPE_CHECKING:
    from textual.screen import Screen

    from ibtui.service.runtime import Runtime
    from ibtui.ui.app import IbtuiApp

GROUP = "verb"
_log = logging.getLogger("ibtui.ui")
Work = Callable[["Runtime"], Awaitable[object]]
_ORDERS = "Orders that work at IBKR go on working."


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
        self._then: Callable[[], object] | None = None

    def do(self, verb: str) -> None:
        """Do one of `keymap`'s verbs (`start`, `login`, `yield` …), or say why not."""
        from ibtui.ui.present import session

        busy = self.busy.text if self.busy is not None else ""
        runtime = self._app.runtime
        found = session.verbs(
            self._app.status,
            busy,
            keeping=runtime.keeping if runtime is not None else None,
            mode=self._app.profile.mode,
        )[verb]
        if found.why_not:
            self._app.notify(found.why_not, markup=False)
            if verb == "login":
                self._app.hush()  # whoever types on without looking types a password
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
            "Stop the gateway",
            f"The login and the brokerage session end with it. {_ORDERS}",
            lambda: self.run("stopping the gateway", actions.stop_gateway),
        )

    def do_restart(self) -> None:
        """Ask, stop the gateway and start it again."""
        from ibtui.service import actions

        self._ask(
            "Restart the gateway",
            f"The login and the brokerage session end with it. {_ORDERS}",
            lambda: self.run(
                "restarting the gateway", lambda runtime: actions.restart_gateway(runtime, self.progress)
            ),
        )

    def do_quiet(self) -> None:
        """Ask and stop the keep-alive, also the one that outlives this terminal."""
        from ibtui.service import actions

        self._ask(
            "Stop the keep-alive",
            "Gateway and session are left as they are; without it the session runs out by itself.",
            lambda: self.run("stopping the keep-alive", actions.stop_keeping),
        )

    def do_install(self) -> None:
        """Open the page that installs a gateway."""
        from ibtui.ui.screens.install import InstallScreen

        self._open(InstallScreen)

    def open_wizard(self) -> None:
        """The login wizard, over the screen in front."""
        from ibtui.ui.screens.login import LoginScreen

        self._open(LoginScreen)

    def _open(self, kind: type[Screen[None]]) -> None:
        if not isinstance(self._app.screen, kind):
            self._app.push_screen(kind())

    def do_login(self) -> None:
        """Log in without asking where nobody need be asked, else open the wizard."""
        runtime = self._app.runtime
        answers = runtime.unattended() if runtime is not None else None
        if answers is None:
            self.open_wizard()
            return
        from ibtui.service import actions

        self.run("logging in", lambda runtime: actions.bring_up(runtime, answers, self.progress))

    def do_enroll(self) -> None:
        """Open the enrolment wizard."""
        from ibtui.ui.screens.enroll import EnrollScreen

        self._open(EnrollScreen)

    def do_logout(self) -> None:
        """Ask and log out."""
        from ibtui.service import actions

        self._ask(
            "Log out",
            f"The brokerage session ends too. {_ORDERS}",
            lambda: self.run("logging out", actions.logout),
        )

    def do_takeover(self) -> None:
        """Take the brokerage session; where another program is known to hold it, ask first."""
        status = self._app.status
        if status is None or status.brokerage.state != "warn":
            self.take_over()
            return
        self._ask(
            "Take the brokerage session over",
            "The program that holds it now loses it: TWS, the phone, or another ibtui.",
            self.take_over,
        )

    def take_over(self) -> None:
        """Take the brokerage session from whatever program holds it."""
        from ibtui.service import actions

        self.run(
            "taking the brokerage session over", lambda runtime: actions.take_over(runtime, self.progress)
        )

    def do_yield(self) -> None:
        """Leave the brokerage session to another program; ask where it is ours now."""
        from ibtui.service import actions

        minutes = self._app.profile.yield_minutes

        def leave() -> None:
            self.run(
                f"leaving the session to another program for {minutes} min",
                lambda runtime: actions.yield_session(runtime, minutes),
            )

        status = self._app.status
        if status is not None and status.brokerage.state != "on":
            leave()
            return
        self._ask(
            f"Leave the brokerage session to another program for {minutes} minutes",
            "Nothing comes in here meanwhile; then it is taken up again. t takes it back at once.",
            leave,
        )

    def do_refresh(self) -> None:
        """Look at everything anew; from the wizard it replaces the login that waits there."""
        from ibtui.service import actions

        self.run("looking anew", actions.refresh)

    def _ask(self, what: str, consequence: str, then: Callable[[], object]) -> None:
        """Ask before what hurts, with the profile and the account it is about."""
        from ibtui.ui.screens.detail import ConfirmScreen

        def answered(yes: bool | None) -> None:
            if yes:
                then()

        def text() -> str:
            whose = self._app.whose()
            return f"{whose[:1].upper()}{whose[1:]}. {consequence}"

        self._app.push_screen(ConfirmScreen(f"{what}?", text), answered)

    # The worker --------------------------------------------------------------------

    def run(self, text: str, work: Work, then: Callable[[], object] | None = None) -> Worker[None]:
        """Run `work` in the app's one worker for verbs; its failure becomes `problem`.

        `then` is called after it has gone well.
        """

        async def with_runtime() -> None:
            if self._app.runtime is not None:
                await work(self._app.runtime)

        return self.run_alone(text, with_runtime(), then)

    def run_alone(
        self, text: str, work: Coroutine[Any, Any, None], then: Callable[[], object] | None = None
    ) -> Worker[None]:
        """The same for what needs no runtime."""
        self.busy = Busy(text, self._app.monotonic())
        self.problem = None
        self._then = then
        self._worker = self._app.run_worker(
            work, group=GROUP, exclusive=True, name=text, description=text, exit_on_error=False
        )
        self._app.told()
        return self._worker

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
        then, self._then = self._then, None
        if then is not None and state is WorkerState.SUCCESS:
            then()


def as_problem(error: BaseException) -> IbtuiError:
    """The error itself if it was foreseen; else one that says where to look, and a traceback in the log."""
    if isinstance(error, IbtuiError):
        return error
    if isinstance(error, asyncio.CancelledError | TimeoutError):
        return IbtuiError("It took too long and was given up.", "Try again.")
    _log.error("unforeseen error in a verb", exc_info=error)
    return IbtuiError(
        f"Something inside ibtui broke ({type(error).__name__}).", "Its log says where. Try again."
    )
