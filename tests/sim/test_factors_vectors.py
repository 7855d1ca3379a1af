"""The server's OCRA, key and TOTP against the known answers; the counter's window (login.md §5)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ibtui.sim import ocra, totp

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "vectors" / "login.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("vector", VECTORS["ocra"], ids=lambda one: one["name"])
def test_ocra(vector: dict[str, Any]) -> None:
    key, value = bytes.fromhex(vector["key"]), ocra.value_of(vector["counter"])
    assert ocra.answer(key, value, vector["challenge"], vector["pin"]) == vector["response"]
    # The server finds out which counter it was, from a little before and from far away.
    for last in (value - 1, max(0, value - 7), value + 50):
        found = ocra.seen(key, vector["challenge"], vector["pin"], vector["response"], last, 20)
        assert found is not None and ocra.counter_of(found) == vector["counter"]
    assert ocra.seen(key, vector["challenge"], vector["pin"] + "0", vector["response"], value - 1, 20) is None


@pytest.mark.parametrize("vector", VECTORS["ocra_key"], ids=lambda one: one["name"])
def test_ocra_key(vector: dict[str, Any]) -> None:
    assert ocra.derive_key(bytes.fromhex(vector["K"]), vector["device"]).hex() == vector["key"]


@pytest.mark.parametrize("vector", VECTORS["totp"], ids=lambda one: one["code"])
def test_totp(vector: dict[str, Any]) -> None:
    secret, at, code = vector["secret"], vector["at"], vector["code"]
    assert totp.code_at(secret, at) == code
    assert totp.code_at(secret.lower()[:4] + " " + secret[4:], at) == code
    middle = at // 30 * 30
    for off in (-30, 0, 59):
        assert totp.accepts(secret, code, middle + off)
    for off in (-31, 60):
        assert not totp.accepts(secret, code, middle + off)


def test_counters_and_values() -> None:
    for counter, value in ((1, 1), (9, 9), (10, 16), (19, 25), (57, 87), (99, 153), (100, 256)):
        assert ocra.value_of(counter) == value
        assert ocra.counter_of(value) == counter
        assert ocra.next_counter(value - 1) == counter
        assert ocra.value_of(counter, rfc=True) == ocra.counter_of(counter, rfc=True) == counter
    assert ocra.counter_of(10) is None
    assert ocra.next_counter(9) == 10
    assert ocra.next_counter(9, rfc=True) == 10


@pytest.mark.parametrize(("window", "end"), [(6, 9), (7, 99), (20, 99), (102, 99), (103, 123)])
def test_how_far_a_window_carries(window: int, end: int) -> None:
    last, reached = 1, 1
    for counter in range(2, 124):
        value = ocra.value_of(counter)
        if last < value <= last + window:
            last, reached = value, counter
    assert reached == end


def test_a_challenge_that_is_no_number() -> None:
    with pytest.raises(ValueError):
        ocra.answer(b"k" * 20, 1, "12x", "1234")
