"""Who lives in the simulator and how it behaves: users from the seed, settings, TOML overrides."""

from __future__ import annotations

import base64
import random
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ibtui import given
from ibtui.errors import UsageError
from ibtui.sim import totp
from ibtui.sim.factors import IBKEY, TOTP, Device
from ibtui.sim.seam import Quirks, User
from ibtui.sim.srp import OTHER_G, OTHER_N, Group

_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(slots=True)
class Login:
    """A user together with the arithmetic of the password proof and what answers second factors."""

    user: User
    group: Group = field(default_factory=Group)
    device: Device = field(default_factory=Device)


@dataclass(slots=True)
class Settings:
    """Times in seconds of the simulated clock, and the login's limits."""

    auth_delay_s: float = 1.0
    """Dispatcher to `authenticated:true` when nobody does the gateway's handshake; really 3 s."""
    established_delay_s: float = 0.4
    """`authenticated` to `established`."""
    compete_delay_s: float = 1.0
    """`competing:true` to `authenticated:false` for the loser."""
    idle_s: float = 330.0
    """Brokerage session lost after so long without a request (5 to 6 min)."""
    sso_s: float = 600.0
    """`ssoExpires` right after a request."""
    max_attempts: int = 6
    """Wrong passwords until `reached_max_login`."""
    max_codes: int = 5
    """Wrong second factors in a row until the user is locked."""
    code_life_s: float = 300.0
    """How long the code of a text message stays right."""
    ibkey_window: int = 20
    """W: IBKey values accepted beyond the last one (login.md §5 'The counter')."""
    ibkey_rfc: bool = False
    """Counters as RFC 6287 has them, not their decimal digits read as hex."""
    region: str = "America/New_York"
    """Whose midnight ends every session."""
    oauth_lst_s: float = 86_400.0
    """How long a live session token is good for (oauth.md §5.6)."""
    oauth_window_s: float = 300.0
    """How far a timestamp may be from the server's clock (oauth.md §12)."""
    oauth_skew_s: float = 0.0
    """The server's clock is so far ahead of everybody's, as timestamps and `Date` have it."""
    oauth2_token_s: float = 86_399.0
    """`expires_in` of an access token (oauth.md §11.1)."""
    cors_origin: str = "*"
    """The gateway's `cors.origin.allowed`: an expression for a page's whole Origin (login.md §9.7)."""


@dataclass(slots=True)
class Scenario:
    """Everything that `ibtui sim` can be told besides its address."""

    seed: int = 1
    logins: list[Login] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)
    quirks: Quirks = field(default_factory=Quirks)

    def find(self, username: str) -> Login | None:
        """The login of a user name, in any letter case."""
        wanted = username.lower()
        return next((one for one in self.logins if one.user.username.lower() == wanted), None)

    @property
    def users(self) -> list[User]:
        """All users, in the order of the ready file."""
        return [one.user for one in self.logins]


def _password(rng: random.Random, length: int = 12) -> str:
    return "".join(rng.choice(_LETTERS) for _ in range(length))


def _default_logins(seed: int) -> list[Login]:
    """The built-in users: each factor set alone, mixes, and each odd form of the password proof."""
    rng = random.Random(f"users {seed}")
    rows: list[tuple[str, list[str], list[str], Group]] = [
        ("demo123", ["DU1234567"], [], Group()),
        ("demo456", ["DU2345671", "DU2345672"], [], Group()),
        ("totp123", ["DU3456781"], ["4"], Group()),
        ("sms12345", ["DU3456782"], ["4.2"], Group()),
        ("ibkey123", ["DU3456783"], ["5.2a"], Group()),
        ("mixed123", ["DU3456784"], ["4.2", "5.2a"], Group()),
        ("every123", ["DU3456785"], ["4", "4.2", "5.2a"], Group()),
        ("phone123", ["DU3456786"], ["5.2i", "4.2"], Group()),
        ("card1234", ["DU3456787"], ["4.1", "5.1"], Group()),
        ("group123", ["DU4567891"], [], Group(OTHER_N, OTHER_G, "6a")),
        ("three123", ["DU4567892"], [], Group(proto="3")),
        ("short123", ["DU4567893"], [], Group(short=True)),
        ("Capital1", ["DU4567894"], [], Group(proto="6a")),
        ("live1234", ["U7654321"], [], Group()),
        # Live user names, as somebody types them into a profile that is meant for paper.
        ("livesms1", ["U7654322"], ["4.2"], Group()),
        ("livekey1", ["U7654323"], ["5.2a"], Group()),
        ("iphone12", ["DU4567895"], ["5.2i"], Group()),
        ("grid1234", ["DU4567896"], ["3"], Group()),
        ("token123", ["DU4567897"], ["5.2a"], Group()),
        ("later123", ["DU4567898"], ["5.2a"], Group()),
        ("limit123", ["DU4567899"], ["5.2a"], Group()),
        ("moved123", ["DU4567811"], ["4.2"], Group(OTHER_N, OTHER_G)),
        # A factor that none of the notes knows.
        ("novel123", ["DU4567812"], ["7.4"], Group()),
    ]
    return [
        Login(
            User(
                username=name,
                password=_password(rng),
                accounts=accounts,
                factors=factors,
                user_id=99900016 + place,
                paper=accounts[0].startswith("DU"),
            ),
            group,
            _device(random.Random(f"device {seed} {name}"), factors, **_ODD_DEVICES.get(name, {})),
        )
        for place, (name, accounts, factors, group) in enumerate(rows)
    ]


_ODD_DEVICES: dict[str, dict[str, Any]] = {
    "token123": {"kind": "IBTK"},
    "later123": {"counter": 57},
    # 98 and 99 are accepted; 100 lies a hundred further and needs a new enrollment.
    "limit123": {"counter": 98},
}


def _device(rng: random.Random, factors: list[str], **given: Any) -> Device:
    """What goes with the factors: secrets from `rng`, except those that are given."""
    secret = base64.b32encode(rng.randbytes(20)).decode()
    pin, key = str(rng.randrange(1000, 999_999)), rng.randbytes(20).hex()
    device = Device(totp_secret=secret) if TOTP in factors else Device()
    if set(IBKEY) & set(factors):
        device = replace(device, pin=pin, ocra=key)
    return replace(device, **given)


def load(name: str = "default", seed: int = 1) -> Scenario:
    """The scenario `default`, `calm` (no quirks that fight a reader), or of a TOML file.

    Raises UsageError for an unknown name, an unreadable file or an unknown key.
    """
    scenario = Scenario(seed=seed, logins=_default_logins(seed))
    if name == "default":
        return scenario
    if name == "calm":
        scenario.quirks = Quirks(cold_replies=False, pacing=False, tic_replies=1, commission_delay_s=0.1)
        return scenario
    path = Path(name)
    try:
        table = tomllib.loads(given.read(path, given.LONGEST)[0].decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"No scenario {name!r}: {error.strerror}.", "Built in: default, calm; else a TOML file."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "The file must be TOML.") from None
    unknown = set(table) - {"quirks", "settings", "users"}
    if unknown:
        raise UsageError(f"{path}: unknown key {sorted(unknown)[0]!r}.", "Known: quirks, settings, users.")
    apply(scenario.quirks, table.get("quirks", {}))
    apply(scenario.settings, table.get("settings", {}))
    if "users" in table:
        rng = random.Random(f"more users {seed}")
        scenario.logins = [_login(row, rng, place) for place, row in enumerate(table["users"])]
    return scenario


def apply(target: Quirks | Settings, changes: Any) -> None:
    """Set the named switches of `target`. Raises UsageError for an unknown name or a wrong type."""
    if not isinstance(changes, dict):
        raise UsageError("Switches are given as names and values.")
    known = {one.name for one in fields(target)}
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise UsageError(f"Unknown switch {name!r}.", f"Known: {', '.join(sorted(known))}.")
        now = getattr(target, name)
        if isinstance(now, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if name == "questions":
            fits = value is None or (isinstance(value, list) and all(isinstance(one, str) for one in value))
        else:
            fits = type(value) is type(now)
        if not fits:
            raise UsageError(f"{name!r} cannot be {value!r}.", f"Now it is {now!r}.")
        checked[name] = value
    for name, value in checked.items():
        setattr(target, name, value)


def _login(row: Any, rng: random.Random, place: int) -> Login:
    if not isinstance(row, dict) or not isinstance(row.get("username"), str):
        raise UsageError("Each of [[users]] needs a username.")
    known = {"username", "password", "accounts", "factors", "proto", "group", "short"} | set(_DEVICE_KEYS)
    unknown = set(row) - known
    if unknown:
        raise UsageError(
            f"Unknown key {sorted(unknown)[0]!r} in [[users]].", f"Known: {', '.join(sorted(known))}."
        )
    made = _password(rng)
    accounts = [str(one) for one in row.get("accounts", [f"DU{8000000 + place}"])]
    if not accounts:
        raise UsageError("Each of [[users]] needs an account.")
    user = User(
        username=row["username"],
        password=str(row.get("password", made)),
        accounts=accounts,
        factors=[str(one) for one in row.get("factors", [])],
        user_id=99900116 + place,
        paper=accounts[0].startswith("DU"),
    )
    base = Group(OTHER_N, OTHER_G) if row.get("group") == "other" else Group()
    group = Group(base.n, base.g, str(row.get("proto", "6")), bool(row.get("short", False)))
    if group.proto not in ("3", "6", "6a"):
        raise UsageError(f"Unknown proto {group.proto!r} in [[users]].", "Known: 3, 6, 6a.")
    return Login(user, group, _given_device(row, user))


_DEVICE_KEYS: dict[str, type] = {"totp_secret": str, "pin": str, "ocra": str, "counter": int, "kind": str}


def _given_device(row: dict[str, Any], user: User) -> Device:
    given = {name: row[name] for name in _DEVICE_KEYS if name in row}
    for name, value in given.items():
        if type(value) is not _DEVICE_KEYS[name]:
            raise UsageError(f"{name!r} in [[users]] cannot be {value!r}.")
    device = _device(random.Random(f"device {user.username}"), user.factors, **given)
    try:
        totp.code_at(device.totp_secret, 0)
        fits = len(bytes.fromhex(device.ocra)) in (0, 20) and device.counter >= 1
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f"The secrets of {user.username!r} in [[users]] do not fit.",
            "totp_secret is base32, ocra 40 hex digits, counter at least 1.",
        )
    return device
