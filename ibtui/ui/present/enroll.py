"""The enrolment wizard's pages as lines: the warning, the PIN, the result, the backup, the test login."""

from __future__ import annotations

from ibtui.core.models import LoginFacts
from ibtui.ui.present.spans import Line, clean, line

PIN, PASSWORD, MESSAGE, KEY = "PIN", "User name and password", "Text message", "IB Key"
BACKUP, TEST = "Sealed backup", "Test login"
STEPS = (PIN, PASSWORD, MESSAGE, KEY, BACKUP, TEST)


def warning(username: str, there: int | None = None) -> list[Line]:
    """Before anything: what it replaces, what it needs; `there`: logins left with the key that is here."""
    whose = f" of {clean(username)}" if username else ""
    here: list[Line] = []
    if there is not None:
        ends = f"The key that is here already ends, too: {there} logins left."
        here = [line("   ", ("▲ ", "warn"), ends), line("")]
    return [
        line("   ", ("▲ ", "warn"), (f"This replaces the IB Key on the phone{whose}.", "title")),
        line(""),
        line("   An account has one IB Key. When this machine has it, the one in the phone's"),
        line("   app stops working, and whoever has this machine's file and your password can"),
        line("   log in. ibtui then answers IBKR by itself, for about 93 logins."),
        line(""),
        *here,
        line("   You need: user name, password, and the text message that IBKR sends now."),
        line("   To get back: enroll IB Key in the phone's app again, at any time."),
        line(""),
        line("   ", ("y", "accent"), " go on.  ", ("esc", "accent"), " leave; nothing has been done."),
    ]


def pin() -> list[Line]:
    """Above the two fields for the PIN."""
    return [
        line("   A PIN for the new key, 4 to 6 digits. ibtui keeps it and does not ask for it"),
        line("   again. Leave it empty, and ibtui makes one."),
    ]


def credentials() -> list[Line]:
    """Above user name and password."""
    return [line("   They go to IBKR's login host, not through the gateway; neither is stored.")]


def result(username: str, facts: LoginFacts, backup: str, tested: str) -> list[Line]:
    """The key is there: what can be done with it now."""
    left = "" if facts.logins_left is None else f"; {facts.logins_left} logins left"
    out = [
        line("   ", ("✓ ", "good"), (f"IB Key of {clean(username)} is enrolled here{left}.", "title")),
        line("   The key is on this machine alone, in a private file; the phone's has ended."),
        line(""),
    ]
    if backup:
        out += [
            line("   ", ("✓ ", "good"), "A sealed backup is in ", (clean(backup), "strong"), "."),
            line("     Only one program can use a key: each would use up the other's counters."),
        ]
    else:
        out.append(line("   ", ("s", "accent"), "      keep a sealed backup, in case this machine is lost"))
    if tested:
        out += [line(""), line("   ", ("✓ ", "good"), clean(tested))]
    else:
        out += [line("")] if backup else []
        out.append(line("   ", ("enter", "accent"), "  log in with it once, to see that it works"))
    return out


def backup() -> list[Line]:
    """Above the fields for file and passphrase."""
    return [
        line("   PIN and secret go into a new file (0600), sealed with a passphrase. Without"),
        line("   the passphrase nobody can read it, you neither."),
    ]
