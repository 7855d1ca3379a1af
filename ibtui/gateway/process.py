"""The gateway process: started or adopted, watched, stopped without orphans (login.md §9.1, §9.2).

It is leader of its own session and group. `gateway.pid` says which process is ours; nothing
is ever signalled whose start time differs from the one written there.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from ibtui.clock import Clock, SystemClock
from ibtui.errors import GatewayFault, UsageError
from ibtui.gateway import diagnose, foreign, health, launch, logs, pidfile, procs
from ibtui.gateway.health import Health, Kind, Probe
from ibtui.gateway.pidfile import Record
from ibtui.gateway.spec import Spec, port_of
from ibtui.gateway.state import Death, Info, Progress, State
from ibtui.paths import private

START_TIMEOUT = 45.0
"""Seconds from the start to the first answer (1.5 s is usual, login.md §9.1)."""
GRACE = 10.0
"""Seconds between asking and killing; a used gateway takes 2 (login.md §9.2)."""
LOCK_TIMEOUT = START_TIMEOUT + GRACE + 5
_PATIENCE = 10.0
"""Seconds that a process of ours, found alive, may stay silent before it is replaced."""
_POLL = 0.15
_POLL_EXTERNAL = 2.0
_ROTATE_EVERY = 200
"""Polls of `wait_death` between two looks at the size of the output."""


class GatewayProcess:
    """One run folder's gateway.

    Args:
        spec: what to run.
        probe: one look at our gateway; the default trusts `ca_file` or `fingerprint` of the spec.
        look: one look with any certificate, to find somebody else's gateway.
    """

    def __init__(
        self, spec: Spec, *, clock: Clock | None = None, probe: Probe | None = None, look: Probe | None = None
    ) -> None:
        self.spec = spec
        self._clock = clock or SystemClock()
        self._probe = probe or self._default_probe
        self._look = look or self._default_look
        self._state = State.STOPPED
        self._record: Record | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._launches = 0
        self._asked = 0
        self._marks: dict[Path, int] = {}
        launch.reap()

    @property
    def state(self) -> State:
        """As of the last call; `info` looks anew."""
        return self._state

    @property
    def url(self) -> str:
        """Where it answers; empty before the start of a program that chooses its own port."""
        return self._record.url if self._record else self.spec.url

    @property
    def ca_file(self) -> Path | None:
        """The certificate to trust for `url`, None when only a fingerprint can tell."""
        if self._state is State.EXTERNAL:
            return None
        told = Path(self._record.cert) if self._record and self._record.cert else self.spec.ca_file
        return told if told is not None and told.is_file() else None

    @property
    def log_files(self) -> tuple[Path, Path]:
        """What the process prints, and what it logs."""
        return self.spec.folder.output, self.spec.folder.log

    def tail(self, lines: int = 200) -> list[str]:
        """The last lines of both files, redacted."""
        return [line for path in self.log_files for line in logs.tail(path, lines)]

    def logs(self, lines: int = 200) -> AsyncIterator[str]:
        """The last lines of both files, then new ones as they come, redacted; endless."""
        return logs.follow(self.log_files, lines, clock=self._clock)

    async def health(self) -> Health:
        """One look at the gateway; for somebody else's gateway with any certificate."""
        return await (self._look() if self._state is State.EXTERNAL else self._probe())

    async def start(self, progress: Progress | None = None, *, timeout: float = START_TIMEOUT) -> Info:
        """Adopt a gateway that runs, or start one; returns when it answers.

        Raises:
            GatewayFault: it could not be started; says why and what to do. Nothing is left running.
        """
        tell = progress or (lambda _: None)
        async with pidfile.locked(self.spec.folder.lock, self._clock, LOCK_TIMEOUT):
            if await self._found(tell):
                return await self.info()
            await self._check_port()
            tell(f"Starting {self.spec.label or Path(self.spec.argv[0]).name}")
            began = self._clock.monotonic()
            try:
                await asyncio.to_thread(self.spec.prepare)
                await self._launch()
                await self._until_up(tell, timeout)
            except OSError as error:
                await self._abandon()
                raise diagnose.unwritable(self.spec.folder.path, error) from None
            except BaseException:
                await self._abandon()
                raise
            self._state = State.RUNNING
            tell(f"The gateway answers after {self._clock.monotonic() - began:.1f} s")
            return await self.info()

    async def adopt(self) -> Info | None:
        """Take up a process of ours that lives and answers, or somebody else's gateway; else None."""
        record = await self._living()
        if record is not None:
            self._record = record
            if (await self._probe()).up and await self._listens(record):
                self._state = State.RUNNING
                return await self.info()
            return None
        self._record = None
        if self._state is not State.EXTERNAL:  # which `wait_death` may be about to wait for
            self._state = State.STOPPED
        found = await self._adopt_external()
        if found is None:
            self._state = State.STOPPED
        return found

    async def stop(self, grace: float = GRACE) -> bool:
        """End our process and everything in its group; False when there was none.

        Asks first, kills after `grace` seconds.

        Raises:
            GatewayFault: what answers there is somebody else's, or the process cannot be ended.
        """
        async with pidfile.locked(self.spec.folder.lock, self._clock, LOCK_TIMEOUT):
            stopped = await self._end(grace)
            if not stopped and self.spec.url and (await self._look()).up:
                who = await asyncio.to_thread(procs.holder, self.spec.port)
                raise GatewayFault(
                    f"The gateway at {self.spec.url} was not started by ibtui{f': {who}' if who else ''}.",
                    "Stop it where it was started.",
                )
            return stopped

    async def restart(self, progress: Progress | None = None) -> Info:
        """`stop` if it runs, then `start`.

        Raises:
            GatewayFault: as these two.
        """
        if progress is not None:
            progress("Stopping the gateway")
        await self.stop()
        return await self.start(progress)

    async def wait_death(self) -> Death:
        """Return when the process has ended; for somebody else's gateway when it no longer answers.

        A later start by this object is another process: call it again.
        """
        if self._state is State.EXTERNAL:
            while (await self._look()).up:
                await self._clock.sleep(_POLL_EXTERNAL)
            self._state = State.STOPPED
            return Death(self._clock.now(), None, "it no longer answers", (), asked=False)
        record, child, polls = self._current(), self._child, 0
        while record is not None and await self._alive(record):
            polls += 1
            if polls % _ROTATE_EVERY == 0:
                await asyncio.to_thread(logs.rotate, self.spec.folder.output)
            await self._clock.sleep(_POLL)
        code = child.poll() if child else None
        said = self._said()
        known = diagnose.explain(said)
        asked = record is not None and self._was_asked(record)
        reason = "stopped" if asked else (known.what if known else diagnose.ending(code))
        if self._child is child:
            self._state = State.STOPPED
            self._let_go()
        lines = (said or logs.tail(self.spec.folder.output, 20))[-20:]
        return Death(self._clock.now(), code, reason, tuple(lines), asked)

    async def info(self) -> Info:
        """Look anew: does it live, how much memory does it hold."""
        if self._state is State.EXTERNAL:
            found = await foreign.look(self.spec.url)
            if found.program or (await self._look()).up:
                return found
            self._state = State.STOPPED
        restarts = max(0, self._launches - 1)
        record = await self._living()
        if record is None:
            return Info(State.STOPPED, self.spec.url, self.spec.port, restarts=restarts)
        return Info(
            State.STARTING if self._state is State.STARTING else State.RUNNING,
            record.url,
            port_of(record.url) if record.url else 0,
            record.pid,
            record.since,
            await asyncio.to_thread(procs.resident, record.pid),
            restarts,
            record.tied,
            record.digest != self.spec.digest,
        )

    async def close(self) -> None:
        """Let go: a tied process is ended, a detached one lives on."""
        if self._record is not None and self._record.tied and self._child is not None:
            async with pidfile.locked(self.spec.folder.lock, self._clock, LOCK_TIMEOUT):
                await self._end(GRACE)
        if self._child is not None:
            launch.leave(self._child)
        self._child = None

    async def _found(self, tell: Progress) -> bool:
        """Adopt what runs; a process of ours that does not answer is ended."""
        deadline = self._clock.monotonic() + _PATIENCE
        while True:
            info = await self.adopt()
            if info is not None:
                whose = "somebody else's gateway" if info.state is State.EXTERNAL else "the running gateway"
                tell(f"Using {whose} at {info.url}")
                return True
            if self._record is None:
                # Nobody's leader, but perhaps children of one that died.
                await self._end(GRACE)
                return False
            if self._clock.monotonic() >= deadline:
                tell("The gateway of an earlier start does not answer: ending it")
                await self._end(GRACE)
                return await self._adopt_external() is not None
            await self._clock.sleep(0.5)

    async def _adopt_external(self) -> Info | None:
        if not self.spec.url or not (await self._look()).up:
            return None
        self._state = State.EXTERNAL
        return await self.info()

    async def _check_port(self) -> None:
        port = self.spec.port
        if not port or await asyncio.to_thread(procs.port_free, port):
            return
        who = await asyncio.to_thread(procs.holder, port)
        raise diagnose.port_taken(port, str(who or ""), sys.platform)

    async def _launch(self) -> None:
        spec = self.spec
        private(spec.folder.path)
        if spec.ready_file is not None:
            spec.ready_file.unlink(missing_ok=True)
        await asyncio.to_thread(logs.rotate, spec.folder.output)
        self._marks = {path: logs.size_of(path) for path in self.log_files}
        self._state = State.STARTING
        self._child = launch.spawn(spec)
        self._launches += 1
        self._record = Record(
            pid=self._child.pid,
            born=procs.birth(self._child.pid) or "",  # not in a thread: nothing may cancel us here
            digest=spec.digest,
            url=spec.url,
            cert=str(spec.ca_file or ""),
            cwd=str(spec.cwd),
            since=self._clock.now(),
            tied=spec.tied,
        )
        await asyncio.to_thread(pidfile.write, spec.folder.pid, self._record)

    async def _until_up(self, tell: Progress, timeout: float) -> None:
        began = self._clock.monotonic()
        last, told = Health(Kind.NOTHING), 0
        while True:
            seconds = self._clock.monotonic() - began
            lines = self._said()
            if diagnose.listen_failed(lines):
                who = await asyncio.to_thread(procs.holder, self.spec.port)
                raise diagnose.port_taken(self.spec.port, str(who or ""), sys.platform)
            if self._child is not None and (code := self._child.poll()) is not None:
                raise diagnose.early_death(code, self._said(), seconds)
            if await self._address_known():
                last = await self._probe()
                if last.up and self._record is not None:
                    if await self._listens(self._record):
                        return
                    last = Health(Kind.STRANGER, "another process answers there")
                elif last.kind is Kind.DENIED:
                    raise diagnose.denied(self.url)
            if self._clock.monotonic() - began >= timeout:
                raise diagnose.no_answer(timeout, last, lines)
            if int(seconds) > told:
                told = int(seconds)
                tell(f"Waiting for the gateway's answer ({told} s)")
            await self._clock.sleep(_POLL)

    async def _address_known(self) -> bool:
        """Whether there is an address to look at; reads the ready file where there is one."""
        if self._record is None or self.spec.ready_file is None:
            return bool(self.url)
        told = launch.told(self.spec.ready_file)
        if told is None:
            return False
        told_record = msgspec.structs.replace(self._record, url=told.url, cert=told.cert or self._record.cert)
        if told_record != self._record:
            self._record = told_record
            await asyncio.to_thread(pidfile.write, self.spec.folder.pid, self._record)
        return True

    def _said(self) -> list[str]:
        return [line for path, mark in self._marks.items() for line in logs.added(path, mark)]

    async def _default_probe(self) -> Health:
        pin = "" if self.ca_file else self.spec.fingerprint
        try:
            return await health.probe(
                self.url, ca_file=self.ca_file, fingerprint=pin, any_answer=self.spec.any_answer
            )
        except UsageError as error:  # the file is one of ours: somebody has emptied the run folder
            return Health(Kind.CERTIFICATE, error.what)

    async def _default_look(self) -> Health:
        return await health.probe(self.spec.url, any_answer=self.spec.any_answer)

    def _current(self) -> Record | None:
        """The pid file is the truth: another of us may have started another process since."""
        return pidfile.read(self.spec.folder.pid) or self._record

    async def _living(self) -> Record | None:
        record = self._current()
        return record if record is not None and await self._alive(record) else None

    async def _alive(self, record: Record) -> bool:
        if self._child is not None and self._child.pid == record.pid:
            return self._child.poll() is None
        return record.born != "" and await asyncio.to_thread(procs.birth, record.pid) == record.born

    def _was_asked(self, record: Record) -> bool:
        """Whether one of us ended it, in this process or another."""
        now = pidfile.read(self.spec.folder.pid)
        return self._asked == record.pid or now is None or now.pid != record.pid or now.stopping

    async def _listens(self, record: Record) -> bool:
        """Whether it is this process that holds its port; True where the system does not tell."""
        who = await asyncio.to_thread(procs.holder, port_of(record.url))
        return who is None or record.pid in (who.pid, procs.group_of(who.pid))

    async def _end(self, grace: float) -> bool:
        """End our group: the leader and what it started, or what is left of it."""
        record = self._current()
        if record is None:
            return False
        child = self._child if self._child and self._child.pid == record.pid else None
        found = await self._alive(record)
        if not found:
            cwd = None if child else Path(record.cwd)
            found = bool(await asyncio.to_thread(procs.left_behind, record.pid, record.born, cwd))
        self._asked = record.pid
        if found:
            await self._mark_stopping(record)
            await launch.end_group(record.pid, child, grace, self._clock)
        self.spec.folder.pid.unlink(missing_ok=True)
        self._let_go()
        self._record = None
        self._state = State.STOPPED
        return found

    async def _mark_stopping(self, record: Record) -> None:
        try:
            marked = msgspec.structs.replace(record, stopping=True)
            await asyncio.to_thread(pidfile.write, self.spec.folder.pid, marked)
        except OSError:
            pass  # a full disk must not keep a process from being ended

    async def _abandon(self) -> None:
        """End what a failed or cancelled start has launched; kills, for the caller is leaving."""
        if self._child is not None:
            await asyncio.shield(self._end(1.0))
        self._state = State.STOPPED

    def _let_go(self) -> None:
        if self._child is not None:
            if self._child.stdin is not None:
                self._child.stdin.close()
            self._child.poll()
            self._child = None
