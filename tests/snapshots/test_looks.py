"""How each screen looks, on two sizes and three kinds of theme. Look at a difference before accepting it:
`pytest tests/snapshots --snapshot-update`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ibtui.errors import GatewayDown
from tests import fakes
from tests.pilot.driving import make_app, shows, text, until

Compare = Callable[..., bool]
Step = Callable[[Any], Awaitable[None]]
SIZES = ((80, 24), (120, 40))
THEMES = ("ibtui-dark", "ibtui-light", "ansi-dark")


def reach(*keys: str, words: tuple[str, ...] = ()) -> Step:
    """Begin, press keys, and wait for words on the screen."""

    async def act(pilot: Any) -> None:
        app = pilot.app
        app.cursor_blink = False
        await until(pilot, lambda: app.runtime is not None and app.busy is None)
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
