"""Find a Java that can run the gateway (8u192 or newer), or say how to get one."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ibtui.errors import GatewayFault, UsageError

OLDEST = (8, 192)
"""Feature release and update that IBKR asks for."""
TIMEOUT = 20.0
"""Seconds for `java -version`; half a second is usual, a cold disk takes longer."""
_HOMEBREW = ("/opt/homebrew/opt/openjdk/bin/java", "/usr/local/opt/openjdk/bin/java")
"""Homebrew does not link its openjdk into the path."""
_VERSION = re.compile(r'version "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Java:
    """A java that was run once: where it is, its own version text, (feature, update)."""

    path: Path
    version: str
    release: tuple[int, int]


async def find_java(
    setting: str, env: Mapping[str, str], *, timeout: float = TIMEOUT, platform: str = sys.platform
) -> Java:
    """The java to use: the setting, else JAVA_HOME, else PATH (and Homebrew's place on macOS).

    Args:
        setting: path of java or of its home; empty when not set. When set nothing else is tried.
        env: the environment (JAVA_HOME and PATH are read).
        timeout: seconds for `java -version`.

    Raises:
        UsageError: the setting does not name a program.
        GatewayFault: no java, one that cannot be run, or one that is too old.
    """
    path = _candidate(setting, env, platform)
    if path is None:
        raise GatewayFault("The gateway needs Java, and none was found.", install_hint(platform))
    output = await _version_of(path, timeout)
    found = _VERSION.search(output)
    if found is None:
        # macOS has a /usr/bin/java that only says where Java could be got.
        raise GatewayFault(f"{path} does not run as Java.", install_hint(platform))
    release = parse_version(found[1])
    if release < OLDEST:
        raise GatewayFault(
            f"{path} is Java {found[1]}; the gateway needs 8u192 or newer.", install_hint(platform)
        )
    return Java(path, found[1], release)


def parse_version(text: str) -> tuple[int, int]:
    """`1.8.0_192` -> (8, 192), `17.0.15` -> (17, 15), `21-ea` -> (21, 0); (0, 0) when it is none of them."""
    numbers = [int(n) for n in re.findall(r"\d+", text.partition("-")[0].partition("+")[0])]
    if not numbers:
        return 0, 0
    if numbers[0] == 1 and len(numbers) > 1:
        return numbers[1], numbers[3] if len(numbers) > 3 else 0
    return numbers[0], numbers[2] if len(numbers) > 2 else 0


def install_hint(platform: str = sys.platform, os_release: str | None = None) -> str:
    """The command that installs Java here. `os_release`: the text of /etc/os-release."""
    if platform == "darwin":
        return "Install one: brew install openjdk"
    if os_release is None:
        try:
            os_release = Path("/etc/os-release").read_text(encoding="utf-8")
        except OSError:
            os_release = ""
    words = set(re.findall(r"[a-z]+", " ".join(re.findall(r'(?m)^ID(?:_LIKE)?="?([^"\n]*)', os_release))))
    for names, line in (
        ({"debian", "ubuntu"}, "sudo apt install openjdk-17-jre-headless"),
        ({"fedora", "rhel", "centos"}, "sudo dnf install java-17-openjdk-headless"),
        ({"arch"}, "sudo pacman -S jre17-openjdk-headless"),
        ({"alpine"}, "sudo apk add openjdk17-jre-headless"),
        ({"suse", "opensuse"}, "sudo zypper install java-17-openjdk-headless"),
    ):
        if words & names:
            return f"Install one: {line}"
    return "Install a Java runtime (17 is good) and put it on PATH, or set `java` in the profile."


def _candidate(setting: str, env: Mapping[str, str], platform: str) -> Path | None:
    if setting:
        path = Path(setting).expanduser()
        found = _program(path) or _program(path / "bin" / "java")
        if found is None:
            raise UsageError(
                f"The setting java = {setting!r} is not a program.",
                "Set it to the path of java, or empty to look for one.",
            )
        return found
    home = env.get("JAVA_HOME", "")
    if home and (found := _program(Path(home) / "bin" / "java")):
        return found
    on_path = shutil.which("java", path=env.get("PATH", ""))
    brewed = (Path(p) for p in (_HOMEBREW if platform == "darwin" else ()))
    # Homebrew first: /usr/bin/java exists on every Mac, also without Java.
    return next((p for p in brewed if _program(p)), None) or (Path(on_path) if on_path else None)


def _program(path: Path) -> Path | None:
    return Path(path) if shutil.which(str(path.absolute())) else None


async def _version_of(path: Path, timeout: float) -> str:
    try:
        child = await asyncio.create_subprocess_exec(
            path,
            "-version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={},
        )
    except OSError as error:
        raise GatewayFault(f"{path} cannot be run: {error.strerror}.", install_hint()) from None
    try:
        async with asyncio.timeout(timeout):
            output, _ = await child.communicate()
    except TimeoutError:
        raise GatewayFault(
            f"{path} -version did not answer within {timeout:g} s.",
            "Try again, or set `java` in the profile.",
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return output.decode("utf-8", "replace")
