"""How each screen looks, on two sizes and three kinds of theme. Look at a difference before accepting it:
`pytest tests/snapshots --snapshot-update`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from ibtui.core.models import LoginFacts
from ibtui.errors import (
    Backoff,
    Competing,
    FactorUnsupported,
    GatewayDown,
    IbtuiError,
    LoginLocked,
    UnknownReply,
    WrongAccountType,
)
from tests import fakes
from tests.pilot.driving import make_app, shows, text, until

Compare = Callable[..., bool]
Step = Callable[[Any], Awaitable[None]]
SIZES = ((80, 24), (120, 40))
THEMES = ("ibtui-dark", "ibtui-light", "ansi-dark")


def reach(*keys: str, words: tuple[str, ...] = ()) -> Step:
    """Begin, press keys, and wait for words on the screen."""
    then = reach_on(*keys, words=words)

    async def act(pilot: Any) -> None:
        app = pilot.app
        app.cursor_blink = False
        await until(pilot, lambda: app.runtime is not None and app.busy is None)
        await then(pilot)

    return act


def reach_on(*keys: str, words: tuple[str, ...] = ()) -> Step:
    """Press keys, and wait for words on the screen."""

    async def act(pilot: Any) -> None:
        for key in keys:
            await pilot.press(key)
        await shows(pilot, *words)
        await pilot.pause()

    return act


SCREENS: dict[str, Step] = {
    "session": reach(words=("Gateway", "Brokerage", "Keep-alive")),
    "positions": reach("2", words=("▸AAPL", "Net liq")),
    "orders": reach("3", words=("Working",)),
    "fills": reach("3", "tab", "tab", words=("Fills",)),
    "account": reach("4", words=("Net liquidation",)),
}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
def test_screens(snap_compare: Compare, screen: str, size: tuple[int, int], theme: str) -> None:
    """Each screen with a session that works."""
    app = make_app(fakes.FakeRuntime(), theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=SCREENS[screen])


@pytest.mark.parametrize("theme", ["ibtui-contrast", "ibtui-blue"])
def test_the_other_themes(snap_compare: Compare, theme: str) -> None:
    """Positions in the themes for contrast and for those who do not see red and green."""
    assert snap_compare(make_app(fakes.FakeRuntime(), theme=theme), run_before=SCREENS["positions"])


@pytest.mark.parametrize("theme", THEMES)
def test_login_wizard(snap_compare: Compare, theme: str) -> None:
    """Nobody is logged in, and the wizard asks who."""
    app = make_app(fakes.FakeRuntime(fakes.NOBODY), theme=theme)
    assert snap_compare(app, run_before=reach("l", words=("User name", "Password")))


def test_wrong_password(snap_compare: Compare) -> None:
    """The wizard's page after a refused password."""
    app = make_app(fakes.FakeRuntime(fakes.NOBODY))
    steps = reach("l", words=("Password",))

    async def act(pilot: Any) -> None:
        await steps(pilot)
        await pilot.press(*"wrong", "enter")
        await until(pilot, lambda: "IBKR refused" in text(pilot.app))

    assert snap_compare(app, run_before=act)


GOOD = (*"correct", "space", *"horse", "enter")


def log_in(words: tuple[str, ...]) -> Step:
    """From the Session screen past user name and password."""
    first, then = reach("l", words=("Password",)), reach_on(*GOOD, words=words)

    async def act(pilot: Any) -> None:
        await first(pilot)
        await until(pilot, lambda: pilot.app.focused is not None)
        await then(pilot)

    return act


WAIT = LoginFacts(attempts=2, wait_until=fakes.NOW + timedelta(hours=1))
FACTORS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "sms": (("4.2", "4"), ("enter", *"3141"), ("waiting 3:00", "• • • • _ _")),
    "choice": (("4.2", "5.2a", "4"), ("down",), ("▸ 2  IB Key",)),
    "ibkey": (("5.2a",), (), ("Challenge   708 362",)),
    "totp": (("4",), (), ("authenticator app",)),
    "wrong-code": (("4.2",), (*"000000", "enter"), ("IBKR refused the code",)),
}


@pytest.mark.parametrize("page", FACTORS)
def test_second_factors(snap_compare: Compare, page: str) -> None:
    """Choosing a second factor, typing its code, answering its challenge."""
    offered, keys, words = FACTORS[page]
    runtime = fakes.FakeRuntime(fakes.NOBODY, factors=offered)
    runtime.skew = 12.4
    steps, end = log_in(("Second factor",)), words

    async def act(pilot: Any) -> None:
        await steps(pilot)
        await until(pilot, lambda: pilot.app.screen.page in ("code", "choice"))
        for key in keys:
            await pilot.press(key)
            await until(pilot, lambda: pilot.app.screen.page != "working")
        await shows(pilot, *end)

    assert snap_compare(make_app(runtime), run_before=act)


FAILURES: dict[str, IbtuiError] = {
    "locked": LoginLocked(
        "IBKR refused user name or password and allows no further attempt.",
        "Do not try again. Unlock the account in IBKR's Client Portal or by phone.",
    ),
    "used-up": LoginLocked(
        "Too many failed login attempts (4): the limit is 4.", "Find out why, then reset."
    ),
    "backoff": Backoff("Auth is in backoff.", "Log in by hand.", until=fakes.NOW + timedelta(minutes=59)),
    "passkey": FactorUnsupported("IBKR wants a second factor: passkey [FIDO2].", "Log in with a browser."),
    "competing": Competing("Another program holds the brokerage session.", "Close it there."),
    "mismatch": WrongAccountType(
        "This is a paper user name, and the profile is meant for live.", "", wanted="live", found="paper"
    ),
    "unknown": UnknownReply("A reply ibtui does not know (status 418).", "Say what it was: ibtui --debug."),
}


@pytest.mark.parametrize("page", FAILURES)
def test_dead_ends(snap_compare: Compare, page: str) -> None:
    """Every failure's own page, with the way out."""
    app = make_app(fakes.FakeRuntime(fakes.NOBODY, fails={"login": FAILURES[page]}))
    title = "All attempts are used up" if page == "used-up" else FAILURES[page].title
    assert snap_compare(app, run_before=log_in(("✕", title)))


def test_confirm(snap_compare: Compare) -> None:
    """After failed logins a person is asked first."""
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    runtime.login_facts = WAIT
    assert snap_compare(make_app(runtime), run_before=log_in(("go on?",)))


ENROLLING: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "warning": (),
    "pin": ((("y",), "Once more"), ((*"47",), "••")),
    "result": (
        (("y",), "Once more"),
        (("enter",), "Password"),
        (GOOD, "waiting"),
        ((*fakes.CODE, "enter"), "93 logins left"),
    ),
}
ENROLLING["backup"] = (*ENROLLING["result"], (("s",), "New file"))


@pytest.mark.parametrize("page", ENROLLING)
def test_enrolment(snap_compare: Compare, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The enrolment wizard."""
    monkeypatch.setenv("HOME", "/home/me")

    async def act(pilot: Any) -> None:
        await reach("e", words=("This replaces",))(pilot)
        for keys, word in ENROLLING[page]:
            await reach_on(*keys, words=(word,))(pilot)

    assert snap_compare(make_app(fakes.FakeRuntime(fakes.NOBODY, factors=("4.2",))), run_before=act)


def test_attempts_on_the_session_screen(snap_compare: Compare) -> None:
    """Failed attempts, the wait, and few logins left are warned of."""
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    runtime.login_facts = structs.replace(WAIT, logins_left=7)
    assert snap_compare(make_app(runtime), run_before=reach(words=("2 of 4 used", "7 logins left")))


def test_gateway_down(snap_compare: Compare) -> None:
    """Nothing runs: the next step is named."""
    fails = {"start_gateway": GatewayDown("Nothing answers at https://localhost:5000.", "Start it: s")}
    app = make_app(fakes.FakeRuntime(fakes.DOWN, fails=fails))
    assert snap_compare(app, run_before=reach("s", words=("Nothing answers",)))


def test_competing(snap_compare: Compare) -> None:
    """Another program holds the session."""
    assert snap_compare(
        make_app(fakes.FakeRuntime(fakes.COMPETING)), run_before=reach(words=("another program",))
    )


def test_privacy(snap_compare: Compare) -> None:
    """Amounts and account ids are masked."""
    assert snap_compare(make_app(fakes.FakeRuntime()), run_before=reach("2", "h", words=("•••",)))


def test_help(snap_compare: Compare) -> None:
    """The keys of the orders screen."""
    assert snap_compare(
        make_app(fakes.FakeRuntime()), run_before=reach("3", "question_mark", words=("Everywhere",))
    )


def test_detail(snap_compare: Compare) -> None:
    """Everything known of a position."""
    assert snap_compare(make_app(fakes.FakeRuntime()), run_before=reach("2", "enter"))


def test_empty(snap_compare: Compare) -> None:
    """Before anything has been loaded."""
    assert snap_compare(
        make_app(fakes.FakeRuntime(fakes.NOBODY, filled=False)),
        run_before=reach("2", words=("Loading positions",)),
    )


def test_too_small(snap_compare: Compare) -> None:
    """Below 80×24 it says so in plain words."""
    assert snap_compare(make_app(fakes.FakeRuntime()), terminal_size=(60, 18), run_before=reach())
