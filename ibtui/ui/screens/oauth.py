"""The OAuth configurator: keys, IBKR's page, uploads, token, self-test, live test; resumed where left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.containers import Vertical
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Input

from ibtui.service.oauth_state import PORTAL, STEPS, Step
from ibtui.ui import keymap
from ibtui.ui.present import oauth as present
from ibtui.ui.present.spans import Line, line
from ibtui.ui.screens.detail import ConfirmScreen
from ibtui.ui.screens.oauth_steps import FileScreen, LongSecretInput, OneField, text_field
from ibtui.ui.screens.oauth_work import GROUP, PAGES, OAuthWork
from ibtui.ui.verbs import as_problem
from ibtui.ui.widgets.bar import Hints
from ibtui.ui.widgets.lines import Lines
from ibtui.ui.widgets.secret_input import SecretInput

if TYPE_CHECKING:
    pass

HOME = {
    **{page: page for page in PAGES.values()},
    "import": "keys",
    "making": "keys",
    "own": "portal",
    "save": "upload",
    "paste": "secrets",
}
"""The page to go back to from a page."""
FIELDS = {"import": "source", "own": "own", "save": "folder", "paste": "token"}
"""What has the focus on a page with fields."""


class OAuthScreen(OAuthWork):
    """Six steps, one page each; `page` is the one in sight."""

    mode = "oauth"
    title_spans = (("OAuth 1.0a", "title"),)
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*keymap.bindings("oauth")]
    DEFAULT_CSS = """
    OAuthScreen #steps { height: 1; margin: 1 0; }
    OAuthScreen #page { height: auto; max-height: 1fr; }
    OAuthScreen .form { display: none; height: auto; margin: 1 0; }
    OAuthScreen .form.-open { display: block; }
    OAuthScreen #below { dock: bottom; height: auto; max-height: 6; margin-bottom: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._since = 0.0
        self._cursor = 0

    def body(self) -> Iterable[Widget]:
        """Steps, page, fields, a line below."""
        yield Lines(id="steps")
        yield Lines(id="page", wraps=True, focusable=False)
        for page, fields in self._forms().items():
            yield Vertical(*fields, id=f"form-{page}", classes="form")
        yield Lines(id="below", wraps=True)

    def _forms(self) -> dict[str, list[OneField]]:
        return {
            "import": [OneField("Folder, file, or env", text_field("source"))],
            "own": [OneField("Consumer key", text_field("own"))],
            "save": [OneField("Folder", text_field("folder"))],
            "paste": [
                OneField("Access token", LongSecretInput(id="token")),
                OneField("Access token secret", LongSecretInput(id="secret")),
            ],
        }

    def on_mount(self) -> None:
        """The setup is read after the first frame: it needs cryptography."""
        super().on_mount()
        self.show("loading")
        self._work("read the OAuth setup", self._load)

    @property
    def step(self) -> Step:
        """The step of the page in sight."""
        home = HOME.get(self.page, "keys")
        return next(step for step, page in PAGES.items() if page == home)

    # Pages ---------------------------------------------------------------------------------

    def show(self, page: str, *, keep_focus: bool = False) -> None:
        """See `OAuthWork`."""
        if page == "secrets" and not self.state.is_done(Step.SECRETS):
            page = "paste"
        if page != self.page and page in PAGES.values() and not self._testing:
            self._results = self._results if self.page == page else ()
        self.page = page
        try:
            for name in FIELDS:
                self.query_one(f"#form-{name}").set_class(name == page, "-open")
        except NoMatches:
            return  # the screen is being taken down
        self.below([present.saved()] if page in {*PAGES.values(), "paste"} and self.state.keys else [])
        self.draw()
        self.query_one(Hints).set_hints(present.hints(self.page, self.state, self.ibtui.profile.mode))
        if not keep_focus:
            self.set_focus(self.query_one(f"#{FIELDS[page]}") if page in FIELDS else None)

    def below(self, lines: Sequence[Line]) -> None:
        """See `OAuthWork`."""
        self.query_one("#below", Lines).show(lines)

    def draw(self) -> None:
        """See `OAuthWork`."""
        self.query_one("#steps", Lines).show([present.steps(self.state, self.step)])
        self.query_one("#page", Lines).show(self.lines())

    def lines(self) -> list[Line]:
        """The page in sight."""
        profile = self.ibtui.profile
        folder = str(self.setup.folder / self.state.keys) if self._setup is not None else ""
        match self.page:
            case "keys":
                if not self.state.keys:
                    return present.no_keys(profile.name, self._offered)
                return present.have_keys(self._prints, folder, self._remarks)
            case "making":
                return present.making(self._stages, self.ibtui.monotonic() - self._since)
            case "import":
                return present.import_()
            case "portal" | "own":
                return present.portal(self.state)[: None if self.page == "portal" else 7]
            case "upload":
                return present.upload(self._cursor, self._prints, folder)
            case "save":
                return [line("   The three public files are written there, for a browser to find.")]
            case "secrets":
                return present.kept_secrets()
            case "paste":
                return present.secrets()
            case "check":
                return present.check(self._results, str(self.setup.result), self._testing)
            case "live":
                return present.live(self._results, self._testing, self.state, profile, self.ibtui.now())
        return [line("   Looking …")] if self.page == "loading" else []

    def tick(self) -> None:
        """The time that the making takes."""
        super().tick()
        if self.page == "making":
            self.draw()

    # Keys ----------------------------------------------------------------------------------

    def action_go_on(self) -> None:
        """Enter: what the page is for, then the next page."""
        match self.page:
            case "keys" if not self.state.keys:
                self._stages, self._since = [], self.ibtui.monotonic()
                self.show("making")
                self._work("make keys", self._make)
            case "keys":
                self._work("propose", lambda: self._then(self.setup.propose_consumer_key, "portal"))
            case "portal":
                self._work(
                    "keep", lambda: self._then(lambda: self.setup.registered(self.ibtui.now()), "upload")
                )
            case "upload":
                self._work("keep", lambda: self._then(self.setup.uploaded, "secrets"))
            case "secrets":
                self.show("check")
            case "check" if self._results and all(it.ok for it in self._results) and not self._testing:
                self.show("live")
            case "check" if not self._testing:
                self._work("test without sending", self._self_test)
            case "live" if not self._testing:
                self._work("test at IBKR", self._live_test)

    def action_back(self) -> None:
        """The step before."""
        if self.page in PAGES.values() and not self._testing:
            at = STEPS.index(self.step)
            self.show(PAGES[STEPS[max(0, at - 1)]])

    def action_leave(self) -> None:
        """Escape: stop what is being made, or leave a field."""
        if self.page == "making":
            self.workers.cancel_group(self, GROUP)
            self.show("keys")
            self.below(present.trouble("Stopped; nothing was made."))
        elif self._testing:
            self.workers.cancel_group(self, GROUP)
            self._testing = False
            self.show(self.page)
            self.below(present.trouble("Stopped."))
        elif self.page == "paste" and not self.state.is_done(Step.SECRETS):
            self.show("upload")
        elif self.page in FIELDS:
            self.show(HOME[self.page])

    def action_import(self) -> None:
        """The page for what was made elsewhere."""
        if self.page == "keys":
            field = self.query_one("#source", Input)
            field.value = field.value or self._offered
            self.show("import")

    def action_new(self) -> None:
        """Begin anew, after a question."""
        if self.page not in ("keys", "trouble"):
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._work("begin anew", self._anew)

        self.app.push_screen(
            ConfirmScreen(
                f"Begin a new registration for {self.ibtui.profile.name}?",
                f"Keys and what was typed stay in {self._folder}, under other names; IBKR keeps its own.",
            ),
            answered,
        )

    def action_edit(self) -> None:
        """Another consumer key; or token and secret anew."""
        if self.page == "secrets":
            self.show("paste")
        if self.page == "portal":
            self.query_one("#own", Input).value = ""
            self.show("own")

    def action_move(self, by: int) -> None:
        """Another of the three files."""
        if self.page == "upload":
            self._cursor = (self._cursor + by) % len(present.UPLOADS)
            self.draw()

    def action_copy(self) -> None:
        """The consumer key, or the file under the cursor."""
        if self.page == "portal":
            self.ibtui.copy(self.state.consumer_key, "the consumer key")
        elif self.page == "upload" and self.setup.keys is not None:
            name = present.UPLOADS[self._cursor][0]
            self.ibtui.copy(self.setup.keys.uploads[name], name)

    def action_page(self) -> None:
        """The address of IBKR's page."""
        if self.page == "portal":
            self.ibtui.copy(PORTAL, "the address")

    def action_view(self) -> None:
        """The file under the cursor."""
        if self.page == "upload" and self.setup.keys is not None:
            name, place = present.UPLOADS[self._cursor]
            self.app.push_screen(FileScreen(name, place, self.setup.keys.uploads[name]))

    def action_save(self) -> None:
        """The page for a folder to write the public files to."""
        if self.page == "upload":
            field = self.query_one("#folder", Input)
            field.value = field.value or str(Path.home() / "ibkr-upload")
            self.show("save")

    def action_switch(self) -> None:
        """Write `mode = "oauth1"` into the settings."""
        if self.page == "live" and self.state.tested_at and self.ibtui.profile.mode != "demo":
            self._work("write the settings", self._switch)

    def action_oauth2(self) -> None:
        """The page of OAuth 2.0."""
        from ibtui.ui.screens.oauth2 import OAuth2Screen

        if self.page == "keys":
            self.app.push_screen(OAuth2Screen())

    # Fields --------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a plain field."""
        event.stop()
        text = event.value.strip()
        match event.input.id:
            case "source" if text:
                self._work("import", lambda: self._import(text))
            case "own":
                self._work("keep", lambda: self._then(lambda: self.setup.set_consumer_key(text), "portal"))
            case "folder" if text:
                self._work("write", lambda: self._write_uploads(Path(text).expanduser()))

    def on_input_changed(self, event: Input.Changed) -> None:
        """The consumer key is looked at as it is typed."""
        event.stop()
        if event.input.id == "own" and self._setup is not None:
            self._judge(event.input, "consumer_key", event.value)

    def on_secret_input_edited(self, message: SecretInput.Edited) -> None:
        """Token and secret are looked at as they are typed."""
        message.stop()
        field = self.focused
        if isinstance(field, LongSecretInput):
            name = "access_token" if field.id == "token" else "access_token_secret"
            self._judge(field, name, field.peek().reveal())

    def _judge(self, field: Widget, name: str, text: str) -> None:
        assert isinstance(field.parent, OneField)
        try:
            verdict = present.verdict(self.setup.look(name, text))
        except Exception as error:  # noqa: BLE001 - Textual would print the secret with the other local values
            verdict = line(str(as_problem(error)))
        field.parent.judge([verdict])

    def on_secret_input_submitted(self, message: SecretInput.Submitted) -> None:
        """Enter: to the field below, then keep both."""
        message.stop()
        token, secret = self.query_one("#token", LongSecretInput), self.query_one("#secret", LongSecretInput)
        if self.focused is token and (not secret.filled):
            secret.focus()
            return
        self._work("keep", lambda: self._keep(token, secret))
