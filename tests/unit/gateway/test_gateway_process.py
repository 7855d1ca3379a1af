from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from ibtui.errors import GatewayFault
from ibtui.gateway import pidfile, procs
from ibtui.gateway.health import Kind
from ibtui.gateway.process import GatewayProcess
from ibtui.gateway.spec import Spec, command_spec
from ibtui.gateway.state import State
from tests.unit.gateway.gateway_tools import STAND_IN, free_port, gone, mode, stand_in, until

pytestmark = pytest.mark.timeout(60)


async def test_start_answers_and_stop_leaves_nothing(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", "--child", tied=False)
    gateway = GatewayProcess(spec)
    heard: list[str] = []
    info = await gateway.start(heard.append)
    assert info.state is State.RUNNING and info.pid and info.port == spec.port
    assert info.rss and info.rss > 1_000_000 and info.since and info.restarts == 0
    assert heard[0].startswith("Starting") and "answers after" in heard[-1]
    members = procs.group_members(info.pid)
    assert len(members) == 2
    assert os.getsid(info.pid) == info.pid
    assert await gateway.stop() is True
    assert all(gone(pid) for pid in members) and procs.port_free(spec.port)
    assert not spec.folder.pid.exists()
    assert (await gateway.info()).state is State.STOPPED
    assert await gateway.stop() is False


async def test_private_files_and_environment(tmp_path: Path) -> None:
    seen = tmp_path / "env.json"
    spec = stand_in(tmp_path / "run", "--env", str(seen), "--say", "hello", tied=False)
    gateway = GatewayProcess(spec)
    await gateway.start()
    try:
        assert mode(spec.folder.path) == 0o700
        assert [mode(p) for p in (spec.folder.pid, spec.folder.output, spec.folder.lock)] == [0o600] * 3
        env = json.loads(seen.read_text())
        assert "SECRET_TOKEN" not in env and env["PATH"] == os.environ["PATH"]
        assert gateway.tail() == ["hello"]
    finally:
        await gateway.stop()


async def test_second_object_adopts_and_stops(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", tied=False)
    first, second = GatewayProcess(spec), GatewayProcess(spec)
    a, heard = await first.start(), list[str]()
    b = await second.start(heard.append)
    assert a.pid == b.pid and a.since == b.since and "running gateway" in heard[0]
    death = asyncio.create_task(first.wait_death())
    assert await second.stop() is True
    seen = await asyncio.wait_for(death, 5)
    assert seen.asked and seen.reason == "stopped" and seen.code == -signal.SIGTERM
    assert first.state is State.STOPPED


async def test_two_starts_at_once_make_one_process(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", tied=False)
    gateways = [GatewayProcess(spec) for _ in range(3)]
    infos = await asyncio.gather(*(g.start() for g in gateways))
    try:
        assert len({info.pid for info in infos}) == 1
    finally:
        await gateways[0].stop()


async def test_changed_settings_are_told(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", tied=False)
    await GatewayProcess(spec).start()
    changed = stand_in(tmp_path / "run", "--child", port=spec.port, tied=False)
    later = GatewayProcess(changed)
    try:
        assert (await later.start()).outdated
        assert not (await later.restart()).outdated
    finally:
        await later.stop()


async def test_kill_is_seen_with_its_reason(tmp_path: Path) -> None:
    gateway = GatewayProcess(stand_in(tmp_path / "run", "--say", "last words", tied=False))
    info = await gateway.start()
    assert info.pid
    os.kill(info.pid, signal.SIGKILL)
    death = await asyncio.wait_for(gateway.wait_death(), 5)
    assert (death.code, death.reason, death.asked) == (-9, "killed by SIGKILL", False)
    assert death.lines == ("last words",)
    again = await gateway.start()
    assert again.restarts == 1 and again.pid != info.pid
    await gateway.stop()


async def test_adopted_process_is_watched_too(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", tied=False)
    owner, watcher = GatewayProcess(spec), GatewayProcess(spec)
    info = await owner.start()
    assert info.pid and (await watcher.adopt()) is not None
    os.kill(info.pid, signal.SIGKILL)
    death = await asyncio.wait_for(watcher.wait_death(), 5)
    assert death.code is None and not death.asked
    await owner.stop()


async def test_deaf_process_is_killed(tmp_path: Path) -> None:
    gateway = GatewayProcess(stand_in(tmp_path / "run", "--deaf", tied=False))
    info = await gateway.start()
    assert info.pid and await gateway.stop(grace=0.3) and gone(info.pid)


async def test_tied_ends_with_its_owner_object(tmp_path: Path) -> None:
    gateway = GatewayProcess(stand_in(tmp_path / "run", "--child", tied=True))
    info = await gateway.start()
    assert info.pid and info.tied and len(procs.group_members(info.pid)) == 3  # and the watcher
    await gateway.close()
    assert procs.group_members(info.pid) == []


async def test_detached_lives_on_after_close(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", tied=False)
    gateway = GatewayProcess(spec)
    info = await gateway.start()
    await gateway.close()
    assert info.pid and not gone(info.pid)
    assert await GatewayProcess(spec).stop() and gone(info.pid)


async def test_port_of_a_stranger_is_named(tmp_path: Path) -> None:
    other = stand_in(tmp_path / "a", "--status", "200", tied=False, any_answer=True)
    owner = GatewayProcess(other)
    info = await owner.start()
    try:
        with pytest.raises(
            GatewayFault, match=rf"Port {other.port} is taken by python.*pid {info.pid}"
        ) as caught:
            await GatewayProcess(stand_in(tmp_path / "b", port=other.port)).start()
        assert caught.value.fix
    finally:
        await owner.stop()


async def test_somebody_elses_gateway_is_external(tmp_path: Path) -> None:
    other = GatewayProcess(stand_in(tmp_path / "a", tied=False))
    theirs = await other.start()
    mine = GatewayProcess(stand_in(tmp_path / "b", port=theirs.port))
    heard: list[str] = []
    info = await mine.start(heard.append)
    assert info.state is State.EXTERNAL and info.pid == theirs.pid and "somebody else" in heard[0]
    assert info.rss and info.program.startswith("python")
    assert info.since and theirs.since and abs((info.since - theirs.since).total_seconds()) < 5
    assert (await mine.health()).up and mine.ca_file is None
    looking = asyncio.create_task(mine.adopt())
    while not looking.done():  # a look is no end, not even for a moment
        assert await asyncio.sleep(0, mine.state) is State.EXTERNAL
    with pytest.raises(GatewayFault, match="not started by ibtui"):
        await mine.stop()
    death = asyncio.create_task(mine.wait_death())
    await other.stop()
    assert (await asyncio.wait_for(death, 8)).reason == "it no longer answers"
    assert mine.state is State.STOPPED


async def test_external_that_went_is_noticed_by_info(tmp_path: Path) -> None:
    other = GatewayProcess(stand_in(tmp_path / "a", tied=False))
    theirs = await other.start()
    mine = GatewayProcess(stand_in(tmp_path / "b", port=theirs.port))
    assert await mine.adopt() and await other.stop()
    assert (await mine.info()).state is State.STOPPED


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--die", "3", "--say", "no luck"), r'exit status 3.*"no luck"'),
        (("--die", "1", "--say", "java.io.IOException: Stream closed"), "did not find its configuration"),
        (("--die", "1", "--say", "java.lang.UnsupportedClassVersionError: x"), "too old"),
        (("--die", "1", "--say", "java.lang.OutOfMemoryError: heap"), "out of memory"),
        (("--mute", "--say", "Server listen failed Address already in use"), r"Port \d+ is taken"),
    ],
)
async def test_early_death_is_explained(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    spec = stand_in(tmp_path / "run", *words)
    gateway = GatewayProcess(spec)
    with pytest.raises(GatewayFault, match=message) as caught:
        await gateway.start()
    assert caught.value.fix and not spec.folder.pid.exists()
    assert gateway.state is State.STOPPED


@pytest.mark.parametrize(("word", "why"), [("--mute", "nothing listens"), ("--hang", "nothing answers")])
async def test_start_gives_up_in_time(tmp_path: Path, word: str, why: str) -> None:
    spec = stand_in(tmp_path / "run", word)
    gateway = GatewayProcess(spec)
    with pytest.raises(GatewayFault, match=why):
        await gateway.start(timeout=1.0)
    assert not spec.folder.pid.exists() and procs.port_free(spec.port)


async def test_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", "--mute", tied=False)
    gateway = GatewayProcess(spec)
    task = asyncio.create_task(gateway.start())
    await until(spec.folder.pid.exists)
    record = pidfile.read(spec.folder.pid)
    assert record and (await gateway.info()).state is State.STARTING
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert procs.group_members(record.pid) == [] and not spec.folder.pid.exists()


async def test_program_that_dies_and_leaves_a_child(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", "--orphan", "--say", "bye", tied=False)
    before = set(_sleepers(tmp_path))
    with pytest.raises(GatewayFault, match="ended after"):
        await GatewayProcess(spec).start()
    assert set(_sleepers(tmp_path)) <= before


async def test_orphans_of_an_earlier_run_are_ended_at_the_next_start(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", "--child", tied=False)
    info = await GatewayProcess(spec).start()
    assert info.pid
    os.kill(info.pid, signal.SIGKILL)
    await until(lambda: gone(info.pid or 0))
    orphans = procs.group_members(info.pid)
    assert len(orphans) == 1
    later = GatewayProcess(spec)
    await later.start()
    assert all(gone(pid) for pid in orphans)
    await later.stop()


async def test_living_process_that_does_not_answer_is_replaced(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", tied=False)
    owner = GatewayProcess(spec)
    info = await owner.start()
    assert info.pid
    os.kill(info.pid, signal.SIGSTOP)
    try:
        from ibtui.gateway import process

        patience, process._PATIENCE = process._PATIENCE, 0.5
        try:
            again = await GatewayProcess(spec).start()
        finally:
            process._PATIENCE = patience
        assert again.pid != info.pid and gone(info.pid)
    finally:
        await GatewayProcess(spec).stop()


async def test_pid_file_of_another_process_is_never_signalled(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", tied=False)
    gateway = GatewayProcess(spec)
    info = await gateway.start()
    record = pidfile.read(spec.folder.pid)
    assert record and info.pid

    pidfile.write(spec.folder.pid, msgspec.structs.replace(record, born="elsewhere:1"))
    assert (await GatewayProcess(spec).info()).state is State.STOPPED
    with pytest.raises(GatewayFault, match="not started by ibtui"):
        await GatewayProcess(spec).stop()
    assert not gone(info.pid)
    pidfile.write(spec.folder.pid, record)
    assert await gateway.stop()


async def test_ready_file_tells_address_and_certificate(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from ibtui.gateway.certificate import make_certificate

    key, cert = make_certificate(datetime.now(UTC))
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "cert").write_bytes(cert)
    ready = tmp_path / "ready.json"
    ready.write_text('{"url": "http://127.0.0.1:1", "cert": null}')  # of an earlier run
    argv = [sys.executable, str(STAND_IN), "--ready", str(ready), "--eof"]
    argv += ["--cert", str(tmp_path / "cert"), "--key", str(tmp_path / "key")]
    spec = command_spec(argv, tmp_path / "run", env={}, ready_file=ready, ends_at_eof=True)
    gateway = GatewayProcess(spec)
    assert gateway.url == "" and spec.port == 0
    info = await gateway.start()
    assert gateway.url.startswith("https://127.0.0.1:") and info.port > 0
    assert gateway.ca_file == tmp_path / "cert"
    assert info.pid and len(procs.group_members(info.pid)) == 1  # no watcher needed
    other = GatewayProcess(spec)
    assert (await other.adopt()) is not None and other.url == gateway.url
    await gateway.close()
    assert gone(info.pid)


async def test_tied_program_ends_when_the_pipe_closes(tmp_path: Path) -> None:
    for words, more in (((), {}), (("--eof",), {"ends_at_eof": True}), (("--deaf",), {})):
        gateway = GatewayProcess(stand_in(tmp_path / "run", *words, tied=True, **more))
        info = await gateway.start()
        child = gateway._child
        assert info.pid and child and child.stdin
        child.stdin.close()
        await until(lambda pid=info.pid: gone(pid))  # type: ignore[misc]
        await gateway.close()


async def test_program_that_cannot_be_run(tmp_path: Path) -> None:
    def missing(tied: bool) -> Spec:
        url = f"http://127.0.0.1:{free_port()}"
        return command_spec([str(tmp_path / "nothing")], tmp_path / "run", env={}, url=url, tied=tied)

    with pytest.raises(GatewayFault, match="cannot be run"):
        await GatewayProcess(missing(tied=False)).start()
    with pytest.raises(GatewayFault, match="exit status 127.*No such file"):
        await GatewayProcess(missing(tied=True)).start()


async def test_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GatewayFault, match="cannot be written"):
        await GatewayProcess(stand_in(tmp_path / "file" / "run")).start()


async def test_disk_that_is_full_before_the_start(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    spec = replace(stand_in(tmp_path / "run"), prepare=full)
    with pytest.raises(GatewayFault, match="No space left"):
        await GatewayProcess(spec).start()


async def test_gateway_that_refuses_us(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", "--status", "404", "--body", "Access Denied")
    with pytest.raises(GatewayFault, match="refuses this machine"):
        await GatewayProcess(spec).start()
    assert procs.port_free(spec.port)


async def test_restart_tells_what_it_does(tmp_path: Path) -> None:
    gateway = GatewayProcess(stand_in(tmp_path / "run", tied=False))
    first, heard = await gateway.start(), list[str]()
    try:
        second = await gateway.restart(heard.append)
        assert heard[0].startswith("Stopping") and second.pid != first.pid and second.restarts == 1
    finally:
        await gateway.stop()


async def test_ready_file_that_is_not_ready(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    for text in ("{", '{"url": 5}', "[]"):
        code = f"import pathlib, time; pathlib.Path({str(ready)!r}).write_text({text!r}); time.sleep(60)"
        spec = command_spec([sys.executable, "-c", code], tmp_path / "run", env={}, ready_file=ready)
        with pytest.raises(GatewayFault, match="did not answer"):
            await GatewayProcess(spec).start(timeout=0.5)
    assert (await GatewayProcess(spec).info()).state is State.STOPPED


async def test_health_tells_what_is_there(tmp_path: Path) -> None:
    gateway = GatewayProcess(stand_in(tmp_path / "run"))
    assert (await gateway.health()).kind is Kind.NOTHING
    assert await gateway.adopt() is None


async def test_logs_come_live(tmp_path: Path) -> None:
    spec = stand_in(tmp_path / "run", "--say", "Cookie: x=12345 first")
    gateway = GatewayProcess(spec)
    await gateway.start()
    try:
        stream = gateway.logs()
        assert "12345" not in await asyncio.wait_for(anext(stream), 2)
        with spec.folder.log.open("a") as file:
            file.write("second\n")
        assert await asyncio.wait_for(anext(stream), 3) == "second"
        await stream.aclose()  # type: ignore[attr-defined]
    finally:
        await gateway.close()


def _sleepers(below: Path) -> list[int]:
    """Children of a program that ran in a folder of this test: others run beside it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                asleep = b"time.sleep(60)" in (entry / "cmdline").read_bytes()
                if asleep and (entry / "cwd").readlink().is_relative_to(below):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
