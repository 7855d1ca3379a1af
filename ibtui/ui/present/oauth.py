"""The OAuth configurator's pages as lines; what to do at IBKR's page stands where it is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ibtui.profile import Profile
from ibtui.service.oauth_state import PORTAL, STEPS, Check, State, Step, works
from ibtui.ui.present.numbers import duration
from ibtui.ui.present.spans import Line, clean, line

UPLOADS = (
    ("public_signature.pem", "Public Signing Key"),
    ("public_encryption.pem", "Public Encryption Key"),
    ("dhparam.pem", "Diffie-Hellman Parameters"),
)
"""Files and their places on IBKR's page, in its order."""
SAVED = "Everything so far is saved: leave whenever you like, 6 comes back here."
TESTCONS = "TESTCONS"


def steps(state: State, shown: Step) -> Line:
    """`1 Keys ✓   2 Portal ▸   3 Upload …`."""
    out: list[tuple[str, str]] = [(" ", "")]
    for number, step in enumerate(STEPS, 1):
        style = "strong" if step is shown else ("" if state.is_done(step) else "muted")
        mark = (" ✓", "good") if state.is_done(step) else ((" ▸", "accent") if step is shown else ("", ""))
        out += [(f"{number} {step.value}", style), mark, ("   ", "")]
    return tuple(out)


def key(face: str, text: str) -> Line:
    """`enter  make them now`."""
    return line("   ", (f"{face:<6}", "accent"), f" {text}")


def no_keys(profile: str, elsewhere: str = "") -> list[Line]:
    """Before there are any; `elsewhere` is an `oauth1.json` that could be taken over."""
    there = line("          there is one: ", (clean(elsewhere), "strong"))
    return [
        line("   ", (f"A session of your own at IBKR, without the gateway, for {clean(profile)}.", "title")),
        line(""),
        line("   It needs two RSA key pairs and Diffie-Hellman parameters. ibtui makes them on"),
        line("   this machine, without openssl; only the public parts go to IBKR."),
        line(""),
        key("enter", "make them now; it takes seconds, at worst minutes"),
        key("i", "import keys or a whole registration that you have"),
        *([there] if elsewhere else []),
        key("o", "OAuth 2.0 instead, where IBKR has given you a client id"),
        line(""),
        line("   Live and paper are two user names at IBKR, and two registrations: make one"),
        line("   for each in a profile of its own. IBKR Pro is needed; IBKR offers this to"),
        line("   institutions, and many individual accounts find the page open too."),
    ]


def making(stages: Sequence[str], seconds: float) -> list[Line]:
    """While a process makes them; the last of `stages` is what it makes now."""
    out = [line("   ", ("Making keys on this machine", "title")), line("")]
    out += [line("   ", ("✓ ", "good"), clean(it)) for it in stages[:-1]]
    if stages:
        out.append(line("   ", ("◐ ", "accent"), f"{clean(stages[-1])}   ", (duration(seconds), "muted")))
    return [
        *out,
        line(""),
        line("   A safe prime of 2048 bits is a matter of luck: seconds as a rule, sometimes"),
        line("   minutes. ", ("esc", "accent"), " stops; then nothing has been made."),
    ]


def have_keys(prints: Mapping[str, str], folder: str, remarks: Sequence[str]) -> list[Line]:
    """The keys by their fingerprints."""
    out = [line("   ", ("The keys are here.", "title")), line("")]
    out += [line(f"   {name:<23}", (prints.get(name, ""), "muted")) for name, _ in UPLOADS]
    out += [line(""), line("   They lie in ", (clean(folder), "strong"), ","), line("   for you alone.")]
    out += [line("   ", ("▲ ", "warn"), clean(it)) for it in remarks]
    return [
        *out,
        line(""),
        key("enter", "go on"),
        key("n", "begin a new registration; these keys stay there"),
    ]


def import_() -> list[Line]:
    """Above the field for what to import."""
    return [
        line("   ", ("Import", "title")),
        line(""),
        line("   A folder with private_signature.pem, private_encryption.pem, dhparam.pem,"),
        line("   as openssl made them; an oauth1.json; ibind's .env file; or IBKR's sample"),
        line("   file. The word ", ("env", "strong"), " takes ibind's variables of this terminal."),
        line("   It is copied; what you have stays as it is."),
    ]


def portal(state: State) -> list[Line]:
    """Where to register, and the consumer key."""
    saved = ("   saved at IBKR", "good") if state.registered_at else ("", "")
    return [
        line("   ", ("1 ", "muted"), "Open IBKR's page and log in as the user name this is for:"),
        line("     ", (PORTAL, "strong")),
        line("     Should another country's site come, open the login page of your own"),
        line("     region and add &action=OAUTH to its address."),
        line(
            "   ", ("2 ", "muted"), "The first time, accept the agreement. Tick ", ("Enabled", "strong"), "."
        ),
        line(
            "   ",
            ("3 ", "muted"),
            "Type nine letters at ",
            ("Consumer Key", "strong"),
            " and press Save Key:",
        ),
        line(""),
        line("       Consumer key   ", (clean(state.consumer_key), "strong"), saved),
        line(""),
        line("   IBKR keeps it in capitals. It works after tonight's reset at the earliest,"),
        line("   sometimes after the weekend's; until then “invalid consumer” is normal."),
        line(""),
        key("enter", "it is saved there") if not state.registered_at else key("enter", "go on"),
        key("e", "type another, or the one that you have there already"),
    ]


def upload(cursor: int, prints: Mapping[str, str], folder: str) -> list[Line]:
    """The three public files."""
    out = [
        line("   ", ("Upload these three files on the same page.", "title")),
        line(""),
    ]
    for at, (name, place) in enumerate(UPLOADS):
        mark = ("▸ ", "accent") if at == cursor else ("  ", "")
        short = prints.get(name, "")[:19]
        style = "strong" if at == cursor else ""
        out.append(line("   ", mark, (f"{name:<23}", style), f"{place:<27}", (short, "muted")))
    return [
        *out,
        line(""),
        line("   They lie in ", (clean(folder), "strong"), "."),
        line("   Is the browser elsewhere? ", ("v", "accent"), " shows one, ", ("y", "accent"), " copies it,"
             " ", ("w", "accent"), " writes all three to a folder."),
        line(""),
        line("   ", ("▲ ", "warn"), "Never upload a file called private_…: IBKR does not want it, and"),
        line("     whoever has it can act for you."),
        line("   The page also shows openssl commands; what they make, you have."),
        line("   “failed to put consumer info … 403”: another file, or not the right login."),
        line(""),
        key("enter", "all three are there"),
    ]  # fmt: skip


def secrets() -> list[Line]:
    """Above the fields for token and secret."""
    return [
        line("   Press ", ("Generate Token", "strong"), " on IBKR's page and paste both of what it shows."),
        line("   The secret is shown there once: copy it before you leave the page."),
        line("   Programs that use this registration's old secret stop working."),
    ]


def kept_secrets() -> list[Line]:
    """Where both are there."""
    return [
        line("   ", ("Access token and secret are here.", "title")),
        line(""),
        line("   They are not shown. Was a new token generated at IBKR? Then the old secret"),
        line("   has ended: paste both anew."),
        line(""),
        key("enter", "go on"),
        key("e", "paste them anew"),
    ]


def checks(results: Sequence[Check], running: bool = False, *, wide: int = 22) -> list[Line]:
    """Each check with its outcome; what failed says what it means and what to do."""
    out: list[Line] = []
    for it in results:
        mark = ("✓ ", "good") if it.ok else ("✕ ", "bad")
        out.append(line("   ", mark, f"{clean(it.name):<{wide}} ", (clean(it.detail), "muted")))
        if not it.ok:
            out.append(line(f"     {clean(it.problem)}"))
            if it.fix:
                out.append(line("     ", ("→ ", "accent"), clean(it.fix)))
    if running:
        out.append(line("   ", ("◐ ", "accent"), "…"))
    return out


def check(results: Sequence[Check], result: str, running: bool) -> list[Line]:
    """The offline self-test."""
    head = [
        line("   ", ("Self-test: nothing is sent.", "title")),
        line(""),
        *checks(results, running),
        line(""),
    ]
    if running:
        return head
    if not results:
        return [*head, key("enter", "see whether all fits together")]
    if all(it.ok for it in results):
        return [
            *head,
            line("   ", ("✓ ", "good"), ("All fits together.", "title"), " Written, for you alone:"),
            line(f"     {clean(result)}"),
            line("   ibkr-client reads the same file."),
            line(""),
            key("enter", "test it at IBKR"),
        ]
    return [*head, key("enter", "test again"), key("b", "back to what is to be mended")]


def live(
    results: Sequence[Check], running: bool, state: State, profile: Profile, now: datetime
) -> list[Line]:
    """The live test and what to do with it."""
    head = [line("   ", ("Live test: a session at IBKR, nothing is changed there.", "title")), line("")]
    if running or results:
        head += [*checks(results, running, wide=27), line("")]
    if running:
        return head
    if state.tested_at and (not results or works(results)):
        return [*head, *_ready(profile)]
    if results:
        return [
            *head,
            *_since(state, now),
            key("enter", "test again; it costs nothing"),
            *_later(profile.name),
        ]
    return [
        *head,
        line("   ibtui asks IBKR for a live session token, opens the brokerage session and"),
        line("   reads the accounts. Another program that holds the session keeps it."),
        line(""),
        key("enter", "test it now"),
        *_later(profile.name),
    ]


def _since(state: State, now: datetime) -> list[Line]:
    if not state.registered_at:
        return []
    age = duration((now - datetime.fromisoformat(state.registered_at)).total_seconds())
    return [
        line("   The consumer key ", (clean(state.consumer_key), "strong"), f" was saved at IBKR {age} ago.")
    ]


def _later(profile: str) -> list[Line]:
    name = "" if profile == "default" else f" --profile {clean(profile)}"
    return [line("   Later, from a shell: ", (f"ibtui oauth check{name}", "strong"))]


def _ready(profile: Profile) -> list[Line]:
    out = [line("   ", ("✓ ", "good"), ("The registration works.", "title"))]
    if profile.mode in ("oauth1", "demo"):
        own = "IBKR was the demo's own simulator." if profile.mode == "demo" else ""
        text = own or f"The profile {clean(profile.name)} runs on it."
        return [*out, line(f"   {text}"), key("enter", "test again")]
    return [
        *out,
        line("   The profile uses it with these lines in the settings:"),
        line(f"     [profiles.{clean(profile.name)}]"),
        line('     mode = "oauth1"'),
        key("m", "write that into the settings now; it counts from the next start"),
        key("enter", "test again"),
    ]


def oauth2() -> list[Line]:
    """Above the fields of OAuth 2.0."""
    return [
        line(
            "   ",
            ("OAuth 2.0", "title"),
            ("   beta at IBKR, registered with its support, not on a page", "muted"),
        ),
        line("   What IBKR gave you, and the private key whose public part it has."),
        line("   Not certain: scope and audience are as in IBKR's sample (oauth2_scope,"),
        line("   oauth2_audience change them); how long a session lives is not published."),
        line("   The session is tied to your public address. ibtui asks no outside service"),
        line("   for it: type it as IBKR sees it."),
    ]


def trouble(what: str, fix: str = "") -> list[Line]:
    """What is wrong with what was typed or done."""
    out = [line("   ", ("▲ ", "warn"), clean(what))]
    return [*out, line("   ", ("→ ", "accent"), clean(fix))] if fix else out


def verdict(found: Check | None) -> Line:
    """Beside or below a field while it is typed into."""
    if found is None:
        return line("")
    if found.ok:
        return line((" ✓ ", "good"), (clean(found.detail), "muted"))
    return line((" ▲ ", "warn"), clean(found.problem))


def saved() -> Line:
    """At the bottom of each step."""
    return line("   ", (SAVED, "muted"))


def hints(page: str, state: State, mode: str) -> list[tuple[str, str, str]]:
    """The footer of a page: (key, word, action)."""
    enter, back = ("enter", "next", "go_on"), ("b", "back", "back")
    escape, here = ("esc", "back", "leave"), ("?", "help", "app.show_help")
    match page:
        case "keys" if not state.keys:
            return [
                ("enter", "make keys", "go_on"),
                ("i", "import", "import"),
                ("o", "OAuth 2.0", "oauth2"),
                here,
            ]
        case "keys":
            return [enter, ("n", "new registration", "new"), ("o", "OAuth 2.0", "oauth2"), here]
        case "making":
            return [("esc", "stop", "leave")]
        case "import" | "own" | "save":
            return [("enter", "take it", "go_on"), escape]
        case "portal":
            return [
                enter,
                back,
                ("e", "edit", "edit"),
                ("y", "copy", "copy"),
                ("p", "copy address", "page"),
                here,
            ]
        case "upload":
            return [
                enter, back, ("↑↓", "choose", "move(1)"), ("v", "view", "view"), ("y", "copy", "copy"),
                ("w", "write", "save"), here,
            ]  # fmt: skip
        case "paste":
            return [("enter", "check and keep", "go_on"), escape]
        case "secrets":
            return [enter, back, ("e", "paste anew", "edit"), here]
        case "trouble":
            return [("n", "new registration", "new"), here]
        case "live" if state.tested_at and mode not in ("oauth1", "demo"):
            return [("enter", "test", "go_on"), back, ("m", "use it", "switch"), here]
    return [("enter", "go on", "go_on"), back, here]


def note(text: str) -> list[Line]:
    """What was done."""
    return [line("   ", ("✓ ", "good"), clean(text))]
