"""Why a gateway process ended or never answered, from its own words (login.md §9.1)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from ibtui.errors import GatewayFault
from ibtui.gateway.health import Health, Kind
from ibtui.gateway.java import install_hint

LISTEN_FAILED = ("Address already in use", "Server listen failed")
"""Printed when the port is taken; the gateway then lives on and does nothing."""

_KNOWN: tuple[tuple[str, str, Callable[[], str]], ...] = (
    (
        "UnsupportedClassVersionError",
        "This Java is too old for the gateway.",
        install_hint,
    ),
    (
        "OutOfMemoryError",
        "The gateway ran out of memory.",
        lambda: "Free some memory (it needs about 200 MB) and start it again.",
    ),
    (
        "insufficient memory for the Java Runtime",
        "There is not enough memory to start Java.",
        lambda: "Free some memory (the gateway needs about 200 MB) and start it again.",
    ),
    (
        "Could not reserve enough space",
        "There is not enough memory to start Java.",
        lambda: "Free some memory (the gateway needs about 200 MB) and start it again.",
    ),
    (
        "Stream closed",
        "The gateway did not find its configuration on the class path.",
        lambda: "Start it through ibtui, which writes one; an own configuration must exist and be readable.",
    ),
    (
        "Could not find or load main class",
        "The gateway's program is missing or damaged.",
        lambda: "Install it again: ibtui gateway install",
    ),
    (
        "keystore password was incorrect",
        "The gateway cannot open its key store.",
        lambda: "Start it again; an own configuration must name the right sslPwd.",
    ),
    (
        "No space left on device",
        "The disk is full.",
        lambda: "Free some space and start the gateway again.",
    ),
    (
        "Permission denied",
        "The gateway may not read or write a file it needs.",
        lambda: "Look at its last lines: ibtui gateway logs",
    ),
)


def listen_failed(lines: Sequence[str]) -> bool:
    """Whether the process says that its port was taken."""
    return any(mark in line for line in lines for mark in LISTEN_FAILED)


def port_taken(port: int, who: str, platform: str) -> GatewayFault:
    """Somebody else listens on our port. `who`: its name and pid, empty when unknown."""
    by = f" by {who}" if who else ""
    fix = "Stop that program, or give the profile another port in gateway_url."
    if platform == "darwin" and port in (5000, 7000):
        fix = (
            "macOS uses it for AirPlay: switch off System Settings > General > AirDrop & Handoff > "
            "AirPlay Receiver, or give the profile another port in gateway_url."
        )
    return GatewayFault(f"Port {port} is taken{by}.", fix)


def early_death(code: int | None, lines: Sequence[str], seconds: float) -> GatewayFault:
    """The process ended before it answered."""
    known = explain(lines)
    if known is not None:
        return known
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    said = f' Its last line: "{last}".' if last else " It printed nothing."
    return GatewayFault(
        f"The gateway ended after {seconds:.1f} s ({ending(code)}).{said}",
        "All of its output: ibtui gateway logs",
    )


def explain(lines: Sequence[str]) -> GatewayFault | None:
    """A sentence for a text we know; None for all others."""
    for mark, what, fix in _KNOWN:
        if any(mark in line for line in lines):
            return GatewayFault(what, fix())
    return None


def no_answer(seconds: float, health: Health, lines: Sequence[str]) -> GatewayFault:
    """The process lives, but did not answer in time."""
    known = explain(lines)
    if known is not None:
        return known
    why = describe(health)
    return GatewayFault(
        f"The gateway did not answer within {seconds:g} s: {why}.", "All of its output: ibtui gateway logs"
    )


def denied(url: str) -> GatewayFault:
    """The gateway runs, but its address list refuses us (login.md §9.7)."""
    return GatewayFault(
        f"The gateway at {url} refuses this machine: its address list (ips) does not name it.",
        "Add 127.0.0.1 to ips.allow in its configuration.",
    )


def unwritable(folder: Path, error: OSError) -> GatewayFault:
    """The run folder cannot be used."""
    return GatewayFault(
        f"The gateway's run folder {folder} cannot be written: {error.strerror}.",
        "Make it yours, or free some space, and start again.",
    )


def describe(health: Health) -> str:
    """What was found at the gateway's address, as part of a sentence."""
    words = {
        Kind.UP: "it answers",
        Kind.NOTHING: "nothing listens on its port",
        Kind.NO_TLS: "its port does not speak the expected protocol",
        Kind.CERTIFICATE: "its certificate is not the trusted one",
        Kind.DENIED: "its address list refuses this machine",
        Kind.STRANGER: "what answers is not a gateway",
        Kind.HANG: "its port accepts connections but nothing answers",
    }[health.kind]
    return f"{words} ({health.detail})" if health.detail else words


def ending(code: int | None) -> str:
    """How a process ended: `exit status 1`, `killed by SIGKILL`."""
    if code is None:
        return "reason unknown"
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    if code > 128 and code - 128 in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP):
        return f"ended by {signal.Signals(code - 128).name}"
    return f"exit status {code}"
