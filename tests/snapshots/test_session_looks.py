"""How the Session screen, the question on leaving and the install page look, on two sizes."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from ibtui.clock import Clock
from ibtui.config import Profile, Settings
from ibtui.core.models import Event, Keeping, LoginFacts
from ibtui.errors import GatewayFault, Unreachable
from ibtui.gateway.install import Installed
from ibtui.service import installing
from ibtui.service.installing import Outcome, Survey, Told
from ibtui.service.seen import mark_seen
from tests import fakes
from tests.pilot.driving import make_app
from tests.snapshots.test_looks import SIZES, Compare, reach, reach_on

OURS = Profile(name="default", username="demo123", gateway_dir="/opt/gateway")
RESET = datetime(2026, 4, 25, 4, 0, tzinfo=UTC)
BESIDE = Keeping(
    mode="on", last=fakes.NOW - timedelta(seconds=12), next_reset=RESET, shared=True, since=fakes.NOW
)
sizes = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


def runtime(status: Any = fakes.ALL_ON, keeping: Keeping = BESIDE) -> fakes.FakeRuntime:
    """A profile with a gateway of its own, kept alive by its supervisor."""
    found = fakes.FakeRuntime(status, profile=OURS)
    found.keeping = keeping
    found.login_facts = LoginFacts(logins_left=61)
    return found


KEEPING: dict[str, Keeping] = {
    "waiting": structs.replace(
        BESIDE, mode="waiting", until=fakes.NOW + timedelta(seconds=41), why="IBKR does not answer"
    ),
    "yielding": structs.replace(BESIDE, mode="yielding", until=fakes.NOW + timedelta(minutes=20)),
    "person": structs.replace(BESIDE, mode="person", why="another program holds the brokerage session"),
}


@sizes
def test_kept_alive(snap_compare: Compare, size: tuple[int, int]) -> None:
    """A session that is kept alive by a process of its own."""
    app = make_app(runtime())
    assert snap_compare(app, terminal_size=size, run_before=reach(words=("runs on its own",)))


@pytest.mark.parametrize("state", KEEPING)
def test_keep_alive_in_trouble(snap_compare: Compare, state: str) -> None:
    """What the keep-alive waits for."""
    app = make_app(runtime(fakes.COMPETING, KEEPING[state]))
    assert snap_compare(app, run_before=reach(words=("take it over", "Keep-alive")))


@sizes
def test_coming_back(snap_compare: Compare, size: tuple[int, int]) -> None:
    """What happened since the last look is marked, and so is another day."""
    found = runtime()
    night = Event(
        at=fakes.NOW - timedelta(hours=16), source="login", text="ended: nightly reset", level="warn"
    )
    found.events = [structs.replace(night, at=fakes.NOW - timedelta(hours=17), text="accepted"), night]
    found.events += fakes.EVENTS
    asyncio.run(mark_seen("default", fakes.NOW - timedelta(hours=5, minutes=58, seconds=30)))
    words = ("since you left 08:33", "Thursday 23 April")
    assert snap_compare(make_app(found), terminal_size=size, run_before=reach(words=words))


@sizes
def test_leaving(snap_compare: Compare, size: tuple[int, int]) -> None:
    """What is to become of a session that is kept alive."""
    app = make_app(runtime())
    words = ("Leave it alive", "Stop the gateway")
    assert snap_compare(app, terminal_size=size, run_before=reach("q", "down", words=words))


def test_leaving_alone(snap_compare: Compare) -> None:
    """The keep-alive ends with this terminal."""
    app = make_app(fakes.FakeRuntime())
    assert snap_compare(app, run_before=reach("q", words=("ends with this terminal",)))


def test_restarting(snap_compare: Compare) -> None:
    """What hurts is asked first, with the profile's name and the account."""
    assert snap_compare(make_app(runtime()), run_before=reach("R", words=("Restart the gateway?",)))


# The install page --------------------------------------------------------------------

OLD = Installed(
    "2023-04-24-1f0c9d2e", "/home/me/.local/share/ibtui/gateway/2023-04-24-1f0c9d2e", date(2023, 4, 24)
)
NEW = Installed(
    "2026-02-11-98de3add", "/home/me/.local/share/ibtui/gateway/2026-02-11-98de3add", date(2026, 2, 11)
)
OLDER = structs.replace(OLD, version="2022-01-10-0badcafe", built=date(2022, 1, 10))
ADDRESS = "https://download2.interactivebrokers.com/portal/clientportal.gw.zip"
AGE = "This gateway was built on 2023-04-24, more than a year ago; IBKR may have a newer."
NOTHING = Survey(
    ADDRESS,
    Path("/home/me/.local/share/ibtui/gateway"),
    None,
    None,
    "",
    0,
    True,
    "",
    GatewayFault(
        "The gateway needs Java, and none was found.", "Install one: sudo apt install openjdk-17-jre-headless"
    ),
)
THERE = Survey(ADDRESS, NOTHING.folder, OLD, OLDER, AGE, 5_100_000, True, "17.0.15", None)


class Server:
    """Installs as it is told: so far, then waits; or with an outcome or an error at once."""

    def __init__(self, survey: Survey, clock: Any, outcome: Outcome | Exception | None = None) -> None:
        self._survey, self._clock, self._outcome = survey, clock, outcome

    async def survey(self, settings: Settings, clock: Clock) -> Survey:
        return self._survey

    async def install(self, settings: Settings, source: Path | None, told: Told, clock: Clock) -> Outcome:
        told("downloading", 0, 11_800_000)
        self._clock.advance(1.6)
        told("downloading", 5_000_000, 11_800_000)
        if self._outcome is None:
            await asyncio.Event().wait()
        told("unpacking", 100, 100)
        if isinstance(self._outcome, Outcome):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome


PAGES: dict[str, tuple[Survey, Any, tuple[str, ...], tuple[str, ...]]] = {
    "nothing": (NOTHING, None, (), ("Now here  none", "apt install")),
    "there": (THERE, None, (), ("b goes back", "have come already")),
    "working": (NOTHING, None, ("enter",), (" 42 %", "3.1 MB/s")),
    "result": (
        NOTHING,
        Outcome(NEW, OLD, True, "17.0.15", ()),
        ("enter",),
        ("is installed.", "Enter starts it."),
    ),
    "failure": (
        THERE,
        Unreachable("The download did not come in whole: the connection broke.", "Run it again: it goes on."),
        ("enter",),
        ("✕ IBKR cannot", "enter goes on from there"),
    ),
}


@sizes
@pytest.mark.parametrize("page", PAGES)
def test_install(
    snap_compare: Compare, page: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, while and after a gateway is installed."""
    survey, outcome, keys, words = PAGES[page]
    found = fakes.FakeRuntime(fakes.DOWN)
    server = Server(survey, found.clock, outcome)
    monkeypatch.setattr(installing, "survey", server.survey)
    monkeypatch.setattr(installing, "install", server.install)
    first = reach("i", words=("From      https",))

    async def act(pilot: Any) -> None:
        await first(pilot)
        await reach_on(*keys, words=words)(pilot)

    assert snap_compare(make_app(found), terminal_size=size, run_before=act)
