"""`ibtui doctor` from outside: the first broken link and its fix, the exit status of `status`."""

from __future__ import annotations

from tests.conftest import Sim
from tests.headless.conftest import Run, write_profile


def test_a_gateway_that_is_down(run: Run) -> None:
    write_profile("https://127.0.0.1:9")
    done = run("doctor")
    assert done.code == 3 and "✗ gateway" in done.out and "First broken link: gateway." in done.err
    found = run("doctor", "--json").json
    assert found["first_broken"] == "gateway" and found["ready"] is False
    assert {"link", "state", "text", "fix"} == set(found["links"][0])


def test_a_session_that_is_ready(run: Run, live_sim: Sim) -> None:
    write_profile(live_sim.url, live_sim.ready["cert"])
    done = run("doctor")
    assert done.code == 0 and "Nothing is broken." in done.err, done
    assert "✓ gateway" in done.out and "✓ brokerage" in done.out


def test_nobody_is_logged_in(run: Run, start_sim: object) -> None:
    sim = start_sim()  # type: ignore[operator]
    write_profile(sim.url, sim.ready["cert"])
    done = run("doctor")
    assert done.code == 4 and "First broken link: login." in done.err


def test_another_program_holds_the_session(run: Run, live_sim: Sim) -> None:
    write_profile(live_sim.url, live_sim.ready["cert"])
    live_sim.control("session", {"action": "compete"})
    done = run("doctor")
    assert done.code == 8 and "! brokerage" in done.out, done
    assert "but not ready yet. brokerage: another program" in done.err
    assert done.err.rstrip().endswith("Take it over: ibtui login --take-over")


def test_a_setting_that_cannot_be_used(run: Run, live_sim: Sim) -> None:
    write_profile(live_sim.url, "/dev/zero")
    done = run("doctor")
    assert done.code == 2 and "✗ settings" in done.out and "keep-alive" in done.out, done
    assert "First broken link: settings." in done.err
