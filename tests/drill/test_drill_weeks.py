"""The keep-alive's machine through more weeks of trouble than `make test` has time for."""

from __future__ import annotations

import pytest

from tests.unit.service import test_machine_weeks as weeks


@pytest.mark.parametrize("competing", ["take", "yield", "ask"])
@pytest.mark.parametrize("seed", range(1, 6))
def test_trouble_with_a_password_at_hand(seed: int, competing: str) -> None:
    weeks.test_weeks_of_trouble_with_a_password_at_hand(seed, competing)


@pytest.mark.parametrize("password", ["wrong", ""])
@pytest.mark.parametrize("seed", range(1, 4))
def test_without_a_good_password(seed: int, password: str) -> None:
    weeks.test_weeks_without_a_good_password(seed, password)


@pytest.mark.parametrize("seed", range(1, 4))
def test_codes_that_are_refused(seed: int) -> None:
    weeks.test_codes_that_are_refused_end_at_the_limit(seed)


def test_a_session_that_dies_at_once() -> None:
    weeks.test_a_session_that_never_lasts_does_not_use_up_ib_key(30.0)
