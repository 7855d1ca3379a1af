"""OAuth 2.0: the values that IBKR gave, checked and written into the profile."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from ibtui import config, rewrite
from ibtui.errors import IbtuiError, UsageError
from ibtui.profile import Profile
from ibtui.ui.present import oauth as present
from ibtui.ui.present.spans import Line
from ibtui.ui.screens.base import Pane
from ibtui.ui.screens.oauth_steps import OneField, text_field
from ibtui.ui.verbs import as_problem
from ibtui.ui.widgets.bar import Hints
from ibtui.ui.widgets.lines import Lines

FIELDS = (
    ("client_id", "Client id"),
    ("key_id", "Key id (main, where there is one key)"),
    ("credential", "User name that is acted for (credential)"),
    ("key_file", "File of the private key, PEM"),
    ("ip", "Public address of this machine"),
)
"""Keys of the profile without `oauth2_`, and their labels."""
IBIND = {
    "client_id": "CLIENT_ID",
    "key_id": "CLIENT_KEY_ID",
    "credential": "USERNAME",
    "key_file": "PRIVATE_KEY_PATH",
    "ip": "IP_ADDRESS",
}
"""What ibind calls them, behind `IBIND_OAUTH2_` (oauth.md §11.4)."""


class OAuth2Screen(Pane):
    """One form. Enter goes on to the next field, at the last it checks and writes; escape leaves."""

    mode = "oauth2"
    title_spans = (("OAuth 2.0", "title"),)
    AUTO_FOCUS = "#client_id"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", id="oauth2.leave")]
    DEFAULT_CSS = """
    OAuth2Screen #page { margin: 1 0; }
    OAuth2Screen OneField Lines { display: none; }
    OAuth2Screen #below { dock: bottom; height: auto; max-height: 4; margin-bottom: 1; }
    """

    def body(self) -> Iterable[Widget]:
        """Words, fields, a line below."""
        yield Lines(present.oauth2(), id="page", wraps=True)
        with Vertical():
            for name, label in FIELDS:
                yield OneField(label, text_field(name))
        yield Lines(id="below", wraps=True)

    def on_mount(self) -> None:
        """What the profile has already, else what ibind's variables say."""
        super().on_mount()
        env = config.environment()
        for name, _ in FIELDS:
            theirs = env.get(f"IBIND_OAUTH2_{IBIND[name]}", "")
            known = getattr(self.ibtui.profile, f"oauth2_{name}")
            untouched = known == getattr(Profile(), f"oauth2_{name}")
            self.query_one(f"#{name}", Input).value = theirs if theirs and untouched else known
        self.query_one(Hints).set_hints(
            [("enter", "next, at the end write", "next"), ("esc", "back", "leave")]
        )

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        names = [name for name, _ in FIELDS]
        at = names.index(event.input.id or "")
        if at + 1 < len(names):
            self.query_one(f"#{names[at + 1]}").focus()
            return
        self.run_worker(
            self._write(), group="oauth2", exclusive=True, description="keep OAuth 2.0", exit_on_error=False
        )

    async def _write(self) -> None:
        values = {name: self.query_one(f"#{name}", Input).value.strip() for name, _ in FIELDS}
        name, path = self.ibtui.profile.name, self.ibtui.settings.path
        changes = {f"profiles.{name}.oauth2_{key}": value for key, value in values.items()}
        try:
            if self.ibtui.profile.mode == "demo":
                raise UsageError("The demo has no settings.", "Do it in a profile of your own.")
            module = await asyncio.to_thread(importlib.import_module, "ibtui.service.oauth_two")
            await asyncio.to_thread(module.check, values)
            await asyncio.to_thread(rewrite.set_keys, path, {f"profiles.{name}.mode": "oauth2", **changes})
        except IbtuiError as error:
            self._say(present.trouble(error.what, error.fix))
        except Exception as error:  # noqa: BLE001 - a person is told, whatever it was
            self._say(present.trouble(str(as_problem(error))))
        else:
            self._say(
                present.note(f"Written to {path}: mode oauth2 from the next start. Test it: ibtui status")
            )

    def _say(self, lines: list[Line]) -> None:
        self.query_one("#below", Lines).show(lines)

    def action_leave(self) -> None:
        """Back."""
        self.dismiss()
