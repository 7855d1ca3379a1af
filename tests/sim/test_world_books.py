"""The books balance: cash, positions and every figure derived from them."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from ibtui.sim import figures
from ibtui.sim.orders import commission
from tests.sim.world_tools import AAPL, ACCOUNT, ES, EUR_USD, MSFT, SPY, make_world, new_order, pass_time

CENT = Decimal("0.01")


def test_demo_account_holds_what_the_house_promises() -> None:
    rows = {row["desc"]: row for row in make_world().books()["positions"][ACCOUNT]}
    assert rows["AAPL"]["position"] == "250"
    assert rows["MSFT"]["position"] == "100"
    assert rows["SPY"]["position"] == "44"
    assert rows["TSLA"]["position"] == "-50"
    assert rows["ASML"]["currency"] == "EUR"
    assert rows["AMD"]["position"] == "0"
    assert Decimal(rows["AMD"]["realized"]) > 0
    assert rows["ES       DEC2026"]["multiplier"] == "50"
    call = next(row for name, row in rows.items() if row["sec_type"] == "OPT")
    assert (call["position"], call["multiplier"]) == ("-2", "100")
    assert len(rows) >= 10


def test_rows_agree_with_their_own_factors() -> None:
    world = make_world()
    pass_time(world, 10)
    for row in world.books()["positions"][ACCOUNT]:
        quantity, price = Decimal(row["position"]), Decimal(row["price"])
        value = quantity * price * Decimal(row["multiplier"])
        assert Decimal(row["value"]) == value
        assert abs(Decimal(row["unrealized"]) - (value - quantity * Decimal(row["avg_cost"]))) < CENT


@pytest.mark.parametrize("seed", range(5))
def test_fills_cost_their_spread_and_commission_and_nothing_else(seed: int) -> None:
    """Net liquidation moves by mark minus fill price and the commission, for every kind of contract."""
    world = make_world(seed)
    dice = random.Random(seed)
    book = world.book(ACCOUNT)
    world.pause(True)
    option = next(c.conid for c in world.catalogue.derivatives(AAPL, "OPT"))
    for _ in range(200):
        conid = dice.choice([AAPL, MSFT, SPY, ES, option, 117589399, EUR_USD])
        contract = world.catalogue.get(conid)
        assert contract is not None
        quantity = Decimal(dice.randrange(1, 60))
        order = new_order(world, conid, dice.choice(["BUY", "SELL"]), str(quantity), "MKT")
        mark = world.market.quote(conid).price
        price = mark + contract.tick * dice.randrange(-50, 50)
        if price <= 0:
            continue
        before = book.totals()
        world.register(order)
        world.matcher.fill(order, quantity, price)
        after = book.totals()
        rate = world.market.rate(contract.currency)
        gain = order.signed * quantity * (mark - price) * contract.multiplier * rate
        fee = commission(contract, quantity, price) * rate
        assert abs(after.net_liquidation - before.net_liquidation - (gain - fee)) < CENT
        if conid != EUR_USD:  # currency gains are in the cash, which has no daily P&L
            assert abs(after.daily - before.daily - (gain - fee)) < CENT


def test_closing_everything_turns_unrealized_into_realized() -> None:
    world = make_world()
    world.pause(True)
    book = world.book(ACCOUNT)
    before = book.totals()
    fees = Decimal(0)
    for conid, position in list(book.positions.items()):
        if position.quantity:
            side = "SELL" if position.quantity > 0 else "BUY"
            order = new_order(world, conid, side, str(abs(position.quantity)))
            world.register(order)
            price = world.market.quote(conid).price
            fee = commission(order.contract, order.quantity, price)
            fees += fee * world.market.rate(order.contract.currency)
            world.matcher.fill(order, order.quantity, price)
    after = book.totals()
    assert after.market_value == after.unrealized == after.initial == 0
    assert abs(after.realized - before.realized - before.unrealized) < CENT
    assert abs(after.cash - (before.net_liquidation - fees)) < CENT
    assert abs(after.net_liquidation - after.cash) < CENT


def test_positions_turn_around_at_the_fill_price() -> None:
    world = make_world()
    book = world.book(ACCOUNT)
    order = new_order(world, AAPL, "SELL", "300")
    world.register(order)
    world.matcher.fill(order, Decimal(300), Decimal("190.00"))
    position = book.positions[AAPL]
    assert position.quantity == -50
    assert position.avg_price == Decimal("190.00")
    assert position.realized == 250 * (Decimal("190.00") - Decimal("171.3824"))


def test_summary_ledger_and_pnl_come_from_the_same_books() -> None:
    world = make_world()
    pass_time(world, 5)
    book, now = world.book(ACCOUNT), world.clock.now()
    net = float(book.totals().net_liquidation)
    summary = figures.summary(book, now)
    ledger = figures.ledger(book, world.market, now)
    pnl = figures.pnl(book, stream=True)
    assert summary["netliquidation"]["amount"] == pytest.approx(net, abs=0.01)
    assert ledger["BASE"]["netliquidationvalue"] == pytest.approx(net, abs=1)
    parts = sum(
        row["netliquidationvalue"] * row["exchangerate"] for name, row in ledger.items() if name != "BASE"
    )
    assert parts == pytest.approx(net, abs=2)
    assert pnl["nl"] == pytest.approx(net, rel=1e-3)
    assert pnl["uel"] == summary["excessliquidity"]["amount"]
    for key in ("netliquidation", "excessliquidity", "initmarginreq"):
        whole = summary[key]["amount"]
        assert summary[f"{key}-s"]["amount"] + summary[f"{key}-c"]["amount"] == pytest.approx(whole, abs=0.02)
    assert len(summary) >= 45
    assert type(ledger["USD"]["exchangerate"]) is int
    assert type(ledger["EUR"]["exchangerate"]) is float


def test_same_seed_same_world() -> None:
    one, two, other = make_world(3), make_world(3), make_world(4)
    for world in (one, two, other):
        world.set_positions(50)
        pass_time(world, 30)
        world.matcher.submit(new_order(world, AAPL, "BUY", "120"))
        pass_time(world, 5)
    assert one.books() == two.books()
    assert one.books()["prices"] != other.books()["prices"]


def test_movement_depends_on_steps_not_on_time() -> None:
    quick, slow = make_world(3), make_world(3)
    for _ in range(40):
        quick.clock.advance(0.01)
        quick.step()
        slow.clock.advance(3.0)
        slow.step()
    assert quick.books()["prices"] == slow.books()["prices"]


def test_sequence_grows_with_every_change() -> None:
    world = make_world()
    seen = world.books()["sequence"]
    changes = (
        lambda: world.set_price(AAPL, 190),
        lambda: world.set_positions(3),
        lambda: world.add_order({"conid": AAPL, "price": 150}),
        lambda: pass_time(world, 0.2),
    )
    for change in changes:
        change()
        assert world.books()["sequence"] > seen
        seen = world.books()["sequence"]


def test_positions_on_demand() -> None:
    world = make_world()
    for count in (10_000, 20, 0, 137):
        world.set_positions(count)
        rows = world.books()["positions"][ACCOUNT]
        assert len(rows) == count
        assert len({row["conid"] for row in rows}) == count
    world.set_positions(5, "DU7654322")
    assert len(world.books()["positions"]["DU7654322"]) == 5
    assert len(world.books()["positions"][ACCOUNT]) == 137


def test_prices_by_hand_and_pause() -> None:
    world = make_world()
    world.pause(True)
    world.set_price(AAPL, 201.25)
    pass_time(world, 5)
    assert world.books()["prices"][str(AAPL)]["last"] == "201.25"
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="above zero"):
            world.set_price(AAPL, wrong)
    with pytest.raises(KeyError):
        world.set_price(1, 5)
    world.pause(False)
    pass_time(world, 10)
    assert world.books()["prices"][str(AAPL)]["last"] != "201.25"


def test_options_follow_their_underlying() -> None:
    world = make_world()
    call = next(p.contract for p in world.book(ACCOUNT).positions.values() if p.contract.right == "C")
    before = world.market.quote(call.conid).price
    world.set_price(AAPL, 230)
    assert world.market.quote(call.conid).price > before + 10
