"""The guard's policy: limits, waits, giving back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibtui.auth import guard
from ibtui.auth.guard import Policy, Record, permit, rebased, refunded, spent, waiting
from ibtui.errors import Backoff, LoginLocked, UsageError

NOW = datetime(2026, 1, 31, 9, 9, 53, tzinfo=UTC)


def after(attempts: int) -> Record:
    record = Record()
    for _ in range(attempts):
        record = spent(record, NOW)
    return record


def test_the_waits_grow() -> None:
    waits = []
    for attempts in range(1, 6):
        not_before = after(attempts).not_before
        assert not_before is not None
        waits.append((not_before - NOW).total_seconds())
    assert waits == [60, 3600, 21600, 21600, 21600]


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 60), (2, 3600), (3, 21600)])
def test_waits_bind_automatic_logins_only(attempts: int, seconds: int) -> None:
    record = after(attempts)
    with pytest.raises(Backoff, match=f"try again in {seconds}s") as caught:
        permit(record, Policy(), NOW, person=False)
    assert caught.value.until == NOW + timedelta(seconds=seconds)
    assert caught.value.exit_code == 5
    allowed = permit(record, Policy(), NOW, person=True)
    assert allowed.confirm and allowed.text == f"attempt {attempts + 1} of 4"
    later = NOW + timedelta(seconds=seconds)
    assert not permit(record, Policy(), later, person=False).confirm


def test_nobody_goes_past_the_limit() -> None:
    much_later = NOW + timedelta(days=400)
    for person in (True, False):
        with pytest.raises(LoginLocked, match=r"Too many failed login attempts \(4\)") as caught:
            permit(after(4), Policy(), much_later, person=person)
        assert "reset" in caught.value.fix
    assert permit(after(4), Policy(5), much_later, person=False).number == 5
    assert "locks the account" in guard.RESET_RISK


@pytest.mark.parametrize("limit", [0, -1, 11])
def test_limits_that_make_no_sense(limit: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 10"):
        Policy(limit)


def test_no_attempts_no_wait() -> None:
    assert permit(Record(0, NOW + timedelta(days=1)), Policy(), NOW, person=False).number == 1


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 60), (2, 3600), (3, 21600), (7, 21600)])
def test_a_clock_that_was_wrong_does_not_lock_anybody_out(attempts: int, seconds: int) -> None:
    far = Record(attempts, NOW + timedelta(days=3650))
    end = NOW + timedelta(seconds=seconds)
    assert waiting(far, NOW) == end
    assert rebased(far, NOW) == Record(attempts, end)


@pytest.mark.parametrize(
    "record", [Record(), after(1), after(3), Record(0, NOW + timedelta(days=9)), Record(2)]
)
def test_a_wait_that_can_be_true_stays(record: Record) -> None:
    assert rebased(record, NOW) == record
    assert rebased(record, NOW + timedelta(hours=9)) == record


def test_giving_back() -> None:
    before, counted = after(1), after(2)
    assert refunded(counted, before, counted) == before
    assert refunded(Record(), before, counted) == Record(), "a success or a reset came in between"
    third = after(3)
    assert refunded(third, before, counted) == Record(2, third.not_before), "another's wait stays"


@given(st.integers(0, 12), st.integers(1, 10), st.booleans())
def test_the_limit_holds_whatever_happens(attempts: int, limit: int, person: bool) -> None:
    try:
        allowed = permit(Record(attempts), Policy(limit), NOW, person=person)
    except LoginLocked:
        assert attempts >= limit
    else:
        assert allowed.number == attempts + 1 <= limit
