"""A supervisor and its terminals against the simulator: one truth, whoever acts and whatever breaks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ibtui import config
from ibtui.auth.effects import Credentials
from ibtui.core.models import Lamp
from ibtui.errors import GatewayFault, IbtuiError, LoginRefused, PersonNeeded, UsageError
from ibtui.secret import Secret
from ibtui.service import attached, keeper
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.board import Told
from ibtui.service.link import Lost, find
from ibtui.service.place import Mark, Place
from ibtui.service.supervisor import Supervisor, Taken
from tests.conftest import Sim
from tests.supervising import settings_at, supervisor_at, terminal, texts, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks follow each other quickly, so that tests need not wait; what a pipe gave is forgotten."""
    monkeypatch.setattr(keeper, "LOOK_S", 0.4)
    monkeypatch.setattr(keeper, "TICKLE_S", 1.2)
    monkeypatch.setattr(keeper, "BREATH_S", 0.2)
    yield
    config.hand_over({})


def answers_of(sim: Sim, password: str = "") -> FixedAnswers:
    user = sim.user()
    return FixedAnswers(user["username"], Secret(password or user["password"]))


async def test_two_terminals_see_the_same(sim: Sim) -> None:
    settings = settings_at(sim)
    async with supervisor_at(settings) as supervisor, terminal(settings) as one, terminal(settings) as two:
        assert one.attached and two.attached
        await one.refresh()
        await two.refresh()
        await one.login(answers_of(sim))
        assert one.status.ready
        await until(lambda: two.status.ready)
        await until(lambda: one.status == supervisor.runtime.status == two.status)
        await until(lambda: two.keeping.shared and two.keeping.mode == "on")
        # One sees all at once, the other a moment later.
        await until(lambda: texts(one) == texts(two) == texts(supervisor.runtime))
        assert any("accepted" in text for text in texts(two))
        await two.logout()
        await until(lambda: one.status.sso.state == "off")
        assert one.status.sso.reason == "logged out"
        assert any("logged out" in text for text in texts(one))


async def test_a_typed_password_lies_with_the_supervisor_alone(sim: Sim) -> None:
    settings = settings_at(sim, relogin="memory")
    async with supervisor_at(settings) as supervisor, terminal(settings) as one, terminal(settings) as two:
        await one.login(answers_of(sim))
        held = supervisor.runtime._keeper.held
        assert held is not None and held.username == sim.user()["username"]
        assert one._entry.given is None and one._keeper.held is None
        await two.logout()
        assert supervisor.runtime._keeper.held is None
    async with terminal(settings) as alone:
        await alone.login(answers_of(sim))
        assert alone._entry.given is None and alone._keeper.held is None


async def test_a_login_is_seen_elsewhere_while_it_runs_and_when_it_fails(sim: Sim) -> None:
    settings = settings_at(sim)
    async with supervisor_at(settings), terminal(settings) as one, terminal(settings) as two:
        await two.refresh()
        seen: list[str] = []
        feed = two.subscribe()

        async def watch() -> None:
            while True:
                await feed.wait()
                feed.drain()
                seen.append(two.status.sso.state)

        watching = asyncio.get_running_loop().create_task(watch())
        with pytest.raises(LoginRefused):
            await one.login(answers_of(sim, "wrong"))
        await until(lambda: two.login_facts.attempts == 1)
        await until(lambda: two.status.sso.state == "off" and "attempts used: 1" in two.status.sso.reason)
        watching.cancel()
        assert "busy" in seen
        assert one.login_facts.attempts == 1


async def test_a_terminal_that_dies_in_a_login_leaves_no_busy_lamp(sim: Sim) -> None:
    settings = settings_at(sim)
    async with supervisor_at(settings) as supervisor, terminal(settings) as other:
        await other.refresh()
        link = find("default")
        assert link is not None
        async with link.conversation() as tell:
            tell(Told("begun"))
            tell(Told("lit", {"sso": Lamp(state="busy", reason="logging in")}))
            await until(lambda: other.status.sso.state == "busy")
            assert supervisor.runtime._board.acting == 1
        await until(lambda: other.status.sso.state == "off")
        assert supervisor.runtime._board.acting == 0


async def test_what_a_verb_raises_is_raised_in_the_terminal(live_sim: Sim) -> None:
    settings = settings_at(live_sim)
    async with supervisor_at(settings), terminal(settings) as one:
        said: list[str] = []
        await one.start_gateway(said.append)
        with pytest.raises(GatewayFault, match="was not started by ibtui"):
            await one.stop_gateway()
        link = find("default")
        assert link is not None
        with pytest.raises(UsageError, match="knows no 'dance'"):
            await link.do("dance")


async def test_values_come_through_the_relay_and_lamps_do_not_wait_for_them(live_sim: Sim) -> None:
    settings = settings_at(live_sim)
    async with supervisor_at(settings) as supervisor, terminal(settings) as one:
        await one.refresh()
        await one.load("accounts", "positions")
        assert one.store.positions and not supervisor.runtime.store.positions
        assert await one.request("/iserver/accounts")
        assert "uds" not in repr(one._client)


async def test_leaving_the_session_and_ending_the_keep_alive(live_sim: Sim) -> None:
    settings = settings_at(live_sim)
    async with supervisor_at(settings), terminal(settings) as one, terminal(settings) as two:
        await one.refresh()
        await two.refresh()
        await one.yield_session(5)
        await until(lambda: two.keeping.mode == "yielding" and two.keeping.until is not None)
        await one.stop_keeping()
        await until(lambda: not one.attached and not two.attached)
        assert find("default") is None
        assert any("has ended: a person has ended it" in text for text in texts(two))
        # Both go on by themselves, and keep nothing alive.
        assert (await two.refresh()).gateway.state == "on"
        assert two.keeping.mode == "paused" and not two.keeping.shared


async def test_settings_are_read_anew_and_a_held_password_stays(live_sim: Sim) -> None:
    kept = [settings_at(live_sim, relogin="memory")]
    async with supervisor_at(kept[0]) as supervisor, terminal(kept[0]) as one:
        supervisor._load = lambda: kept[0]
        await one.refresh()
        link = find("default")
        assert link is not None
        await link.hold("demo123", "something")
        old = supervisor.runtime
        assert old._keeper.held == Credentials("demo123", Secret("something"))
        profile = replace(kept[0].chosen(), account_type="live")
        kept[0] = replace(kept[0], profiles={"default": profile})
        supervisor.end("reload")
        await until(lambda: supervisor.runtime is not old)
        await until(lambda: one._theirs is not None and one._theirs.account_type == "live")
        assert one.attached and supervisor.runtime._keeper.held is not None
        assert not any("gone" in text for text in texts(one))
        # What is wrong is said, and what was goes on.
        kept[0] = replace(kept[0], profile="nobody")
        supervisor.end("reload")
        await until(lambda: any("stay as they were" in text for text in texts(one)))
        assert one.attached


async def test_a_terminal_with_other_settings_has_them_read(live_sim: Sim) -> None:
    kept = [settings_at(live_sim)]
    async with supervisor_at(kept[0]) as supervisor:
        supervisor._load = lambda: kept[0]
        profile = replace(kept[0].chosen(), yield_minutes=7)
        kept[0] = replace(kept[0], profiles={"default": profile})
        async with terminal(kept[0], spawns=True):
            assert supervisor.runtime.profile.yield_minutes == 7
        kept[0] = replace(kept[0], profiles={"default": replace(profile, keep_alive=False)})
        async with terminal(kept[0], spawns=True) as one:
            assert one.attached and one.keeping.mode == "off"
            assert not supervisor.runtime.profile.keep_alive


async def test_one_for_each_profile(live_sim: Sim) -> None:
    settings = settings_at(live_sim)
    async with supervisor_at(settings):
        with pytest.raises(Taken, match=f"pid {os.getpid()}"):
            async with supervisor_at(settings):
                pass
        assert find("default") is not None
    assert find("default") is None and Place.of("default").mark() is None


async def test_what_a_dead_one_left_is_recognised(live_sim: Sim) -> None:
    settings = settings_at(live_sim)
    place = Place.of("default")
    path = place.new_socket()
    place.lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.lock.touch(mode=0o600)
    place.write(Mark(999_999_9, str(path)))
    path.write_text("no socket at all")
    assert find("default") is None
    async with supervisor_at(settings) as supervisor:
        assert find("default") is not None
        assert "started again: the one before (pid 9999999) had died" in texts(supervisor.runtime)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_it_ends_when_there_is_nothing_to_keep(sim: Sim) -> None:
    settings = settings_at(sim)
    async with supervisor_at(settings, idle_s=0.3):
        async with terminal(settings) as one:
            await one.refresh()
            await asyncio.sleep(0.6)
            assert find("default") is not None, "somebody is attached"
        await until(lambda: find("default") is None)


async def test_a_verb_can_be_cancelled(live_sim: Sim) -> None:
    settings = settings_at(live_sim)
    await asyncio.to_thread(
        live_sim.control, "faults", {"path": "/tickle", "kind": "hang", "count": 3, "seconds": 20}
    )
    async with supervisor_at(settings), terminal(settings) as one:
        await asyncio.sleep(0.1)
        task = asyncio.get_running_loop().create_task(one.refresh())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_words_of_another_version(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readline()).decode()
        if "state" in asked:
            writer.write(b'HTTP/1.0 200 OK\r\n\r\n{"pid": "what"}\n')
        elif "changes" in asked:
            writer.write(b"HTTP/1.0 404 Not Found\r\n\r\n")
        writer.close()

    place = Place.of("default")
    path = place.new_socket()
    place.lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.lock.touch(mode=0o600)
    place.write(Mark(os.getpid(), str(path)))
    server = await asyncio.start_unix_server(answer, path)
    async with server:
        link = find("default")
        assert link is not None
        with pytest.raises(Lost, match="does not know"):
            await link.truth()
        with pytest.raises(Lost, match="status 404"):
            await anext(link.changes())
        with pytest.raises(Lost, match="went away"):
            await link.do("refresh")


async def dead(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a supervisor go without a word, as a crash does."""
    monkeypatch.setattr("ibtui.service.door.Door.end", lambda self, why: None)
    supervisor.end("crashed")


async def test_it_dies_and_nobody_starts_another(live_sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached, "AGAIN_S", (0.05,))
    await asyncio.to_thread(live_sim.control, "quirks", {"cold_replies": False})
    settings = settings_at(live_sim)
    async with supervisor_at(settings) as supervisor, terminal(settings) as one:
        await one.refresh()
        await one.go_live()
        await until(lambda: bool(one.store.positions))
        await dead(supervisor, monkeypatch)
        await until(lambda: not one.attached)
        assert sum("is gone; looking for it" in text for text in texts(one)) == 1
        assert any("there is no other" in text for text in texts(one))
        # It goes on by itself, values and all.
        await until(lambda: one.status.ready and one._live.begun, 20)
        assert one._client is not None and one._client.rest.address.origin == live_sim.url


async def test_it_dies_and_another_is_found(live_sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attached, "AGAIN_S", (0.3,))
    await asyncio.to_thread(live_sim.control, "quirks", {"cold_replies": False})
    settings = settings_at(live_sim)
    async with terminal(settings) as one:
        async with supervisor_at(settings) as first:
            assert await one.attach() is not None and one.attached
            await one.go_live()
            await dead(first, monkeypatch)
            await until(lambda: find("default") is None)
        async with supervisor_at(settings):
            await until(lambda: one._theirs is not None and one._theirs.since != first._since)
            assert one.attached
            await until(lambda: one.status.ready and one._live.begun, 20)


async def test_enrolling_and_meaning_are_told(sim: Sim, tmp_path: Path) -> None:
    settings = settings_at(sim)
    async with supervisor_at(settings) as supervisor, terminal(settings) as one:
        await one.refresh()
        one.mean("live")
        await until(lambda: supervisor.runtime.profile.account_type == "live")
        with pytest.raises(PersonNeeded):
            await one.export_key(tmp_path / "key", Secret("correct horse"))
        with pytest.raises(IbtuiError):
            await one.enroll(answers_of(sim, "wrong"), Secret("1234"))
        await until(lambda: any(event.source == "ibkey" for event in supervisor.runtime.events))


async def test_a_socket_that_was_cleaned_away(live_sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibtui.service.supervisor.LOOK_S", 0.2)
    settings = settings_at(live_sim)
    async with supervisor_at(settings), terminal(settings) as one:
        await one.refresh()
        mark = Place.of("default").mark()
        assert mark is not None
        Path(mark.socket).unlink()
        assert find("default") is None and Place.of("default").taken()
        await until(lambda: find("default") is not None)
        await until(lambda: one.attached and one.status.ready)
    assert not Place.of("default").taken()
