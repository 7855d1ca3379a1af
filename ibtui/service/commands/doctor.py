"""`ibtui doctor`."""

from __future__ import annotations

from dataclasses import asdict, replace

from ibtui.core.models import Status
from ibtui.errors import UsageError
from ibtui.service import doctor, output
from ibtui.service.commands.context import Context, run
from ibtui.service.commands.session import exit_of
from ibtui.service.doctor import Finding
from ibtui.service.runtimes import runtime_for

MARKS = {"ok": "✓", "note": "·", "warn": "!", "broken": "✗"}
SESSION = ("gateway", "token", "login", "brokerage")
"""The links that lamps show."""


def examine(context: Context) -> int:
    """Print every link of the chain, then the first broken one and its fix; exit as `status` does.

    A broken link that no lamp shows (java is missing while a gateway runs) is exit 1, settings are 2.
    """

    async def work() -> tuple[list[Finding], Status]:
        async with runtime_for(context.settings) as runtime:
            return await doctor.look(context.settings, runtime), runtime.status

    found, status = run(work())
    found = [replace(one, fix=output.next_step(one.fix)) for one in found]
    first = next((one for one in found if one.state == "broken"), None)
    if context.as_json:
        output.dump({"ready": status.ready, "first_broken": first.link if first else None,
                     "links": [asdict(one) for one in found]})  # fmt: skip
    else:
        width = max(len(one.link) for one in found)
        for one in found:
            output.out(f"{MARKS[one.state]} {one.link:<{width}}  {one.text}")
            if one.fix and one.state != "ok":
                output.out(f"  {'':<{width}}  → {one.fix}")
        if first is not None:
            output.say(f"First broken link: {first.link}. {first.fix}".rstrip())
        elif status.ready:
            output.say("Nothing is broken.")
        else:
            why = next((f" {it.link}: {it.text.rstrip('.')}. {it.fix}" for it in found
                        if it.link in SESSION and it.state != "ok" and it.fix), "")  # fmt: skip
            output.say(f"Nothing is broken, but not ready yet.{why}".rstrip())
    if first is not None and first.link == "settings":
        return UsageError.exit_code
    return exit_of(status, direct=context.profile.direct) or (1 if first is not None else 0)
