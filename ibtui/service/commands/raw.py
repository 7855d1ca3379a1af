"""`ibtui request` and `ibtui ws`: the universal calls."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec

from ibtui.errors import UsageError
from ibtui.service import actions, output
from ibtui.service.commands.context import Context, run
from ibtui.service.runtimes import runtime_for


def request(context: Context, method: str, path: str, params: tuple[str, ...], data: str | None) -> int:
    """One REST call; prints the reply as JSON, or as text where it is none."""
    query = dict(_pair(word) for word in params)
    body = _body(data)

    async def work() -> Any:
        async with runtime_for(context.settings) as runtime:
            return await runtime.request(path, method.upper(), body, query)

    found = run(work())
    if isinstance(found, str):
        output.out(output.safe(found))
    else:
        output.dump(found)
    return 0


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise UsageError(f"--param {word!r} is not K=V.", "Example: --param conids=265598")
    return key, value


def _body(data: str | None) -> Any:
    if data is None:
        return None
    text = sys.stdin.read() if data == "-" else data
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UsageError(f"--data is not JSON: {error}.", "Example: --data '{\"conid\":265598}'") from None


def ws(context: Context, frames: tuple[str, ...], count: int | None, seconds: float | None) -> int:
    """Send frames on the session's WebSocket and print what comes, one JSON object a line."""

    async def work() -> None:
        async with runtime_for(context.settings) as runtime:
            await actions.need_session(runtime)
            left = count
            async with asyncio.timeout(seconds):
                async for message in runtime.frames(frames):
                    output.dump(message)
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    try:
        run(work())
    except TimeoutError:
        return 0
    return 0
