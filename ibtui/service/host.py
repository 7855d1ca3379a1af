"""What stands behind a profile's address: a gateway of ours, somebody else's, or the demo's simulator."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from ibtui import config, paths
from ibtui.config import LOOPBACK, Addresses, Profile
from ibtui.core.models import Lamp
from ibtui.errors import GatewayDown, GatewayFault, UsageError
from ibtui.gateway import foreign, health
from ibtui.gateway.health import Health, Kind
from ibtui.gateway.install import Shelf, is_stand_in
from ibtui.gateway.process import GatewayProcess
from ibtui.gateway.spec import Spec, command_spec, java_spec, port_of
from ibtui.gateway.state import State
from ibtui.scratch import Scratch
from ibtui.service import pins, program
from ibtui.service.lamps import lamp_of, running_lamp
from ibtui.service.runtime import Progress

if TYPE_CHECKING:
    from ibtui.auth.effects import Answers
    from ibtui.core.oauth import OAuth
    from ibtui.core.trust import Trust

DEFAULTS = Addresses()
LOG_IN = "Log in: l here, or ibtui login"
START = "Start it: s here, or ibtui gateway start"
GET_ONE = "Install one: i here, or ibtui gateway install"
INSTALLED = "installed"
"""As `gateway_dir`: the gateway that `ibtui gateway install` put here."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the client knocks, and whom it trusts there."""

    url: str
    trust: Trust | None
    oauth: OAuth | None = None
    """The token that IBKR is asked with directly; None at a gateway."""


class Host(Protocol):
    """The gateway as the runtime sees it."""

    start_fix: str
    ours: bool
    """What ran there last was a process of ours; the keep-alive may start it again."""
    stuck: bool
    """At the last look that process lived and did not answer."""
    auth_folder: Path | None
    """Where auth data lie instead of our own folder; None for that."""

    async def start(self, progress: Progress) -> Lamp:
        """Start or adopt; raises GatewayFault, GatewayDown or UsageError."""
        ...

    async def stop(self) -> None:
        """Stop a process of ours; raises GatewayFault when it is not ours."""
        ...

    async def look(self) -> Lamp:
        """The gateway lamp as it is now; raises nothing."""
        ...

    async def door(self) -> Door:
        """Raises GatewayDown when no address is known, UsageError when nobody said whom to trust."""
        ...

    def answers(self) -> Answers | None:
        """Credentials that need nobody."""
        ...

    def log(self, lines: int, *, follow: bool) -> AsyncIterator[str]:
        """The process's log, redacted; nothing where the process is not ours."""
        ...

    async def death(self) -> str:
        """Return when a process of ours ended although nobody asked it to; says why."""
        ...

    async def close(self) -> None:
        """Let go; a tied process ends, a detached one lives on."""
        ...


def host_for(profile: Profile, addresses: Addresses = DEFAULTS) -> Host:
    """The host that a profile's settings describe."""
    if profile.direct:
        from ibtui.service.oauth_host import OAuthHost

        return OAuthHost(profile, addresses)
    if profile.mode == "demo":
        return DemoHost(profile)
    return ProcessHost(profile) if starts_one(profile) else ExternalHost(profile)


def starts_one(profile: Profile) -> bool:
    """Whether `gateway start` starts a process for this profile.

    Also where it names none, but its address is on this machine and a gateway is installed here.
    """
    if profile.gateway_dir or profile.gateway_command:
        return True
    return urlsplit(profile.gateway_url).hostname in LOOPBACK and Shelf().current is not None


def gateway_folder(profile: Profile) -> Path:
    """The folder of the gateway that this profile starts.

    Raises:
        UsageError: it is to be the installed one, and none is installed.
    """
    if profile.gateway_dir not in ("", INSTALLED):
        return Path(profile.gateway_dir)
    found = Shelf().current
    if found is None:
        raise UsageError("No gateway is installed.", GET_ONE)
    return found.folder


async def need_log(profile: Profile) -> None:
    """Whether the log of the gateway that runs for this profile is one of ours.

    Raises:
        GatewayFault: there is no gateway process, or somebody else runs it.
    """
    if profile.direct:
        raise GatewayFault("This profile speaks to IBKR without a gateway; there is no log.")
    if profile.mode == "demo":
        return
    if starts_one(profile):
        host = ProcessHost(profile)
        await host.look()
        if not host.runs_elsewhere:
            return
    raise GatewayFault(
        "This gateway was not started by ibtui, so its log is not here.",
        "Look for it where the gateway was started (its folder logs).",
    )


class ExternalHost:
    """A gateway that somebody else runs."""

    ours = stuck = False
    auth_folder: Path | None = None
    start_fix = "Start it where it runs"

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._url = profile.gateway_url.rstrip("/")
        if urlsplit(self._url).hostname in LOOPBACK:
            self.start_fix = f"{self.start_fix}. Or i{GET_ONE[1:]}"

    async def start(self, progress: Progress) -> Lamp:
        lamp = await self.look()
        if lamp.state != "on":
            why = lamp.reason or "the gateway does not answer"
            raise GatewayDown(f"{why[0].upper()}{why[1:]}.", self.start_fix)
        return lamp

    async def stop(self) -> None:
        raise GatewayFault("This gateway was not started by ibtui.", "Stop it where it was started.")

    async def look(self) -> Lamp:
        profile = self._profile
        ca_file = Path(profile.ca_file) if profile.ca_file else None
        pin = profile.fingerprint or ("" if ca_file else pins.known(self._url))
        found = await health.probe(self._url, ca_file=ca_file, fingerprint=pin)
        if found.up and urlsplit(self._url).hostname in LOOPBACK:
            return running_lamp(await foreign.look(self._url))
        return lamp_of(found, self._url, self.start_fix)

    async def door(self) -> Door:
        from ibtui.core.trust import Trust

        profile = self._profile
        if not self._url.startswith("https"):
            return Door(self._url, None)
        if profile.ca_file:
            return Door(self._url, Trust.ca(Path(profile.ca_file)))
        return Door(self._url, Trust.pin(await self._pin()))

    async def _pin(self) -> str:
        pinned = self._profile.fingerprint or pins.known(self._url)
        if pinned:
            return pinned
        found = await health.probe(self._url)
        if not found.fingerprint:
            raise GatewayDown(f"Nothing answers at {self._url}.", self.start_fix)
        if urlsplit(self._url).hostname not in LOOPBACK:
            raise UsageError(
                f"{self._url} is another machine, and nobody said which certificate it has.",
                f'If it is right, add to the profile: fingerprint = "{found.fingerprint}"',
            )
        await asyncio.to_thread(pins.remember, self._url, found.fingerprint)
        return found.fingerprint

    def answers(self) -> Answers | None:
        return None

    async def log(self, lines: int, *, follow: bool) -> AsyncIterator[str]:
        nothing: tuple[str, ...] = ()
        for line in nothing:
            yield line

    async def death(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def close(self) -> None:
        return


class ProcessHost:
    """A gateway process of ours: java on an installation, or a command in its place. Detached."""

    ours = stuck = False
    auth_folder: Path | None = None
    start_fix = START

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._process: GatewayProcess | None = None
        self._up = asyncio.Event()

    async def _spec(self, *, to_start: bool) -> Spec:
        profile, env = self._profile, config.environment()
        folder = paths.run_dir(profile.name)
        if profile.gateway_command:
            return await program.spec_of(profile, folder, env, to_start=to_start)
        installed = gateway_folder(profile)
        if is_stand_in(installed):
            return self._stand_in(installed, folder)
        from ibtui.gateway.java import Java, find_java

        # Looking needs no java; asking it for its version takes longer than the look itself.
        java = await find_java(profile.java, env) if to_start else Java(Path("java"), "", (0, 0))
        return java_spec(
            profile.gateway_url,
            installed,
            folder,
            java=java,
            env=env,
            proxy_host=profile.upstream,
            allow=profile.allowed_addresses,
            region=profile.region,
            auth_delay_ms=profile.auth_delay_ms,
        )

    def _stand_in(self, installed: Path, folder: Path) -> Spec:
        """The simulator's download: its program is a script, and it makes its own certificate."""
        url = self._profile.gateway_url
        ready = folder / "ready.json"
        argv = (str(installed / "bin/run.sh"), str(installed / "root/conf.yaml"))
        return command_spec(
            (*argv, "--port", str(port_of(url)), "--ready", str(ready)),
            folder,
            env=config.environment(),
            url=url,
            tied=False,
            any_answer=True,
            ready_file=ready,
        )

    async def _made(self) -> GatewayProcess:
        if self._process is None:
            self._process = GatewayProcess(await self._spec(to_start=False))
        return self._process

    @property
    def runs_elsewhere(self) -> bool:
        """At the last look somebody else's gateway answered at our address."""
        return self._process is not None and self._process.state is State.EXTERNAL

    async def start(self, progress: Progress) -> Lamp:
        process = await self._made()
        if process.state is State.STOPPED:
            process.spec = await self._spec(to_start=True)
        info = await process.start(progress)
        self.ours = info.state is not State.EXTERNAL
        if self.ours and process.ca_file is None and not self._profile.fingerprint:
            await pins.renew(process.url.rstrip("/"))
        self._up.set()
        return running_lamp(info)

    async def stop(self) -> None:
        self._up.clear()
        await (await self._made()).stop()

    async def look(self) -> Lamp:
        try:
            process = await self._made()
        except UsageError as error:
            return Lamp(state="off", reason=error.what, fix=error.fix)
        info = await process.adopt()
        self.stuck = False
        if info is not None:
            self.ours = info.state is not State.EXTERNAL
            self._up.set()
            return running_lamp(info)
        self.stuck = (await process.info()).pid is not None
        found = await process.health() if process.url else Health(Kind.NOTHING)
        return lamp_of(found, process.url or self._profile.gateway_url, self.start_fix)

    async def door(self) -> Door:
        from ibtui.core.trust import Trust

        process = await self._made()
        if not process.url:
            raise GatewayDown("The gateway is not running.", self.start_fix)
        url = process.url.rstrip("/")
        if not url.startswith("https"):
            return Door(url, None)
        if process.ca_file is not None:
            return Door(url, Trust.ca(process.ca_file))
        return await ExternalHost(replace(self._profile, gateway_url=url)).door()

    def answers(self) -> Answers | None:
        return None

    async def log(self, lines: int, *, follow: bool) -> AsyncIterator[str]:
        process = await self._made()
        if not follow:
            for line in await asyncio.to_thread(process.tail, lines):
                yield line
            return
        async for line in process.logs(lines):
            yield line

    async def death(self) -> str:
        while True:
            await self._up.wait()
            process = await self._made()
            ended = await process.wait_death()
            self._up.clear()
            if not ended.asked:
                return f"the gateway ended: {ended.reason}"

    async def close(self) -> None:
        if self._process is not None:
            await self._process.close()


class DemoHost(ProcessHost):
    """The simulator as a stand-in for the gateway: tied to us, in a folder that goes with us."""

    start_fix = "Start it again: s"

    def __init__(self, profile: Profile) -> None:
        super().__init__(profile)
        self._scratch = Scratch("ibtui-demo-")
        self._folder = self._scratch.path
        self.auth_folder = self._folder / "auth"

    @property
    def _ready(self) -> Path:
        return self._folder / "ready.json"

    async def _spec(self, *, to_start: bool) -> Spec:
        argv = (sys.executable, "-m", "ibtui", "sim", "--tied", "--ready", str(self._ready))
        return command_spec(
            (*argv, "--seed", str(self._profile.demo_seed)),
            self._folder / "run",
            env=config.environment(),
            tied=True,
            ends_at_eof=True,
            ready_file=self._ready,
            label="the simulator",
        )

    def answers(self) -> Answers | None:
        from ibtui.service.answers.fixed import ReadyAnswers

        return ReadyAnswers(self._ready)

    async def close(self) -> None:
        await super().close()
        await asyncio.to_thread(self._scratch.remove)
