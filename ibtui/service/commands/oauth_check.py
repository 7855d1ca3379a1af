"""`ibtui oauth check`: the tests of `service.oauth_live` as text or JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ibtui.clock import SystemClock
from ibtui.config import Profile
from ibtui.errors import IbtuiError, UsageError
from ibtui.service import output
from ibtui.service.commands.context import Context, run
from ibtui.service.oauth_host import CONFIGURE, read_fields, read_way, registration_file
from ibtui.service.oauth_live import Result, live
from ibtui.service.oauth_live import offline as offline_test
from ibtui.service.oauth_state import Check

WIDTH = 30


def check(context: Context, *, offline: bool) -> int:
    """Test the profile's registration and say what each step has found; `offline` sends nothing.

    A profile of another mode is tested for `oauth1` if there is a registration for it, so that one
    can be tried before it is used. The exit status is that of the first failure.
    """
    profile = context.profile
    if not profile.direct and not registration_file(profile).exists():
        raise UsageError(
            f"The profile {profile.name} has no OAuth registration (mode {profile.mode}).", CONFIGURE
        )

    async def work() -> list[Result]:
        results = []
        async with aclosing(_results(context, profile, offline)) as steps:
            async for result in steps:
                results.append(result)
                if not context.as_json:
                    _print(result.check)
        return results

    results = run(work())
    failed = next((result.error for result in results if result.error is not None), None)
    if context.as_json:
        rows = [_row(result.check) for result in results]
        output.dump({"ok": failed is None, "profile": profile.name, "checks": rows})
    elif failed is None:
        output.say("Nothing was sent." if offline else "This registration works.")
    return failed.exit_code if failed is not None else 0


async def _results(context: Context, profile: Profile, offline: bool) -> AsyncGenerator[Result, None]:
    if profile.mode != "oauth2":
        path = registration_file(profile)
        try:
            given = await asyncio.to_thread(read_fields, profile)
        except IbtuiError as error:
            yield Result(Check("Registration", error.what, error.fix), error)
            return
        yield Result(Check("Registration", detail=str(path)))
        failed = False
        async for result in offline_test(given, SystemClock().now()):
            yield result
            failed = failed or result.error is not None
        if failed or offline:
            return
    try:
        way = await asyncio.to_thread(read_way, profile)
    except IbtuiError as error:
        yield Result(Check("Registration", error.what, error.fix), error)
        return
    if profile.mode == "oauth2":
        yield Result(Check("Registration", detail=f"{profile.oauth2_client_id}, key {profile.oauth2_key_id}"))
    if not offline:
        async for result in live(way, profile, context.settings.addresses):
            yield result


def _print(check: Check) -> None:
    mark = "ok" if check.ok else "FAILED"
    output.out(output.safe(f"{mark:<7} {check.name:<{WIDTH}} {check.detail or check.problem}"))
    if check.fix:
        output.out(output.safe(f"{'':<7} → {check.fix}"))


def _row(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "ok": check.ok,
        "detail": check.detail,
        "problem": check.problem,
        "fix": check.fix,
    }
