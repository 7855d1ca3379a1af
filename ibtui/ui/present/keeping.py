"""The Session screen's facts as lines: attempts, IB Key, keep-alive, and when the login ends."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ibtui.ui.present.numbers import duration
from ibtui.ui.present.spans import Line, clean, line, width

if TYPE_CHECKING:
    from ibtui.core.models import Keeping, LoginFacts, Status

FEW = 10
"""Logins with IB Key at which it is time to think of enrolling it again."""
EVERY_S = 15
"""Seconds between two of them; the keep-alive's own figure (`service.keeper`) is not for the first frame."""
LATE_S = 150.0
"""Seconds without an answered keep-alive that are worth a look: ten of them."""
_NEW_YORK = "America/New_York"


def moment(then: datetime, now: datetime) -> str:
    """Local time without seconds: `08:19`, and on another day `20 Nov 08:19`."""
    local = then.astimezone()
    same = local.date() == now.astimezone().date()
    return f"{local:%H:%M}" if same else f"{local.day} {local:%b %H:%M}"


def expires(reset: datetime, now: datetime, room: int = 80) -> str:
    """`expires at midnight New York (9 h 28 m)`; in local time where it is another hour, or too long for
    `room` cells.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # not for the first frame

    left = duration((reset - now).total_seconds())
    try:
        there = reset.astimezone(ZoneInfo(_NEW_YORK))
    except ZoneInfoNotFoundError:  # a system without time zone data
        return _local(reset, now, left, room)
    text = f"expires at midnight New York ({left})"
    if (there.hour, there.minute) == (0, 0) and len(text) <= room:
        return text
    return _local(reset, now, left, room)


def _local(reset: datetime, now: datetime, left: str, room: int = 80) -> str:
    near = (reset - now).total_seconds() < 86_400
    text = f"expires {f'at {reset.astimezone():%H:%M}' if near else moment(reset, now)}"
    return f"{text} ({left})" if len(text) + len(left) + 3 <= room else text


def facts(found: LoginFacts, now: datetime, alive: Line, room: int = 80) -> list[Line]:
    """`Attempts  0 of 4 used   IB Key  61 logins left   Keep-alive  ok 12 s ago`; `alive` of `keep_alive`.

    The keep-alive gets a line of its own where all that is longer than `room` cells.
    """
    used = "warn" if found.attempts else ""
    out = [(" Attempts  ", "muted"), (f"{found.attempts} of {found.limit} used", used)]
    if 0 < found.limit <= found.attempts:
        out.append((": ibtui login --reset-attempts", "warn"))
    elif found.wait_until is not None and found.wait_until > now:
        left = duration((found.wait_until - now).total_seconds())
        out.append((f", automatic logins wait {left}", "warn"))
    if found.logins_left is not None:
        few = "bad" if found.logins_left == 0 else "warn" if found.logins_left <= FEW else ""
        out += [("   IB Key  ", "muted"), (f"{found.logins_left} logins left", few)]
    if found.unfinished is not None:
        out.append(("   IB Key unfinished: ibtui ibkey status", "warn"))
    together: Line = (*out, ("   ", ""), *alive)
    if width(together) <= room:
        return [together]
    return [tuple(out), ((" ", ""), *alive)]


def keep_alive(
    found: Keeping, enabled: bool, age: float | None, status: Status | None, now: datetime
) -> Line:
    """`Keep-alive  ok 12 s ago · runs on its own`.

    Args:
        found: as the runtime has it.
        enabled: the profile's `keep_alive`.
        age: seconds since the last keep-alive that was answered, None if none was.
    """
    head = ("Keep-alive  ", "muted")
    if not enabled:
        return line(head, "off (keep_alive = false)")
    alone = (" · runs on its own", "muted") if found.shared else ""
    why = clean(found.why)
    match found.mode:
        case "waiting":
            left = "" if found.until is None else f" {duration((found.until - now).total_seconds())}"
            return line(head, (f"waiting{left}{f': {why}' if why else ''}", "warn"))
        case "yielding":
            until = "" if found.until is None else f" until {moment(found.until, now)}"
            return line(head, (f"yielding{until}", "warn"), ("; t takes it back", "muted"))
        case "person":
            if status is not None and status.brokerage.state == "warn":
                why = why.partition("; ")[0]  # the lamp names the keys
            return line(head, (f"needs you: {why}" if why else "needs you", "warn"))
        case "paused" | "off":
            return line(head, ("stopped", "warn"), (f": {why}" if why not in ("", "stopped") else "", ""))
    if status is None or status.sso.state not in ("on", "warn"):
        return line(head, "begins with the login", alone)
    if age is None:
        return line(head, f"on, every {EVERY_S} s", alone)
    return line(head, (f"ok {duration(age)} ago", "warn" if age > LATE_S else ""), alone)
