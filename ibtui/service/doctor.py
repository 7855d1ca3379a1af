"""Walks the chain that a session hangs on, link by link, and says for each how it is and what to do.

Nothing is changed, nobody is logged in, and no secret's source is read (a password program may ask
the person something).
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ibtui import config, paths
from ibtui.config import LOOPBACK, Profile, Settings
from ibtui.core.models import Keeping, Lamp, LoginFacts
from ibtui.errors import IbtuiError, UsageError
from ibtui.profile import SECRETS
from ibtui.service import guards, vaults
from ibtui.service.lamps import TAKE_OVER

if TYPE_CHECKING:
    from ibtui.service.runtime import Runtime

ROOM_MB = 200
"""Less free disk than this deserves a word: a full one keeps attempts and counters from being written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One link. `state`: ok, note (nothing wrong), warn (works, but look) or broken."""

    link: str
    state: str
    text: str
    fix: str = ""


def ok(link: str, text: str) -> Finding:
    """A link that holds."""
    return Finding(link, "ok", text)


async def look(settings: Settings, runtime: Runtime) -> list[Finding]:
    """Every link of the chosen profile, in the order in which one needs the other.

    Raises:
        UsageError: no such profile.
    """
    profile = settings.chosen()
    found = [*settings_of(settings), *await asyncio.to_thread(lambda: [*folders()])]
    if profile.mode == "gateway":
        found += [*await program(profile), *await asyncio.to_thread(lambda: [*reach(profile)])]
    try:
        status = await runtime.refresh()
    except UsageError as error:
        # What the settings name cannot be used: the rest of the chain is worth telling all the same.
        found.append(Finding("settings", "broken", error.what, error.fix))
        status = runtime.status
    found += [
        lamp("gateway" if profile.mode == "gateway" else "token", status.gateway),
        lamp("login", status.sso),
        lamp("brokerage", status.brokerage),
        keep_alive(profile, runtime.keeping, status.brokerage.state == "warn"),
    ]
    found += attempts(profile, runtime.login_facts)
    found += await asyncio.to_thread(
        lambda: [*auth_data(profile), *guarded_twice(settings), *sources(profile)]
    )
    return found


def settings_of(settings: Settings) -> Iterator[Finding]:
    """The settings file, and variables that look like settings and are none."""
    path, profile = settings.path, settings.chosen()
    where = str(path) if path.exists() else f"{path} does not exist, so the defaults hold"
    yield ok("settings", f"{where}; profile {profile.name}: {profile.mode}, {profile.account_type}")
    origins = " ".join(settings.origins.values())
    for name in sorted(config.environment()):
        if name.startswith(config.PREFIX) and name != "IBTUI_CONFIG" and name not in origins.split():
            yield Finding(
                "settings", "warn", f"the variable {name} sets nothing", "Correct its name: ibtui config show"
            )


def folders() -> Iterator[Finding]:
    """Ours are private, can be written, and there is room."""
    for name, folder in (("data", paths.data_dir()), ("state", paths.state_dir())):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            fix = f"Run: sudo chown -R {os.getuid()} '{there}'"
            yield Finding(f"{name} folder", "broken", f"{there} cannot be written", fix)
        elif there == folder and folder.stat().st_mode & 0o077:
            fix = f"Run: chmod 700 '{folder}'"
            yield Finding(f"{name} folder", "warn", f"others may look into {folder}", fix)
        elif (free := shutil.disk_usage(there).free // 1_000_000) < ROOM_MB:
            yield Finding(f"{name} folder", "warn", f"only {free} MB are free at {there}", "Make room there.")
        else:
            yield ok(f"{name} folder", str(folder))


async def program(profile: Profile) -> Iterator[Finding]:
    """Java and the installation, where this profile starts a gateway."""
    from ibtui.service.host import gateway_folder, starts_one

    if not await asyncio.to_thread(starts_one, profile):
        return iter([ok("program", f"somebody else runs the gateway at {profile.gateway_url}")])
    if profile.gateway_command:
        return iter([ok("program", f"{profile.gateway_command[0]} in place of java")])
    found: list[Finding] = []
    try:
        folder = await asyncio.to_thread(gateway_folder, profile)
        found += await asyncio.to_thread(lambda: [*_installation(folder)])
    except IbtuiError as error:
        found.append(Finding("installation", "broken", error.what, error.fix))
        return iter(found)
    from ibtui.gateway.install import is_stand_in
    from ibtui.gateway.java import find_java

    if not await asyncio.to_thread(is_stand_in, folder):
        try:
            java = await find_java(profile.java, config.environment())
            found.append(ok("java", f"{java.path}, version {java.version}"))
        except IbtuiError as error:
            found.append(Finding("java", "broken", error.what, error.fix))
    return iter(found)


def _installation(folder: Path) -> Iterator[Finding]:
    from ibtui.gateway.install import OLD_DAYS, built_of
    from ibtui.gateway.spec import check_install

    check_install(folder)
    built = built_of(folder)
    if built is not None and (datetime.now(UTC).date() - built).days > OLD_DAYS:
        text = f"{folder} was built {built}, more than a year ago"
        yield Finding("installation", "warn", text, "Get the present one: ibtui gateway install")
    else:
        yield ok("installation", f"{folder}{f', built {built}' if built else ''}")


def reach(profile: Profile) -> Iterator[Finding]:
    """Who else can reach the gateway: it listens on every interface, its address list alone protects it."""
    from ibtui.gateway.conf import LOCAL, RunFolder
    from ibtui.service.host import starts_one

    if urlsplit(profile.gateway_url).hostname not in LOOPBACK:
        yield Finding("reach", "note", f"{profile.gateway_url} is another machine: protect it there")
    elif not starts_one(profile) or profile.gateway_command:
        yield Finding(
            "reach",
            "note",
            "a gateway listens on every interface; see that its conf.yaml has ips with allow and deny, "
            "and cors that names your own pages alone",
        )
    else:
        others = [it for it in profile.allowed_addresses if it != LOCAL]
        conf = RunFolder(paths.run_dir(profile.name)).conf
        if conf.exists() and conf.stat().st_mode & 0o077:
            yield Finding("reach", "warn", f"others may read {conf}", f"Run: chmod 600 '{conf}'")
        if others:
            text = f"listens on every interface and lets in {', '.join(others)} beside this machine"
            yield Finding("reach", "warn", text, "If that is not meant: allowed_addresses in the profile.")
        else:
            yield ok("reach", "listens on every interface, lets in this machine alone, no foreign web page")


def lamp(name: str, found: Lamp) -> Finding:
    """One of the three lamps as a link."""
    states = {"on": "ok", "warn": "warn", "busy": "note", "unknown": "note"}
    reason = found.reason or {"unknown": "not looked at: the link before it is broken"}.get(found.state, "")
    return Finding(name, states.get(found.state, "broken"), reason or found.state, found.fix)


def keep_alive(profile: Profile, keeping: Keeping, contested: bool = False) -> Finding:
    """Who keeps the session alive; `contested`: another program holds the brokerage session."""
    if keeping.shared:
        why = f"{keeping.mode}{f': {keeping.why}' if keeping.why else ''}, outlives this terminal"
        needy = keeping.mode == "person"
        fix = TAKE_OVER if contested else "Log in: ibtui login"
        return Finding("keep-alive", "warn" if needy else "ok", why, fix if needy else "")
    if profile.mode == "demo" or not profile.keep_alive:
        return Finding("keep-alive", "note", "off: this profile keeps nothing alive")
    return Finding(
        "keep-alive", "note", "does not run; the next ibtui login or gateway start begins one of its own"
    )


def attempts(profile: Profile, facts: LoginFacts) -> Iterator[Finding]:
    """The guard, and IB Key's logins."""
    if profile.mode != "gateway":
        return
    used = f"{facts.attempts} of {facts.limit} attempts used"
    if facts.attempts >= facts.limit:
        fix = "Find out why, then: ibtui login --reset-attempts"
        yield Finding("attempts", "broken", f"{used}: no login is tried any more", fix)
    elif facts.wait_until is not None:
        until = facts.wait_until.astimezone().strftime("%H:%M:%S")
        yield Finding("attempts", "warn", f"{used}; an automatic login waits until {until}")
    else:
        yield ok("attempts", used)
    left = facts.logins_left
    if left is not None and left < 10:
        yield Finding("IB Key", "warn", f"{left} logins left", "Enroll it again: ibtui ibkey enroll")
    elif left is not None:
        yield ok("IB Key", f"{left} logins left")
    elif vaults.not_imported():
        yield Finding("IB Key", "warn", vaults.NOT_IMPORTED, vaults.HOW_TO_IMPORT)
    if facts.unfinished is not None:
        when = f"{facts.unfinished.astimezone():%Y-%m-%d %H:%M}"
        text = f"an enrollment was broken off at its last step ({when}); its key is kept"
        yield Finding("IB Key", "warn", text, vaults.UNFINISHED)


def auth_data(profile: Profile) -> Iterator[Finding]:
    """The file that counts the attempts, where it cannot be used."""
    if profile.mode == "gateway" and profile.username:
        try:
            vaults.vault_for(profile, profile.username).status()
        except IbtuiError as error:
            yield Finding("auth data", "broken", error.what, error.fix)


def guarded_twice(settings: Settings) -> Iterator[Finding]:
    """User names whose attempts are counted in two places."""
    for one in guards.twice(settings):
        yield Finding("attempts", "warn", one.text, guards.FIX)


def sources(profile: Profile) -> Iterator[Finding]:
    """Where secrets come from: what can be seen without reading them."""
    hook = profile.hook
    if hook and shutil.which(hook[0]) is None:
        yield Finding("hook", "warn", f"{hook[0]} is no program", "Correct hook in the profile.")
    for name in SECRETS:
        source = getattr(profile, name)
        if not source:
            continue
        label = name.replace("_", " ")
        trouble = _trouble(source)
        if trouble:
            yield Finding(label, "broken", *trouble)
        else:
            yield ok(label, f"from {source}")


def _trouble(source: config.Source) -> tuple[str, str] | None:
    if source.kind == "command" and shutil.which(source.command[0]) is None:
        return f"{source.command[0]} is no program", "Correct the command, or install it."
    if source.kind == "env" and source.env not in config.environment():
        return f"the variable {source.env} is not set", "Set it, or name another source."
    if source.kind == "file":
        path = Path(source.file)
        if not path.exists():
            return f"{path} does not exist", "Make it, with mode 600."
        if not path.is_file() and not path.is_fifo():
            return f"{path} is no file", "Correct its name."
        if path.stat().st_mode & 0o077:
            return f"others may read {path}", f"Run: chmod 600 '{path}'"
    return None
