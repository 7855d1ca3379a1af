"""What the login and the enrolment have in common: steps, fields, second factors, questions, failures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Label

from ibtui.auth.effects import Challenge, Code, Credentials, Note, OtherFactor, Resend, Step
from ibtui.auth.factor import factor
from ibtui.errors import Competing, IbtuiError
from ibtui.ui import keymap
from ibtui.ui.answers import ScreenAnswers
from ibtui.ui.present import factor as factors
from ibtui.ui.present import failure as failures
from ibtui.ui.present import login as present
from ibtui.ui.present.spans import Line, clean, line
from ibtui.ui.screens.stepped import ASKING, ESC, HELP, Stepped
from ibtui.ui.widgets.code_input import CodeInput
from ibtui.ui.widgets.secret_input import SecretInput

BACK = ("b", "back", "back")


class Wizard(Stepped):
    """A login or an enrolment: `page` is also one of `ASKING`."""

    mode = "login"
    forms: ClassVar[dict[str, str]] = {"credentials": "#form", "code": "#code", "secret": "#secrets"}
    """The fields of a page."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *keymap.bindings("login"),
        Binding("q", "quit_aside", "Leave ibtui", show=False, id="login.quit"),
        *(Binding(str(n), f"pick({n})", f"Entry {n}", show=False, id=f"login.pick{n}") for n in range(1, 10)),
    ]
    DEFAULT_CSS = """
    Wizard #code { display: none; margin: 1 0; }
    Wizard #code.-open { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers = ScreenAnswers(self)
        self._failure: failures.Failure | None = None
        self._asked: Challenge | None = None
        self._asked_at = 0.0
        self._remark = self._slip = ""
        self._offered: tuple[str, ...] = ()
        self._cursor = 0
        self._username = ""
        self._other_user = self._looked = False
        """Another user name is to be typed; a login by browser was looked for."""
        self._early = False
        """The page for the password is on its way: what is typed already belongs there."""
        self._number = 0
        """Which attempt this is; 0 when nobody knows."""

    def fields(self) -> Iterable[Widget]:
        """User name and password, a secret, a code; and those of more pages."""
        with Vertical(id="form", classes="form"):
            yield Label("User name")
            yield Input(compact=True, id="username", select_on_focus=False)
            yield Label("Password")
            yield SecretInput(id="password")
        with Vertical(id="secrets", classes="form"):
            yield SecretInput(id="secret")
        yield CodeInput(id="code")
        yield from self.more_fields()

    def more_fields(self) -> Iterable[Widget]:
        """The fields of more pages (`forms`)."""
        return ()

    def masked_names(self) -> tuple[str, ...]:
        """Whose login it is, too."""
        return (*super().masked_names(), self._username)

    def intro(self) -> list[Line]:
        """Above the fields for user name and password."""
        return present.credentials(self.url, self.ibtui.profile.account_type == "live")

    # Pages, as `ScreenAnswers` asks for them -------------------------------------------

    def show_credentials(self, username: str) -> None:
        """User name and password."""
        self.enter(self.name_of(Step.PASSWORD))
        self._track.begin(self.name_of(Step.PASSWORD), None)  # typing takes no time of the login's
        lines = self.intro()
        if self._looked:
            lines = [failures.nobody_yet(), *lines]
        # Read now: a login that was stopped has given its attempt back meanwhile.
        self._number = self.attempts()[0] + 1
        if self._number > 1:
            lines += factors.before(self._number, self.attempts()[1])
        self.show_page("credentials", lines)
        if self.query_one("#password", SecretInput).filled:
            self.show_below([present.trouble("Typed before this page was there; ^U takes it away.")])
        field = self.query_one("#username", Input)
        field.value = field.value or ("" if self._other_user else username)
        self._other_user = self._looked = False
        (self.query_one("#password") if field.value else field).focus()
        self.hint([("enter", "log in", "submit"), ("tab", "next field", "app.focus_next"), ESC])

    def show_challenge(self, challenge: Challenge) -> None:
        """A second factor: boxes for its digits, or the way out where it cannot be typed here."""
        if not challenge.problem:  # else the same message is still to be answered
            self._asked_at = self.ibtui.monotonic()
        self._asked = challenge
        self.enter(self.name_of(Step.FACTOR))
        if not factors.can_type(challenge):
            lines = [line("   ", (f"IBKR wants: {factors.name(challenge.code)}.", "title")), line("")]
            self.show_page("browser", [*lines, *failures.browser(self.url)])
            self.hint([("enter", "look again", "go_on"), BACK, ESC, HELP])
            return
        self.query_one(CodeInput).begin(factors.label(challenge), factors.boxes(challenge))
        self._show_code()

    def _show_code(self) -> None:
        asked = self._asked
        assert asked is not None
        self.show_page("code", factors.question(asked, self._who(), self.ibtui.now()))
        self._show_waiting()
        self.query_one(CodeInput).focus()
        again = factor(asked.code).again
        self.hint(
            [
                ("enter", "send", "submit"),
                *([("r", again, "resend")] if again else []),
                *([("m", "other method", "other_method")] if asked.others else []),
                BACK,
                ("v", "show", "show_digits"),
                ESC,
                HELP,
            ]
        )

    def _show_waiting(self) -> None:
        """The countdown beside the boxes, and what stands below them."""
        asked = self._asked
        if self.page != "code" or asked is None:
            return
        left = factors.WAIT_S - (self.ibtui.monotonic() - self._asked_at)
        beside = factors.waiting(left)
        if not factor(asked.code).again:
            beside = factors.lives(self.ibtui.now(), asked.skew)
        self.query_one(CodeInput).set_aside(beside)
        number, limit = self._number, self.attempts()[1]
        self.show_below(factors.below(asked, left, self._remark, number, limit, self._slip))

    def _who(self) -> str:
        return self._username or self.ibtui.profile.username or "this user name"

    def show_choice(self, offered: tuple[str, ...]) -> None:
        """One of several second factors."""
        self.enter(self.name_of(Step.FACTOR))
        self._offered, self._cursor = offered, 0
        self._show_list()

    def _show_list(self) -> None:
        self.show_page("choice", factors.choice(self._offered, self._cursor))
        self.hint([("enter", "choose", "go_on"), ("↑↓", "move", "move(1)"), BACK, ESC, HELP])

    def show_question(self, text: str) -> None:
        """Yes or no."""
        self.show_page("confirm", factors.yes_or_no(text))
        self.hint([("y", "yes", "yes"), BACK, ESC, HELP])

    def show_secret(self, prompt: str) -> None:
        """A secret that only the person knows: the passphrase of a sealed key."""
        self.show_page("secret", [line("   ", (clean(prompt).strip().rstrip(":"), "title"))])
        self.query_one("#secret").focus()
        self.hint([("enter", "go on", "submit"), ESC])

    def show_working(self) -> None:
        """IBKR has the word."""
        if self.page in ASKING and not self.left:
            self.show_page("working", [line("   Talking to IBKR …")])
            self.hint([ESC, HELP])

    def show_note(self, note: Note) -> None:
        """Where the login is."""
        if self.left:
            return
        if note.attempt:
            self._number = note.attempt  # of the user name that was typed; the facts may be of another
            return
        if note.step is Step.FACTOR and note.text and not factors.names_only(note.text):
            self._remark = note.text
        if self.page == "code" and note.step is Step.FACTOR and not note.done:
            self._show_waiting()
            return
        if self.page == "working" and note.text:
            spoken = [line(""), line("   ", ("◐ ", "accent"), clean(note.text))]
            self.show_below(spoken)
        name = self.name_of(note.step)
        self.enter(name, note.text)
        if note.done:
            self.finish(name, note.text)

    def show_failure(self, error: IbtuiError) -> None:
        """What went wrong, and the way out."""
        if self.typing:
            self.ibtui.hush()  # what is typed on was never meant for this page's keys
        if isinstance(error, Competing):
            self.enter(self.name_of(Step.BROKERAGE))  # also where a login of before was found
        begun = self._track.state(self.step_names[0]) == "done"
        self._track.fail(self.ibtui.monotonic())
        used, limit = self.attempts()
        self._failure = found = failures.failure(error, self.url, used=used, limit=limit, begun=begun)
        hints = [("enter", found.again, "go_on")] if found.again else []
        if found.take_over:
            hints += [("t", "take over", "take_over"), ("y", "yield", "yes")]
        if found.switch:
            hints.append(("w", "switch", "switch"))
        self.show_page("failure", list(found.lines))
        self.hint([*hints, ("esc", "close", "leave"), HELP])
        self._show_countdown()
        self.show_steps()

    def _show_countdown(self) -> None:
        until = self._failure.until if self._failure is not None else None
        if self.page == "failure" and until is not None:
            left = (until - self.ibtui.now()).total_seconds()
            self.show_below([failures.countdown(left)])

    # Keys --------------------------------------------------------------------------------

    @property
    def typing(self) -> bool:
        """Somebody may be typing a password now."""
        return self._early or self.page in ("credentials", "secret")

    def takes(self, event: events.Key) -> bool:
        """A password that is typed before its page is there waits in its field, and is no row of keys."""
        if not (self._early and self.page == "working" and event.is_printable and event.character):
            return False
        if self.query_one("#username", Input).value or self.ibtui.profile.username:
            self.query_one("#password", SecretInput).add(event.character)
        return True

    async def action_quit_aside(self) -> None:
        """`q` may be a letter of something typed: it leaves ibtui only where nothing is going on."""
        if self.page in ASKING or self.page == "working":
            self.say("esc stops this; ^Q leaves ibtui.")
        else:
            await self.app.action_quit()

    def show_page(self, page: str, lines: list[Line]) -> None:
        """Also: what was typed too early is forgotten where no password is asked for."""
        if page != "working":
            self._early = False
        if page not in ("working", "credentials"):
            self.query_one("#password", SecretInput).clear()
        super().show_page(page, lines)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the user name goes to the password; not while it is empty, or the two are mixed up."""
        event.stop()
        if self.page == "credentials" and self._named():
            self.query_one("#password").focus()

    def on_secret_input_submitted(self, message: SecretInput.Submitted) -> None:
        """Enter in the password or the code sends it."""
        message.stop()
        self.action_submit()

    def on_secret_input_edited(self, _: SecretInput.Edited) -> None:
        """What was wrong before is being put right."""
        if self._slip:
            self._slip = ""
            self._show_waiting()

    def action_submit(self) -> None:
        """Send what was typed; the fields are emptied at once."""
        if self.page == "credentials":
            self._submit_credentials()
        elif self.page == "code":
            self._submit_code()
        elif self.page == "secret":
            self._answers.give_secret(self.query_one("#secret", SecretInput).take())

    def _submit_credentials(self) -> None:
        field = self.query_one("#password", SecretInput)
        if not self._named():
            return
        if not field.filled:
            field.focus()
            self.show_below([present.trouble("The password is missing.")])
        else:
            self._username = self.query_one("#username", Input).value.strip()
            self._track.begin(self.name_of(Step.PASSWORD), self.ibtui.monotonic())
            self.show_steps()
            self._answers.give_credentials(Credentials(self._username, field.take()))

    def _named(self) -> bool:
        """Whether the user name is there; says so where it is not."""
        field = self.query_one("#username", Input)
        if field.value.strip():
            return True
        field.focus()
        self.show_below([present.trouble("The user name is missing.")])
        return False

    def _submit_code(self) -> None:
        field = self.query_one(CodeInput)
        if not field.complete:
            self._slip = f"That was not sent: it has {field.boxes} digits."
            self._show_waiting()
            return
        self._slip = ""
        self._answers.give_answer(Code(field.take()))

    def action_resend(self) -> None:
        """Ask IBKR for another message, or another challenge."""
        if self.page == "code" and self._asked is not None and factor(self._asked.code).again:
            self._answers.give_answer(Resend())

    def action_other_method(self) -> None:
        """Another of the second factors that IBKR offered."""
        asked = self._asked
        if self.page != "code" or asked is None or not asked.others:
            return
        if len(asked.others) == 1:
            self._answers.give_answer(OtherFactor(asked.others[0]))
            return
        self._offered, self._cursor = asked.others, 0
        self._show_list()

    def action_move(self, by: int) -> None:
        """The cursor of the list."""
        if self.page == "choice":
            self._cursor = (self._cursor + by) % len(self._offered)
            self._show_list()

    def action_pick(self, number: int) -> None:
        """An entry of the list by its number."""
        if self.page == "choice" and 1 <= number <= len(self._offered):
            self._cursor = number - 1
            self._choose()

    def _choose(self) -> None:
        code = self._offered[self._cursor]
        if self._asked is not None:  # the list was opened from the boxes
            self._answers.give_answer(OtherFactor(code))
        else:
            self._answers.give_choice(code)

    def action_show_digits(self) -> None:
        """Show what was typed into the boxes, or hide it."""
        if self.page == "code":
            self.query_one(CodeInput).toggle_shown()

    def action_yes(self) -> None:
        """Go on with what was asked."""
        if self.page == "confirm":
            self._answers.give_yes(True)

    # Showing -----------------------------------------------------------------------------

    def tick(self) -> None:
        """Elapsed times and countdowns."""
        super().tick()
        self._show_waiting()
        self._show_countdown()

    @property
    def url(self) -> str:
        """Where a browser would log in."""
        return self.ibtui.profile.gateway_url

    def attempts(self) -> tuple[int, int]:
        """Attempts used, and how many are allowed; zeros when that is not known."""
        facts = self.ibtui.runtime.login_facts if self.ibtui.runtime is not None else None
        return (facts.attempts, facts.limit) if facts is not None else (0, 0)

    def name_of(self, step: Step) -> str:
        """What a step of the conversation is called here."""
        return step.value

    def reset(self) -> None:
        """Nothing has been done yet."""
        self._failure, self._asked = None, None
        self._remark = self._slip = ""
        self._track.clear()
        self._early = True
        self._number = self.attempts()[0] + 1
        for field in self.query(SecretInput):  # the boxes of a code are one too
            field.clear()

    def reload(self) -> None:
        """The page anew, with the user name masked or not, in its field too."""
        super().reload()
        self.query_one("#username", Input).password = self.ibtui.hidden
