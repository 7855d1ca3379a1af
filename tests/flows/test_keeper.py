"""The keep-alive on real processes and sockets: logs in again, holds a password, starts what died, tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ibtui import paths
from ibtui.auth.effects import Answer, Challenge, Code, Credentials
from ibtui.config import Profile, Settings
from ibtui.errors import GatewayFault
from ibtui.profile import Source
from ibtui.secret import Secret
from ibtui.service import actions, keeper
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.local import LocalRuntime
from ibtui.service.timeline import Timeline, path_of
from tests.conftest import Sim
from tests.drill.keeper_drill import drill
from tests.headless.test_headless_words import free_port


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly, so that tests need not wait."""
    monkeypatch.setattr(keeper, "LOOK_S", 0.3)
    monkeypatch.setattr(keeper, "TICKLE_S", 0.7)
    monkeypatch.setattr(keeper, "BREATH_S", 0.1)
    monkeypatch.setattr("ibtui.service.machine.SURE_S", 0.2)


@contextlib.asynccontextmanager
async def kept(*, keeps: bool = True, **values: Any) -> AsyncIterator[LocalRuntime]:
    settings = Settings(profiles={"default": Profile(**values)})
    runtime = LocalRuntime(settings, timeout=5.0, keeper=keeps)
    try:
        yield runtime
    finally:
        async with asyncio.timeout(10):
            await runtime.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert others == [], "nothing goes on after close"


def at(sim: Sim, **more: Any) -> dict[str, Any]:
    sim.control("settings", {"auth_delay_s": 0.1, "established_delay_s": 0.05})
    return {
        "gateway_url": sim.url,
        "ca_file": sim.cert or "",
        "username": sim.user()["username"],
        **more,
    }


def source(folder: Path, text: str) -> Source:
    file = folder / "password"
    file.write_text(text + "\n")
    file.chmod(0o600)
    return Source(file=str(file))


def answers(sim: Sim) -> FixedAnswers:
    user = sim.user()
    return FixedAnswers(user["username"], Secret(user["password"]))


async def until(wanted: Callable[[], bool], runtime: LocalRuntime, seconds: float = 12.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not wanted():
        assert asyncio.get_running_loop().time() < end, f"{runtime.keeping}\n{words(runtime)}"
        await asyncio.sleep(0.03)


def words(runtime: LocalRuntime) -> str:
    return "\n".join(f"{event.source}: {event.text}" for event in runtime.events)


async def control(sim: Sim, path: str, body: dict[str, Any] | None = None) -> Any:
    return await asyncio.to_thread(sim.control, path, body)


async def proofs(sim: Sim) -> int:
    """Password proofs that the login host has seen."""
    return len([row for row in await control(sim, "logins") if row["action"] == "COMPLETEAUTH"])


async def test_who_is_not_the_keeper_changes_nothing(live_sim: Sim, tmp_path: Path) -> None:
    password = source(tmp_path, live_sim.user()["password"])
    async with kept(keeps=False, **at(live_sim, password=password, hook=("/bin/false",))) as runtime:
        await runtime.refresh()
        await control(live_sim, "session", {"action": "logout"})
        await until(lambda: runtime.status.sso.state == "off", runtime)
        await asyncio.sleep(1.5)
        assert await proofs(live_sim) == 0 and "keep-alive" not in words(runtime)
    assert not path_of("default").exists()


async def test_a_refused_password_is_sent_once(live_sim: Sim, tmp_path: Path) -> None:
    async with kept(**at(live_sim, password=source(tmp_path, "wrong password"))) as runtime:
        await runtime.start_keeping()
        await until(lambda: runtime.status.ready, runtime)
        await control(live_sim, "session", {"action": "logout"})
        await until(lambda: runtime.keeping.mode == "person", runtime)
        await asyncio.sleep(1.5)
        assert "refused" in runtime.keeping.why and await proofs(live_sim) == 1


async def test_a_typed_password_is_held_until_logout(sim: Sim) -> None:
    async with kept(**at(sim, relogin="memory")) as runtime:
        await runtime.start_keeping()
        await runtime.login(answers(sim))
        assert runtime._keeper.held is not None and "***" in repr(runtime._keeper.held)
        await control(sim, "session", {"action": "logout"})
        await until(lambda: "logging in again" in words(runtime), runtime)
        await until(lambda: runtime.status.ready, runtime)
        assert await proofs(sim) == 2
        await runtime.logout()
        assert runtime._keeper.held is None
        await asyncio.sleep(1.0)
        assert await proofs(sim) == 2 and runtime.keeping.mode == "person"


async def test_a_typed_password_is_dropped_with_the_gateway(sim: Sim) -> None:
    """Also where the gateway is somebody else's, so that the stop itself is refused."""
    async with kept(**at(sim, relogin="memory")) as runtime:
        await runtime.start_keeping()
        await runtime.login(answers(sim))
        assert runtime._keeper.held is not None
        assert runtime._entry.given is None, "nobody but the keeper has it"
        with pytest.raises(GatewayFault):
            await runtime.stop_gateway()
        assert runtime._keeper.held is None


async def test_a_held_password_that_is_refused_is_dropped(live_sim: Sim) -> None:
    async with kept(**at(live_sim, relogin="memory")) as runtime:
        await runtime.start_keeping()
        await until(lambda: runtime.status.ready, runtime)
        runtime.hold(Credentials(live_sim.user()["username"], Secret("not this one")))
        await control(live_sim, "session", {"action": "logout"})
        await until(lambda: runtime._keeper.held is None, runtime)
        await until(lambda: runtime.keeping.mode == "person", runtime)
        await asyncio.sleep(0.8)
        assert await proofs(live_sim) == 1
        assert "not this one" not in words(runtime) + path_of("default").read_text()


async def test_nothing_is_held_where_the_profile_does_not_want_it(sim: Sim) -> None:
    async with kept(**at(sim, relogin="source")) as runtime:
        await runtime.login(answers(sim))
        runtime.hold(Credentials("demo123", Secret("x")))
        assert runtime._keeper.held is None and runtime._entry.given is None


async def test_stopping_and_yielding_are_published(live_sim: Sim) -> None:
    async with kept(**at(live_sim, relogin="memory", competing="ask")) as runtime:
        await runtime.start_keeping()
        await until(lambda: runtime.status.ready, runtime)
        runtime.hold(Credentials("demo123", Secret("x")))
        feed = runtime.subscribe()
        await runtime.yield_session(5)
        assert runtime.keeping.mode == "yielding" and runtime.keeping.until is not None
        assert ("status", "*") in {(one.kind, one.key) for one in feed.drain()}
        await runtime.open_brokerage(compete=True)
        await until(lambda: runtime.keeping.mode == "on", runtime)
        feed.drain()
        await runtime.stop_keeping()
        assert runtime.keeping.mode == "paused" and runtime._keeper.held is None
        assert ("status", "*") in {(one.kind, one.key) for one in feed.drain()}
        feed.close()
        await asyncio.sleep(0.4)  # a look may be on its way
        seen = len(await control(live_sim, "journal"))
        await asyncio.sleep(1.6)
        rows = (await control(live_sim, "journal"))[seen:]
        assert not [row for row in rows if row["path"].endswith("/tickle")], "nothing is kept alive"


async def test_a_gateway_of_ours_that_died_is_started_again(tmp_path: Path) -> None:
    port = free_port()
    argv = (sys.executable, "-m", "ibtui", "sim", "--plain", "--port", str(port), "--logged-in", "demo123")
    values = {"gateway_url": f"http://127.0.0.1:{port}", "gateway_command": argv}
    async with kept(**values) as runtime:
        await actions.start_gateway(runtime)
        await until(lambda: runtime.status.ready, runtime)
        os.kill(_pid(), signal.SIGKILL)
        await until(lambda: "starting the gateway again" in words(runtime), runtime)
        await until(lambda: runtime.status.ready, runtime)
        await runtime.stop_gateway()
        await asyncio.sleep(1.5)
        assert runtime.status.gateway.state == "off", "what a person has stopped stays so"


def _pid() -> int:
    return int(json.loads((paths.run_dir("default") / "gateway.pid").read_text())["pid"])


async def test_a_factor_that_a_person_gave_is_not_asked_for_again(sim: Sim) -> None:
    user = sim.user("4.2")
    person = FixedAnswers(user["username"], Secret(user["password"]))

    async def code(challenge: Challenge) -> Answer:
        text = (await control(sim, "sms"))[-1]["body"]
        return Code(Secret("".join(sign for sign in text if sign.isdigit())[:6]))

    person.ask = code  # type: ignore[method-assign]
    async with kept(**{**at(sim, relogin="memory"), "username": user["username"]}) as runtime:
        await runtime.start_keeping()
        await runtime.login(person)
        sent = len(await control(sim, "sms"))
        await control(sim, "session", {"action": "logout"})
        await until(lambda: runtime.keeping.mode == "person", runtime)
        await asyncio.sleep(0.8)
        assert "second factor needs a person" in runtime.keeping.why
        assert len(await control(sim, "sms")) == sent


TELL = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"


async def test_the_time_line_goes_on_and_the_hook_is_told(live_sim: Sim, tmp_path: Path) -> None:
    hook = (sys.executable, "-I", "-c", TELL, str(tmp_path / "told"))
    values = at(live_sim, password=source(tmp_path, live_sim.user()["password"]), hook=hook)
    async with kept(**values) as runtime:
        await runtime.start_keeping()
        await until(lambda: runtime.status.ready, runtime)
        await control(live_sim, "session", {"action": "logout"})
        await until(lambda: "the session is ready" in words(runtime), runtime)
        await until(lambda: "the session is ready" in _read(tmp_path / "told"), runtime)
        assert runtime.keeping.mode == "on" and runtime.keeping.last is not None
        assert runtime.keeping.next_reset is not None and await proofs(live_sim) == 1
        before = list(runtime.events)
    told = [json.loads(line) for line in _read(tmp_path / "told").splitlines()]
    assert [one["text"] for one in told if one["source"] == "keep-alive"][:1] == [
        "logging in again: the login has ended"
    ]
    assert {one["profile"] for one in told} == {"default"}
    assert Timeline(path_of("default")).read() == before
    async with kept(**values) as runtime:
        await runtime.start_keeping()
        assert list(runtime.events)[: len(before)] == before
        await runtime.start_keeping()
        assert [event.text for event in runtime.events].count(before[-1].text) == 1


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_a_sample_of_the_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for name, seconds in (("TICKLE_S", 55.0), ("LONGEST_S", 60.0), ("LOOK_S", 3.0), ("BREATH_S", 1.0)):
        monkeypatch.setattr(keeper, name, seconds)
    async with drill(11, tmp_path, competing="take") as day:
        for trouble in (day.go_logout, day.go_kill, day.go_compete):
            await day.pass_(900.0)
            await trouble()
        await day.pass_(1200.0)
        await day.collect()
        day.check()
        assert day.runtime.status.ready and len(day.proofs) >= 2, day.story
