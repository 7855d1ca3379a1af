"""Registrations made elsewhere: openssl's files, an `oauth1.json`, ibind's variables, IBKR's samples
(oauth.md §4). Synchronous, for callers in threads; nothing is changed where it came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ibtui.auth import keys, oauth_fields
from ibtui.auth.oauth_fields import OAuth1Fields
from ibtui.errors import UsageError
from ibtui.secret import Secret
from ibtui.service import keyfiles
from ibtui.service.keyfiles import KeySet

ENVIRONMENT = "env"
"""The word that stands for ibind's environment variables where a path could stand."""
_IBIND = "IBIND_OAUTH1A_"
_REST = ("https://api.ibkr.com/v1/api", "https://api.ibkr.com")
_ENV_LINE = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\n]*))""", re.MULTILINE
)
_SAMPLE = ("consumer_key", "access_token", "access_token_secret", "dhparam", "encryption", "signature")


@dataclass(frozen=True, slots=True)
class Found:
    """What an import gave: keys always, the rest where it was there."""

    where: str
    keys: KeySet
    consumer_key: str = ""
    access_token: Secret = field(default_factory=lambda: Secret(""))
    access_token_secret: Secret = field(default_factory=lambda: Secret(""))
    remarks: tuple[str, ...] = ()


def from_source(source: str, env: Mapping[str, str], user: str = "") -> Found:
    """From a path, or from ibind's variables where `source` is `env`.

    Args:
        user: which of several users of IBKR's sample file.

    Raises:
        UsageError: nothing usable; says what was found.
    """
    if source.strip() == ENVIRONMENT:
        return from_environment(env)
    return from_path(Path(source.strip()).expanduser(), user)


def from_path(path: Path, user: str = "") -> Found:
    """From a folder with key files, an `oauth1.json`, a `.env` file, or IBKR's sample file.

    Raises:
        UsageError: as `from_source`.
    """
    if path.is_dir():
        if not keyfiles.there(path) and (path / "oauth1.json").exists():
            return from_path(path / "oauth1.json")
        found, remarks = keyfiles.read(path)
        return Found(str(path), found, remarks=tuple(remarks))
    remarks = []
    content = keyfiles.content_of(path, remarks)
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        return _from_json(content, path, user, tuple(remarks))
    if _IBIND in text:
        pairs = {
            it[1]: next((g for g in it.groups()[1:] if g is not None), "") for it in _ENV_LINE.finditer(text)
        }
        return from_environment({name: value.strip() for name, value in pairs.items()}, str(path))
    if "-----BEGIN" in text:
        raise UsageError(
            f"{path} is one file of several.",
            "Name the folder with private_signature.pem, private_encryption.pem and dhparam.pem.",
        )
    raise UsageError(
        f"{path} is none of the files that ibtui knows.",
        "It reads a folder of PEM files, an oauth1.json, a .env file of ibind, and IBKR's sample file.",
    )


def _from_json(content: bytes, path: Path, user: str, remarks: tuple[str, ...]) -> Found:
    try:
        data: Any = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(f"{path} is not JSON.", "Is it whole?") from None
    sample = _sample(data, path, user)
    if sample is not None:
        return _from_sample(sample, path, remarks)
    return _of_fields(OAuth1Fields.from_mapping(data, str(path)), str(path), remarks)


def _of_fields(given: OAuth1Fields, where: str, remarks: tuple[str, ...]) -> Found:
    made = KeySet(
        Secret(keys.private_pem(given.signature_key())),
        Secret(keys.private_pem(given.encryption_key())),
        given.prime,
    )
    made.check()
    return Found(where, made, given.consumer_key, given.access_token, given.access_token_secret, remarks)


def _sample(data: Any, path: Path, user: str) -> Mapping[str, Any] | None:
    """The entry of IBKR's C# sample file, an object per user; None where it is another file."""
    if not isinstance(data, dict) or "consumer_key" in data:
        return data if isinstance(data, dict) and "dhparam" in data else None
    users = {name: it for name, it in data.items() if isinstance(it, dict) and "consumer_key" in it}
    if not users:
        return None
    if user:
        if user not in users:
            raise UsageError(f"{path} has no user {user!r}.", f"It has {', '.join(sorted(users))}.")
        return users[user]
    if len(users) > 1:
        raise UsageError(f"{path} has several users: {', '.join(sorted(users))}.", "Add --user NAME.")
    return next(iter(users.values()))


def _from_sample(data: Mapping[str, Any], path: Path, remarks: tuple[str, ...]) -> Found:
    missing = [name for name in _SAMPLE if not isinstance(data.get(name), str) or not data[name].strip()]
    if missing:
        raise UsageError(f"In {path}, {missing[0]} is missing.", "Complete it, or give the files one by one.")

    def file(name: str) -> bytes:
        return keyfiles.content_of(path.parent / Path(data[name]).expanduser())

    prime, _ = keys.read_dh(file("dhparam"))
    fields = {
        "consumer_key": data["consumer_key"],
        "access_token": data["access_token"],
        "access_token_secret": data["access_token_secret"],
        "signature": keys.private_pem(keys.read_private_key(file("signature"), "private signing key")),
        "encryption": keys.private_pem(keys.read_private_key(file("encryption"), "private encryption key")),
        "dh_prime": oauth_fields.prime_text(prime),
    }
    return _of_fields(OAuth1Fields.from_mapping(fields, str(path)), str(path), remarks)


def from_environment(env: Mapping[str, str], where: str = "ibind's variables") -> Found:
    """From ibind's variables (oauth.md §4.2).

    Raises:
        UsageError: one is missing or wrong, or the generator is not 2.
    """

    def value(name: str) -> str:
        return env.get(f"{_IBIND}{name}", "").strip()

    def pem(name: str) -> str:
        if not value(name) and value(f"{name}_FP"):
            return keyfiles.content_of(Path(value(f"{name}_FP")).expanduser()).decode("utf-8", "replace")
        return value(name)

    if not any(name.startswith(_IBIND) for name in env):
        if env.get("IBIND_ENV_FILE"):
            return from_path(Path(env["IBIND_ENV_FILE"]).expanduser())
        raise UsageError(
            f"None of ibind's variables ({_IBIND}…) is set here.",
            "Set them as ibind has them (set -a; . ./its.env), or name its .env file.",
        )
    if value("DH_GENERATOR") not in ("", "2"):
        raise UsageError(
            f"{_IBIND}DH_GENERATOR is {value('DH_GENERATOR')}; IBKR uses 2.", "Remove it, or set it to 2."
        )
    fields = {
        "consumerKey": value("CONSUMER_KEY"),
        "accessToken": value("ACCESS_TOKEN"),
        "accessTokenSecret": value("ACCESS_TOKEN_SECRET"),
        "dhPrime": value("DH_PRIME"),
        "signature": pem("SIGNATURE_KEY"),
        "encryption": pem("ENCRYPTION_KEY"),
        "realm": value("REALM"),
    }
    remarks: tuple[str, ...] = ()
    if value("REST_URL") and value("REST_URL").rstrip("/") not in _REST:
        remarks = (f"{_IBIND}REST_URL names another host: set api_host in [addresses].",)
    return _of_fields(OAuth1Fields.from_mapping(fields, where), where, remarks)
