"""A fixed portfolio, day of orders and set of lamps, for looks and keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ibtui.core.models import (
    Account,
    Event,
    Execution,
    Lamp,
    LedgerRow,
    Order,
    Pnl,
    Position,
    Quote,
    Status,
    SummaryRow,
)
from ibtui.core.store import Store

NOW = datetime(2026, 4, 24, 14, 32, 10, tzinfo=UTC)
ACCOUNT = "DU1234567"
OTHER = "DU7654321"


def ms(minutes_ago: float) -> int:
    """Milliseconds of a moment before NOW."""
    return int((NOW - timedelta(minutes=minutes_ago)).timestamp() * 1000)


def position(conid: int, description: str, size: str, price: str, **more: Any) -> Position:
    """A warm stock position unless `more` says otherwise."""
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "ticker": description,
        "asset_class": "STK",
        "currency": "USD",
        "listing_exchange": "NASDAQ",
        "decimals": 2,
    } | more
    return Position(conid=conid, description=description, position=size, market_price=price, **values)


POSITIONS = (
    position(
        265598,
        "AAPL",
        "250.0",
        "193.18",
        market_value="48295.0",
        avg_cost="184.0",
        avg_price="184.0",
        unrealized_pnl="2295.00",
        realized_pnl="0.0",
        daily_pnl="182.50",
        name="APPLE INC",
    ),
    position(
        667629330,
        "AAPL   JAN2027 150 C [AAPL  270121C00150000 100]",
        "-2.0",
        "48.15",
        ticker="AAPL",
        asset_class="OPT",
        expiry="20270121",
        strike="150",
        right="C",
        multiplier="100",
        market_value="-9630.0",
        avg_cost="4660.0",
        avg_price="46.60",
        unrealized_pnl="-310.00",
        daily_pnl="-64.00",
        listing_exchange="CBOE",
    ),
    position(
        117589399,
        "ASML",
        "40.0",
        "702.30",
        currency="EUR",
        listing_exchange="AEB",
        market_value="28092.0",
        avg_cost="690.10",
        avg_price="690.10",
        unrealized_pnl="488.00",
        daily_pnl="120.00",
        name="ASML HOLDING NV",
    ),
    position(
        515416632,
        "ES",
        "1.0",
        "6012.25",
        asset_class="FUT",
        expiry="20261218",
        multiplier="50",
        market_value="300612.5",
        avg_cost="300200.0",
        avg_price="6004.0",
        unrealized_pnl="412.50",
        daily_pnl="-87.50",
        listing_exchange="CME",
    ),
    position(
        272093,
        "MSFT",
        "100.0",
        "431.02",
        market_value="43102.0",
        avg_cost="443.06",
        avg_price="443.06",
        unrealized_pnl="-1204.00",
        daily_pnl="0.0",
        name="MICROSOFT CORP",
    ),
    position(
        76792991,
        "TSLA",
        "-50.0",
        "242.11",
        market_value="-12105.5",
        avg_cost="243.92",
        avg_price="243.92",
        unrealized_pnl="90.50",
        daily_pnl="310.00",
        name="TESLA INC",
    ),
    position(
        14094,
        "700",
        "500.0",
        "C512.5",
        currency="HKD",
        listing_exchange="SEHK",
        ticker="700",
        name="騰訊控股 [/bold]",
        decimals=1,
    ),
)

ORDERS = (
    Order(
        order_id=1834567001,
        account=ACCOUNT,
        conid=265598,
        status="Submitted",
        side="BUY",
        ticker="AAPL",
        order_type="Limit",
        price="185.00",
        tif="CLOSE",
        total="10.0",
        filled="0.0",
        remaining="10.0",
        sec_type="STK",
        updated_ms=ms(0),
        order_ref="cli-0001",
        outside_rth=False,
    ),
    Order(
        order_id=1834567002,
        account=ACCOUNT,
        conid=4815747,
        status="Submitted",
        side="SELL",
        ticker="NVDA",
        order_type="Limit",
        price="382.40",
        tif="GTC",
        total="622.0",
        filled="100.0",
        remaining="522.0",
        avg_price="382.44",
        updated_ms=ms(34),
    ),
    Order(
        order_id=1834567003,
        account=ACCOUNT,
        conid=4815747,
        status="PreSubmitted",
        side="SELL",
        ticker="NVDA",
        order_type="Stop",
        price="370.00",
        tif="GTC",
        total="522.0",
        filled="0.0",
        remaining="522.0",
        parent_id="1834567002",
        updated_ms=ms(34),
    ),
    Order(
        order_id=1834567004,
        account=ACCOUNT,
        conid=515416632,
        status="Inactive",
        side="BUY",
        ticker="ES",
        contract="ES DEC26",
        order_type="Limit",
        price="5200.00",
        tif="CLOSE",
        total="1.0",
        filled="0.0",
        remaining="1.0",
        reason="limit too far from the market (7.9 %)",
        updated_ms=ms(210),
    ),
    Order(
        order_id=1834567000,
        account=ACCOUNT,
        conid=756733,
        status="Filled",
        side="BUY",
        ticker="SPY",
        order_type="Market",
        price="",
        tif="CLOSE",
        total="1.0",
        filled="1.0",
        remaining="0.0",
        avg_price="647.09",
        updated_ms=ms(62),
    ),
    Order(
        order_id=1834566999,
        account=ACCOUNT,
        conid=272093,
        status="Cancelled",
        side="BUY",
        ticker="MSFT",
        order_type="Limit",
        price="401.00",
        tif="CLOSE",
        total="20.0",
        filled="0.0",
        remaining="20.0",
        updated_ms=ms(120),
    ),
)

FILLS = (
    Execution(
        execution_id="0000f1a7.69eb8a10.01.01",
        account=ACCOUNT,
        conid=756733,
        order_id=1834567000,
        side="B",
        symbol="SPY",
        size="1.0",
        price="647.09",
        commission="1.0",
        net_amount="647.09",
        exchange="ARCA",
        time_ms=ms(62),
    ),
    Execution(
        execution_id="0000f1a7.69eb8a11.01.01",
        account=ACCOUNT,
        conid=4815747,
        order_id=1834567002,
        side="S",
        symbol="NVDA",
        size="100.0",
        price="382.44",
        net_amount="38244.0",
        exchange="NASDAQ",
        time_ms=ms(30),
    ),
)

EVENTS = (
    Event(at=NOW - timedelta(hours=6), source="gateway", text="started by ibtui, pid 4711"),
    Event(at=NOW - timedelta(hours=5, minutes=59), source="login", text="demo123 accepted"),
    Event(at=NOW - timedelta(hours=5, minutes=58), source="brokerage", text="ready (3.1 s after login)"),
    Event(at=NOW - timedelta(minutes=20), source="stream", text="lost: no beat for 30 s", level="warn"),
    Event(
        at=NOW - timedelta(minutes=19, seconds=48),
        source="stream",
        text="caught up after 12 s without stream: 1 fill, 2 status changes missed",
    ),
    Event(at=NOW - timedelta(seconds=40), source="orders", text="DU1234567 sold 100 NVDA @ 382.44"),
)

ALL_ON = Status(
    gateway=Lamp(
        state="on", since=NOW - timedelta(hours=6, minutes=12), reason="pid 4711 · https://localhost:5000"
    ),
    sso=Lamp(state="on", since=NOW - timedelta(hours=5, minutes=59), reason="demo123 by IB Key"),
    brokerage=Lamp(
        state="on", since=NOW - timedelta(hours=5, minutes=58), reason="authenticated · server JifN17091"
    ),
)
NOBODY = Status(
    gateway=ALL_ON.gateway,
    sso=Lamp(state="off", reason="nobody is logged in", fix="Log in: l here, or ibtui login"),
    brokerage=Lamp(),
)
DOWN = Status(
    gateway=Lamp(
        state="off",
        reason="nothing answers at https://localhost:5000",
        fix="Start it: s here, or ibtui gateway start",
    )
)
COMPETING = Status(
    gateway=ALL_ON.gateway,
    sso=ALL_ON.sso,
    brokerage=Lamp(
        state="warn",
        since=NOW - timedelta(seconds=40),
        reason="another program holds the session",
        fix="Take it over: t here, or ibtui login --take-over",
    ),
)


def fill(store: Store) -> None:
    """The whole fixed portfolio."""
    store.replace_accounts(
        [
            Account(id=ACCOUNT, currency="USD", alias="savings", paper=True),
            Account(id=OTHER, currency="EUR", paper=True),
        ]
    )
    store.replace_positions(ACCOUNT, POSITIONS)
    store.replace_positions(OTHER, [])
    store.merge_quotes([Quote(conid=265598, fields={"83": "-0.73", "84": "193.06", "86": "193.14"})])
    store.replace_orders(ORDERS)
    store.replace_executions(FILLS)
    store.replace_pnl(
        {ACCOUNT: Pnl(account=ACCOUNT, daily="461.0", unrealized="1772.0", net_liquidity="1020000.0")}
    )
    store.replace_summary(ACCOUNT, summary("1020114.20"))
    store.replace_ledger(
        ACCOUNT,
        {
            "USD": LedgerRow(
                currency="USD",
                cash="941869.6",
                stock_value="69661.5",
                net_liquidation="990114.2",
                unrealized_pnl="1284.0",
                exchange_rate="1",
            ),
            "EUR": LedgerRow(
                currency="EUR",
                cash="0.0",
                stock_value="28092.0",
                net_liquidation="28092.0",
                unrealized_pnl="488.0",
                exchange_rate="1.0682",
            ),
            "BASE": LedgerRow(
                currency="BASE",
                cash="971869.6",
                stock_value="99669.4",
                net_liquidation="1020114.2",
                unrealized_pnl="1772.0",
                exchange_rate="1",
            ),
        },
    )


def summary(net: str) -> dict[str, SummaryRow]:
    """An account's summary."""
    money = {
        "netliquidation": net,
        "totalcashvalue": "971869.60",
        "availablefunds": "912460.10",
        "buyingpower": "3649840.40",
        "excessliquidity": "915353.88",
        "initmarginreq": "104760.32",
        "maintmarginreq": "95236.65",
        "grosspositionvalue": "99669.40",
        "equitywithloanvalue": "1019800.00",
    }
    rows = {key: SummaryRow(key=key, amount=amount, currency="USD") for key, amount in money.items()}
    rows["cushion"] = SummaryRow(key="cushion", amount="0.0", value="0.895")
    return rows
