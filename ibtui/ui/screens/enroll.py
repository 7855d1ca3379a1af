"""The enrolment wizard: warning, PIN, password, text message, the new IB Key, a backup, a test login."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Label
from textual.worker import Worker, WorkerState

from ibtui.auth import ocra
from ibtui.auth.effects import Credentials, Note, Step
from ibtui.errors import UsageError
from ibtui.secret import Secret
from ibtui.ui.answers import ScreenAnswers
from ibtui.ui.messages import StatusChanged
from ibtui.ui.present import enroll as present
from ibtui.ui.present.login import trouble
from ibtui.ui.present.spans import Line, line
from ibtui.ui.screens.stepped import ESC, HELP
from ibtui.ui.screens.wizard import Wizard
from ibtui.ui.verbs import Work, as_problem
from ibtui.ui.widgets.secret_input import SecretInput


class Known(ScreenAnswers):
    """Answers of the screen, with credentials that were typed once; they live as long as the wizard."""

    who: Credentials | None = None

    async def credentials(self, username: str) -> Credentials:
        """Those typed before, else the page."""
        if self.who is None:
            self.who = await super().credentials(username)
        return self.who


class EnrollScreen(Wizard):
    """From a warning to a key that has logged in once. Nothing is sent before the password is given."""

    title_spans = (("Enroll IB Key", "title"),)
    step_names = present.STEPS
    optional_steps = (present.BACKUP,)
    forms: ClassVar[dict[str, str]] = {**Wizard.forms, "pin": "#pins", "backup": "#backup"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "backup", "Keep a sealed backup", show=False, id="enroll.backup"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._answers: Known = Known(self)
        self._worker: Worker[None] | None = None
        self._pin = Secret("")
        self._stage = ""
        self._backup = ""
        self._tested = ""

    def more_fields(self) -> Iterable[Widget]:
        """PIN twice; file and passphrase twice."""
        with Vertical(id="pins", classes="form"):
            yield Label("PIN")
            yield SecretInput("empty: made for you", id="pin")
            yield Label("Once more")
            yield SecretInput(id="pin-again")
        with Vertical(id="backup", classes="form"):
            yield Label("New file")
            yield Input(compact=True, id="file", select_on_focus=False)
            yield Label("Passphrase")
            yield SecretInput(id="phrase")
            yield Label("Once more")
            yield SecretInput(id="phrase-again")

    def on_mount(self) -> None:
        """The warning comes first."""
        self._warn()

    # Pages -----------------------------------------------------------------------------

    def _warn(self) -> None:
        self.reset()
        self._answers.who = None
        self.show_steps()
        there = self.ibtui.runtime.login_facts.logins_left if self.ibtui.runtime is not None else None
        self.show_page("warning", present.warning(self.ibtui.profile.username, there))
        self.hint([("y", "go on", "yes"), ESC, HELP])

    def _ask_pin(self) -> None:
        self.enter(present.PIN)
        self._track.begin(present.PIN, None)  # typing takes no time of IBKR's
        self.show_page("pin", present.pin())
        self.query_one("#pin").focus()
        self.hint([("enter", "go on", "submit"), ESC])

    def intro(self) -> list[Line]:
        """Above the fields for user name and password."""
        return present.credentials()

    def _show_result(self) -> None:
        assert self.ibtui.runtime is not None
        name = self._answers.who.username if self._answers.who is not None else ""
        facts = self.ibtui.runtime.login_facts
        self.show_page("result", present.result(name, facts, self._backup, self._tested))
        hints = [] if self._tested else [("enter", "test login", "go_on")]
        if not self._backup:
            hints.append(("s", "sealed backup", "backup"))
        self.hint([*hints, ("esc", "close", "leave"), HELP])

    # Keys ------------------------------------------------------------------------------

    def action_yes(self) -> None:
        """The warning was read; or a question answered."""
        if self.page == "warning":
            self._ask_pin()
        else:
            super().action_yes()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the file's name goes to the passphrase."""
        event.stop()
        if self.page == "backup":
            self.query_one("#phrase").focus()

    def action_submit(self) -> None:
        """Enter: to the field below, or send the page."""
        if self.page == "pin":
            if not self._next_field("pin", "pin-again"):
                self._submit_pin()
        elif self.page == "backup":
            if not self._next_field("phrase", "phrase-again"):
                self._submit_backup()
        else:
            super().action_submit()

    def _next_field(self, first: str, second: str) -> bool:
        """Whether enter only moved on to the second of two fields."""
        moved = (
            self.focused is self.query_one(f"#{first}") and self.query_one(f"#{first}", SecretInput).filled
        )
        if moved:
            self.query_one(f"#{second}").focus()
        return moved

    def _typed(self, first: str, second: str) -> Secret | None:
        """What was typed into both fields; None where they differ. Both are empty afterwards."""
        one = self.query_one(f"#{first}", SecretInput).take()
        two = self.query_one(f"#{second}", SecretInput).take()
        if one == two:
            return one
        self._object(first, "The two differ. Once again, please.")
        return None

    def _object(self, field: str, text: str) -> None:
        self.show_below([trouble(text)])
        self.query_one(f"#{field}").focus()

    def _submit_pin(self) -> None:
        pin = self._typed("pin", "pin-again")
        if pin is None:
            return
        try:
            self._pin = pin if pin else ocra.make_pin()
            ocra.check_pin(self._pin)
        except UsageError as error:
            self._object("pin", str(error))
            return
        self._enroll()

    def action_backup(self) -> None:
        """The page for a sealed backup."""
        if self.page != "result" or self._backup:
            return
        name = self._answers.who.username if self._answers.who is not None else "user"
        self.show_page("backup", present.backup())
        field = self.query_one("#file", Input)
        field.value = field.value or str(Path.home() / f"ibkey-{name}.json")
        self.query_one("#phrase").focus()
        self.hint([("enter", "write it", "submit"), ("esc", "back", "leave")])

    def _submit_backup(self) -> None:
        path = self.query_one("#file", Input).value.strip()
        phrase = self._typed("phrase", "phrase-again")
        if phrase is None:
            return
        if not path or not phrase:
            self._object("phrase", "File and passphrase are needed; esc goes back without a backup.")
            return
        from ibtui.service import actions

        target = Path(path).expanduser()
        self._begin(
            present.BACKUP, f"writing {target.name}", lambda it: actions.export_key(it, target, phrase)
        )

    def action_go_on(self) -> None:
        """Enter on a page without fields."""
        if self.page == "result" and not self._tested:
            from ibtui.service import actions

            work: Work = lambda it: actions.login(it, self._answers, factor="ibkey")  # noqa: E731
            self._begin(present.TEST, "logging in with the new key", work)
        elif self.page == "choice":
            self._choose()
        elif self.page == "failure" and self._failure is not None and self._failure.again:
            self._after_failure()

    def action_back(self) -> None:
        """The page before: the result where there is a key, else the warning."""
        if self.page in ("code", "choice", "confirm", "browser", "failure"):
            self._stop()
            self._after_failure()

    def action_leave(self) -> None:
        """From the backup back to the result; else leave, and what was typed is forgotten."""
        if self.page == "backup":
            self._show_result()
            return
        self._stop()
        self.reset()
        self._answers.who, self._pin = None, Secret("")
        self.ibtui.verbs.wait_for_person(False)
        self.go_away()

    # The work --------------------------------------------------------------------------

    def _enroll(self) -> None:
        from ibtui.service import actions

        pin, self._pin = self._pin, Secret("")
        self._begin(present.KEY, "enrolling IB Key", lambda it: actions.enroll(it, self._answers, pin))

    def _begin(self, step: str, text: str, work: Work) -> None:
        self._stage = step
        self.enter(present.PASSWORD if step == present.KEY else step)
        self.show_page(
            "working", [line("   Talking to IBKR …" if step != present.BACKUP else "   Writing …")]
        )
        self.hint([ESC, HELP])
        self._early = step == present.KEY  # the page for the password comes next
        self._worker = self.ibtui.verbs.run(text, work)

    def name_of(self, step: Step) -> str:
        """The steps of a login happen here twice: once for the key, once to try it."""
        if self._stage == present.TEST:
            return present.TEST
        names = {Step.PASSWORD: present.PASSWORD, Step.FACTOR: present.MESSAGE}
        return names.get(step, present.KEY)

    def show_note(self, note: Note) -> None:
        """Where it is; the test login is one step, done when it is ready."""
        if self._stage == present.TEST and note.done and note.step is not Step.READY:
            return
        super().show_note(note)

    def on_status_changed(self, _: StatusChanged) -> None:
        """The work may have ended."""
        worker = self._worker
        if self.left or worker is None or worker.state in (WorkerState.PENDING, WorkerState.RUNNING):
            return
        self._worker = None
        if worker.state is WorkerState.SUCCESS:
            self._done()
        elif worker.state is WorkerState.ERROR and worker.error is not None:
            self.show_failure(as_problem(worker.error))

    def _done(self) -> None:
        self.finish(self._stage)
        if self._stage == present.BACKUP:
            self._backup = self.query_one("#file", Input).value.strip()
        elif self._stage == present.TEST:
            self._tested = "IB Key works: you are logged in."
        self._show_result()

    def _after_failure(self) -> None:
        if self._stage in (present.BACKUP, present.TEST):
            self._show_result()  # the key is there, whatever came after
        else:
            self._warn()

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.cancel()
        self._answers.leave()
