"""Orders and fills as rows: the same status in word, glyph and colour; brackets; refusals."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ibtui.core.models import Event, Execution, Order
from ibtui.ui.present import orders as present
from ibtui.ui.present.spans import plain
from tests import fakes


@pytest.mark.parametrize(
    ("values", "glyph", "word"),
    [
        ({"status": "Submitted", "filled": "0.0", "remaining": "10.0"}, "●", "working"),
        ({"status": "Submitted", "filled": "3.0", "remaining": "7.0"}, "◐", "partly"),
        ({"status": "PreSubmitted"}, "◌", "held"),
        ({"status": "PendingSubmit"}, "…", "sending"),
        ({"status": "PendingCancel"}, "…", "cancelling"),
        ({"status": "PreCancelled"}, "…", "cancelling"),
        ({"status": "Cancelled"}, "○", "cancelled"),
        ({"status": "Filled"}, "✓", "filled"),
        ({"status": "Inactive", "ccp_status": "Pending Submit"}, "…", "sending"),
        ({"status": "Inactive", "ccp_status": "Pending Submit", "reason": "no"}, "✕", "inactive"),
        ({"status": "Inactive"}, "✕", "inactive"),
        ({"status": "WarnState"}, "▲", "warning"),
        ({"status": "Brandnew"}, "?", "brandnew"),
        ({}, "?", "unknown"),
    ],
)
def test_status(values: dict[str, str], glyph: str, word: str) -> None:
    assert present.status(Order(order_id=1, **values))[:2] == (glyph, word)


def test_what_may_still_trade_counts_as_working() -> None:
    working = [order.order_id for order in fakes.ORDERS if present.is_working(order)]
    assert working == [1834567001, 1834567002, 1834567003, 1834567004]


def test_rows_of_a_bracket_and_a_refusal() -> None:
    rows = {row.key: row for row in present.order_rows(fakes.ORDERS)}
    assert rows["1834567003"].parent == "1834567002"
    reason = rows["1834567004:reason"]
    assert (reason.parent, reason.wide) == ("1834567004", True)
    assert "limit too far" in reason.cells["status"].text
    assert "1834567001:reason" not in rows


def test_cells() -> None:
    cells = {key: cell.text for key, cell in present.order_row(fakes.ORDERS[1]).cells.items()}
    assert cells["status"] == "◐ partly"
    assert (cells["filled"], cells["qty"], cells["limit"], cells["avg"]) == (
        "100/622",
        "622",
        "382.40",
        "382.44",
    )
    assert present.order_row(fakes.ORDERS[0]).cells["tif"].text == "DAY"
    assert present.order_row(fakes.ORDERS[4]).cells["limit"].text == "—"  # a market order has no price
    assert present.order_row(fakes.ORDERS[0], hide=True).cells["filled"].text == "•••"
    assert present.order_row(Order(order_id=1)).cells["filled"].text == "—"
    assert present.order_row(Order(order_id=1, parent_id="0")).parent is None


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("LIMIT", "LMT"), ("Stop Limit", "STP LMT"), ("STOP_LIMIT", "STP LMT"), ("Odd", "ODD"), (None, "—")],
)
def test_order_types(sent: str | None, shown: str) -> None:
    assert present.order_row(Order(order_id=1, order_type=sent)).cells["type"].text == shown


def test_fill_without_commission_yet() -> None:
    cells = {key: cell.text for key, cell in present.fill_row(fakes.FILLS[1]).cells.items()}
    assert (cells["side"], cells["qty"], cells["commission"], cells["net"]) == (
        "SELL",
        "100",
        "—",
        "38,244.00",
    )
    assert present.fill_row(Execution(execution_id="1", side="SLD")).cells["side"].text == "SELL"


def test_details() -> None:
    assert dict(present.order_details(fakes.ORDERS[3]))["Reason"].startswith("limit too far")
    assert dict(present.fill_details(fakes.FILLS[0]))["Execution"] == fakes.FILLS[0].execution_id


def test_foreign_text_cannot_steer() -> None:
    row = present.order_row(Order(order_id=1, ticker="A\x1b[2JB", status="X\x07"))
    assert row.cells["symbol"].text == "A[2JB"
    assert "\x07" not in row.cells["status"].text


def test_caught_up_and_footing() -> None:
    assert "1 fill" in plain(present.caught_up(list(fakes.EVENTS)))
    assert present.caught_up([Event(at=datetime(2026, 1, 1, tzinfo=UTC), source="x", text="y")]) == ()
    assert "read-only" in plain(present.footing(False, 0.0))
    assert "unlocked" in plain(present.footing(True, None))


def test_masking_leaves_no_sizes_or_sums_in_the_brokers_own_words() -> None:
    order = Order(
        order_id=7,
        status="Inactive",
        description="Buy 9000 Limit 467.18, Day",
        reason="Equity 12,345.67 of DU1234567 is not enough",
        remaining="9000.0",
    )
    rows = present.order_rows([order], hide=True)
    texts = [cell.text for row in rows for cell in row.cells.values()]
    texts += [value for _, value in present.order_details(order, hide=True)]
    assert not [text for text in texts if "9000" in text or "12,345" in text or "DU12" in text]
    assert ("Remaining", "9,000") in present.order_details(order)
