"""Positions, Orders and Account: values follow the store, rows stay themselves, privacy holds everywhere."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest
from textual.events import Key
from textual.widgets import Input

from ibtui.core.models import Account, Execution, LedgerRow, Pnl, Position, Quote
from ibtui.core.wire import decode as wire
from ibtui.ui.widgets.live_table import LiveTable
from tests import fakes
from tests.pilot.driving import make_app, running, says, shows, text, until

PRIVATE = (
    "DU1234567",
    "1,020,114.20",
    "971,869.60",
    "2,295.00",
    "+461.00",
    "savings",
    "demo123",
    "38,244.00",
)


async def test_positions_at_80_columns() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("2")
        await shows(pilot, "▸AAPL", "AAPL 21JAN27 150 C", "ASML (AEB)", "▲+182.50", "▼-64.00", "Unrl %")
        await shows(pilot, "Net liq 1,020,114.20 USD", "Cash 971,869.60", "Daily +461.00", "Unrl +1,772.00")
        assert "Avg Price" not in text(pilot.app)
        assert all(len(line) <= 80 for line in text(pilot.app).splitlines())


@pytest.mark.parametrize(
    ("width", "titles"),
    [(120, ("Avg Price", "% NLV")), (160, ("Cost Basis", "Realized", "Exchange", "Account"))],
)
async def test_wider_terminals_get_more_columns(width: int, titles: tuple[str, ...]) -> None:
    async with running(fakes.FakeRuntime(), (width, 40)) as pilot:
        await pilot.press("2")
        await shows(pilot, *titles)


async def test_positions_beyond_the_streamed_ones_are_marked_stale() -> None:
    runtime = fakes.FakeRuntime()
    many = [
        Position(account=fakes.ACCOUNT, conid=900 + n, description=f"S{n:03}", position="1", market_price="2")
        for n in range(101)
    ]
    async with running(runtime) as pilot:
        await pilot.press("2")
        await shows(pilot, "AAPL")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, many))
        await shows(pilot, "S000")
        table = pilot.app.screen.query_one(LiveTable)

        def stale() -> set[str]:
            return {key for key in table.keys if table.get_row(key).dim}

        assert len(stale()) == 101
        runtime.hub.publish(runtime.store.apply(wire.MarketData(903, {"31": "2.50"})))
        await until(pilot, lambda: len(stale()) == 100)
        assert f"{fakes.ACCOUNT}:903" not in stale()
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, many[:100]))
        await until(pilot, lambda: not stale())


async def test_loading_is_not_the_same_as_none() -> None:
    runtime = fakes.FakeRuntime(fakes.NOBODY)
    async with running(runtime) as pilot:
        await pilot.press("2")
        await shows(pilot, "Loading positions")
        await pilot.press("3")
        await shows(pilot, "Loading orders")
        await pilot.press("4")
        await shows(pilot, "Loading accounts")
        fakes.fill(runtime.store)
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, []))
        await pilot.press("2")
        await shows(pilot, "No positions in this account.")


async def test_a_change_reaches_its_cell_and_the_cursor_stays_on_its_row() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("2", "j", "j")
        await shows(pilot, "▸ASML (AEB)")
        await pilot.press("s", "S")  # by symbol, last first
        await shows(pilot, "▸ASML (AEB)")
        runtime.hub.publish(runtime.store.merge_quotes([Quote(conid=76792991, fields={"78": "999.00"})]))
        await shows(pilot, "▲+999.00", "▸ASML (AEB)")


async def test_quotes_and_new_rows_arrive() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime, (120, 40)) as pilot:
        await pilot.press("2")
        await shows(pilot, "-0.73")
        runtime.hub.publish(runtime.store.merge_quotes([Quote(conid=265598, fields={"83": "1.25"})]))
        await shows(pilot, "+1.25")
        new = Position(account=fakes.ACCOUNT, conid=9, description="NEWCO", ticker="NEWCO", position="7")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, [*fakes.POSITIONS, new]))
        await shows(pilot, "NEWCO")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, fakes.POSITIONS))
        await until(pilot, lambda: "NEWCO" not in text(pilot.app))


async def test_totals_and_shares_follow_the_account() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime, (120, 40)) as pilot:
        await pilot.press("2")
        await shows(pilot, "Daily +461.00")
        runtime.hub.publish(
            runtime.store.replace_pnl({fakes.ACCOUNT: Pnl(account=fakes.ACCOUNT, daily="-5")})
        )
        await shows(pilot, "Daily -5.00")
        runtime.hub.publish(runtime.store.replace_summary(fakes.ACCOUNT, fakes.summary("500000")))
        await shows(pilot, "Net liq 500,000.00", "9.7")
        runtime.clock.advance(90)
        await shows(pilot, "1 m 30 s")


async def test_filter_opens_types_keeps_and_gives_up() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("2", "slash", *"apple")
        await shows(pilot, "1 of 7 shown · filter apple")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.focused, LiveTable))
        assert "MSFT" not in text(pilot.app)
        await pilot.press("escape")
        await shows(pilot, "MSFT")
        await pilot.press("slash", *"q1")  # digits and q are letters here
        await shows(pilot, "0 of 7 shown")
        await pilot.press("escape")
        await shows(pilot, "MSFT")
        assert pilot.app.current_mode == "positions"


async def test_detail_and_copy() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("2", "enter")
        await shows(pilot, "APPLE INC", "esc close")
        await pilot.press("3")  # a dialog keeps its place
        assert pilot.app.current_mode == "positions"
        await pilot.press("y")
        await says(pilot, "Copied AAPL")
        assert "Daily P&L\t▲+182.50" in pilot.app.clipboard
        await pilot.press("escape", "j", "y")
        await says(pilot, "Copied AAPL 21JAN27 150 C")


async def test_the_first_of_many_positions_are_not_taken_for_all() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        runtime.hub.publish(runtime.store.clear())
        runtime.hub.publish(runtime.store.replace_accounts([Account(id=fakes.ACCOUNT)]))
        await pilot.press("2")
        await shows(pilot, "Loading positions")
        first = fakes.POSITIONS[:2]
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, first, complete=False))
        await shows(pilot, "AAPL", "the first 2; reading the others")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, fakes.POSITIONS))
        await shows(pilot, "TSLA")
        await until(pilot, lambda: "reading the others" not in text(pilot.app))


async def test_group_by_currency() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("2", "u")
        await says(pilot, "Grouped by currency.")
        table = pilot.app.screen.query_one(LiveTable)
        assert table.keys[0].endswith("117589399")  # EUR
        await pilot.press("u", "u")
        assert table.keys[0].endswith("265598")


async def test_foreign_text_is_not_markup() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        bad = msgspec.structs.replace(fakes.POSITIONS[0], ticker="[@click=app.quit]X[/]", name="[/foo]")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, [bad]))
        await pilot.press("2")
        await shows(pilot, "[@click=app.quit]X[/]")
        await pilot.press("enter")
        await shows(pilot, "[/foo]")
        await pilot.press("y")
        await says(pilot, "Copied [@click=app.quit]X[/]")


async def test_orders_in_three_views() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("3")
        await shows(pilot, "[Working 4]", "● working", "◐ partly", "100/622", "└ ◌ held", "✕ inactive")
        await shows(
            pilot, "└ limit too far from the market", "read-only: trading is locked", "caught up after 12 s"
        )
        assert "cancelled" not in text(pilot.app)
        await pilot.press("tab")
        await shows(pilot, "[Today 6]", "○ cancelled", "✓ filled")
        await pilot.press("tab")
        await shows(pilot, "[Fills 2]", "38,244.00", "Commission", "—")
        await pilot.press("enter")
        await shows(pilot, "Fill NVDA", "0000f1a7.69eb8a11.01.01")
        await pilot.press("escape", "shift+tab", "shift+tab")
        await shows(pilot, "[Working 4]")
        await pilot.press("enter")
        await shows(pilot, "Order 1834567001", "As sent")


async def test_an_order_fills_while_you_look() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("3")
        await shows(pilot, "[Working 4]")
        orders = [
            msgspec.structs.replace(it, status="Filled", filled="10.0", remaining="0.0")
            if it.order_id == 1834567001
            else it
            for it in fakes.ORDERS
        ]
        runtime.hub.publish(runtime.store.replace_orders(orders))
        fill = Execution(
            execution_id="9.9", account=fakes.ACCOUNT, symbol="AAPL", side="B", size="10", price="185"
        )
        runtime.hub.publish(runtime.store.replace_executions([fill]))
        await shows(pilot, "[Working 3]", "Fills 3")
        assert "● working" not in text(pilot.app)


async def test_filter_and_empty_views_of_orders() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("3", "slash", *"nvda", "enter")
        await shows(pilot, "2 of", "filter nvda")
        await pilot.press("escape")
        runtime.hub.publish(runtime.store.replace_orders([]))
        await shows(pilot, "No working orders. tab shows today's.")
        await pilot.press("y")
        await says(pilot, "There is no row to copy.")


async def test_account_page_and_chart() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("4")
        await shows(pilot, "DU1234567 · savings · USD", "▲+461.00", "1.0682", "in USD", "Net liquidation")
        await shows(pilot, "the chart begins with the second value", "a next of 2 accounts")
        for value in ("500", "420", "600"):
            runtime.clock.advance(6)
            pilot.app.history.add(fakes.ACCOUNT, Decimal(value), runtime.clock.monotonic())
        runtime.hub.publish(
            runtime.store.replace_pnl({fakes.ACCOUNT: Pnl(account=fakes.ACCOUNT, daily="700")})
        )
        await shows(pilot, "+700.00", "█")
        await pilot.press("y")
        await says(pilot, "Copied this page")


async def test_wide_account_page_stands_side_by_side() -> None:
    async with running(fakes.FakeRuntime(), (160, 48)) as pilot:
        await pilot.press("4")
        await shows(pilot, "Net liquidation")
        assert any("Net liquidation" in line and "Ccy" in line for line in text(pilot.app).splitlines())


async def test_next_account() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("2", "a")
        await shows(pilot, "DU7654321", "No positions in this account.")
        await pilot.press("4")
        await shows(pilot, "DU7654321 · EUR")
        await pilot.press("a", "1")
        await shows(pilot, "DU1234567")
        runtime.store.replace_accounts(runtime.store.accounts[:1])
        await pilot.press("a")
        await says(pilot, "There is one account only.")


@pytest.mark.parametrize("digit", ["1", "2", "3", "4"])
async def test_privacy_key_masks_every_screen(digit: str) -> None:
    async with running(fakes.FakeRuntime(), (160, 48)) as pilot:
        await pilot.press(digit, "g" if digit == "1" else "home")
        await pilot.press("h")
        await shows(pilot, "•••")
        shown = text(pilot.app) + pilot.app.export_screenshot()
        assert not [word for word in PRIVATE if word in shown]
        if digit == "3":
            await pilot.press("tab", "tab", "enter")
            await shows(pilot, "Fill NVDA")
            assert not [word for word in PRIVATE if word in text(pilot.app)]
            await pilot.press("escape")
        await pilot.press("h")
        await shows(pilot, "DU1234567")


async def test_privacy_key_masks_a_dialog_and_what_lies_below() -> None:
    async with running(fakes.FakeRuntime(), (160, 48)) as pilot:
        await pilot.press("3", "tab", "tab", "enter")
        await shows(pilot, "Fill NVDA", "DU1234567")
        await pilot.press("h")
        await shows(pilot, "Fill NVDA", "•••")
        assert not [word for word in PRIVATE if word in text(pilot.app)]
        await pilot.press("h")
        await shows(pilot, "DU1234567")
        await pilot.press("escape", "1", "o")
        await shows(pilot, "Log out?")
        await pilot.press("h")
        await shows(pilot, "Log out?", "•••")
        assert "DU1234567" not in text(pilot.app)


async def test_details_follow_the_stream_and_outlive_their_row() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("2", "enter")
        await shows(pilot, "Avg Price")
        first = msgspec.structs.replace(fakes.POSITIONS[0], avg_price="987.65")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, [first, *fakes.POSITIONS[1:]]))
        await shows(pilot, "Avg Price", "987.65")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, fakes.POSITIONS[1:]))
        pilot.app.screen.reload()
        await shows(pilot, "Avg Price", "987.65")


async def test_long_texts_of_details_are_wrapped() -> None:
    runtime = fakes.FakeRuntime()
    words = "Order rejected: your account has insufficient funds for this order, and then some more words."
    order = msgspec.structs.replace(fakes.ORDERS[0], status="Inactive", reason=words)
    async with running(runtime, (80, 40)) as pilot:
        runtime.hub.publish(runtime.store.replace_orders([order]))
        await pilot.press("3")
        await shows(pilot, "[Working 1]")
        await pilot.press("enter")
        await shows(pilot, "As sent", "some more words.")


async def test_what_is_typed_behind_the_slash_at_once_is_the_filter() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("2")
        await shows(pilot, "AAPL")
        for char in "/usd/q":  # as one read of the terminal brings them
            pilot.app.post_message(Key("slash" if char == "/" else char, char))
        await until(pilot, lambda: [it.value for it in pilot.app.screen.query(Input)] == ["usd/q"])
        await shows(pilot, "Nothing matches")


async def test_the_palette_names_what_works_here() -> None:
    async with running(fakes.FakeRuntime()) as pilot:
        await pilot.press("2")
        screen = pilot.app.screen
        found = {it.title: it.callback for it in pilot.app.get_system_commands(screen)}
        assert "Working, today, fills" not in found and "Log in to IBKR" in found
        await found["Group by currency, type, or not at all"]()
        await says(pilot, "Grouped by currency.")
        await pilot.press("3")
        assert "Working, today, fills" in {it.title for it in pilot.app.get_system_commands(pilot.app.screen)}


async def test_a_user_name_that_no_setting_names_is_masked_too() -> None:
    runtime = fakes.FakeRuntime()
    lamp = msgspec.structs.replace(runtime.status.sso, reason="typed999 by IB Key · idle time left 9 min")
    runtime.status = msgspec.structs.replace(runtime.status, sso=lamp)
    runtime.events.append(msgspec.structs.replace(runtime.events[-1], text="typed999 accepted"))
    async with running(runtime) as pilot:
        await shows(pilot, "typed999 accepted", "idle time left")
        await pilot.press("h")
        await shows(pilot, "••• accepted", "idle time left")
        assert "typed999" not in text(pilot.app)


async def test_privacy_from_the_settings() -> None:
    app = make_app(fakes.FakeRuntime(), privacy=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● Brokerage", "•••")
        await pilot.press("2")
        await shows(pilot, "AAPL", "Net liq •••")


async def test_hidden_screens_catch_up_when_they_come_back() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime) as pilot:
        await pilot.press("2")
        await shows(pilot, "TSLA")
        await pilot.press("1")
        runtime.hub.publish(runtime.store.replace_positions(fakes.ACCOUNT, fakes.POSITIONS[:2]))
        await asyncio.sleep(0.1)
        await pilot.press("2")
        await until(pilot, lambda: "TSLA" not in text(pilot.app) and "AAPL" in text(pilot.app))


async def test_rates_that_arrive_late_fill_the_shares() -> None:
    runtime = fakes.FakeRuntime()
    async with running(runtime, (120, 40)) as pilot:
        await pilot.press("2")
        await shows(pilot, "ASML (AEB)")
        rows = {"EUR": LedgerRow(currency="EUR", exchange_rate="2.0")}
        runtime.hub.publish(runtime.store.replace_ledger(fakes.ACCOUNT, rows))
        await shows(pilot, "5.5")
