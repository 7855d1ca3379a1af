"""The demo as text: start, log in, read, print, leave nothing running."""

from __future__ import annotations

from typing import Any

from ibtui.config import Settings
from ibtui.service import actions, output
from ibtui.service.commands.context import run
from ibtui.service.commands.panes import PANES, print_pane
from ibtui.service.runtimes import runtime_for

SHOWN = ("accounts", "positions", "orders", "pnl")


def as_text(settings: Settings, *, as_json: bool) -> int:
    """Print status, accounts, positions, orders and P&L of the simulator; 0 when all three lamps are on."""

    async def work() -> bool:
        async with runtime_for(settings) as runtime:
            await actions.bring_up(runtime, runtime.unattended(), output.say)
            await runtime.settled("pnl")
            if as_json:
                _json(runtime)
            else:
                _text(runtime)
            return runtime.status.ready

    return 0 if run(work()) else 1


def _json(runtime: Any) -> None:
    document: dict[str, Any] = {"status": output.status_json(runtime.status)}
    for name in SHOWN:
        pane = PANES[name]
        document[name] = [pane.document(runtime.store, row) for row in pane.rows(runtime.store)]
    output.dump(document)


def _text(runtime: Any) -> None:
    output.status_text(runtime.status)
    for name in SHOWN:
        rows = list(PANES[name].rows(runtime.store))
        output.out()
        output.out("P&L" if name == "pnl" else name.capitalize())
        print_pane(PANES[name], rows, runtime.store, as_json=False)
