"""Every key of the UI in one table: bindings, footer hints, help and palette are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it does, where, and whether the footer and the palette name it."""

    key: str
    """As Textual spells it; alternatives are separated by commas."""
    id: str
    action: str
    hint: str
    """One or two words for the footer."""
    description: str
    """A sentence for the help page and the palette."""
    screen: str = ""
    """The screen it belongs to; empty: everywhere."""
    footer: bool = True
    palette: bool = False


SCREENS = (
    ("1", "session", "Session"),
    ("2", "positions", "Positions"),
    ("3", "orders", "Orders"),
    ("4", "account", "Account"),
    ("6", "oauth", "OAuth"),
)
"""Digit, mode and title; where a mode comes from: `screens.places`."""
TITLES = {mode: title for _, mode, title in SCREENS}

_ROWS = (
    ("slash", "filter", "filter", "Show only rows with these words; esc shows all", True),
    ("s", "sort", "table_sort", "Sort by the next column; S turns the order round", True),
    ("enter", "detail", "detail", "Everything known of the row", True),
    ("y", "copy", "copy", "Copy the row", True),
    ("escape", "unfilter", "unfilter", "Take the filter away", False),
)
"""Keys of every screen with a table; `s` and `enter` are bound by the table itself."""


def _row_keys(screen: str) -> tuple[Key, ...]:
    return tuple(
        Key(key, f"{screen}.{name}", action, name, text, screen, footer)
        for key, name, action, text, footer in _ROWS
    )


_VERBS = (
    ("s", "start", "start/stop", "Start the gateway, or stop it", True),
    ("l", "login", "log in", "Log in to IBKR", True),
    ("o", "logout", "log out", "Log out", True),
    ("t", "takeover", "take over", "Take the brokerage session over from another program", True),
    ("y", "yield", "yield", "Leave the brokerage session to another program for a while", True),
    ("i", "install", "install", "Install the gateway, a newer one, or go back to the one before", True),
    ("R", "restart", "restart", "Restart the gateway", False),
    ("K", "quiet", "stop keep-alive", "Stop the keep-alive; gateway and session are left as they are", False),
    ("e", "enroll", "enroll", "Enroll IB Key on this machine, in place of the phone's", False),
    ("r", "refresh", "refresh", "Look at gateway, login and brokerage session anew", False),
)
"""What may be done to the session; the footer names of these what can be done now."""

_WIZARD = (
    ("escape", "cancel", "leave", "Stop; what was typed is forgotten"),
    ("enter", "go_on", "go_on", "Send, choose, or try again"),
    ("b", "back", "back", "Begin again with user name and password"),
    ("r", "resend", "resend", "Send the code again, or ask for another challenge"),
    ("m", "method", "other_method", "Use another second factor"),
    ("v", "show", "show_digits", "Show the digits that were typed, or hide them"),
    ("y", "yes", "yes", "Yes, go on; or leave the session to the other program"),
    ("t", "takeover", "take_over", "Take the session over from another program"),
    ("w", "switch", "switch", "Switch the profile between paper and live"),
    ("up,k", "up", "move(-1)", "Up in a list"),
    ("down,j", "down", "move(1)", "Down in a list"),
)
"""Keys of the wizards; while a field for text has the focus, letters and digits belong to it."""

_INSTALL = (
    ("escape", "cancel", "leave", "Stop a download (what has come is kept), or close the page"),
    ("enter", "go_on", "go_on", "Install, go on, or try again"),
    ("f", "file", "from_file", "Install from a zip or a folder on this machine"),
    ("b", "rollback", "rollback", "Go back to the gateway before this one"),
)

_OAUTH = (
    ("enter", "go_on", "go_on", "Do what the page says, and go on"),
    ("b", "back", "back", "The step before"),
    ("escape", "cancel", "leave", "Stop what is being made, or leave a field"),
    ("i", "import", "import", "Import keys or a registration made elsewhere"),
    ("n", "new", "new", "Begin a new registration; nothing is lost"),
    ("e", "edit", "edit", "Type another consumer key, or paste token and secret anew"),
    ("y", "copy", "copy", "Copy the consumer key, or the file under the cursor"),
    ("p", "page", "page", "Copy the address of IBKR's page"),
    ("v", "view", "view", "Show the file under the cursor"),
    ("w", "save", "save", "Write the public files to a folder"),
    ("m", "switch", "switch", "Let the profile use the registration"),
    ("o", "two", "oauth2", "OAuth 2.0 instead"),
    ("up,k", "up", "move(-1)", "Up in a list"),
    ("down,j", "down", "move(1)", "Down in a list"),
)
"""Keys of the OAuth configurator; its footer changes with the page."""

KEYS: tuple[Key, ...] = (
    *(
        Key(
            digit,
            f"go.{mode}",
            f"app.go('{mode}')",
            digit,
            f"Go to {title}",
            footer=False,
            palette=True,
        )
        for digit, mode, title in SCREENS
    ),
    Key("question_mark,f1", "help", "app.show_help", "help", "Show the keys that work here", palette=True),
    Key("ctrl+p", "palette", "app.command_palette", "commands", "Find a command by name"),
    Key(
        "h",
        "hide",
        "app.toggle_privacy",
        "hide",
        "Mask amounts and account ids everywhere",
        footer=False,
        palette=True,
    ),
    Key("a", "account", "app.next_account", "account", "Show the next account", footer=False, palette=True),
    Key(
        "q",
        "quit",
        "app.quit",
        "quit",
        "Leave ibtui; ^Q does so while typing too",
        footer=False,
        palette=True,
    ),
    *(
        Key(key, f"session.{name}", f"app.verb('{name}')", hint, text, "session", footer, palette=True)
        for key, name, hint, text, footer in _VERBS
    ),
    Key("g", "session.log", "toggle_log", "log", "Show or hide the gateway's log", "session"),
    Key("c", "session.copy", "copy", "copy", "Copy the state of the three lamps", "session", footer=False),
    Key(
        "escape",
        "session.cancel",
        "app.cancel_verb",
        "cancel",
        "Cancel what is being done",
        "session",
        footer=False,
    ),
    *_row_keys("positions"),
    Key("u", "positions.group", "group", "group", "Group by currency, type, or not at all", "positions"),
    Key("tab", "orders.view", "next_view(1)", "view", "Working, today, fills", "orders"),
    Key("shift+tab", "orders.back", "next_view(-1)", "view", "The view before", "orders", footer=False),
    *_row_keys("orders"),
    Key("y", "account.copy", "copy", "copy", "Copy what is shown", "account"),
    *(
        Key(key, f"login.{name}", action, name, text, "login", footer=False)
        for key, name, action, text in _WIZARD
    ),
    *(
        Key(key, f"oauth.{name}", action, name, text, "oauth", footer=False)
        for key, name, action, text in _OAUTH
    ),
    *(
        Key(key, f"install.{name}", action, name, text, "install", footer=False)
        for key, name, action, text in _INSTALL
    ),
)

_FACES = {
    "question_mark": "?",
    "slash": "/",
    "ctrl+p": "^P",
    "ctrl+q": "^Q",
    "escape": "esc",
    "shift+tab": "⇧tab",
}


def face(key: str) -> str:
    """How a key is written on screen: `^P`, `?`, `esc`."""
    return " ".join(_FACES.get(part, part) for part in key.split(","))


def of(screen: str) -> list[Key]:
    """The keys of one screen (`""`: those that work everywhere)."""
    return [key for key in KEYS if key.screen == screen]


def bindings(screen: str) -> list[Binding]:
    """Textual's form of the same; Textual's own footer is not used, so none is shown."""
    return [
        Binding(key.key, key.action, key.description, show=False, id=key.id, tooltip=key.description)
        for key in of(screen)
        if key.id != "palette" and key.action not in ("detail", "table_sort")
    ]


def hints(screen: str) -> list[tuple[str, str, str]]:
    """The footer's left part: (face, word, action) of what works on this screen."""
    general = [key for key in of("") if key.footer]
    return [
        (face(key.key.split(",")[0]), key.hint, key.action) for key in [*of(screen), *general] if key.footer
    ]
