"""How the OAuth configurator looks, page by page; see `test_looks`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from textual import events

from ibtui import paths
from ibtui.secret import Secret
from ibtui.service.keyfiles import KeySet
from ibtui.service.oauth_setup import Setup
from ibtui.service.oauth_state import Check
from ibtui.ui.screens.oauth import OAuthScreen
from tests import fakes
from tests.pilot.driving import make_app, shows, until
from tests.snapshots.test_looks import SIZES, Compare, Step
from tests.unit.auth.oauth_tools import CONSUMER, ENCRYPTION, KEYS, SECRET, SIGNATURE, TOKEN

NOW = datetime(2026, 4, 22, 9, 2, 10, tzinfo=UTC)


HOME = "/home/me/.local/share/ibtui/oauth/default"
REFUSED = Check(
    "Token",
    "IBKR does not know this consumer key (invalid consumer). If new, it is most likely not active yet.",
    "Nothing is lost: new ones are activated by the midnight reset of their region.",
)
FINE = [Check(name, detail="taken") for name in ("Token", "Signed request", "Brokerage session")]


@pytest.fixture(autouse=True)
def same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures name where files lie; it must be the same place in each."""
    lines = OAuthScreen.lines

    def named(screen: OAuthScreen) -> list[Any]:
        own = str(paths.oauth_dir("default"))
        return [tuple((text.replace(own, HOME), ink) for text, ink in spans) for spans in lines(screen)]

    monkeypatch.setattr(OAuthScreen, "lines", named)


def kept(upto: int) -> None:
    """A registration that is `upto` steps far."""
    setup = Setup.open(paths.oauth_dir("default"))
    acts = [
        lambda: setup.take_keys(KeySet(Secret(SIGNATURE), Secret(ENCRYPTION), int(KEYS["dh_prime_hex"], 16))),
        lambda: (setup.set_consumer_key(CONSUMER), setup.registered(NOW)),
        setup.uploaded,
        lambda: (setup.set_access_token(TOKEN), setup.set_access_token_secret(SECRET)),
        lambda: setup.write(NOW),
        lambda: setup.tested(NOW),
    ]
    for act in acts[:upto]:
        act()
    if upto == 1:
        setup.set_consumer_key(CONSUMER)


def reach(*keys: str, words: tuple[str, ...] = ()) -> Step:
    """To the configurator, then keys, then words."""

    async def act(pilot: Any) -> None:
        app = pilot.app
        app.cursor_blink = False
        await until(pilot, lambda: app.runtime is not None and app.busy is None)
        await pilot.press("6")
        await until(pilot, lambda: getattr(app.screen, "page", "loading") != "loading")
        await pilot.press(*keys)
        await shows(pilot, *words)
        await pilot.pause()

    return act


async def pasted(pilot: Any) -> None:
    """A token, and a secret that is cut off."""
    await reach(words=("Generate Token",))(pilot)
    for given in (TOKEN, SECRET[:129]):
        pilot.app.screen.focused.post_message(events.Paste(given))
        await pilot.pause()
        if given == TOKEN:
            await pilot.press("enter")
    await shows(pilot, "129 characters")


def after(*results: Check) -> Step:
    """The live test's page with what it found."""

    async def act(pilot: Any) -> None:
        await reach(words=("Live test",))(pilot)
        screen = pilot.app.screen
        screen._results = results
        screen.draw()
        await pilot.pause()

    return act


PAGES: dict[str, tuple[int, Step]] = {
    "keys": (0, reach(words=("make them now",))),
    "portal": (1, reach(words=("Consumer key",))),
    "upload": (2, reach("down", words=("Never upload",))),
    "view": (2, reach("v", words=("BEGIN PUBLIC",))),
    "secrets": (3, pasted),
    "check": (4, reach("enter", words=("All fits together",))),
    "refused": (5, after(REFUSED)),
    "works": (6, after(*FINE)),
    "oauth2": (0, reach("o", words=("Client id",))),
}


CASES = [(page, SIZES[0]) for page in PAGES] + [("upload", SIZES[1])]


@pytest.mark.parametrize(
    ("page", "size"), CASES, ids=lambda it: it if isinstance(it, str) else f"{it[0]}x{it[1]}"
)
def test_oauth_pages(snap_compare: Compare, page: str, size: tuple[int, int]) -> None:
    """Each page of the configurator."""
    upto, step = PAGES[page]
    kept(upto)
    assert snap_compare(make_app(fakes.FakeRuntime()), terminal_size=size, run_before=step)
