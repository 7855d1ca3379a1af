"""The OAuth 1.0a configurator without a screen: what was made and typed so far, checked and kept.

One folder a profile (`paths.oauth_dir`): `setup.json` (0600, how far it is), the keys in folders of
their own, `oauth1.json` once all fits. Keys are never overwritten: others get another folder. Every
change is written at once, so that it can be left at any time; the portal takes days. Synchronous,
for callers in threads.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ibtui import paths
from ibtui.auth import files, keys, lock, oauth1, oauth_fields
from ibtui.auth.oauth_fields import OAuth1Fields
from ibtui.core.ways import OAuth1
from ibtui.errors import IbtuiError, UsageError
from ibtui.profile import Profile
from ibtui.secret import Secret
from ibtui.service import keyfiles
from ibtui.service.keyfiles import KeySet
from ibtui.service.oauth_import import Found
from ibtui.service.oauth_state import Check, State, Step

STATE, RESULT = "setup.json", "oauth1.json"
_UNTESTED: Mapping[str, Any] = {"checked_at": "", "tested_at": ""}


class Setup:
    """The configurator's state of one profile, and everything that changes it.

    Raises (every method that reads or writes):
        UsageError: a value or a file is wrong; nothing was changed. IbtuiError: the disk said no.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = State()
        self.keys: KeySet | None = None

    @classmethod
    def open(cls, folder: Path) -> Setup:
        """What there is in a folder, which need not exist yet."""
        setup = cls(folder)
        if folder.exists():
            paths.private(folder)
        found = files.read(folder / STATE) if (folder / STATE).exists() else None
        if found is not None:
            setup.state = State.of(found)
            if setup.state.keys:
                setup.keys, _ = keyfiles.read(folder / setup.state.keys)
        return setup

    @property
    def result(self) -> Path:
        """Where `oauth1.json` is written."""
        return self.folder / RESULT

    def elsewhere(self, profile: Profile) -> Path | None:
        """An `oauth1.json` that is there without having come from here; None where there is none."""
        for path in (Path(profile.oauth_file) if profile.oauth_file else self.result, self.result):
            if not self.state.keys and path.exists():
                return path
        return None

    # What the person brings -----------------------------------------------------------

    def new_folder(self) -> Path:
        """Where the next keys go: `keys`, or `keys-2` where there are some already."""
        names = ["keys", *(f"keys-{number}" for number in range(2, 1000))]
        return self.folder / next(name for name in names if not os.path.lexists(self.folder / name))

    def take_keys(self, made: KeySet) -> None:
        """Keep new keys; what belonged to others before starts anew."""
        made.check()
        target = self.new_folder()
        self._own_folder()
        for before in self.folder.glob("keys*"):
            keyfiles.sweep(before)
        keyfiles.write(target, made)
        # A registration belongs to its keys: other keys, other token.
        self._change(
            keys=target.name,
            uploaded=False,
            access_token=Secret(""),
            access_token_secret=Secret(""),
            **_UNTESTED,
        )
        self.keys = made

    def take(self, found: Found, now: datetime) -> None:
        """Keep what was imported: a registration that worked elsewhere is registered and uploaded."""
        self.take_keys(found.keys)
        if found.consumer_key:
            self._change(
                consumer_key=found.consumer_key,
                registered_at=_iso(now),
                uploaded=True,
                access_token=found.access_token,
                access_token_secret=found.access_token_secret,
            )

    def propose_consumer_key(self) -> str:
        """The consumer key; one is made where there is none yet."""
        if not self.state.consumer_key:
            self._change(consumer_key=oauth_fields.make_consumer_key())
        return self.state.consumer_key

    def set_consumer_key(self, text: str) -> str:
        """Keep another consumer key, in capitals."""
        found = oauth_fields.consumer_key(text)
        if found != self.state.consumer_key:
            self._change(consumer_key=found, registered_at="", **_UNTESTED)
        return found

    def registered(self, now: datetime) -> None:
        """The person says that the consumer key is saved at IBKR."""
        if not self.state.registered_at:
            self._change(registered_at=_iso(now))

    def uploaded(self) -> None:
        """The person says that the three files are at IBKR."""
        self._change(uploaded=True)

    def set_access_token(self, text: str) -> None:
        """Keep the access token."""
        self._change(access_token=oauth_fields.access_token(text), **_UNTESTED)

    def set_access_token_secret(self, text: str) -> None:
        """Keep the access token secret, if our encryption key opens it."""
        self._change(access_token_secret=self._look_at_secret(text), **_UNTESTED)

    def look(self, name: str, text: str) -> Check | None:
        """Is what is being typed right? `name` is `consumer_key`, `access_token` or `access_token_secret`;
        None while there is nothing. Changes nothing, costs 15 ms at most.
        """
        if not text.strip():
            return None
        match name:
            case "consumer_key":
                test = text.strip().upper() == oauth_fields.TEST_CONSUMER
                detail = "IBKR's own, for paper accounts; its keys come from IBKR" if test else "nine letters"
                return _check(name, lambda: oauth_fields.consumer_key(text), detail)
            case "access_token":
                return _check(name, lambda: oauth_fields.access_token(text), "20 digits")
            case _:
                return _check(
                    name, lambda: self._look_at_secret(text), "344 characters; our encryption key opens it"
                )

    def _look_at_secret(self, text: str) -> Secret:
        secret = oauth_fields.access_token_secret(text)
        if self.keys is not None:
            oauth_fields.check_opens(secret, self.keys.encryption_key, self.keys.signature_key)
        return secret

    def start_over(self) -> None:
        """Forget how far it was. Keys and `oauth1.json` stay; the state file is kept under another name."""
        path = self.folder / STATE
        if path.exists():
            number = next(
                it for it in range(1, 1000) if not os.path.lexists(self.folder / f"setup-{it}.json")
            )
            path.rename(self.folder / f"setup-{number}.json")
        self.state, self.keys = State(), None

    # What is done with it --------------------------------------------------------------

    def fields(self) -> OAuth1Fields:
        """The seven fields.

        Raises:
            UsageError: something is missing yet; says which step gives it.
        """
        for step in (Step.KEYS, Step.PORTAL, Step.SECRETS):
            if not self.state.is_done(step) and not (step is Step.PORTAL and self.state.consumer_key):
                raise UsageError(
                    f"The step {step.value!r} is not done yet.", "ibtui oauth configure goes on there."
                )
        assert self.keys is not None
        return OAuth1Fields(
            consumer_key=self.state.consumer_key,
            access_token=self.state.access_token,
            access_token_secret=self.state.access_token_secret,
            signature=self.keys.signature,
            encryption=self.keys.encryption,
            dh_prime=oauth_fields.prime_text(self.keys.prime),
            realm=oauth_fields.realm_of(self.state.consumer_key),
        )

    def self_test(self, now: datetime) -> list[Check]:
        """Everything that can be known without sending anything; some 0.5 s."""
        given = self.fields()
        made = self.keys
        assert made is not None
        prints = made.fingerprints
        return [
            _check("Signing key", made.check, prints[keyfiles.PUBLIC_SIGNATURE]),
            _check("Encryption key", made.check, prints[keyfiles.PUBLIC_ENCRYPTION]),
            _check("Prime", lambda: keys.check_prime(made.prime), prints[keyfiles.DHPARAM]),
            _check(
                "Consumer key",
                lambda: oauth_fields.consumer_key(given.consumer_key),
                f"{given.consumer_key}, realm {given.realm}",
            ),
            _check(
                "Access token", lambda: oauth_fields.access_token(given.access_token.reveal()), "20 digits"
            ),
            _check(
                "Access token secret",
                lambda: oauth_fields.check_opens(
                    given.access_token_secret, made.encryption_key, made.signature_key
                ),
                "the encryption key opens it",
            ),
            _check("A token and a signature", lambda: rehearse(given, now), "made and verified here"),
        ]

    def write(self, now: datetime) -> Path:
        """Write `oauth1.json` (0600) as the published client reads it; the one before is kept as `.old`."""
        content = self.fields().json()
        path = self.result
        try:
            before = path.read_bytes() if path.exists() else content
            if before != content:
                # A copy, for whatever moment this ends at: the profile has one that is whole.
                paths.write_private(path.with_suffix(".json.old"), before)
            paths.write_private(path, content)
        except OSError as error:
            raise IbtuiError(f"{path} could not be written: {error.strerror}.", "Make room.") from None
        self._change(checked_at=_iso(now))
        return path

    def way(self, query: str) -> OAuth1:
        """The registration as a client takes it, for the live test; `query` as in `Profile.oauth_query`."""
        return OAuth1(oauth1.Signer(self.fields(), query))

    def switch(self, profile: Profile) -> dict[str, str]:
        """The settings that let a profile use the registration."""
        changes = {f"profiles.{profile.name}.mode": "oauth1"}
        if profile.oauth_file and Path(profile.oauth_file) != self.result:
            changes[f"profiles.{profile.name}.oauth_file"] = str(self.result)
        return changes

    def tested(self, now: datetime) -> None:
        """A live test passed."""
        self._change(tested_at=_iso(now))

    def _own_folder(self) -> None:
        try:
            paths.private(paths.data_dir())
            paths.private(self.folder)
        except OSError as error:
            raise IbtuiError(f"{self.folder} cannot be made: {error.strerror}.", "Look above it.") from None

    def _change(self, **changed: Any) -> None:
        """Write at once; what another process wrote meanwhile is kept where it is something else."""
        self._own_folder()
        with lock.held(self.folder / ".lock", "configuring OAuth for this profile"):
            there = files.read(self.folder / STATE) if (self.folder / STATE).exists() else None
            state = replace(State.of(there) if there is not None else self.state, **changed)
            files.replace(self.folder / STATE, state.plain())
        self.state = state


def _check(name: str, test: Callable[[], object], detail: str) -> Check:
    try:
        test()
    except IbtuiError as error:
        return Check(name, error.what, error.fix)
    return Check(name, detail=detail)


def rehearse(given: OAuth1Fields, now: datetime) -> None:
    """Ask ourselves for a live session token, playing IBKR's part with the public files (oauth.md §5, §12).

    Raises:
        UsageError: it does not work out.
    """
    signer = oauth1.Signer(given)
    asked = signer.challenge("https://api.ibkr.com/v1/api/oauth/live_session_token", now)
    secret = oauth_fields.open_secret(given.access_token_secret, given.encryption_key()) or b""
    theirs = 0x5EED << 200 | 1
    ours = pow(keys.GENERATOR, asked.exponent, given.prime)
    token = oauth1.live_session_token(pow(ours, theirs, given.prime), secret)
    answer = {
        "diffie_hellman_response": f"{pow(keys.GENERATOR, theirs, given.prime):x}",
        "live_session_token_signature": hmac.digest(token, given.consumer_key.encode(), hashlib.sha1).hex(),
        "live_session_token_expiration": 0,
    }
    grant = signer.finish(asked, answer, now)
    signer.sign(grant, "GET", "https://api.ibkr.com/v1/api/portfolio/accounts", "", now)


def _iso(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
