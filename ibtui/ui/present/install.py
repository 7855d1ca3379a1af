"""The install page as lines: what is here, the progress of a download, what is installed now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from ibtui.ui.present.numbers import duration
from ibtui.ui.present.spans import Line, clean, line

if TYPE_CHECKING:
    from ibtui.errors import IbtuiError
    from ibtui.service.installing import Outcome, Survey

DOWNLOAD, UNPACK, READY = "Download", "Check and unpack", "Installed"
STEPS = (DOWNLOAD, UNPACK, READY)
PHASES = {"downloading": DOWNLOAD, "unpacking": UNPACK}
_BAR = 40
_HANG = " " * 13


@dataclass(slots=True)
class Meter:
    """How far a phase is; filled from whatever thread does the work, read by the screen.

    `monotonic` gives seconds.
    """

    monotonic: Callable[[], float]
    phase: str = ""
    done: int = 0
    total: int | None = None
    began: float = 0.0
    start: int = 0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """As `installing.Told`; bytes."""
        if phase != self.phase:
            # What was here from an earlier download does not count for the speed.
            self.phase, self.began, self.start = phase, self.monotonic(), done
        self.done, self.total = done, total

    @property
    def seconds(self) -> float:
        """Since the phase began."""
        return self.monotonic() - self.began

    @property
    def speed(self) -> float:
        """Megabytes a second."""
        return (self.done - self.start) / 1e6 / max(self.seconds, 1e-3)


def looking() -> list[Line]:
    """While nothing is known yet."""
    return [line("   Looking at what is installed and whether there is a Java …")]


def offer(found: Survey, note: str = "") -> list[Line]:
    """Before anything is done: from where, to where, what is here."""
    out = [line("   ", (clean(note), "strong")), line("")] if note else []
    out += [
        line("   IBKR's Client Portal Gateway, a Java program of about 12 MB, is downloaded"),
        line("   and unpacked for you alone. The one used until now is kept, to go back to."),
        line(""),
        _row("From", clean(found.address)),
        _row("To", clean(str(found.folder))),
        _row("Now here", _named(found.current) if found.current is not None else "none"),
    ]
    if found.warning:
        out.append(line(_HANG, ("▲ ", "warn"), found.warning))
    if found.previous is not None:
        out.append(_row("Before it", f"{_named(found.previous)} (b goes back)"))
    if found.begun:
        out.append(_row("Begun", f"{found.begun / 1e6:.1f} MB have come already; it goes on from there"))
    out += _java(found.java, found.java_trouble)
    if not found.used:
        out += [line(""), *_unused()]
    return out


def working(meter: Meter, address: str) -> list[Line]:
    """A bar with share, speed and time; without a size known, bytes alone."""
    if not meter.phase:
        return [line(f"   Asking {clean(address)} …")]
    share = min(1.0, meter.done / meter.total) if meter.total else None
    size = f"{meter.done / 1e6:.1f}" + (f" of {meter.total / 1e6:.1f} MB" if meter.total else " MB")
    filled = round(_BAR * share) if share is not None else 0
    percent = f"{int(100 * share):3d} %" if share is not None else "  ? %"
    word = "downloading" if meter.phase == "downloading" else "checking and unpacking"
    return [
        line("   ", (word, "title")),
        line(""),
        line("   ", ("█" * filled, "accent"), ("─" * (_BAR - filled), "muted"), f"  {percent}"),
        line(f"   {size}   {meter.speed:.1f} MB/s   {duration(meter.seconds)}"),
        line(""),
        line(("   esc stops it; what has come is kept, and the next time goes on from there.", "muted")),
    ]


def result(found: Outcome, *, back: bool, running: bool, used: bool) -> list[Line]:
    """What is installed now, and the next step.

    Args:
        back: it was the way back, not an installation.
        running: a gateway runs; it goes on with the old program.
    """
    head = "is in use again" if back else "is installed" if found.changed else "was installed already"
    out = [
        line("   ", ("✓ ", "good"), (f"The gateway {clean(found.installed.version)} {head}.", "strong")),
        line(""),
        _row("Built", _date(found.installed.built)),
        _row("Folder", clean(found.installed.path) + (" (only read)" if found.installed.adopted else "")),
    ]
    if found.previous is not None:
        out.append(_row("Before it", f"{_named(found.previous)} (b goes back)"))
    if found.java:
        out.append(_row("Java", found.java))
    out += [line("   ", ("▲ ", "warn"), clean(warning)) for warning in found.warnings]
    out.append(line(""))
    if not used:
        return out + _unused()
    if running:
        return [*out, line("   ", ("→ ", "accent"), "The gateway that runs goes on with the old program: "
                           "enter restarts it.")]  # fmt: skip
    return [*out, line("   ", ("→ ", "accent"), "Enter starts it.")]


def failed(error: IbtuiError, kept: int) -> list[Line]:
    """A sentence, and the way out; `kept` bytes of the download wait for the next try."""
    out = [
        line("   ", ("✕ ", "bad"), (clean(error.title), "strong")),
        line("   ", clean(error.what)),
        *([line("   ", ("→ ", "accent"), clean(error.fix))] if error.fix else []),
        line(""),
    ]
    if kept:
        out.append(line((f"   {kept / 1e6:.1f} MB are kept; enter goes on from there.", "muted")))
    out.append(line(("   What was installed before is unharmed.", "muted")))
    return out


def _named(found: object) -> str:
    version, built = getattr(found, "version", ""), getattr(found, "built", None)
    return f"{clean(version)}, built {_date(built)}"


def _date(day: date | None) -> str:
    return f"{day.day} {day:%B %Y}" if day is not None else "at an unknown date"


def _row(name: str, text: str) -> Line:
    return line((f"   {name:<9} ", "muted"), text)


def _java(version: str, trouble: IbtuiError | None) -> list[Line]:
    if trouble is None:
        return [_row("Java", version)]
    return [
        line(("   Java      ", "muted"), ("▲ ", "warn"), clean(trouble.what)),
        line(_HANG, ("→ ", "accent"), clean(trouble.fix)),
    ]


def _unused() -> list[Line]:
    return [
        line("   ", ("▲ ", "warn"), "This profile uses another gateway. To use the installed one, put"),
        line("     ", ('gateway_dir = "installed"', "strong"), " into its settings."),
    ]
