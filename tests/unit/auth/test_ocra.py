"""One-time codes against known answers (login.md §5, RFC 4226, RFC 6238)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibtui.auth import ocra
from ibtui.errors import UnknownReply, UsageError
from ibtui.secret import Secret
from tests.unit.auth.auth_talk import VECTORS

RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize("case", VECTORS["ocra"], ids=lambda case: case["name"])
def test_known_responses(case: dict[str, Any]) -> None:
    response = ocra.respond(Secret(case["key"]), Secret(case["pin"]), case["counter"], case["challenge"])
    assert response.reveal() == case["response"]


@pytest.mark.parametrize("case", VECTORS["ocra_key"], ids=lambda case: case["name"])
def test_known_keys(case: dict[str, Any]) -> None:
    assert ocra.derive_key(bytes.fromhex(case["K"]), case["device"]).reveal() == case["key"]


@pytest.mark.parametrize("case", VECTORS["totp"], ids=lambda case: f"{case['name']} {case['at']}")
def test_known_totp(case: dict[str, Any]) -> None:
    assert ocra.read_totp(Secret(case["secret"])).code(case["at"]).reveal() == case["code"]


def test_the_two_counter_encodings() -> None:
    assert [ocra.counter_bytes(n)[-2:].hex() for n in (1, 9, 10, 57, 99, 100)] == [
        "0001", "0009", "0010", "0057", "0099", "0100",
    ]  # fmt: skip
    assert ocra.counter_bytes(100, "rfc") == (100).to_bytes(8, "big")
    key, pin = Secret("ab" * 20), Secret("1234")
    assert ocra.respond(key, pin, 9, "123") == ocra.respond(key, pin, 9, "123", "rfc")
    assert ocra.respond(key, pin, 10, "123") == ocra.respond(key, pin, 16, "123", "rfc")


@pytest.mark.parametrize("key", ["", "ab" * 19, "zz" * 20, "ab" * 21])
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(UsageError, match="40 hex digits") as caught:
        ocra.respond(Secret(key), Secret("1"), 1, "1")
    assert not key or key not in str(caught.value)


def test_counters_begin_at_one_and_challenges_are_numbers() -> None:
    with pytest.raises(UsageError, match="begins at 1"):
        ocra.respond(Secret("ab" * 20), Secret("1"), 0, "1")
    for challenge in ("", "12a", "1" * 65, "²", "-5"):
        with pytest.raises(UnknownReply, match="not a number"):
            ocra.respond(Secret("ab" * 20), Secret("1"), 1, challenge)


def test_hotp_of_the_standard() -> None:
    codes = [ocra.hotp(b"12345678901234567890", n) for n in range(5)]
    assert codes == ["755224", "287082", "359152", "969429", "338314"]


@pytest.mark.parametrize(
    "pasted",
    [
        RFC_SECRET,
        RFC_SECRET.lower(),
        " GEZD GNBV GY3T QOJQ\tGEZD-GNBV-GY3T-QOJQ\n",
        f"otpauth://totp/IBKR:me?secret={RFC_SECRET}&issuer=IBKR",
        f"otpauth://totp/x?secret={RFC_SECRET.lower()}&digits=6&period=30&algorithm=sha1",
        f"OTPAUTH://TOTP/x?SECRET={RFC_SECRET}",
    ],
)
def test_secrets_as_people_paste_them(pasted: str) -> None:
    totp = ocra.read_totp(Secret(pasted))
    assert totp.code(59).reveal() == "287082"
    assert totp.key.reveal() not in repr(totp)


def test_padding_may_be_missing_or_there() -> None:
    assert ocra.read_totp(Secret("MFRGG===")) == ocra.read_totp(Secret("mfrgg"))


@pytest.mark.parametrize(
    "pasted",
    ["", "   ", "1890", "A", "otpauth://hotp/x?secret=MFRGG", "otpauth://totp/x",
     "otpauth://totp/x?secret=MFRGG&digits=8", "otpauth://totp/x?secret=MFRGG&algorithm=SHA256"],
)  # fmt: skip
def test_secrets_that_are_none(pasted: str) -> None:
    with pytest.raises(UsageError) as caught:
        ocra.read_totp(Secret(pasted))
    assert caught.value.fix and "MFRGG" not in str(caught.value)


@given(st.floats(0, 4e9))
def test_a_code_is_never_used_within_eight_seconds_of_its_end(at: float) -> None:
    wait = ocra.wait_for(at)
    assert 0 <= wait < 8
    if wait == 0:
        assert 30 - at % 30 >= 8
    else:
        assert ocra.wait_for(at + wait + 0.001) == 0


def test_clock_skew_by_the_date_header() -> None:
    date = datetime(2026, 1, 31, 9, 9, 53, tzinfo=UTC)
    assert ocra.skew(None, 0) == 0
    assert ocra.skew(date, date.timestamp() + 1.9) == 0
    assert ocra.skew(date, date.timestamp() - 100) == 100.5
    assert ocra.skew(date, date.timestamp() + 100) == -99.5
