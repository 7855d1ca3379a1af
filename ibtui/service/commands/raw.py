"""`ibtui request` and `ibtui ws`: the universal calls."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec

from ibtui import given
from ibtui.clock import Clock, Tasks
from ibtui.errors import UsageError
from ibtui.service import actions, output
from ibtui.service.commands.context import Context, run
from ibtui.service.runtimes import runtime_for

SILENCE_S = 5.0
"""Seconds without a message of a topic after which a person is told that it is waited for."""


def request(context: Context, method: str, path: str, params: tuple[str, ...], data: str | None) -> int:
    """One REST call; prints the reply as JSON, or as text where it is none."""
    query = dict(_pair(word) for word in params)
    body = _body(data)

    async def work() -> Any:
        async with runtime_for(context.settings) as runtime:
            return await runtime.request(path, method.upper(), body, query)

    found = run(work())
    if isinstance(found, str) and not context.as_json:
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
    text = sys.stdin.read(given.LONGEST + 1) if data == "-" else data
    if len(text) > given.LONGEST:
        raise UsageError("--data is too large.", "IBKR takes no such body.")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"--data is not JSON: {error}.", "Example: --data '{\"conid\":265598}'") from None


def ws(context: Context, frames: tuple[str, ...], count: int | None, seconds: float | None) -> int:
    """Send frames on the session's WebSocket and print what comes, one JSON object a line."""

    async def work() -> None:
        async with runtime_for(context.settings) as runtime:
            await actions.need_session(runtime)
            silent = [name for name in map(_topic, frames) if name]
            reminder = Tasks()
            reminder.start(_remind(silent, runtime.clock), "silent topics")
            left = count
            try:
                async with asyncio.timeout(seconds):
                    async for message in runtime.frames(frames):
                        output.dump(message)
                        silent[:] = [name for name in silent if not _about(message, name)]
                        left = None if left is None else left - 1
                        if left == 0:
                            return
            finally:
                await reminder.close()

    try:
        run(work())
    except TimeoutError:
        return 0
    return 0


def _topic(frame: str) -> str:
    """What its messages are called: `smd+265598` of `smd+265598+{...}`; empty for no subscription."""
    name = frame.strip().split("+{", 1)[0].rstrip("+")
    return name if name[:1] == "s" and len(name.split("+")[0]) == 3 else ""


def _about(message: Any, name: str) -> bool:
    """Whether a message is of a topic; IBKR leaves targets out, or adds some (web-api.md §7.7)."""
    topic = str(message.get("topic", "")) if isinstance(message, dict) else ""
    return topic != "" and ((topic + "+").startswith(name + "+") or (name + "+").startswith(topic + "+"))


async def _remind(silent: list[str], clock: Clock) -> None:
    await clock.sleep(SILENCE_S)
    if silent:
        output.say(f"No message on {', '.join(silent)} yet; Ctrl+C ends.")
