"""What to run as the gateway: java on an installed gateway, or any command that stands in for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from ibtui.config import LOOPBACK
from ibtui.errors import GatewayFault, UsageError
from ibtui.gateway import conf
from ibtui.gateway.conf import RunFolder
from ibtui.gateway.java import Java

JAR = Path("dist/ibgroup.web.core.iblink.router.clientportal.gw.jar")
MAIN = "ibgroup.web.core.clientportal.gw.GatewayStart"
ENV_NAMES = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME"})
"""What a gateway process inherits, besides LC_*: nothing that could carry a secret."""
OPTIONS = (
    "-server",
    "-Dvertx.disableDnsResolver=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Dvertx.logger-delegate-factory-class-name=io.vertx.core.logging.SLF4JLogDelegateFactory",
    # Not the vendor's: without memory it would stay alive and answer nothing.
    "-XX:+ExitOnOutOfMemoryError",
)
"""login.md §9.1; the vendor's `-Dno…` options switch nothing and are left out."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One gateway process, ready to be run by `process.GatewayProcess`."""

    kind: str
    """`java` or `command`."""
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    folder: RunFolder
    url: str
    """Origin the gateway answers at; empty when the program tells it in `ready_file`."""
    tied: bool = False
    """Ends with us (True) or outlives us (False)."""
    ends_at_eof: bool = False
    """A tied program that ends by itself at the end of its standard input."""
    ca_file: Path | None = None
    """Certificate to trust, PEM; need not exist before the first start."""
    fingerprint: str = ""
    """SHA-256 of the certificate to trust, hex, where there is no `ca_file`."""
    any_answer: bool = False
    """Any status from 200 to 399 means up; else only the gateway's own 302."""
    ready_file: Path | None = None
    """JSON object with `url` and `cert` that the program writes when it listens (by rename)."""
    label: str = field(default="", compare=False)
    """What it is called for a person; empty: the program's own name."""
    settings: tuple[str, ...] = ()
    """What else it was made from, for `digest`."""
    prepare: Callable[[], object] = field(default=lambda: None, compare=False)
    """Run just before a start, when it is certain that no process of this folder lives."""

    @property
    def port(self) -> int:
        """Port of `url`; 0 when it is not known before the start."""
        return port_of(self.url) if self.url else 0

    @property
    def digest(self) -> str:
        """Tells whether a running process was started with these settings, without naming them.

        Which java it is does not count: whoever only looks has not searched for it.
        """
        words = self.argv[1:] if self.kind == "java" else self.argv
        return hashlib.sha256("\0".join((*words, self.url, *self.settings)).encode()).hexdigest()


def port_of(url: str) -> int:
    """The port of an origin, 443 or 80 when it names none.

    Raises:
        UsageError: not an http or https address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise UsageError(f"{url!r} is not a gateway's address.", "Write it like https://localhost:5000.")
    return port or (443 if parts.scheme == "https" else 80)


def clean_env(env: Mapping[str, str]) -> dict[str, str]:
    """The part of the environment that a gateway process may see."""
    return {k: v for k, v in env.items() if k in ENV_NAMES or k.startswith("LC_")}


def check_install(gateway_dir: Path) -> Path:
    """The absolute folder of an unpacked gateway.

    Raises:
        UsageError: it is not one; says what is missing.
    """
    folder = gateway_dir.expanduser().absolute()
    fix = "Get one: ibtui gateway install. Or correct gateway_dir in the profile."
    if not folder.is_dir():
        raise UsageError(f"There is no gateway folder {folder}.", fix)
    for part in (JAR, Path("build/lib/runtime"), Path("root")):
        if not (folder / part).exists():
            raise UsageError(f"{folder} is not a Client Portal Gateway: {part} is missing.", fix)
    if not any((folder / "build/lib/runtime").glob("*.jar")):
        raise UsageError(f"The gateway in {folder} is not complete: build/lib/runtime is empty.", fix)
    return folder


def java_spec(
    url: str,
    gateway_dir: Path,
    run_dir: Path,
    *,
    java: Java,
    env: Mapping[str, str],
    proxy_host: str = conf.API_HOST,
    proxy_ssl: bool | None = None,
    allow: Sequence[str] = (conf.LOCAL,),
    region: str = "US",
    auth_delay_ms: int = 3000,
    own_conf: Path | None = None,
    fingerprint: str = "",
    tied: bool = False,
) -> Spec:
    """The real gateway, java started directly (login.md §9.1, last but one paragraph of "Starting").

    The run folder comes first on the class path, so that our configuration and log settings
    win; the installation is only read and can serve several profiles.

    Args:
        url: where it shall listen, on this machine.
        run_dir: private folder of the profile, made at the start.
        env: our environment; only an allow-list of it is passed on.
        proxy_host: IBKR's origin or a simulator's; `proxy_ssl` None: TLS by its scheme.
        allow, region, auth_delay_ms: as `conf.write` has them.
        own_conf: run on this configuration of the user's as it is, with our log settings;
            `url` must be what it says, and its certificate is then trusted by `fingerprint`.

    Raises:
        UsageError: no gateway in that folder, or `url` is not on this machine.
        GatewayFault: a path that java's class path cannot express.
    """
    install = check_install(gateway_dir)
    _check_local(url)
    folder = RunFolder(run_dir.absolute())
    tls = urlsplit(url).scheme == "https"
    proxy_ssl = urlsplit(proxy_host).scheme != "http" if proxy_ssl is None else proxy_ssl
    write = partial(
        conf.write,
        folder,
        port_of(url),
        tls=tls,
        proxy_host=proxy_host,
        proxy_ssl=proxy_ssl,
        allow=allow,
        region=region,
        auth_delay_ms=auth_delay_ms,
    )
    return Spec(
        kind="java",
        argv=_java_argv(java, install, folder, own_conf),
        cwd=folder.path,
        env=clean_env(env),
        folder=folder,
        url=url,
        tied=tied,
        ca_file=folder.certificate if tls and own_conf is None else None,
        fingerprint=fingerprint,
        settings=(proxy_host, str(proxy_ssl), region, str(auth_delay_ms), *allow),
        prepare=write if own_conf is None else partial(_log_settings_alone, folder),
    )


def _log_settings_alone(folder: RunFolder) -> None:
    folder.conf.unlink(missing_ok=True)  # ours would win when the user's has the same name
    conf.write_log_settings(folder)


def _check_local(url: str) -> None:
    port_of(url)
    if urlsplit(url).hostname not in LOOPBACK:
        raise UsageError(
            f"{url} is not on this machine, and ibtui starts gateways only here.",
            "Leave gateway_dir empty to use a gateway elsewhere.",
        )


def _java_argv(java: Java, install: Path, folder: RunFolder, own_conf: Path | None) -> tuple[str, ...]:
    first = [folder.path] if own_conf is None else [folder.path, own_conf.absolute().parent]
    path = [str(p) for p in (*first, install / "root", install / JAR, install / "build/lib/runtime/*")]
    broken = next((p for p in path if ":" in p), None)
    if broken is not None:
        raise GatewayFault(
            f"Java cannot use a folder with a colon in its name: {broken}.", "Choose another folder."
        )
    name = "conf.yaml" if own_conf is None else own_conf.name
    return (str(java.path), *OPTIONS, "-cp", ":".join(path), MAIN, "--conf", name)


def command_spec(
    argv: Sequence[str],
    run_dir: Path,
    *,
    env: Mapping[str, str],
    url: str = "",
    cwd: Path | None = None,
    tied: bool = True,
    ends_at_eof: bool = False,
    ca_file: Path | None = None,
    fingerprint: str = "",
    any_answer: bool = False,
    ready_file: Path | None = None,
    label: str = "",
) -> Spec:
    """A program in place of java (the simulator, a script), as an argument list, without a shell.

    Args:
        argv: the program and its arguments.
        run_dir: private folder of the profile; the program's current folder unless `cwd` is given.
        url: where it answers; may be empty when `ready_file` is given.
        tied: ends with us. A program that does not watch its standard input is tied all the same.
        ends_at_eof: it watches its standard input itself, and needs no watcher beside it.
        any_answer: any status from 200 to 399 means up.
        label: what it is called for a person.

    Raises:
        UsageError: no program, or neither an address nor a ready file.
    """
    if not argv or not argv[0]:
        raise UsageError(
            "The gateway command is empty.", "Set gateway_command to a program and its arguments."
        )
    if not url and ready_file is None:
        raise UsageError("The gateway command has no address.", "Set gateway_url in the profile.")
    if url:
        port_of(url)
    folder = RunFolder(run_dir.absolute())
    return Spec(
        kind="command",
        argv=tuple(argv),
        cwd=(cwd or folder.path).absolute(),
        env=clean_env(env),
        folder=folder,
        url=url,
        tied=tied,
        ends_at_eof=ends_at_eof,
        ca_file=ca_file,
        fingerprint=fingerprint,
        any_answer=any_answer,
        ready_file=ready_file,
        label=label,
    )
