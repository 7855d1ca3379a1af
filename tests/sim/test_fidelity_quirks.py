"""The quirk checklist of web-api.md §8 and the facts that are in no table.

`CHECKLIST` says for each of the 24 quirks which test looks at it; a test here sees to it that those
tests exist.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ibtui.sim.scenario import load
from ibtui.sim.server import Simulator
from tests.sim.fidelity_tools import table
from tests.sim.platform_tools import Client, frame_with, started
from tests.sim.test_world_rest import Api, api, armed
from tests.sim.world_tools import AAPL, ACCOUNT, Wire, make_world, new_order, pass_time

__all__ = ["api"]

CHECKLIST: dict[int, str] = {
    1: "test_status_codes test_history_cold test_positions_cold_and_warm"
    " test_snapshot_cold_then_the_union_of_fields",
    2: "test_a_bridge_that_takes_time test_gate_texts test_texts_of_the_tour",
    3: "test_refusals test_reset_and_logout test_status_codes",
    4: "test_the_example_of test_plain_limit_is_accepted",
    5: "test_the_example_of test_search_strikes_and_info_in_their_order",
    6: "test_sides_by_place",
    7: "test_day_orders_by_place",
    8: "test_the_example_of",
    9: "test_market_orders_have_no_price test_price_letters test_the_example_in_the_text test_a_field",
    10: "test_positions_cold_and_warm",
    11: "test_too_expensive_order_ends_inactive_with_a_notice test_a_bad_child_fails_and_leaves_its_parent",
    12: "test_smd_comes_twice_then_as_deltas test_str_twice_then_with_commission"
    " test_tic_four_times_and_the_old_echo test_frames_on_demand test_sor_snapshot_modes",
    13: "test_a_filter_mutes_the_stream_until_force test_orders_list_filters_and_force",
    14: "test_every_status_is_there_at_the_start test_finished_orders_leave_the_list_after_a_day"
    " test_orders_survive_the_session",
    15: "test_status_of_an_unknown_order_takes_its_time",
    16: "test_abandoned_order_goes_live_where_the_quirk_is_on",
    17: "test_the_example_of test_headers",
    18: "test_the_example_of test_scripted_questions_and_the_server_prompt",
    19: "test_positions_lag_behind_fills_until_invalidated",
    20: "test_history test_history_ends_at_start_time_and_refuses_nonsense"
    " test_extremes_of_history_are_plain_numbers",
    21: "test_old_sockets_beat_but_are_dead_after_a_new_token test_smd_falls_silent_after_its_time",
    22: "test_several_accounts test_established_can_be_absent",
    23: "test_no_alerts_on_paper test_str_twice_then_with_commission",
    24: "test_texts_of_the_tour",
}


def test_every_quirk_has_its_test() -> None:
    rows = {int(row[0]) for row in table("8", "| # |")}
    assert set(CHECKLIST) == rows == set(range(1, 25))
    known = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        known |= set(
            re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
    assert {name for names in CHECKLIST.values() for name in names.split()} - known == set()


@pytest.fixture
async def desk(api: Api) -> AsyncIterator[Api]:
    """Armed, nothing asked, slow replies quick."""
    api.sim.world.pace = 0.01
    api.sim.quirks.questions = []
    yield await armed(api)


LIMIT = {"conid": AAPL, "side": "BUY", "orderType": "LMT", "price": 185.0, "tif": "DAY", "quantity": 10}
PLACE = f"/iserver/account/{ACCOUNT}/orders"


async def placed(desk: Api, **changes: Any) -> int:
    (row,) = await desk.post(PLACE, {"orders": [LIMIT | changes]})
    return int(row["order_id"])


async def row_of(desk: Api, order_id: int) -> dict[str, Any]:
    await desk.get("/iserver/account/orders")
    rows = (await desk.get("/iserver/account/orders"))["orders"]
    return next(row for row in rows if row["orderId"] == order_id)


# --- orders -------------------------------------------------------------------------------------


async def test_day_orders_by_place(desk: Api) -> None:
    order_id = await placed(desk)
    assert (await row_of(desk, order_id))["timeInForce"] == "CLOSE"
    status = await desk.get(f"/iserver/account/order/status/{order_id}")
    assert (status["tif"], status["order_id"]) == ("DAY", order_id)


async def test_sides_by_place(desk: Api) -> None:
    order_id = await placed(desk, side="SELL", price=210.0)
    assert (await row_of(desk, order_id))["side"] == "SELL"
    assert (await desk.get(f"/iserver/account/order/status/{order_id}"))["side"] == "S"
    await desk.get("/iserver/account/trades")
    assert {row["side"] for row in await desk.get("/iserver/account/trades")} == {"B", "S"}
    wish = {"acctIds": [ACCOUNT], "conids": [756733], "currency": "USD", "days": 1}
    assert {row["type"] for row in (await desk.post("/pa/transactions", wish))["transactions"]} == {"Buy"}


async def test_market_orders_have_no_price(desk: Api) -> None:
    order_id = await placed(desk, orderType="MKT", price=None)
    assert (await row_of(desk, order_id))["price"] == ""
    assert (await desk.get(f"/iserver/account/order/status/{order_id}"))["limit_price"] == ""


async def test_a_bad_child_fails_and_leaves_its_parent(desk: Api) -> None:
    parent = LIMIT | {"cOID": "p-1"}
    child = LIMIT | {"parentId": "p-1", "side": "SELL", "price": 20.0}
    rows = await desk.post(PLACE, {"orders": [parent, child]})
    failed = next(row for row in rows if row["order_id"] == "-1")
    other = next(row for row in rows if row["order_id"] != "-1")
    assert failed["order_status"] == "Failed"
    assert (await row_of(desk, int(other["order_id"])))["status"] == "Inactive"
    bogus = await desk.post(
        PLACE, {"orders": [LIMIT | {"cOID": "p-2"}, child | {"parentId": "p-2", "conid": 1}]}
    )
    assert list(bogus) == ["error"]
    assert "p-2" not in {order["ref"] for order in desk.sim.world.books()["orders"]}


async def test_an_old_order_is_not_found_any_more(desk: Api) -> None:
    order_id = await placed(desk, orderType="MKT", price=None)
    desk.sim.world.step()
    path = f"/iserver/account/order/status/{order_id}"
    assert (await desk.get(path))["order_status"] == "Filled"
    desk.sim.world.orders[order_id].time_ms -= 86_400_001
    assert (await desk.get(path))["statusCode"] == 503


async def test_orders_survive_the_session(desk: Api) -> None:
    order_id = await placed(desk)
    life = desk.sim.sessions.jar
    assert life is not None
    desk.sim.sessions.lose_brokerage(life)
    assert (await desk.get("/iserver/account/orders"))["error"] == "Bad Request: no bridge"
    await desk.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    await armed(desk)
    assert (await row_of(desk, order_id))["status"] == "Submitted"


def test_fills_tell_the_average_only_when_it_changed() -> None:
    world = make_world()
    wire = Wire(world)
    wire.say("sor+{}")
    order = new_order(world, AAPL, "BUY", "120")
    world.pause(True)
    world.matcher.submit(order)
    pass_time(world, 1.0)
    rows = [one["args"][0] for one in wire.take("sor")]
    fills = [row for row in rows if row["orderId"] == order.order_id and "filledQuantity" in row][1:]
    assert [list(row) for row in fills[:2]] == [
        ["acct", "orderId", "sizeAndFills", "remainingQuantity", "filledQuantity", "avgPrice"],
        ["acct", "orderId", "sizeAndFills", "remainingQuantity", "filledQuantity"],
    ]
    assert set(fills[2]) == {
        *("acct", "orderId", "sizeAndFills", "orderDesc", "remainingQuantity", "filledQuantity", "status"),
        *("timeInForce", "price", "bgColor", "fgColor"),
    }


def test_a_cancel_comes_whole() -> None:
    """§7.7: a full frame without `outsideRTH`, `order_ccp_status` still Submitted, then a delta."""
    world = make_world()
    wire = Wire(world)
    order = new_order(world, AAPL, "BUY", "10", "LMT", "150")
    world.matcher.submit(order)
    pass_time(world, 0.4)
    wire.say('sor+{"filters":[]}')
    world.matcher.cancel(order)
    pass_time(world, 0.4)
    rows = [one["args"][0] for one in wire.take("sor")]
    whole, delta = [row for row in rows if row["orderId"] == order.order_id]
    assert (whole["status"], whole["order_ccp_status"], whole["fgColor"]) == (
        "PendingCancel",
        "Submitted",
        "#FF64FF",
    )
    assert "outsideRTH" not in whole and len(whole) > 20
    assert list(delta) == ["acct", "orderId", "status", "order_ccp_status", "bgColor", "fgColor"]


def test_a_filter_mutes_the_stream_until_force() -> None:
    world = make_world()
    wire = Wire(world)
    wire.say("sor+{}")
    wire.session.order_filter = {"Filled"}
    order = new_order(world, AAPL, "BUY", "10", "LMT", "150")
    world.matcher.submit(order)
    pass_time(world, 0.4)
    assert wire.take("sor") == []
    wire.session.order_filter = None
    world.matcher.cancel(order)
    assert wire.take("sor")


# --- market data --------------------------------------------------------------------------------


async def test_price_letters(desk: Api) -> None:
    path = f"/iserver/marketdata/snapshot?conids={AAPL}&fields=31,84"
    await desk.get(path)
    for letter in ("", "C", "H"):
        desk.sim.quirks.price_prefix = letter
        (row,) = await desk.get(path)
        assert re.fullmatch(letter + r"\d+\.\d\d", row["31"]) and row["84"][0].isdigit()


async def test_a_derivative_fills_only_after_a_search(desk: Api) -> None:
    option = desk.sim.world.catalogue.derivatives(AAPL, "OPT")[0]
    path = f"/iserver/marketdata/snapshot?conids={option.conid}&fields=31"
    for _ in range(3):
        (row,) = await desk.get(path)
        assert set(row) == {"conidEx", "conid"}
    await desk.get("/iserver/secdef/search?symbol=AAPL&name=true")
    assert "31" not in (await desk.get(path))[0]
    await desk.get("/iserver/secdef/search?symbol=AAPL")
    assert "31" in (await desk.get(path))[0]


async def test_lines_are_limited(desk: Api) -> None:
    desk.sim.quirks.market_lines = 2
    path = "/iserver/marketdata/snapshot?conids=265598,756733,272093&fields=31"
    await desk.get(path)
    rows = await desk.get(path)
    assert rows[2] == {"conid": 272093, "conidEx": "272093", "55": "-", "31": "N/A"}
    assert rows[1]["31"] != "N/A"
    wire = Wire(make_world(market_lines=1))
    assert "server_id" in wire.say("smd+265598+{}")[0]
    assert wire.say("smd+756733+{}")[0]["31"] == "N/A"
    wire.say("umd+265598+{}")
    assert "server_id" in wire.say("smd+756733+{}")[0]


async def test_numbers_where_text_is_expected_and_the_reverse(desk: Api) -> None:
    body = await desk.post("/iserver/marketdata/unsubscribe", {"conid": "265598"})
    assert (desk.status, body) == (400, {"error": "java.lang.String cannot be cast to java.lang.Number"})
    path = f"/iserver/marketdata/snapshot?conids={AAPL}&fields=83"
    await desk.get(path)
    assert type((await desk.get(path))[0]["83"]) is float
    desk.sim.quirks.change_pct_as_text = True
    assert re.fullmatch(r"-?\d+\.\d+%", (await desk.get(path))[0]["83"])


async def test_history_cold(desk: Api) -> None:
    path = f"/iserver/marketdata/history?conid={AAPL}&period=1d"
    desk.sim.quirks.history_cold = "503"
    assert (await desk.post("/tickle"))["hmds"] == {"error": "no bridge"}
    assert await desk.get(path) == {"error": "Service Unavailable", "statusCode": 503}
    assert (await desk.get(path))["points"] > 0
    assert (await desk.post("/tickle"))["hmds"]["authStatus"]["authenticated"] is True


async def test_extremes_of_history_are_plain_numbers(desk: Api) -> None:
    for query in ("1y", "10y", "1d"):
        body = await desk.get(f"/iserver/marketdata/history?conid=72063691&period={query}")
        for name in ("high", "low"):
            price, volume, minutes = body[name].split("/")
            assert re.fullmatch(r"\d+(\.\d+)?", price) and re.fullmatch(r"\d+(\.\d+)?", volume), body[name]
            assert minutes.isdigit()
        top = max(bar["h"] for bar in body["data"])
        assert float(body["high"].split("/")[0]) == pytest.approx(top * body["priceFactor"])


# --- sessions, sockets, the rest ----------------------------------------------------------------


async def test_the_portfolio_goes_on_without_a_brokerage_session(desk: Api) -> None:
    """§2.7: for the loser of a competing session `/portfolio` keeps working; `/iserver` is cold then."""
    life = desk.sim.sessions.jar
    assert life is not None
    path = f"/portfolio/{ACCOUNT}/positions/0"
    await desk.get(path)
    desk.sim.sessions.lose_brokerage(life)
    assert len((await desk.get(path))[0]) > 21
    await desk.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    assert "query /accounts first" in (await desk.get("/iserver/account/orders"))["error"]


async def test_reauthenticate_without_a_login_is_the_gateways_own_answer(desk: Api) -> None:
    await desk.post("/logout")
    assert await desk.post("/iserver/reauthenticate") == {"error": "not logged in"}
    await desk.get("/iserver/accounts")
    assert desk.status == 401


async def test_a_body_in_chunks_is_refused(desk: Api) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"{}"

    assert (await desk.client.post("/tickle", content=parts())).status_code == 411


@pytest.mark.parametrize(
    ("status", "text"),
    [(400, "Bad Request: no bridge"), (429, "Too Many Requests"), (503, "Service Unavailable")],
)
async def test_errors_on_demand(desk: Api, status: int, text: str) -> None:
    fault = {"path": "/v1/api/iserver/accounts", "kind": "status", "status": status}
    desk.sim.faults.add(fault)
    assert await desk.get("/iserver/accounts") == {"error": text, "statusCode": status}
    assert "accounts" in await desk.get("/iserver/accounts")


async def test_no_alerts_on_paper(desk: Api) -> None:
    await desk.post(f"/iserver/account/{ACCOUNT}/alert", {"alertName": "x"})
    assert desk.status == 403


async def test_unknown_symbols(desk: Api) -> None:
    assert await desk.get("/trsrv/stocks?symbols=QWERTZ") == {"QWERTZ": []}
    for path in ("/md/snapshot?conids=1", "/md/regsnapshot?conid=1"):
        assert "Resource not found" in await desk.get(path) and desk.status == 404


async def test_the_server_is_unknown_without_a_brokerage_session(desk: Api) -> None:
    life = desk.sim.sessions.jar
    assert life is not None
    desk.sim.sessions.lose_brokerage(life)
    status = await desk.get("/iserver/auth/status")
    assert (status["connected"], status["authenticated"]) == (True, False)
    assert status["serverInfo"] == {"serverName": None, "serverVersion": None}


async def test_established_can_be_absent(desk: Api) -> None:
    desk.sim.quirks.established_key = False
    assert "established" not in await desk.get("/iserver/auth/status")
    assert "established" not in (await desk.post("/tickle"))["iserver"]["authStatus"]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    one = await started(load("default", 5), logged_in="demo123")
    one.quirks.pacing = False
    yield one
    await one.stop()


async def test_frames_on_demand(sim: Simulator) -> None:
    """What no order or price brings about: `blt`, a frame of nothing but its topic, odd errors."""
    bulletin = {"topic": "blt", "args": [{"id": 4711, "exchanges": None, "message": "closed early"}]}
    async with Client(sim) as client, client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        for one in (bulletin, {"topic": "smd+265598"}, {"error": "x", "topic": "error"}):
            await client.control("/sockets", {"action": "send", "frame": one})
            assert await frame_with(ws, one["topic"]) == one  # type: ignore[arg-type]
        reply = await client.http.post("/sim/sockets", json={"action": "send", "frame": "text"})
        assert reply.status_code == 400


async def test_a_new_token_for_the_same_session(sim: Simulator) -> None:
    async with Client(sim) as client, client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        old = client.token
        await client.control("/session", {"action": "rotate"})
        body = (await client.post("/tickle")).json()
        assert body["session"] == client.token != old
        assert body["iserver"]["authStatus"]["authenticated"] is True
        assert [socket.dead for socket in sim.hub.sockets] == [True]
        await ws.send("tic")
        assert (await frame_with(ws, "tic"))["alive"] is True


async def test_a_prompt_comes_as_a_notice_too(sim: Simulator) -> None:
    sim.quirks.questions = ["p12"]
    async with Client(sim) as client, client.socket(f"api={client.token}") as ws:
        await frame_with(ws, "sts")
        await client.get("/iserver/accounts")
        prompt = (await client.post(PLACE, {"orders": [LIMIT]})).json()
        assert (await frame_with(ws, "ntf"))["args"] == [prompt]
