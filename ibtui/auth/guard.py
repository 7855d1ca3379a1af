"""How often a login may be tried: the policy, pure, over a record of two fields.

The record is on disk (`auth.vault`), per user name, shared by every process. Waits grow
with the attempts (login.md §7, rule 1) and bind automatic logins only; a person may go on
at once after confirming, but nobody goes past the limit. Setting the attempts to 0, by
`reset` or in the file, lifts the wait too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ibtui.errors import Backoff, LoginLocked, UsageError

WAITS_S = (60, 3600, 6 * 3600)
"""Seconds before the next automatic login after the first, second, third and later attempts."""
LIMIT = 4
MOST = 10
"""The highest limit that may be set: IBKR locks the account itself after some refusals."""
RESET_RISK = (
    "Resetting lets ibtui try again although earlier logins failed. IBKR counts wrong passwords and"
    " codes too: after too many of them it locks the account, and only its customer service opens it"
    " again. Reset only when you know why the logins failed."
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How many attempts are allowed without a success in between.

    Raises:
        UsageError: not between 1 and 10.
    """

    limit: int = LIMIT

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MOST:
            raise UsageError(
                f"The limit of login attempts must be between 1 and {MOST}, not {self.limit}.",
                f"The usual limit is {LIMIT}.",
            )


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of past attempts."""

    attempts: int = 0
    """Logins tried since the last success."""
    not_before: datetime | None = None
    """When an automatic login may try again (aware, UTC)."""


@dataclass(frozen=True, slots=True)
class Permit:
    """A login may be tried."""

    number: int
    """Which attempt it would be, 1 at first."""
    limit: int
    until: datetime | None = None
    """A wait that is running, which only a person may pass by."""

    @property
    def confirm(self) -> bool:
        """Whether the person is to confirm first."""
        return self.until is not None

    @property
    def text(self) -> str:
        """`attempt 3 of 4`."""
        return f"attempt {self.number} of {self.limit}"


def waiting(record: Record, now: datetime) -> datetime | None:
    """The end of the wait that is running at `now`; None when there is none.

    No wait is longer than the attempts' own, even if the clock was wrong when it was written.
    """
    if record.attempts <= 0 or record.not_before is None or record.not_before <= now:
        return None
    return min(record.not_before, now + _wait(record.attempts))


def rebased(record: Record, now: datetime) -> Record:
    """The record with a wait that can be true at `now`.

    One that is too far off was written by a clock that was wrong, or the clock was set back since:
    it begins anew, for it would never end otherwise.
    """
    until = waiting(record, now)
    return record if until is None or until == record.not_before else Record(record.attempts, until)


def _wait(attempts: int) -> timedelta:
    return timedelta(seconds=WAITS_S[min(attempts, len(WAITS_S)) - 1])


def permit(record: Record, policy: Policy, now: datetime, *, person: bool) -> Permit:
    """Whether a login may be tried at `now`.

    Args:
        person: somebody is there to confirm; the wait then only sets `Permit.until`.

    Raises:
        LoginLocked: the limit is reached. Backoff: an automatic login has to wait.
    """
    number = record.attempts + 1
    if number > policy.limit:
        raise LoginLocked(
            f"Too many failed login attempts ({record.attempts}): the limit is {policy.limit}.",
            "Find out why they failed, then reset the attempts: ibtui login --reset-attempts (it says first"
            " what that risks).",
        )
    until = waiting(record, now)
    if until is not None and not person:
        left = max(1, round((until - now).total_seconds()))
        raise Backoff(
            f"Auth is in backoff after {record.attempts} failed login attempt{'s' * (record.attempts != 1)},"
            f" try again in {left}s.",
            "A person may go on at once by logging in by hand.",
            until=until,
        )
    return Permit(number, policy.limit, until)


def spent(record: Record, now: datetime) -> Record:
    """The record after one more attempt, as it is written before the attempt."""
    attempts = max(0, record.attempts) + 1
    return Record(attempts, now.astimezone(UTC) + _wait(attempts))


def refunded(record: Record, before: Record, counted: Record) -> Record:
    """The record after giving back the attempt that turned `before` into `counted`.

    `record` is what stands there now: another process or a person may have changed it. A
    success or a reset in between already took the attempt away; a later attempt keeps its wait.
    """
    if record.attempts < counted.attempts:
        return record
    if record == counted:
        return before
    return Record(record.attempts - 1, record.not_before)
