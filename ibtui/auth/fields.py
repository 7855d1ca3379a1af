"""The fields of an auth data file (login.md §7): what each may hold, and how it is read and written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ibtui.auth.effects import Enrolled
from ibtui.auth.guard import Record
from ibtui.auth.sealing import Sealer, is_sealed
from ibtui.errors import PersonNeeded, UsageError
from ibtui.secret import Secret

Data = dict[str, Any]
SECRETS = ("pin", "ocra")
UNFINISHED = "unfinished"
"""Holds `pin`, `ocra` and `at` of an enrolment between its last request and IBKR's answer."""
AGAIN = "Enroll again: ibtui ibkey enroll"
FIRST_COUNTER = 2
"""The counter of the first login after an enrolment (login.md §6)."""


@dataclass(frozen=True, slots=True)
class Key:
    """What IB Key's answers are made from."""

    pin: Secret
    ocra: Secret
    """40 hex digits."""


class Prepared(Enrolled, frozen=True):
    """A new IB Key that IBKR has not been asked to activate yet: kept beside the old one."""


@dataclass(frozen=True, slots=True)
class Status:
    """What anybody who may read the file may know; no secret in it."""

    user: str
    path: Path
    record: Record
    counter: int
    """The counter of the next login with IB Key."""
    max_counter: int
    enrolled: bool
    sealed: bool
    used: datetime | None = None
    """When IB Key last answered."""
    unfinished: datetime | None = None
    """When an enrolment was broken off of which nobody knows whether IBKR activated its key."""

    @property
    def logins_left(self) -> int:
        """Logins with IB Key before it has to be enrolled again; 0 when it is not enrolled."""
        return max(0, self.max_counter - self.counter) if self.enrolled else 0


def record(data: Data, path: Path) -> Record:
    """`attempts` and `not_before`.

    Raises:
        UsageError: `attempts` is no number: a guess could lock the account.
    """
    attempts = data.get("attempts") or 0
    if isinstance(attempts, str) and re.fullmatch(r"[0-9]{1,9}", attempts.strip()):
        attempts = int(attempts)  # edited by hand
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 0:
        raise UsageError(
            f"`attempts` in {path} is not a number of 0 or more.", "Correct it there; 0 lifts the wait."
        )
    return Record(attempts, moment(data.get("not_before")))


def put_record(data: Data, new: Record) -> None:
    """Write both fields; `not_before` only where there is or was one."""
    data["attempts"] = new.attempts
    if new.not_before is not None:
        data["not_before"] = stamp(new.not_before)
    elif "not_before" in data:
        data["not_before"] = None


def counter(data: Data, path: Path) -> int:
    """The counter of the next login with IB Key.

    Raises:
        UsageError: it is no number of 1 or more: a guess would be refused, or used twice.
    """
    found = data.get("counter")
    if found is None:
        return FIRST_COUNTER
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise UsageError(
            f"`counter` in {path} is not a number of 1 or more.",
            "Correct it there: a number without quotes, the next to use. Or enroll again: ibtui ibkey enroll",
        )
    return found


def read_key(data: Data, path: Path, user: str, passphrase: Secret | None) -> Key:
    """PIN and secret.

    Raises:
        PersonNeeded: not enrolled, or sealed without the right passphrase. UsageError: damaged.
    """
    if not data.get("ocra"):
        raise PersonNeeded(f"IB Key is not enrolled for {user}.", AGAIN)
    sealer: Sealer | None = None
    texts: list[Secret] = []
    for name in SECRETS:
        value = data.get(name)
        if isinstance(value, dict) and is_sealed(value):
            if passphrase is None:
                raise PersonNeeded(f"The IB Key in {path} is sealed.", "Give its passphrase.")
            sealer = sealer or Sealer(passphrase)
            texts.append(sealer.open(value, _about(user, name)))
        elif isinstance(value, str) and value:
            texts.append(Secret(value))
        else:
            raise UsageError(f"`{name}` in {path} is neither a text nor sealed.", AGAIN)
    return Key(*texts)


def write_key(data: Data, key: Key, user: str, passphrase: Secret | None) -> None:
    """Put PIN and secret in, sealed if there is a passphrase."""
    data["pin"], data["ocra"] = key.pin.reveal(), key.ocra.reveal()
    if passphrase is not None:
        sealer = Sealer(passphrase)
        data["pin"] = sealer.seal(key.pin, _about(user, "pin"))
        data["ocra"] = sealer.seal(key.ocra, _about(user, "ocra"))


def unfinished(data: Data) -> Data:
    """The key of an enrolment that was broken off; empty where there is none."""
    found = data.get(UNFINISHED)
    return found if isinstance(found, dict) and found.get("ocra") else {}


def _about(user: str, name: str) -> str:
    """What a sealed text is bound to, so that it cannot be moved to another user or field."""
    return f"ibtui:{user.lower()}:{name}"


def stamp(at: datetime) -> str:
    """`2026-01-31T09:09:53.000Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: Any) -> datetime | None:
    """The moment in a stamp; None for anything else: a wait that nobody can read binds nobody."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
