"""Numbers as a person reads them; nothing missing is ever 0, nothing passes through a float."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from ibtui.core.models import number
from ibtui.ui.present import numbers, privacy
from ibtui.ui.present.spans import clean, line, plain, width, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1020114.2", "+1,020,114.20"),
        ("-64", "-64.00"),
        ("0", "0.00"),
        ("-0.001", "0.00"),
        (None, "—"),
        ("N/A", "—"),
        ("1.79e308", "—"),
        ("9.718696E5", "+971,869.60"),
    ],
)
def test_signed(text: str | None, shown: str) -> None:
    assert numbers.signed(number(text)) == shown


def test_amounts_keep_every_digit_a_float_would_lose() -> None:
    assert numbers.amount(D("90071992547409931.27")) == "90,071,992,547,409,931.27"
    assert numbers.amount(D("1e40")).count("0") == 42


@pytest.mark.parametrize(("value", "shown"), [("182.5", "▲+182.50"), ("-64", "▼-64.00"), ("0", "0.00")])
def test_arrow(value: str, shown: str) -> None:
    assert numbers.arrow(D(value)) == shown


def test_hidden_amounts_tell_nothing_but_missing_stays_missing() -> None:
    assert numbers.arrow(D("-64"), hide=True) == numbers.HIDDEN
    assert numbers.quantity(D(5), hide=True) == numbers.HIDDEN
    assert numbers.signed(None, hide=True) == numbers.MISSING


@pytest.mark.parametrize(
    ("value", "shown"),
    [("250.0", "250"), ("-50", "-50"), ("0.125", "0.125"), ("1500", "1,500"), ("1E+3", "1,000")],
)
def test_quantity(value: str, shown: str) -> None:
    assert numbers.quantity(D(value)) == shown


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        ("193.18", 2, "193.18"),
        ("98.3", 3, "98.300"),
        ("655.8945923", None, "655.8946"),
        ("48", None, "48.00"),
        ("1.07235", 5, "1.07235"),
        ("150", 0, "150"),
        ("0.5", 12, "0.50000000"),
    ],
)
def test_price_has_the_contracts_decimals(value: str, decimals: int | None, shown: str) -> None:
    assert numbers.price(D(value), decimals) == shown
    assert numbers.price(None, decimals) == "—"


def test_tone() -> None:
    assert [numbers.tone(v) for v in (D(1), D(-1), D(0), None)] == ["up", "down", "", "muted"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0 s"), (12.9, "12 s"), (185, "3 m 05 s"), (22_320, "6 h 12 m"), (187_200, "2 d 4 h")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert numbers.duration(seconds) == shown


def test_since_and_clock() -> None:
    now = datetime(2026, 4, 24, 14, 32, 10, tzinfo=UTC)
    assert numbers.since(now - timedelta(minutes=2), now) == "2 m 00 s"
    assert numbers.since(None, now) == ""
    assert numbers.clock_ms(0) == "—"
    assert numbers.clock_ms(int(now.timestamp() * 1000)) == numbers.clock(now)


def test_privacy_masks_ids_names_and_the_numbers_of_orders() -> None:
    words = "DU1234567 sold 100 NVDA @ 382.44 for demo123"
    assert privacy.text(words, hide=False) == words
    assert (
        privacy.text(words, hide=True, names=["Demo123"], source="orders")
        == "••• sold ••• NVDA @ ••• for •••"
    )
    assert privacy.text("up 6 h, pid 4711", hide=True, source="gateway") == "up 6 h, pid 4711"
    assert privacy.account("DU1", hide=True) == "•••"


def test_clean_takes_away_what_steers_a_terminal() -> None:
    assert clean("a\x1b[31mb\x07\tc\nd") == "a[31mb c d"
    assert clean("騰訊 [/bold]") == "騰訊 [/bold]"


def test_wrap_keeps_styles_and_hangs() -> None:
    parts = wrap(line("  ", ("→ ", "accent"), "one two three four"), 14)
    assert [plain(p) for p in parts] == ["  → one two ", "    three four"]
    assert parts[0][1] == ("→ ", "accent")
    assert all(width(p) <= 14 for p in parts)
    assert wrap(line("short"), 80) == [line("short")]
    assert plain(wrap(line("漢字漢字 漢字"), 8)[1]).strip() == "漢字"
