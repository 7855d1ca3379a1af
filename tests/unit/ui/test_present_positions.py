"""Positions as rows: names, formats, what is missing, and never a sum across currencies."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import msgspec
import pytest

from ibtui.core.models import LedgerRow, Pnl, Position, Quote, SummaryRow
from ibtui.ui.present import contracts
from ibtui.ui.present import positions as present
from ibtui.ui.present.spans import plain
from tests import fakes

CTX = present.context(
    "USD", fakes.summary("1000000"), {"EUR": LedgerRow(currency="EUR", exchange_rate="1.1")}, hide=False
)
BY_NAME = {contracts.label(it, "USD"): it for it in fakes.POSITIONS}


def cells(position: Position, quote: Quote | None = None, ctx: present.Context = CTX) -> dict[str, str]:
    return {key: cell.text for key, cell in present.row(position, quote, ctx).cells.items()}


def test_names() -> None:
    assert list(BY_NAME) == [
        "AAPL",
        "AAPL 21JAN27 150 C",
        "ASML (AEB)",
        "ES DEC26",
        "MSFT",
        "TSLA",
        "700 (SEHK)",
    ]


@pytest.mark.parametrize(
    ("description", "more", "name"),
    [
        ("AAPL   MAY2026 200 C [AAPL  260515C00200000 100]", {"asset_class": "OPT"}, "AAPL 15MAY26 200 C"),
        (
            "SPX    JAN2027 4512.5 P [SPXW  270115P04512500 100]",
            {"asset_class": "OPT", "strike": "0"},
            "SPX 15JAN27 4,512.5 P",
        ),
        ("XYZ something odd", {"asset_class": "OPT"}, "XYZ something odd"),
        ("ES  DEC2026", {"asset_class": "FUT", "expiry": "2026121"}, "ES DEC2026"),
        ("US-T 4 1/8 2032", {"asset_class": "BOND", "ticker": "US-T"}, "US-T 4 1/8 2032"),
        ("", {}, "7"),
        ("BAD\x1b[2J", {"asset_class": "STK"}, "BAD[2J"),
    ],
)
def test_names_of_cold_and_odd_rows(description: str, more: dict[str, str], name: str) -> None:
    assert contracts.label(Position(account="U1", conid=7, description=description, **more)) == name


def test_a_stock_row() -> None:
    row = cells(BY_NAME["AAPL"], Quote(conid=265598, fields={"83": "-0.73%"}))
    assert row["position"] == "250"
    assert row["last"] == "193.18"
    assert row["daily"] == "▲+182.50"
    assert row["unrealized"] == "+2,295.00"
    assert row["unrl_pct"] == "+4.99"
    assert row["value"] == "48,295.00"
    assert row["change"] == "-0.73"
    assert row["nlv_pct"] == "4.8"
    assert row["cost"] == "46,000.00"


def test_shorts_and_options_use_the_multiplier_the_broker_has_in_the_cost() -> None:
    assert cells(BY_NAME["TSLA"])["unrl_pct"] == "+0.74"
    assert cells(BY_NAME["TSLA"])["cost"] == "-12,196.00"
    assert cells(BY_NAME["AAPL 21JAN27 150 C"])["unrl_pct"] == "-3.33"


def test_futures_have_no_cost() -> None:
    row = cells(BY_NAME["ES DEC26"], Quote(conid=1, fields={"80": "8%"}))
    assert (row["unrl_pct"], row["cost"]) == ("—", "—")


def test_missing_is_never_zero() -> None:
    bare = cells(Position(account="U1", conid=7, description="X"))
    assert {
        bare[key] for key in ("position", "last", "daily", "unrealized", "unrl_pct", "value", "nlv_pct")
    } == {"—"}
    assert (
        present.row(Position(account="U1", conid=7, description="X"), None, CTX).cells["daily"].sort is None
    )


def test_marks_of_the_last_price_are_kept() -> None:
    row = present.row(BY_NAME["700 (SEHK)"], None, CTX)
    assert row.cells["last"] == ("C512.5", "muted", D("512.5"))
    halted = msgspec.structs.replace(BY_NAME["AAPL"], market_price="H193.18")
    assert present.row(halted, None, CTX).cells["last"][:2] == ("H193.18", "warn")


def test_no_share_without_a_rate() -> None:
    assert cells(BY_NAME["ASML (AEB)"])["nlv_pct"] == "3.1"
    assert cells(BY_NAME["ASML (AEB)"], None, replace(CTX, rates={}))["nlv_pct"] == "—"


def test_a_closed_position_is_dim() -> None:
    assert present.row(msgspec.structs.replace(BY_NAME["AAPL"], position="0.0"), None, CTX).dim


def test_percent_from_the_stream_when_there_is_no_cost() -> None:
    bare = Position(account="U1", conid=7, description="X", asset_class="STK")
    assert cells(bare, Quote(conid=7, fields={"80": "4.42%"}))["unrl_pct"] == "+4.42"


def test_hidden() -> None:
    row = present.row(BY_NAME["AAPL"], None, replace(CTX, hide=True))
    texts = {key: cell.text for key, cell in row.cells.items()}
    assert {
        texts[k] for k in ("position", "daily", "unrealized", "value", "cost", "realized", "account")
    } == {"•••"}
    assert row.cells["daily"].style == ""  # the colour would tell the sign
    assert texts["last"] == "193.18"


def test_totals_are_the_brokers_own() -> None:
    summary = {"netliquidation": SummaryRow(key="netliquidation", amount="1020114.2", currency="USD")}
    ledger = {"BASE": LedgerRow(currency="BASE", cash="971869.6", unrealized_pnl="1772")}
    ctx = present.context("USD", summary, ledger, hide=False)
    text = plain(present.totals(ctx, Pnl(account="U1", daily="461"), summary, ledger, 2.4))
    assert text == " Net liq 1,020,114.20 USD  Cash 971,869.60  Daily +461.00  Unrl +1,772.00   2 s"
    assert plain(present.totals(present.Context(), None, {}, {}, None)).count("—") == 4
    assert "•••" in plain(present.totals(replace(ctx, hide=True), None, summary, ledger, None))
    rounded = Pnl(account="U1", net_liquidity="1020000.0")
    assert "1,020,000.00" in plain(present.totals(present.Context("USD"), rounded, {}, {}, None))


def test_details_hold_all_that_is_known() -> None:
    quote = Quote(conid=265598, fields={"84": "193.06", "86": "193.14"})
    found = dict(present.details(BY_NAME["AAPL"], quote, CTX))
    assert found["Bid"] == "193.06"
    assert found["Name"] == "APPLE INC"
    assert found["Conid"] == "265598"


def test_totals_of_millions_leave_the_cents_out_where_there_is_no_room() -> None:
    ctx = present.Context("USD", D("86447987.52"))
    pnl = Pnl(account="DU1", daily="-35680", unrealized="2808000.0")
    summary = {"totalcashvalue": SummaryRow(key="totalcashvalue", amount="895839.21")}
    assert "86,447,987.52" in plain(present.totals(ctx, pnl, summary, {}, 2.0))
    narrow = plain(present.totals(ctx, pnl, summary, {}, 2.0, room=80))
    assert len(narrow) <= 80 and narrow.endswith("2 s") and "86,447,988 USD" in narrow
