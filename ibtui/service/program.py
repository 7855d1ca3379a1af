"""What `gateway_command` (or IB_GATEWAY_BIN and IB_GATEWAY_CONF, login.md §7) is run as.

A gateway's own bin/run.sh leaves java an orphan when it is ended, and wants to be run in the
gateway's folder (login.md §9.1, §9.2): java is started directly in its place, with the same
configuration. Any other program runs as it is, leader of its own group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ibtui import aliases, given
from ibtui.config import Profile
from ibtui.errors import UsageError
from ibtui.gateway.install import is_stand_in
from ibtui.gateway.spec import JAR, Spec, command_spec, java_spec, port_of

DEFAULT_PORT = 5000
"""Where a gateway listens whose configuration names no port (login.md §9.1)."""
_PORT = re.compile(r"(?m)^listenPort\s*:\s*[\"']?(\d+)")
_SSL = re.compile(r"(?m)^listenSsl\s*:\s*[\"']?(\w+)")
_ALLOW = re.compile(r"(?m)^\s+allow\s*:")
_DENY = re.compile(r"(?m)^\s+deny\s*:")
_ANY_PAGE = re.compile(r"(?m)^\s+[\"']?origin\.allowed[\"']?\s*:\s*[\"']?\*")
_LONGEST = 256 * 1024


async def spec_of(profile: Profile, folder: Path, env: Mapping[str, str], *, to_start: bool) -> Spec:
    """How the profile's `gateway_command` is run; `folder` is the profile's run folder.

    `to_start`: it is about to be started, so java is looked for and the configuration read.

    Raises:
        UsageError: no java that is new enough, no such configuration, or one that does not go with
            `gateway_url`.
    """
    command = profile.gateway_command
    cwd = Path(profile.gateway_cwd) if profile.gateway_cwd else folder
    home = gateway_of(command, cwd)
    if home is None:
        return _program(profile, command, folder, env, cwd)
    if is_stand_in(home):
        conf = command[1:] or (str(home / "root/conf.yaml"),)
        return _program(profile, (str(home / aliases.RUN), *conf), folder, env, cwd)
    from ibtui.gateway.java import Java, find_java

    # Looking needs no java; asking it for its version takes longer than the look itself.
    java = await find_java(profile.java, env) if to_start else Java(Path("java"), "", (0, 0))
    own = own_conf(command[1], home, cwd) if len(command) > 1 else None
    if own is not None and to_start:
        check_conf(own, profile.gateway_url)
    return java_spec(
        profile.gateway_url,
        home,
        folder,
        java=java,
        env=env,
        proxy_host=profile.upstream,
        own_conf=own,
        fingerprint=profile.fingerprint if own is not None else "",
    )


def gateway_of(command: tuple[str, ...], cwd: Path) -> Path | None:
    """The folder of the gateway whose bin/run.sh this is, with its one argument or none; else None."""
    program = (cwd / command[0]).absolute()
    if len(command) > 2 or not program.match(aliases.RUN):
        return None
    home = program.resolve().parents[1]
    return home if (home / JAR).is_file() else None


def own_conf(name: str, home: Path, cwd: Path) -> Path:
    """The configuration: a path of the current folder or, as run.sh has it, of the gateway's.

    Raises:
        UsageError: there is none of that name.
    """
    found = next((path for path in (cwd / name, home / name) if path.is_file()), None)
    if found is None:
        raise UsageError(
            f"There is no configuration {name} in {cwd} nor in {home}.",
            "Correct IB_GATEWAY_CONF (or gateway_command); without it ibtui writes one of its own.",
        )
    return found.absolute()


def check_conf(conf: Path, url: str) -> None:
    """Whether a gateway on this configuration answers at `url`.

    Raises:
        UsageError: it listens elsewhere, or cannot be read.
    """
    text = _text(conf)
    found = _PORT.search(text)
    port = int(found[1]) if found else DEFAULT_PORT
    tls = _SSL.search(text)
    scheme = "http" if tls and tls[1].lower() == "false" else "https"
    if (scheme, port) != (url.partition(":")[0], port_of(url)):
        raise UsageError(
            f"{conf} makes the gateway listen at {scheme}://localhost:{port}, not at {url}.",
            "Correct listenPort and listenSsl there, or gateway_url (IB_GATEWAY_PORT, IB_GATEWAY_SCHEME).",
        )


def risks_of(profile: Profile) -> list[str]:
    """What a configuration of the person's own allows that one of ours would not (login.md §9.3, §9.7)."""
    command = profile.gateway_command
    cwd = Path(profile.gateway_cwd)
    home = gateway_of(command, cwd) if command else None
    if home is None or len(command) < 2 or is_stand_in(home):
        return []
    try:
        conf = own_conf(command[1], home, cwd)
        text = _text(conf)
    except UsageError:
        return []
    found = []
    if not (_ALLOW.search(text) and _DENY.search(text)):
        found.append(f"{conf} lets every address in: it needs ips with both allow and deny.")
    if _ANY_PAGE.search(text):
        found.append(f"{conf} lets any web page use the session: take origin.allowed out of cors.")
    if conf.parent.stat().st_mode & 0o002:
        # It comes first on the class path.
        found.append(f"Anybody may put programs into {conf.parent}, and java runs them: chmod o-w it.")
    return found


def _text(conf: Path) -> str:
    try:
        return given.read(conf, _LONGEST)[0].decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{conf} cannot be read: {error.strerror}.", "Look at its owner.") from None


def _program(
    profile: Profile, command: tuple[str, ...], folder: Path, env: Mapping[str, str], cwd: Path
) -> Spec:
    return command_spec(
        command,
        folder,
        env=env,
        url=profile.gateway_url,
        cwd=cwd,
        tied=False,
        any_answer=True,
        ca_file=Path(profile.ca_file) if profile.ca_file else None,
        fingerprint=profile.fingerprint,
    )
