"""From one look at an address to the gateway's lamp: what is so, and the next step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ibtui.core.models import AuthStatus, Lamp, LoginFacts
from ibtui.errors import NotLoggedIn
from ibtui.gateway.health import Health, Kind
from ibtui.gateway.state import Info, State
from ibtui.service import lamps

URL = "https://localhost:5000"
NOW = datetime(2026, 4, 24, 14, 32, tzinfo=UTC)


@pytest.mark.parametrize(
    ("found", "state", "reason", "fix"),
    [
        (Health(Kind.UP), "on", URL, ""),
        (Health(Kind.NOTHING), "off", "nothing answers", "Start it"),
        (Health(Kind.DENIED), "off", "does not let this machine in", "ips.allow"),
        (Health(Kind.HANG), "off", "does not answer", "ibtui gateway restart"),
        (Health(Kind.CERTIFICATE, "x", fingerprint="ab12"), "off", "than the pinned one", "profile: ab12"),
        (Health(Kind.CERTIFICATE, "certificate has expired"), "off", "has expired", "Correct ca_file"),
        (Health(Kind.STRANGER, "no gateway"), "off", "no gateway", "another program may hold the port"),
    ],
)
def test_a_look_at_the_gateway(found: Health, state: str, reason: str, fix: str) -> None:
    lamp = lamps.lamp_of(found, URL, "Start it")
    assert lamp.state == state
    assert reason in lamp.reason and fix in lamp.fix
    assert lamp.fix[:1].isupper() or not lamp.fix
    assert ("pinned" in lamp.reason) == bool(found.fingerprint), "ca_file is no pin"


def test_a_running_gateway_says_what_it_is() -> None:
    info = Info(
        state=State.EXTERNAL, url=URL, port=5000, pid=4711, rss=164_000_000, restarts=2, outdated=True
    )
    lamp = lamps.running_lamp(info)
    assert lamp.reason == f"pid 4711 · started elsewhere · {URL} · 164 MB · 2 restarts"
    tunnel = lamps.running_lamp(Info(State.EXTERNAL, URL, 5000, 4711, program="ssh"))
    assert tunnel.reason == f"pid 4711 (ssh) · started elsewhere · {URL}"
    assert lamp.fix.startswith("Restart it: R here, or ibtui gateway restart; its settings have changed")


def test_a_session_that_works_names_its_server() -> None:
    ready = AuthStatus(authenticated=True, connected=True, established=True, server="JifN17091")
    assert lamps.brokerage_lamp(ready, Lamp(), NOW).reason == "authenticated · server JifN17091"
    nameless = AuthStatus(authenticated=True, connected=True, established=True)
    assert lamps.brokerage_lamp(nameless, Lamp(), NOW).reason == "authenticated"
    lost = AuthStatus(connected=True)
    assert lamps.brokerage_lamp(lost, Lamp(), NOW).fix.startswith("Open it: t here")


def test_nobody_is_logged_in_and_attempts_are_used() -> None:
    old = Lamp(state="off", reason="IBKR refused it", fix="Check both, then try again")

    def lamp(attempts: int) -> Lamp:
        facts = LoginFacts(attempts=attempts, limit=4, wait_until=NOW + timedelta(hours=1))
        return lamps.sso_lamp(NotLoggedIn("no"), "Log in", old, facts)

    assert "3 of 4 · automatic logins wait until" in lamp(3).reason and lamp(3).fix == old.fix
    assert lamp(4).reason.endswith("attempts used: 4 of 4") and "--reset-attempts" in lamp(4).fix
