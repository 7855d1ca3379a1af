"""The login wizard: user name and password, second factor, session, brokerage session, ready."""

from __future__ import annotations

import asyncio
import contextlib

from textual.widgets import Input
from textual.worker import Worker, WorkerState

from ibtui.auth.effects import Note, Step
from ibtui.ui.messages import StatusChanged
from ibtui.ui.present import login as present
from ibtui.ui.present.spans import line
from ibtui.ui.screens.stepped import ESC
from ibtui.ui.screens.wizard import Wizard
from ibtui.ui.verbs import as_problem

WIND_UP_S = 10.0
"""How long a login that was stopped may take to give back its attempt before the next one begins."""


class LoginScreen(Wizard):
    """From whatever is there to a session that is ready; then it closes by itself."""

    title_spans = (("Log in to IBKR", "title"),)

    def __init__(self) -> None:
        super().__init__()
        self._worker: Worker[None] | None = None
        self._ended = asyncio.Event()
        self._ended.set()

    def on_mount(self) -> None:
        """Begin at once: the gateway first, if it is not up."""
        self._start()

    # The login -----------------------------------------------------------------------

    def _start(self) -> None:
        from ibtui.service import actions
        from ibtui.service.runtime import Runtime

        self.reset()
        before, self._ended = self._ended, asyncio.Event()
        ended = self._ended

        async def work(runtime: Runtime) -> None:
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WIND_UP_S):
                        await before.wait()
                await actions.bring_up(runtime, self._answers, self._progress)
            finally:
                ended.set()

        self.enter(present.GATEWAY)
        self.show_page("working", [line("   Looking at the gateway …")])
        self.hint([ESC])
        self._worker = self.ibtui.verbs.run("logging in", work)

    def _progress(self, text: str) -> None:
        self.ibtui.verbs.progress(text)
        if not self.left and self._track.state(present.GATEWAY) == "now":
            self.enter(present.GATEWAY, text)

    def show_note(self, note: Note) -> None:
        """Where the login is; when all is ready, what is loaded now is seen on the screen below."""
        super().show_note(note)
        if note.step is Step.READY and note.done:
            self._end("Logged in: everything is ready.")

    def on_status_changed(self, _: StatusChanged) -> None:
        """The login may have ended."""
        worker = self._worker
        if self.left or worker is None or worker.state in (WorkerState.PENDING, WorkerState.RUNNING):
            return
        self._worker = None
        if worker.state is WorkerState.SUCCESS:
            self._end("You are logged in: everything is ready.")
        elif worker.state is WorkerState.ERROR and worker.error is not None:
            self.show_failure(as_problem(worker.error))

    # Keys ------------------------------------------------------------------------------

    def action_go_on(self) -> None:
        """Enter on a page without fields: choose, try again, or look again after a login by browser."""
        if self.page == "choice":
            self._choose()
        elif self.page == "browser":
            self.action_leave()
            self.ibtui.verbs.do_refresh()
        elif self.page == "failure" and self._failure is not None and self._failure.again:
            if self._failure.switch:  # another user name was offered
                self.query_one("#username", Input).value = ""
                self._other_user = True
            self._looked = self._failure.outside
            self._start()

    def action_back(self) -> None:
        """From a list to the boxes; else begin again with user name and password."""
        if self.page == "choice" and self._asked is not None:
            self._show_code()
        elif self.page in ("code", "choice", "confirm", "browser") or (
            self.page == "failure" and self._failure is not None and self._failure.again
        ):
            self._stop()
            self._start()

    def action_yes(self) -> None:
        """Go on; where another program holds the session, leave it there."""
        if self.page == "failure" and self._failure is not None and self._failure.take_over:
            self._close("The session is left to the other program; t takes it over at any time.")
        else:
            super().action_yes()

    def action_take_over(self) -> None:
        """Take the brokerage session, where that is what failed."""
        if self.page == "failure" and self._failure is not None and self._failure.take_over:
            self._close()
            self.ibtui.call_later(self.ibtui.verbs.take_over)

    def action_switch(self) -> None:
        """The profile means the other kind of account from now on; and the login begins again."""
        found = self._failure
        if self.page == "failure" and found is not None and found.switch and self.ibtui.runtime is not None:
            self.ibtui.runtime.mean("paper" if self.ibtui.profile.account_type == "live" else "live")
            self._start()

    def action_leave(self) -> None:
        """Stop the login and go back; what was typed is forgotten."""
        self._stop()
        self._close()

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
        self._answers.leave()

    def _end(self, text: str) -> None:
        """All is ready, whether or not somebody is still typing."""
        if self.typing and not self.left:
            self.ibtui.hush()
        self._close(text)

    def _close(self, text: str = "") -> None:
        if self.left:
            return
        self.reset()
        self.ibtui.verbs.wait_for_person(False)
        self.go_away()
        if text:
            self.ibtui.notify(text, markup=False)
