"""`ibtui sim`: the simulator as a server."""

from __future__ import annotations

from pathlib import Path

from ibtui.service.commands.context import run


def sim(
    host: str,
    port: int,
    plain: bool,
    scenario: str | None,
    seed: int,
    logged_in: str | None,
    tied: bool,
    ready: Path | None,
) -> int:
    """Serve until told to stop (or, tied, until standard input ends)."""
    from ibtui.sim.main import Options
    from ibtui.sim.main import run as serve

    options = Options(
        host=host,
        port=port,
        plain=plain,
        scenario=scenario or "default",
        seed=seed,
        logged_in=logged_in or "",
        tied=tied,
        ready=ready,
    )
    return run(serve(options))
