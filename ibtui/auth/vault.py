"""Auth data of one user name on disk: the one place where a secret touches it.

One JSON file with the node service's fields (login.md §7): `pin`, `ocra`, `counter`,
`attempts`, and ours: `user`, `not_before`, `used`, `serial`, `unfinished`. Extra keys and the order of
keys are kept. Only `pin` and `ocra` can be sealed, so that the guard works in every
process. Every change is: lock, read anew, replace the whole file, fsync. Everything here
is synchronous and takes milliseconds (opening a sealed key a tenth of a second); callers
use threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ibtui.auth import fields, files, guard, ocra
from ibtui.auth.box import Box
from ibtui.auth.effects import Count, Enrolled
from ibtui.auth.fields import Data, Key, Prepared, Status
from ibtui.auth.sealing import Sealer, is_sealed
from ibtui.errors import PersonNeeded, UsageError
from ibtui.secret import Secret

MAX_COUNTER = 95
HIGHEST = 100
"""A maximum counter over this cannot work (login.md §5): counter 100 is refused by IBKR."""


class Vault(Box):
    """The auth data of `username`.

    One instance belongs to one login: it remembers which attempt it counted (to give back
    no other's) and which counter it handed out. Without `folder` the data lies in our own
    data folder; with `plain` the file is exactly `folder`/data.json, never sealed, for
    other programs that use it (DESIGN §2.3).

    Args:
        person: somebody is there who confirmed the attempt, so that waits do not bind.
        passphrase: opens sealed data, and seals what is stored.
        timeout: seconds to wait for another writer. `stop`: ends that wait at once.

    Raises:
        UsageError: no user name, or a maximum counter over 100.
    """

    def __init__(
        self,
        username: str,
        folder: Path | None = None,
        *,
        plain: bool = False,
        policy: guard.Policy | None = None,
        max_counter: int = MAX_COUNTER,
        person: bool = False,
        passphrase: Secret | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        timeout: float = 5.0,
        stop: threading.Event | None = None,
    ) -> None:
        if not 2 < max_counter <= HIGHEST:
            raise UsageError(
                f"The maximum counter must be between 3 and {HIGHEST}, not {max_counter}.",
                "IBKR refuses the counter 100; the usual maximum is 95.",
            )
        super().__init__(username, folder, plain=plain, timeout=timeout, stop=stop)
        self.policy = policy or guard.Policy()
        self.max_counter = max_counter
        self.person = person
        self.passphrase = passphrase
        self._now = now
        self._counted: tuple[guard.Record, guard.Record] | None = None
        self._drawn = 0

    # What is there -------------------------------------------------------------------

    def status(self) -> Status:
        """Read the file anew; a missing one is a fresh start.

        Raises:
            UsageError: it is open to others, or damaged. IbtuiError: it cannot be read.
        """
        path, data = self._read()
        sealed = [is_sealed(data.get(name)) for name in fields.SECRETS]
        return Status(
            self.username,
            path,
            fields.record(data, path),
            fields.counter(data, path),
            self.max_counter,
            bool(data.get("ocra")),
            any(sealed),
            fields.moment(data.get("used")),
            fields.moment(fields.unfinished(data).get("at")),
        )

    def permit(self) -> guard.Permit:
        """Whether a login may be tried now (see `guard.permit`); looks, does not count.

        A wait that the clock's being set back has made endless begins anew (`guard.rebased`), on disk too.

        Raises:
            LoginLocked, Backoff; UsageError, IbtuiError as `status`.
        """
        now = self._now()
        record = self.status().record
        if guard.rebased(record, now) != record:
            self._change(
                lambda data, path: fields.put_record(data, guard.rebased(fields.record(data, path), now))
            )
        return guard.permit(record, self.policy, now, person=self.person)

    def key(self) -> Key:
        """IB Key's PIN and secret.

        Raises:
            PersonNeeded: not enrolled, or sealed without the right passphrase.
            UsageError: damaged.
        """
        path, data = self._read()
        return self._read_key(data, path)

    def made_pin(self) -> Secret | None:
        """The PIN that lies ready for the first enrolment: the node service makes it with its file."""
        pin = self._read()[1].get("pin")
        return Secret(pin) if isinstance(pin, str) and ocra.is_pin(pin) else None

    # Counting ------------------------------------------------------------------------

    def spend(self, what: Count) -> None:
        """Carry out an effect `Spend`; see the four operations."""
        {
            "attempt": self.attempt,
            "refund": self.refund,
            "success": self.success,
            "counter": self.confirm_counter,
        }[what]()

    def attempt(self) -> guard.Permit:
        """Count an attempt, synced, before it is made; says which one it is.

        Raises:
            LoginLocked: the limit is reached. Backoff: a wait is running and no person is here.
            IbtuiError: it could not be written; make no attempt.
        """

        def change(data: Data, path: Path) -> tuple[guard.Permit, guard.Record, guard.Record]:
            before = fields.record(data, path)
            permit = guard.permit(before, self.policy, self._now(), person=self.person)
            after = guard.spent(before, self._now())
            fields.put_record(data, after)
            return permit, before, fields.record(data, path)  # as it will be read again

        permit, before, after = self._change(change)
        self._counted = before, after
        return permit

    def refund(self) -> None:
        """Give back the attempt that this instance counted, once; does nothing without one."""
        if self._counted is None:
            return
        before, after = self._counted
        self._change(
            lambda data, path: fields.put_record(
                data, guard.refunded(fields.record(data, path), before, after)
            )
        )
        self._counted = None

    def success(self) -> None:
        """Logged in: no attempts, no wait."""
        self._change(lambda data, _: fields.put_record(data, guard.Record()))
        self._counted = None

    def reset(self) -> None:
        """As `success`, but by a person who was told `guard.RESET_RISK`."""
        self.success()

    def next_counter(self) -> int:
        """The counter to answer with, after the one behind it is synced: no crash can use it twice.

        Raises:
            PersonNeeded: not enrolled, or the counters are used up.
            IbtuiError: it could not be written; do not answer.
        """

        def change(data: Data, path: Path) -> int:
            counter = fields.counter(data, path)
            if not data.get("ocra"):
                raise PersonNeeded(f"IB Key is not enrolled for {self.username}.", fields.AGAIN)
            if counter >= self.max_counter:
                raise PersonNeeded(
                    f"IB Key has answered as often as it can (counter {counter} of {self.max_counter}).",
                    fields.AGAIN,
                )
            data["counter"] = counter + 1
            data["used"] = fields.stamp(self._now())
            return counter

        counter = self._change(change)
        self._drawn += 1
        return counter

    def confirm_counter(self) -> None:
        """Before an answer leaves: its counter was handed out by this instance, and so is synced.

        Raises:
            UsageError: it was not; the answer must not leave.
        """
        if not self._drawn:
            raise UsageError("An answer of IB Key was made without taking a counter.", "Report this.")
        self._drawn = 0

    # Keys ----------------------------------------------------------------------------

    def store(self, enrolled: Enrolled) -> None:
        """Keep a new IB Key at once, sealed where a passphrase is set (never in plain mode).

        A `Prepared` one is kept beside the present key, before IBKR is asked to activate it: a disk
        that refuses does so while the old key still works, and no crash can lose the new one. It does
        not fail for want of a passphrase: IBKR has already replaced the old key.

        Raises:
            IbtuiError: it could not be written.
        """

        def change(data: Data, _: Path) -> None:
            key = Key(enrolled.pin, enrolled.ocra_hex)
            if isinstance(enrolled, Prepared):
                kept = data[fields.UNFINISHED] = {"at": fields.stamp(self._now())}
                return self._write_key(kept, key)
            self._take(data, key, enrolled.counter)
            if enrolled.serial:
                data["serial"] = enrolled.serial

        self._change(change)

    def forget_unfinished(self) -> None:
        """IBKR did not activate the prepared key."""
        self._change(lambda data, _: data.pop(fields.UNFINISHED, None))

    def take_unfinished(self, *, replace: bool = False) -> None:
        """Use the key of an enrolment that was broken off, because IBKR activated it after all.

        Raises:
            UsageError: there is none; a key is here already and `replace` is not set.
        """

        def change(data: Data, path: Path) -> None:
            found = fields.unfinished(data)
            if not found:
                raise UsageError(f"No enrolment of {self.username} was broken off.", fields.AGAIN)
            self._may_replace(data, path, replace)
            self._take(data, self._read_key(found, path), fields.FIRST_COUNTER)

        self._change(change)

    def _take(self, data: Data, key: Key, counter: int) -> None:
        self._write_key(data, key)
        data["counter"] = counter
        for name in (fields.UNFINISHED, "serial", "used"):  # the last key's
            data.pop(name, None)

    @staticmethod
    def _may_replace(data: Data, path: Path, replace: bool) -> None:
        if data.get("ocra") and not replace:
            raise UsageError(
                f"{path} holds an IB Key already; nothing was imported.",
                "Say that it may be replaced (--replace).",
            )

    def seal(self, passphrase: Secret) -> None:
        """Seal PIN and secret with a passphrase (opened with the present one where they are sealed).

        Raises:
            UsageError: plain mode, or an empty passphrase. PersonNeeded: not enrolled, or not opened.
        """
        if self.plain:
            raise UsageError(
                f"{files.DEFAULT} in {self.folder} stays unsealed, because other programs read it.",
                "Import it into ibtui's own data to seal it.",
            )
        Sealer(passphrase)

        self._reseal(passphrase)

    def unseal(self) -> None:
        """Keep PIN and secret unsealed from now on.

        Raises:
            PersonNeeded: not enrolled, or the passphrase does not open them.
        """
        self._reseal(None)

    def _reseal(self, passphrase: Secret | None) -> None:
        def change(data: Data, path: Path) -> None:
            lying = fields.unfinished(data)
            places = [data, lying] if lying else [data]
            keys = [self._read_key(place, path) for place in places]
            self.passphrase = passphrase
            for place, key in zip(places, keys, strict=True):
                self._write_key(place, key)

        self._change(change)

    def import_file(self, path: Path, *, replace: bool = False) -> None:
        """Take over the IB Key in another data.json (or a backup of `export`); extra keys come too.

        Attempts and waits stay as they are here. The file must be private (0600).

        Raises:
            UsageError: no such file, nothing usable in it, or another user's; a key is here already
                and `replace` is not set. PersonNeeded: it is sealed with another passphrase.
        """
        given = files.read(path)
        if given is None:
            raise UsageError(f"There is no file {path}.")
        user = given.get("user")
        if isinstance(user, str) and user.strip() and user.strip().lower() != self.username.lower():
            raise UsageError(f"{path} belongs to the user name {user}.", f"Use --user {user}.")
        key = self._read_key(given, path)
        ours = ("user", "attempts", "not_before", "counter", fields.UNFINISHED, *fields.SECRETS)
        extra = {name: value for name, value in given.items() if name not in ours}
        self._import(key, fields.counter(given, path), extra, replace=replace)

    def import_secret(self, secret: Secret, pin: Secret, counter: int, *, replace: bool = False) -> None:
        """Take over an `IB_AUTH_OCRA_SECRET` (40 hex digits) with its PIN and the next counter.

        Raises:
            UsageError: one of them makes no sense; a key is here already and `replace` is not set.
        """
        self._import(Key(pin, secret), counter, {}, replace=replace)

    def export(self, path: Path, passphrase: Secret | None = None) -> None:
        """Write a data.json of the node service to a new file (0600), sealed if a passphrase is given.

        Only one program can use a key from then on: each would use the counters of the other.

        Raises:
            UsageError: the file exists. PersonNeeded: as `key`. IbtuiError: it cannot be written.
        """
        if os.path.lexists(path):
            raise UsageError(f"{path} exists already; nothing was written.", "Name a new file.")
        own, data = self._read()
        key = self._read_key(data, own)
        out: Data = {**data, "user": self.username, "counter": fields.counter(data, own)}
        out.pop(fields.UNFINISHED, None)
        fields.write_key(out, key, self.username, passphrase)
        files.replace(path, out)

    def export_secret(self) -> Secret:
        """The text for `IB_AUTH_OCRA_SECRET`; PIN and counter go with it (`key`, `status`)."""
        return self.key().ocra

    # Inside --------------------------------------------------------------------------

    def _import(self, key: Key, counter: int, extra: Data, *, replace: bool) -> None:
        ocra.check_pin(key.pin)
        ocra.key_bytes(key.ocra)
        if counter < 1:
            raise UsageError("The counter of IB Key begins at 1.")

        def change(data: Data, path: Path) -> None:
            self._may_replace(data, path, replace)
            here = data.get("ocra")
            same = isinstance(here, str) and here.lower() == key.ocra.reveal().strip().lower()
            for name, value in extra.items():
                data.setdefault(name, value)
            # A counter that this key has used here must not be used again.
            data["counter"] = max(counter, fields.counter(data, path)) if same else counter
            self._write_key(data, Key(key.pin, Secret(key.ocra.reveal().strip().lower())))

        self._change(change)

    def _write_key(self, data: Data, key: Key) -> None:
        fields.write_key(data, key, self.username, None if self.plain else self.passphrase)

    def _read_key(self, data: Data, path: Path) -> Key:
        return fields.read_key(data, path, self.username, self.passphrase)
