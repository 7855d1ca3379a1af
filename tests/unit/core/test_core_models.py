"""Numbers in the broker's text, and the feed's promises."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from ibtui.core.feed import ALL, Change, Hub
from ibtui.core.models import Lamp, Status, number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("193.18", "193.18"),
        ("1,006,413", "1006413"),
        ("C193.18", "193.18"),
        ("H5", "5"),
        ("-0.73%", "-0.73"),
        ("46.2M", "46200000"),
        ("823K", "823000"),
        ("3010B", "3010000000000"),
        ("9.718696E5", "971869.6"),
        (" 5 ", "5"),
    ],
)
def test_numbers(text: str, value: str) -> None:
    assert number(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", [None, "", "N/A", "null", "-", "NaN", "Infinity", "1.7976931348623157E308", "abc", "C"]
)
def test_no_numbers(text: str | None) -> None:
    assert number(text) is None


def test_ready_is_claimed_only_when_all_three_are_on() -> None:
    on = Lamp(state="on")
    assert Status(gateway=on, sso=on, brokerage=on).ready
    assert not Status(gateway=on, sso=on, brokerage=Lamp(state="busy")).ready


async def test_feed_merges_keeps_and_collapses() -> None:
    hub = Hub()
    feed = hub.subscribe()
    hub.publish([])
    fill = Change("execution", "e", ALL, keep=True)
    hub.publish([Change("quote", "1", frozenset({"31"})), fill, fill])
    hub.publish(iter([Change("quote", "1", frozenset({"84"}))]))
    async with asyncio.timeout(1):
        await feed.wait()
    assert feed.drain() == [fill, fill, Change("quote", "1", frozenset({"31", "84"}))]
    assert feed.drain() == []
    hub.publish([Change("quote", str(number_), ALL) for number_ in range(20_001)] + [fill])
    assert feed.drain() == [fill, Change("quote", "*")]
    feed.close()
    feed.close()
    hub.publish([fill])
    assert feed.drain() == []
