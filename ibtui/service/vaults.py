"""A profile's auth data: the vault of a user name, and what is remembered of its last logins.

Everything here touches the disk; callers use threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ibtui import config, errors, paths
from ibtui.auth import files, guard
from ibtui.auth.vault import Vault
from ibtui.clock import Clock, SystemClock
from ibtui.config import Profile
from ibtui.core.models import LoginFacts
from ibtui.errors import IbtuiError, LoginLocked, LoginRefused
from ibtui.secret import Secret

OCRA_VARIABLE = "IB_AUTH_OCRA_SECRET"
NOT_IMPORTED = (
    f"The variable {OCRA_VARIABLE} is set, but its IB Key was not imported:"
    " PIN and counter do not come with it."
)
HOW_TO_IMPORT = "Import it once, with its next counter: ibtui ibkey import --counter NUMBER"
UNFINISHED = "If the app in the phone has lost its IB Key: ibtui ibkey import --unfinished"
STILL = "still"
"""The source's password was refused, and a typed one was right since."""


def vault_for(
    profile: Profile,
    username: str,
    *,
    folder: Path | None = None,
    passphrase: Secret | None = None,
    clock: Clock | None = None,
) -> Vault:
    """The vault of a user name, as the profile's settings want it.

    `folder` takes the place of our own data folder (the demo's data goes with the demo).

    Raises:
        UsageError: no user name.
    """
    shared = profile.data_store_path
    return Vault(
        username,
        Path(shared) if shared else folder,
        plain=bool(shared),
        policy=guard.Policy(profile.max_attempts),
        max_counter=profile.max_counter,
        passphrase=passphrase,
        now=(clock or SystemClock()).now,
    )


def facts_of(
    profile: Profile, username: str, *, folder: Path | None = None, clock: Clock | None = None
) -> LoginFacts:
    """What the Session screen shows; nothing is written. What cannot be read is left out."""
    if not username:
        return LoginFacts(limit=profile.max_attempts)
    clock = clock or SystemClock()
    try:
        found = vault_for(profile, username, folder=folder, clock=clock).status()
    except IbtuiError:
        return LoginFacts(limit=profile.max_attempts)  # the next login says what is wrong
    return LoginFacts(
        attempts=found.record.attempts,
        limit=profile.max_attempts,
        wait_until=guard.waiting(found.record, clock.now()),
        logins_left=found.logins_left if found.enrolled else None,
        last_used=found.used,
        unfinished=found.unfinished,
    )


def not_imported() -> bool:
    """Whether the node service's variable holds an IB Key; only asked where none is enrolled here."""
    return bool(config.environment().get(OCRA_VARIABLE, "").strip())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last login of a user name ended, for those who waited for it."""

    at: datetime
    error: IbtuiError | None = None
    """None: it was successful."""
    here: bool = True
    """It was at the gateway of this profile."""


class Memory:
    """What may be forgotten: the second factor chosen, the last outcome. One small file a user name.

    Only changed by whoever holds the user name's login (`Vault.conversation`).
    """

    def __init__(self, profile: Profile, username: str, folder: Path | None = None) -> None:
        self._profile = profile.name
        self._where = profile.gateway_url
        self._path = (folder or paths.state_dir() / "login") / f"{files.safe_name(username)}.json"

    @property
    def factor(self) -> str:
        """The SF code that was chosen last with this profile, and worked; empty for none."""
        chosen = self._read().get("factors")
        found = chosen.get(self._profile) if isinstance(chosen, dict) else None
        return found if isinstance(found, str) else ""

    def refused(self, attempts: int) -> bool:
        """Whether the password out of the profile's source was refused, and not accepted since.

        `attempts` are those counted now: none any more means that a person has reset them, unless
        another password, typed by a person, was right meanwhile.
        """
        found = self._read().get("refused")
        return found == STILL or (found is True and attempts > 0)

    def locked(self, attempts: int) -> bool:
        """Whether IBKR allowed no further attempt the last time, and nobody has reset them since."""
        return self._read().get("locked") is True and attempts > 0

    @property
    def totp_until(self) -> float:
        """When the time-based code that was sent last ends, by IBKR's clock (Unix seconds); 0 for none."""
        found = self._read().get("totp_until")
        return float(found) if isinstance(found, int | float) else 0.0

    def used_totp(self, until: float) -> None:
        """The code that ends at `until` is about to be sent."""
        self._write(totp_until=until)

    def outcome(self) -> Outcome | None:
        """How the last login ended; None when nobody knows (it was cancelled, or killed)."""
        found = self._read().get("outcome")
        if not isinstance(found, dict):
            return None
        try:
            at = datetime.fromisoformat(str(found.get("at")))
        except ValueError:
            return None
        here = found.get("where", self._where) == self._where
        return Outcome(at, _error(found), here) if at.tzinfo else None

    def begun(self) -> None:
        """A login begins: nobody knows how it will end."""
        self._write(outcome=None)

    def ended(
        self, at: datetime, error: IbtuiError | None, *, factor: str = "", source: bool = False
    ) -> None:
        """A login has ended; `factor` is the SF code to remember, `source`: the password came from there."""
        what = {"at": at.astimezone(UTC).isoformat(), "where": self._where}
        if error is not None:
            what |= {"error": type(error).__name__, "what": error.what, "fix": error.fix}
        chosen = self._read().get("factors")
        factors = dict(chosen) if isinstance(chosen, dict) else {}
        if factor:
            factors[self._profile] = factor
        self._write(outcome=what, factors=factors)
        self.judged(error, source=source)

    def judged(self, error: IbtuiError | None, *, source: bool) -> None:
        """What IBKR said about a password, which came from the profile's source or from a person."""
        if error is None:
            # A typed password that was right does not make the source's right.
            before = self._read().get("refused")
            self._write(refused=STILL if before and not source else False, locked=False)
        elif type(error) in (LoginRefused, LoginLocked):
            told = {"refused": True} if source else {}
            self._write(locked=type(error) is LoginLocked, **told)

    def forgive(self) -> None:
        """A person has reset the attempts: the source's password may be sent again."""
        self._write(refused=False, locked=False)

    def _read(self) -> dict[str, Any]:
        try:
            return files.read(self._path) or {}
        except IbtuiError:
            return {}  # it may be forgotten

    def _write(self, **changes: Any) -> None:
        try:
            paths.private(self._path.parent)
            files.replace(self._path, {**self._read(), **changes})
        except (IbtuiError, OSError):
            return  # a full disk must not end a login that works


def _error(found: dict[str, Any]) -> IbtuiError | None:
    name = found.get("error")
    if not name:
        return None
    kind = getattr(errors, str(name), IbtuiError)
    what, fix = str(found.get("what", "")), str(found.get("fix", ""))
    if not (isinstance(kind, type) and issubclass(kind, IbtuiError)):
        return IbtuiError(what, fix)
    if kind is errors.Backoff:  # its moment is past: the guard says the present one
        return LoginRefused(what, fix)
    return kind(what, fix)
