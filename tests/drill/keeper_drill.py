"""A day in two minutes: the keep-alive on a stand-in gateway, time jumping from one wait to the next.

The keeper's clock and the simulator's move together. Only waiting is shortened: processes,
sockets and requests are real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import io
import json
import os
import random
import signal
import time
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from ibtui import paths
from ibtui.config import Profile, Settings
from ibtui.profile import Source
from ibtui.secret import Secret
from ibtui.service import actions
from ibtui.service.answers.fixed import FixedAnswers
from ibtui.service.local import LocalRuntime
from ibtui.sim.download import make_zip
from ibtui.sim.scenario import load
from tests.headless.test_headless_words import free_port

SEED = 7
"""Of the stand-in, which is told none."""
LIMIT = 4


class JumpClock:
    """Real time plus what was jumped over; whoever sleeps is woken by `jump`."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.offset, UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.offset

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.monotonic() + seconds, self._count, future))
        await future

    def next(self) -> float | None:
        """Seconds until the first sleeper is due; None while nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return max(0.0, self._sleepers[0][0] - self.monotonic()) if self._sleepers else None

    def wake(self) -> None:
        """Wake whoever is due."""
        while self._sleepers and (self._sleepers[0][2].done() or self._sleepers[0][0] <= self.monotonic()):
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)


class Drill:
    """One keeper on one stand-in gateway."""

    def __init__(self, seed: int, folder: Path, *, live: bool = False, **policy: Any) -> None:
        self.chance = random.Random(seed)
        self.clock = JumpClock()
        self._live = live
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.log: list[str] = []
        self.proofs: list[bool] = []
        """What reached the login host: False a password proof, True a login that was complete."""
        self._seen = 0
        login = load("default", SEED).find("demo123")
        assert login is not None
        user = login.user
        password = folder / "password"
        password.write_text(user.password + "\n")
        password.chmod(0o600)
        with zipfile.ZipFile(io.BytesIO(make_zip())) as archive:
            archive.extractall(folder / "gateway")
        (folder / "gateway/bin/run.sh").chmod(0o755)
        profile = Profile(
            name="default",
            username=user.username,
            password=Source(file=str(password)),
            gateway_url=self.url,
            gateway_dir=str(folder / "gateway"),
            **policy,
        )
        self.answers = FixedAnswers(user.username, Secret(user.password))
        self.runtime = LocalRuntime(
            Settings(profiles={"default": profile}), self.clock, live=live, timeout=0.5, keeper=True
        )
        self._http = httpx.AsyncClient(base_url=self.url, timeout=5, trust_env=False, verify=False)

    # Time ----------------------------------------------------------------------------

    async def pass_(self, seconds: float) -> None:
        """Let so much time pass for keeper and simulator."""
        end = self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            # A stream waits for time while the keeper waits for a reply: then time only runs faster.
            await asyncio.sleep(0.02 if self._live else 0.002)
            due = self.clock.next()
            if due is not None:
                await self._jump(min(due, left, 0.5 if self._live else left))

    async def _jump(self, seconds: float) -> None:
        self.clock.offset += seconds
        await self._set_clock(seconds)
        self.clock.wake()
        for _ in range(3):
            await asyncio.sleep(0)

    async def _set_clock(self, seconds: float) -> None:
        """The simulator's clock follows; one that was started anew is behind by everything."""
        with contextlib.suppress(httpx.HTTPError):
            there = await self.control("clock", {"advance_s": max(0.0, seconds)})
            behind = self.clock.now().timestamp() - there["now"]
            if behind > 2.0:
                await self.control("clock", {"advance_s": behind})

    async def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        method = "GET" if body is None else "POST"
        return (await self._http.request(method, f"/sim/{path}", json=body)).json()

    # Trouble -------------------------------------------------------------------------

    async def trouble(self) -> None:
        """One thing goes wrong."""
        name = self.chance.choice([name for name in dir(self) if name.startswith("go_")])
        self.log.append(f"{self.clock.now():%d. %H:%M} {name}")
        with contextlib.suppress(httpx.HTTPError):
            await getattr(self, name)()

    async def go_kill(self) -> None:
        await self.collect()
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send the gateway's process a signal; what it had seen ends with it."""
        record = json.loads((paths.run_dir("default") / "gateway.pid").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(record["pid"], number)
        self._seen = 0

    async def go_errors(self) -> None:
        status = self.chance.choice((500, 503, 401, 429))
        await self._fault("/tickle", "status", self.chance.choice((1, 5, 40)), status=status)

    async def go_errors_everywhere(self) -> None:
        await self._fault("*", "status", self.chance.choice((3, 30)), status=503)

    async def go_garble(self) -> None:
        await self._fault("/tickle", "garble", self.chance.choice((1, 4)))

    async def go_stall(self) -> None:
        await self._fault("/tickle", "hang", self.chance.choice((1, 4)), seconds=5)

    async def go_cut(self) -> None:
        await self._fault("*", "cut", self.chance.choice((1, 6)))

    async def go_login_lost(self) -> None:
        """The session ends, and the reply to the login's proof is lost."""
        await self._fault("/sso/Authenticator", "lose", 1, skip=1)
        await self.control("session", {"action": "logout"})

    async def go_compete(self) -> None:
        await self.control("session", {"action": "compete"})

    async def go_logout(self) -> None:
        await self.control("session", {"action": "logout"})

    async def go_reset(self) -> None:
        await self.control("session", {"action": "reset"})

    async def go_rotate(self) -> None:
        await self.control("session", {"action": "rotate"})

    async def go_maintenance(self) -> None:
        await self.control("session", {"action": "maintenance", "seconds": self.chance.choice((60, 1800))})
        await self.control("session", {"action": "reset"})

    async def go_drop_sockets(self) -> None:
        await self.control("sockets", {"action": "drop"})

    async def _fault(self, path: str, kind: str, count: int, **more: Any) -> None:
        await self.control("faults", {"path": path, "kind": kind, "count": count, **more})

    # The outcome ---------------------------------------------------------------------

    async def collect(self) -> None:
        """Take down which password proofs arrived, before the simulator forgets them."""
        for row in await self.control(f"journal?since={self._seen}"):
            self._seen = max(self._seen, row["n"])
            if row["path"] == "/sso/Dispatcher":
                self.proofs.append(True)
            elif row["path"] == "/sso/Authenticator" and "ACTION=COMPLETEAUTH" in row["body_redacted"]:
                self.proofs.append(False)

    async def clear(self) -> None:
        """Fair weather from now on."""
        with contextlib.suppress(httpx.HTTPError):
            await self._http.request("DELETE", "/sim/faults")

    @property
    def story(self) -> str:
        events = "\n".join(f"{one.at:%d. %H:%M:%S} {one.source}: {one.text}" for one in self.runtime.events)
        return f"{self.runtime.keeping}\n{self.runtime.status}\n{self.log}\n{events}"

    def check(self) -> None:
        """Ready, or a truthful reason why not; never more proofs than the guard allows."""
        runtime, keeping = self.runtime, self.runtime.keeping
        used = runtime.login_facts.attempts
        if not runtime.status.ready:
            assert keeping.mode in ("person", "waiting", "yielding") and keeping.why, self.story
            truth = (
                used >= LIMIT
                or runtime.login_facts.wait_until is not None
                or "another program" in keeping.why
                or "could not be opened" in keeping.why
            )
            assert truth, self.story
        else:
            assert keeping.mode in ("on", "yielding"), self.story
        row = worst = 0
        for complete in self.proofs:
            row = 0 if complete else row + 1
            worst = max(worst, row)
        assert worst <= LIMIT and used <= LIMIT, (self.proofs, self.story)
        assert len(runtime.events) <= 500

    async def close(self) -> None:
        await self._http.aclose()
        with contextlib.suppress(Exception):
            await self.runtime.stop_gateway()
        await self.runtime.close()


@contextlib.asynccontextmanager
async def drill(seed: int, folder: Path, *, live: bool = False, **policy: Any) -> AsyncIterator[Drill]:
    """A drill whose session is ready; nothing of it is left at the end."""
    found = Drill(seed, folder, live=live, **policy)
    try:
        await actions.start_gateway(found.runtime)
        passing = asyncio.get_running_loop().create_task(found.pass_(600))
        try:
            await found.runtime.login(found.answers)
        finally:
            passing.cancel()
        assert found.runtime.status.ready
        yield found
    finally:
        await found.close()
