"""How far the OAuth configurator is; plain values, so that screens may look at them without any key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from ibtui.secret import Secret

PORTAL = "https://ndcdyn.interactivebrokers.com/sso/Login?action=OAUTH&RL=1&ip2loc=US"
"""IBKR's page for OAuth 1.0a (oauth.md §2)."""


class Step(Enum):
    """The steps, in the order in which IBKR's page wants them; values are their names on screen."""

    KEYS = "Keys"
    PORTAL = "Portal"
    UPLOAD = "Upload"
    SECRETS = "Secrets"
    CHECK = "Check"
    LIVE = "Live test"


STEPS = tuple(Step)


@dataclass(frozen=True, slots=True)
class State:
    """What is kept between two visits; times are ISO, UTC."""

    keys: str = ""
    """Folder of the keys, beside the state file."""
    consumer_key: str = ""
    registered_at: str = ""
    """When the person said that the consumer key is saved at IBKR."""
    uploaded: bool = False
    access_token: Secret = Secret("")
    access_token_secret: Secret = Secret("")
    checked_at: str = ""
    """When the offline self-test passed and `oauth1.json` was written."""
    tested_at: str = ""
    """When a live test last passed."""

    def is_done(self, step: Step) -> bool:
        """Whether a step needs nothing more."""
        match step:
            case Step.KEYS:
                return bool(self.keys)
            case Step.PORTAL:
                return bool(self.consumer_key and self.registered_at)
            case Step.UPLOAD:
                return self.uploaded
            case Step.SECRETS:
                return bool(self.access_token and self.access_token_secret)
            case Step.CHECK:
                return bool(self.checked_at)
            case Step.LIVE:
                return bool(self.tested_at)

    @property
    def step(self) -> Step:
        """The first that is not done; the last when all are."""
        return next((it for it in STEPS if not self.is_done(it)), Step.LIVE)

    def plain(self) -> dict[str, Any]:
        """In clear, for the state file (0600)."""
        values = {it.name: getattr(self, it.name) for it in fields(self)}
        return {name: it.reveal() if isinstance(it, Secret) else it for name, it in values.items()}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> State:
        """From a state file; what has another type than it should counts as not there."""
        values: dict[str, Any] = {}
        for it in fields(cls):
            kind = type(it.default)
            found = data.get(it.name)
            if kind is Secret:
                values[it.name] = Secret(found if isinstance(found, str) else "")
            elif isinstance(found, kind):
                values[it.name] = found
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the self-test or the live test."""

    name: str
    problem: str = ""
    """Empty: it is fine."""
    fix: str = ""
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether it passed."""
        return not self.problem


def works(live: Sequence[Check]) -> bool:
    """Whether a live test has shown that IBKR knows the registration: a token, and a signature taken.

    What comes after them may fail for other reasons: another program holds the brokerage session.
    """
    return len(live) > 1 and live[0].ok and live[1].ok
