"""Runs a login conversation: carries out its effects and gives it their results (DESIGN §3, auth)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ibtui.auth.effects import Answers, Ask, Effect, Flow, Note, Send, Spend, T, Wait
from ibtui.clock import Clock
from ibtui.core.rest import Rest
from ibtui.errors import IbtuiError, UsageError

Count = Callable[[Spend], Awaitable[None]]
"""Counts on disk; returns only after fsync."""


async def run(flow: Flow[T], answers: Answers, rest: Rest, clock: Clock, spend: Count | None = None) -> T:
    """Drive `flow` to its end and return what it returns.

    Typed errors of the transport and of the answers are thrown into the flow, which may
    handle them; those it lets pass are raised here. Whatever ends the drive (a result, an
    error, cancellation), the flow is closed, so that it drops its secrets.

    Raises:
        IbtuiError: what the flow raises or does not handle.
        UsageError: the flow counts something and `spend` is None.
    """
    await rest.new_conversation()
    try:
        effect = next(flow)
        while True:
            try:
                result = await _perform(effect, answers, rest, clock, spend)
            except IbtuiError as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        flow.close()
        await rest.new_conversation()


async def _perform(effect: Effect, answers: Answers, rest: Rest, clock: Clock, spend: Count | None) -> Any:
    match effect:
        case Send():
            return await rest.send(effect)
        case Ask(challenge):
            return await answers.ask(challenge)
        case Wait(seconds):
            return await clock.sleep(seconds)
        case Note():
            return answers.note(effect)
        case Spend():
            if spend is None:
                raise UsageError("This conversation counts attempts, and there is nowhere to count them.")
            return await spend(effect)
