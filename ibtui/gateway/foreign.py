"""What the system knows of a gateway on this machine that somebody else has started."""

from __future__ import annotations

import asyncio

from ibtui.gateway import procs
from ibtui.gateway.spec import port_of
from ibtui.gateway.state import Info, State


async def look(url: str) -> Info:
    """Whoever listens at `url`: which process, since when, how much memory.

    All but the address is absent where nobody listens or the system keeps it to itself. The
    program is named because it need not be a gateway: a tunnel to one listens like that too.
    """
    return await asyncio.to_thread(_look, url)


def _look(url: str) -> Info:
    port = port_of(url)
    who = procs.holder(port)
    if who is None or not who.pid:
        return Info(State.EXTERNAL, url, port, program=who.command if who else "")
    return Info(
        State.EXTERNAL,
        url,
        port,
        who.pid,
        procs.started(who.pid),
        procs.resident(who.pid),
        program=who.command,
    )
