"""The login wizard: user name and password, second factor, session, brokerage session, ready."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Label
from textual.worker import Worker, WorkerState

from ibtui.auth.effects import Cancel, Challenge, Credentials, Note
from ibtui.ui import keymap
from ibtui.ui.answers import ScreenAnswers
from ibtui.ui.messages import StatusChanged
from ibtui.ui.present import login as present
from ibtui.ui.present.spans import line
from ibtui.ui.screens.base import Pane
from ibtui.ui.verbs import as_problem
from ibtui.ui.widgets.bar import Hints, TopBar
from ibtui.ui.widgets.lines import Lines
from ibtui.ui.widgets.secret_input import SecretInput

_ESC = ("esc", "cancel", "leave")
_HELP = ("?", "help", "app.show_help")


class LoginScreen(Pane):
    """Steps above, the present page below. One screen, so that escape always means the same."""

    mode = "login"
    title_spans = (("Log in to IBKR", "title"),)
    BINDINGS: ClassVar[list[BindingType]] = [
        *keymap.bindings("login"),
        Binding("enter", "again", "Go on", show=False, id="login.again"),
        Binding("t", "take_over", "Take the session over", show=False, id="login.takeover"),
    ]
    DEFAULT_CSS = """
    LoginScreen #steps { margin: 1 0; }
    LoginScreen #form { display: none; height: auto; margin: 1 0 0 3; width: 56; }
    LoginScreen #form.-open { display: block; }
    LoginScreen #form Label { color: $text-muted; }
    LoginScreen #form Input { height: 1; border: none; background: $surface; margin-bottom: 1; }
    LoginScreen #form Input:focus { border: none; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers = ScreenAnswers(self)
        self._worker: Worker[None] | None = None
        self._steps: dict[str, present.StepState] = {}
        self._begun: dict[str, float] = {}
        self._failure: present.Failure | None = None
        self._asked: Challenge | None = None

    def compose(self) -> ComposeResult:
        """Bars, steps, page, form."""
        yield TopBar(self.title_spans)
        yield Lines(id="steps")
        yield Lines(id="page", wraps=True)
        with Vertical(id="form"):
            yield Label("User name")
            yield Input(compact=True, id="username", select_on_focus=False)
            yield Label("Password")
            yield SecretInput(id="password")
        yield Hints([_ESC, _HELP])

    def on_mount(self) -> None:
        """Begin at once: the gateway first, if it is not up."""
        self._start()

    # The login -----------------------------------------------------------------------

    def _start(self) -> None:
        from ibtui.service import actions

        self._failure, self._asked = None, None
        self._steps, self._begun = {}, {}
        self._enter(present.GATEWAY)
        self._show_page([line("   Looking at the gateway …")])
        self._hint([_ESC, _HELP])
        self._worker = self.ibtui.verbs.run(
            "logging in", lambda runtime: actions.bring_up(runtime, self._answers, self._progress)
        )

    def _progress(self, text: str) -> None:
        self.ibtui.verbs.progress(text)
        step = next((name for name, it in self._steps.items() if it.state == "now"), present.GATEWAY)
        self._steps[step] = present.StepState("now", None, text)
        self._show_steps()

    def on_status_changed(self, _: StatusChanged) -> None:
        """The login may have ended."""
        worker = self._worker
        if worker is None or worker.state in (WorkerState.PENDING, WorkerState.RUNNING):
            return
        self._worker = None
        if worker.state is WorkerState.SUCCESS:
            self.dismiss()
            self.ibtui.notify("Logged in: everything is ready.", markup=False)
        elif worker.state is WorkerState.ERROR and worker.error is not None:
            self._fail(as_problem(worker.error))

    def _fail(self, error: Exception) -> None:
        from ibtui.errors import IbtuiError

        assert isinstance(error, IbtuiError)
        for name, it in self._steps.items():
            if it.state == "now":
                self._steps[name] = present.StepState("failed", self._elapsed(name))
        self._failure = present.failure(error, self._url())
        self._show_page(list(self._failure.lines))
        hints = [("enter", self._failure.again, "again")] if self._failure.again else []
        if self._failure.take_over:
            hints.append(("t", "take over", "take_over"))
        self._hint([*hints, ("esc", "close", "leave"), _HELP])
        self._show_steps()
        self.set_focus(None)

    # Pages, as `ScreenAnswers` asks for them -------------------------------------------

    def show_credentials(self, username: str) -> None:
        """User name and password."""
        self._enter(present.STEPS[1])
        profile = self.ibtui.profile
        self._show_page(present.credentials(self._url(), profile.account_type == "live"), form=True)
        field = self.query_one("#username", Input)
        field.value = field.value or username
        (self.query_one("#password") if field.value else field).focus()
        self._hint([("enter", "log in", "submit"), _ESC])

    def show_challenge(self, challenge: Challenge) -> None:
        """A second factor, which this version cannot answer."""
        self._asked = challenge
        self._enter(present.STEPS[2])
        self._show_page(present.challenge(challenge, self._url()))
        self._hint([("enter", "look again", "again"), ("b", "back", "back"), _ESC, _HELP])
        self.set_focus(None)

    def show_note(self, note: Note) -> None:
        """Where the login is."""
        name = note.step.value
        self._enter(name, note.text)
        if note.done:
            self._steps[name] = present.StepState("done", self._elapsed(name), note.text)
        self._show_steps()

    # Keys ------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the user name goes to the password."""
        event.stop()
        self.query_one("#password").focus()

    def on_secret_input_submitted(self, message: SecretInput.Submitted) -> None:
        """Enter in the password sends both."""
        message.stop()
        self.action_submit()

    def action_submit(self) -> None:
        """Send user name and password; the fields are emptied at once."""
        name, field = self.query_one("#username", Input), self.query_one("#password", SecretInput)
        if not name.value.strip():
            name.focus()
            self.say("The user name is missing.")
            return
        if not field.filled:
            field.focus()
            self.say("The password is missing.")
            return
        self._show_page([line("   Talking to IBKR …")])
        self._hint([_ESC, _HELP])
        self.set_focus(None)
        self._answers.give_credentials(Credentials(name.value.strip(), field.take()))

    def action_again(self) -> None:
        """Enter on a page without fields: try again, or look again after a login by browser."""
        if self._asked is not None:
            self.action_leave()
            self.ibtui.verbs.do_refresh()
        elif self._failure is not None and self._failure.again:
            self._start()

    def action_back(self) -> None:
        """Begin again with user name and password."""
        if self._asked is None and (self._failure is None or not self._failure.again):
            return
        self._stop()
        self._start()

    def action_take_over(self) -> None:
        """Take the brokerage session, where that is what failed."""
        if self._failure is not None and self._failure.take_over:
            self.dismiss()
            self.ibtui.call_later(self.ibtui.action_verb, "takeover")

    def action_leave(self) -> None:
        """Stop the login and go back; what was typed is forgotten."""
        self._stop()
        self.dismiss()

    def _stop(self) -> None:
        self.query_one("#password", SecretInput).clear()
        if self._worker is not None:
            self._answers.give_answer(Cancel())
            self._worker.cancel()
            self._worker = None

    # Showing -----------------------------------------------------------------------------

    def tick(self) -> None:
        """Elapsed times."""
        super().tick()
        self._show_steps()

    def _url(self) -> str:
        return self.ibtui.profile.gateway_url

    def _elapsed(self, name: str) -> float | None:
        begun = self._begun.get(name)
        return None if begun is None else self.ibtui.monotonic() - begun

    def _enter(self, name: str, text: str = "") -> None:
        """`name` is the step now; those before it are done."""
        if name not in self._begun:
            self._begun[name] = self.ibtui.monotonic()
        for earlier in present.STEPS[: present.STEPS.index(name)]:
            it = self._steps.get(earlier)
            if it is None or it.state == "now":
                self._steps[earlier] = present.StepState("done", self._elapsed(earlier))
        self._steps[name] = present.StepState("now", None, text)
        self._show_steps()

    def _show_steps(self) -> None:
        shown = {
            name: present.StepState("now", self._elapsed(name), it.text) if it.state == "now" else it
            for name, it in self._steps.items()
        }
        self.query_one("#steps", Lines).show(present.steps(shown, self.app.size.width))

    def _show_page(self, lines: list[tuple[tuple[str, str], ...]], *, form: bool = False) -> None:
        self.query_one("#form").set_class(form, "-open")
        self.query_one("#page", Lines).show(lines)

    def _hint(self, hints: list[tuple[str, str, str]]) -> None:
        self.query_one(Hints).set_hints(hints)
