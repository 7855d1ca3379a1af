"""Every JSON example of web-api.md §2 to §7 against what a running simulator really says.

Same keys in the same order, same JSON types (int, float, text with a number, null), same way of writing
(dates, thousands commas, units). An example that no reply is held against fails the last test.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.sim.fidelity_inline import ALLOW, shot_of
from tests.sim.fidelity_tools import Example, blocks, differences, inline
from tests.sim.fidelity_tour import Tour, tour

pytestmark = pytest.mark.xdist_group("fidelity")
"""One worker, one tour."""


@pytest.fixture(scope="module")
def seen() -> Tour:
    """One tour for all tests; the simulator has ended by then."""
    return asyncio.run(asyncio.wait_for(tour(), 60))


EXAMPLES: dict[str, Example] = {
    "2.2/1": Example("status"),
    "2.2/2": Example("status over"),
    "2.3/1": Example("tickle"),
    "2.4/1": Example("validate"),
    "2.5/1": Example("init passed"),
    "3.1/1": Example("accounts"),
    "3.3/1": Example("meta"),
    "3.4/1": Example(
        "summary",
        {
            "=": "an excerpt of 45 to 135 keys",
        },
    ),
    "3.5/1": Example("brokerage summary"),
    "3.6/1": Example(
        "ledger",
        {
            "=": "one member a currency",
            "~*.exchangerate": "float for what is not the base currency",
        },
    ),
    "3.7/1": Example(
        "allocation",
        {
            "=assetClass.*": "by what the account holds",
            "=sector.*": "by what the account holds",
            "=group.*": "by what the account holds",
        },
    ),
    "3.8/1": Example("SPY positions cold"),
    "3.8/2": Example("SPY positions"),
    "3.9/1": Example("QQQ positions2"),
    "3.10/1": Example("pnl"),
    "3.11/1": Example("performance"),
    "4.1/1": Example("two orders"),
    "4.2/1": Example("order status"),
    "4.3/1": Example(
        "AMD trades",
        {
            "~*.order_ref": "a name",
            "~*.conidEx": "another contract",
        },
    ),
    "4.6/1": Example("accepted"),
    "4.6/2": Example("question"),
    "4.6/3": Example("cap question"),
    "4.6/4": Example("duplicate"),
    "4.6/5": Example("prompt"),
    "4.9/1": Example("preview without data", {"~amount.commission": "a fee of more than whole units"}),
    "4.10/1": Example("cancel"),
    "5.1/1": Example("stocks"),
    "5.2/1": Example("futures"),
    "5.3/1": Example("search"),
    "5.4/1": Example("info"),
    "5.5/1": Example("contract info"),
    "5.6/1": Example("rules"),
    "5.7/1": Example(
        "hours",
        {
            "=schedules": "by day",
        },
    ),
    "5.8/1": Example("snapshot cold"),
    "5.8/2": Example(
        "snapshot",
        {
            "+*.6508": "often comes unasked",
        },
    ),
    "5.9/1": Example("history"),
    "6/1": Example(
        "notes",
        {
            "~*.MD": "prose",
        },
    ),
    "7.3/1": Example("system"),
    "7.3/2": Example(
        "act",
        {
            "~args": "shortened in the notes; it is the object of 3.1, see below",
        },
    ),
    "7.3/3": Example("sts"),
    "7.3/4": Example("beat"),
    "7.4/1": Example("tic"),
    "7.6/1": Example("ntf"),
    "7.7/1": Example("smd", {"~6508": "opaque"}),
    "7.7/2": Example(
        "smd delta",
        {
            "+31": "a traded price",
            "+82": "moves with it",
            "+83": "moves with it",
            "+86": "moves with it",
        },
    ),
    "7.7/3": Example("sor 1"),
    "7.7/4": Example("sor 2"),
    "7.7/5": Example("sor 3"),
    "7.7/6": Example("sor 4"),
    "7.7/7": Example("sor 5"),
    "7.7/8": Example("str second"),
    "7.7/9": Example("spl"),
    "7.7/10": Example(
        "ssd",
        {
            "~result.*.value": "any text",
        },
    ),
    "7.7/11": Example("sld"),
    "7.7/12": Example("sbd"),
}


ALSO: list[tuple[str, Example]] = [
    ("2.2/1", Example("init", {"-fail": "the reply of ssodh/init has none (§2.5)"})),
    ("2.2/1", Example("tickle status", {"-fail": "nor has the object inside tickle (§2.3)"})),
    ("3.1/1", Example("act args")),
    ("3.3/1", Example("portfolio account")),
    ("3.3/1", Example("subaccount")),
    ("4.6/1", Example("bracket", {"+*.parent_order_id": "children", "-*.local_order_id": "children"})),
    ("4.6/1", Example("modified")),
    ("5.1/1", Example("stocks of several", {"=": "by symbol"})),
    ("5.5/1", Example("info part")),
    ("5.6/1", Example("rules part")),
    ("5.9/1", Example("smh", {"+topic": "§7.7"})),
    ("7.7/1", Example("smd again", {"~6508": "opaque"})),
    ("7.7/8", Example("str first", {"-args.*.commission": "comes seconds later"})),
    ("7.7/3", Example("sor modified", {"~args.*.fgColor": "of another status"})),
]
"""More replies that have the shape of an example."""


@pytest.mark.parametrize("place", EXAMPLES)
def test_the_example_of(place: str, seen: Tour) -> None:
    look(place, EXAMPLES[place], seen)


@pytest.mark.parametrize(("place", "example"), ALSO, ids=[example.shot for _, example in ALSO])
def test_the_same_shape_elsewhere(place: str, example: Example, seen: Tour) -> None:
    look(place, example, seen)


def look(place: str, example: Example, seen: Tour) -> None:
    found = differences(blocks()[place], seen.seen[example.shot], example.allow)
    assert not found, "\n".join([*found, json.dumps(seen.seen[example.shot])[:1500]])


@pytest.mark.parametrize(("section", "text"), inline())
def test_the_example_in_the_text(section: str, text: str, seen: Tour) -> None:
    shot = shot_of(section, text)
    if not shot.startswith("-"):
        example, reply = json.loads(text), seen.seen[shot]
        assert differences(example, reply, ALLOW.get(shot, {})) == []
        if isinstance(example, dict) and shot not in NAMED and set(example) <= EXACT:
            assert reply == example


EXACT = {"error", "statusCode", "message", "success", "status", "result", "confirmed", "unsubscribed"}
"""Replies of these members alone are repeated to the letter,"""
NAMED = {"unknown order", "unknown reply", "umh"}
"""but for what names an id."""


def test_no_example_is_left_out() -> None:
    requests = {"4.5/1", "4.5/2"}  # sent by the tour as they stand
    assert set(blocks()) == set(EXAMPLES) | requests


STATUS = {
    "orders too early": 400,
    "snapshot too early": 500,
    "allocation too early": 500,
    "wrong reauthenticate": 404,
    "invalid account": 500,
    "info unknown": 500,
    "snapshot nonsense": 400,
    "history forwards": 500,
    "not subscribed": 500,
    "unread cold": 423,
    "notes cold": 423,
    "unknown order": 503,
    "dead reply": 503,
    "unknown reply": 400,
    "cancel unknown": 400,
    "modify unknown": 400,
    "size 0": 500,
    "init after logout": 410,
    "accounts after logout": 401,
}
"""Everything else answered 200, the rejected orders too."""


def test_status_codes(seen: Tour) -> None:
    assert {name: code for name, code in seen.status.items() if code != 200} == STATUS


def test_texts_of_the_tour(seen: Tour) -> None:
    said = seen.seen
    early = {"error": "Bad Request: Please query /accounts first", "statusCode": 400}
    assert said["orders too early"] == early
    assert said["snapshot too early"] == {"error": "Please query /accounts first"}
    assert said["allocation too early"] == {"error": "Not ready"}
    assert said["wrong reauthenticate"] == "<html><body><h1>Resource not found</h1></body></html>"
    assert json.loads(said["info unknown"]["error"])["reason"].startswith("Details currently unavailable")
    assert said["prompt answered"] == "Success"
    assert said["device gone"] == ""
    assert said["smd"] == said["smd again"]
    assert said["ntf"]["args"][0]["text"].endswith("20:00:00 US/Eastern")
    assert said["preview cold"]["amount"] == {"amount": None, "commission": "NA", "total": None}
    assert said["preview cold"]["warn"].startswith("23/")
