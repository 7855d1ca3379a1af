"""The tables of web-api.md, read from the notes row by row and asked of the simulator."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ibtui.sim import bars
from ibtui.sim.fields import FIELDS, View
from ibtui.sim.orders import CCP, COLOURS, FILTERS
from ibtui.sim.pacing import BOX_S, Pacing
from ibtui.sim.rest.notifications import CODES
from ibtui.sim.scenario import load
from ibtui.sim.server import Simulator
from tests.sim.fidelity_tools import NOTES, table, template
from tests.sim.test_world_rest import Api, armed
from tests.sim.world_tools import AAPL, ACCOUNT, Wire, make_world

PLACE = f"/iserver/account/{ACCOUNT}/orders"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Logged in, armed, without pacing, prices at a stand."""
    sim = Simulator(load("default", 5))
    sim.quirks.pacing = False
    sim.log_in("demo123")
    sim.world.pause(True)
    await sim.start(plain=True)
    try:
        one = Api(sim)
        yield await armed(one)
        await one.client.aclose()
    finally:
        await sim.stop()


# --- §1.6 pacing --------------------------------------------------------------------------------


class Hand:
    """A clock in seconds, turned by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _limits() -> list[tuple[str, str, float]]:
    """(method, path, seconds between two calls) of every row of the table that has such a limit."""
    found = []
    for routes, methods, limit in table("1.6", "| Endpoint |"):
        match = re.match(r"1 / (\d+ )?(s|min)", limit)
        if match:
            seconds = float(match[1] or 1) * (60 if match[2] == "min" else 1)
            method = "GET" if methods == "any" else methods.split(",")[0]
            paths = [one.replace("/*", "/settings") for one in re.findall(r"`(/[^`]*)`", routes)[:3]]
            # A limit in brackets after the path, as of unreadnumber, is another one.
            found += [(method, path, seconds) for path in paths if not path.endswith("unreadnumber")]
    return found


def test_the_pacing_table_was_read() -> None:
    paths = {path for _, path, _ in _limits()}
    assert {"/iserver/account/orders", "/tickle", "/sso/validate", "/pa/summary"} <= paths
    assert len(paths) >= 13


@pytest.mark.parametrize(("method", "path", "seconds"), _limits())
def test_a_route_with_a_limit(method: str, path: str, seconds: float) -> None:
    hand = Hand()
    pacing = Pacing(hand)

    def admits() -> bool:
        return pacing.admits("me", method, path, box=False, strict=True)

    assert admits() and not admits()
    hand.now += seconds * 0.98
    assert not admits()
    hand.now += seconds * 0.02
    assert admits()


def test_ten_in_any_second() -> None:
    hand = Hand()
    pacing = Pacing(hand)

    def admitted(count: int) -> int:
        return sum(pacing.admits("me", "GET", "/portfolio/x/ledger", box=False) for _ in range(count))

    assert admitted(6) == 6
    hand.now += 0.6
    assert admitted(6) == 4
    hand.now += 0.39
    assert admitted(3) == 0
    hand.now += 0.011  # the first six are a second old, the four are not
    assert admitted(9) == 6
    assert pacing.admits("another session", "GET", "/portfolio/x/ledger", box=False)


def test_the_penalty_box() -> None:
    hand = Hand()
    pacing = Pacing(hand)
    assert pacing.admits("me", "GET", "/sso/validate", box=True)
    assert not pacing.admits("me", "GET", "/sso/validate", box=True)
    hand.now += BOX_S - 1
    assert not pacing.admits("me", "GET", "/portfolio/x/ledger", box=True)
    hand.now += 1
    assert pacing.admits("me", "GET", "/portfolio/x/ledger", box=True)


async def test_strict_pacing_over_http(api: Api) -> None:
    api.sim.quirks.pacing = api.sim.quirks.pacing_strict = True
    await api.get("/iserver/account/orders")
    assert api.status == 200
    body = await api.get("/iserver/account/orders")
    assert (api.status, body) == (429, {"error": "Too Many Requests", "statusCode": 429})
    api.sim.clock.advance(5)
    assert (await api.get("/iserver/account/orders"))["snapshot"] is True


# --- §4 orders ----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", table("4.4", "| `status` |"), ids=lambda row: row[0])
def test_a_status(row: list[str]) -> None:
    status, word = row[0].strip("`"), row[1].strip("`")
    if status == "Failed":
        assert status not in COLOURS  # only inside placement replies
        return
    assert FILTERS[word] == status
    assert status in CCP
    colours = re.findall(r"#[0-9A-F]{6}", row[3])
    if colours:
        # Where the notes give an old pair and a new one, the recording of 2026 comes last.
        assert COLOURS[status] == tuple(colours[-2:])


def _message_ids() -> list[str]:
    return [one for row in table("4.8", "| Id |") for one in re.findall(r"`([op]\d+)`", row[0])]


@pytest.mark.parametrize("message_id", _message_ids())
async def test_a_question_of_every_kind(api: Api, message_id: str) -> None:
    api.sim.quirks.questions = [message_id]
    order = {"conid": AAPL, "side": "BUY", "orderType": "LMT", "price": 185.0, "tif": "DAY", "quantity": 1}
    body = await api.post(PLACE, {"orders": [order]})
    if message_id.startswith("p"):
        assert (body["messageId"], body["prompt"]) == (message_id, True)
        return
    assert body[0]["messageIds"] == [message_id] and body[0]["message"][0]
    await api.post("/iserver/questions/suppress", {"messageIds": [message_id]})
    assert "order_id" in (await api.post(PLACE, {"orders": [order]}))[0]


def _order_types() -> list[str]:
    row = next(row for row in table("4.5", "| Field |") if row[0] == "`orderType`")
    return [one for part in re.findall(r"`([A-Z_ ]+)`", row[2]) for one in part.split()]


@pytest.mark.parametrize("kind", _order_types())
async def test_an_order_type(api: Api, kind: str) -> None:
    api.sim.quirks.questions = []
    price = None if kind in ("MKT", "MOC") else 185.0
    aux = 186.0 if kind in ("STOP_LIMIT", "TRAILLMT", "LIT") else None
    trail = {"trailingAmt": 3.0, "trailingType": "amt"} if kind.startswith("TRAIL") else {}
    order = {"conid": AAPL, "side": "SELL", "orderType": kind, "tif": "DAY", "quantity": 1} | trail
    if kind in ("LMT", "LIT", "LOC"):
        order["side"] = "BUY"
    body = await api.post(PLACE, {"orders": [order | {"price": price, "auxPrice": aux}]})
    if kind == "STP_LMT":  # named in the table as one that is not accepted
        assert (api.status, body) == (400, {"error": "Unknown order type"})
    else:
        assert body[0]["order_status"] in ("PreSubmitted", "Submitted", "Filled"), body


# --- §5 market data -----------------------------------------------------------------------------


def _fields() -> list[tuple[str, str]]:
    """(field, example) of the table; of several in a row only the first has the example."""
    found = []
    for ids, _, example in table("5.8", "| Id |"):
        for place, field in enumerate(re.findall(r"\d+", ids)):
            found.append((field, example.strip("`") if place == 0 else ""))
    return found


@pytest.mark.parametrize(("field", "example"), _fields())
def test_a_field(field: str, example: str) -> None:
    """Known, and text but for the three numbers; written like the example where there is one."""
    world = make_world()
    chain = world.catalogue.derivatives(AAPL, "OPT")
    bond = next(c for c in world.catalogue.by_conid.values() if c.sec_type == "BOND")
    stock, future = world.catalogue.get(AAPL), world.catalogue.front_future()
    assert stock is not None
    values = [View(world, one, ACCOUNT).value(field) for one in (stock, chain[0], bond, future)]
    known = [value for value in values if value is not None]
    assert field in FIELDS and known
    kind = {"6008": int, "6457": int, "83": float}.get(field, str)
    assert {type(value) for value in known} == {kind}
    form = template(re.findall(r'"([^"]*)"', example)[0]) if '"' in example and field != "6508" else None
    if form is not None and field not in ("76", "7282", "7289", "7308"):
        assert re.fullmatch(form, known[0]), (known[0], example)


def _spans() -> list[tuple[str, str, str, str]]:
    """(period, shortest bar, longest bar, default bar)."""
    lines = NOTES.read_text(encoding="utf-8").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("| period | 1min"))
    head, _, allowed, default = (
        [c.strip() for c in line.strip("|").split("|")] for line in lines[at : at + 4]
    )
    return [
        (period, *(span.split("–") * 2)[:2], bar)  # type: ignore[misc]
        for period, span, bar in zip(head[1:], allowed[1:], default[1:], strict=True)
    ]


@pytest.mark.parametrize(("period", "shortest", "longest", "default"), _spans())
def test_the_bars_of_a_period(period: str, shortest: str, longest: str, default: str) -> None:
    assert bars.Wish.of(period, "").step == default
    for name, seconds in bars.BAR_S.items():
        fits = bars.BAR_S[shortest] <= seconds <= bars.BAR_S[longest] or name == default
        if fits:
            assert bars.Wish.of(period, name).step == name
        else:
            with pytest.raises(ValueError):
                bars.Wish.of(period, name)


# --- §6, §7.2 -----------------------------------------------------------------------------------


def test_every_kind_of_notification() -> None:
    text = NOTES.read_text(encoding="utf-8")
    part = text[text.index("Typecodes:") : text.index("## 7. WebSocket")]
    assert set(CODES) == set(re.findall(r"`([A-Z][A-Z0-9])`", part))


def _topics() -> list[tuple[str, str, str, str]]:
    found = []
    for names, _, on, off in table("7.2", "| Topic |"):
        pair = re.findall(r"`([a-z]{3})`", names)
        if len(pair) == 2:
            found.append((pair[0], pair[1], on, off))
    return found


@pytest.mark.parametrize(("on", "off", "answers", "ends"), _topics())
def test_a_topic(on: str, off: str, answers: str, ends: str) -> None:
    wire = Wire(make_world())
    target = {"smd": f"+{AAPL}", "smh": f"+{AAPL}", "sbd": f"+{ACCOUNT}+{AAPL}", "ssd": f"+{ACCOUNT}"}
    target["sld"] = target["ssd"]
    first = wire.say(f"{on}{target.get(on, '')}+{{}}")
    if answers.startswith("yes"):
        assert first and all(frame["topic"].startswith(on) for frame in first)
    payload: dict[str, Any] = {"sor": "args", "str": "args", "spl": "args", "ssd": "result", "sld": "result"}
    payload |= {"sbd": "data", "smd": "conid", "smh": "points"}
    assert all(payload[on] in frame for frame in first)
    what = first[0]["serverId"] if on == "smh" else target.get(on, "").strip("+").split("+")[0]
    last = wire.say(f"{off}+{what}+{{}}" if what else off)
    if on == "smh":
        assert last == [{"message": f"Unsubscribed {what}"}]
    elif ends.startswith("`"):
        assert last == [{"result": ends.split('"')[3]}]
    else:
        assert last == []
