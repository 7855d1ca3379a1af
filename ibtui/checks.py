"""What values a setting may have; each refusal names file, key and the way out."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ibtui.errors import UsageError
from ibtui.profile import SECRETS, Addresses, Profile, Serve, Ui

MODES = ("gateway", "oauth1", "oauth2", "demo")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SHOW = "Every key, explained: ibtui config init --config FILE writes them all to a new file."
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_CHOICES = {
    "account_type": ("paper", "live"),
    "competing": ("ask", "yield", "take"),
    "counter_encoding": ("digits", "rfc"),
    "mode": MODES,
    "oauth_query": ("left_out", "raw", "url"),
    "relogin": ("off", "source", "memory"),
}
_RANGES = {
    "max_attempts": (1, 10, "IBKR locks the account after some refusals"),
    "max_counter": (3, 100, "IBKR refuses the counter 100"),
    "yield_minutes": (1, 1440, "minutes, a day at most"),
    "auth_delay_ms": (0, 60_000, "milliseconds, a minute at most"),
}
_URLS = {
    "gateway_url": "https://localhost:5000",
    "upstream": "https://api.ibkr.com",
    "proxy": "http://proxy:3128",
}
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_KEY = re.compile(r"""\s*([\w."' -]+?)\s*=""")
_MAY_BE_EMPTY = ("proxy",)
_PATHS = ("ca_file", "gateway_dir", "gateway_cwd", "java", "data_store_path", "oauth_file", "oauth2_key_file")


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'theme'?)`, or nothing."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def where(dotted: str, origins: Mapping[str, str], file: Path) -> str:
    """The place a value came from, and its key: `config.toml, line 7: ui.theme`, `environment IB_…: …`."""
    origin = origins.get(dotted, f"file {file}")
    if not origin.startswith("file "):
        return f"{origin}: {dotted}"
    path = origin.removeprefix("file ")
    number = line_of(Path(path), dotted) or line_of(Path(path), dotted.rpartition(".")[0])
    return f"{path}, line {number}: {dotted}" if number else f"{path}: {dotted}"


def line_of(file: Path, dotted: str) -> int:
    """The line of a settings file where a key or table begins, from 1; 0 where it is not found.

    Looked for in the text, for the parser keeps no places; it is only asked for once something is wrong.
    """
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return 0
    table = ""
    for number, line in enumerate(lines, 1):
        header = _HEADER.match(line)
        if header:
            table = _bare(header[1])
            found = table
        else:
            key = _KEY.match(line)
            found = f"{table}.{_bare(key[1])}".removeprefix(".") if key else ""
        if found == dotted:
            return number
    return 0


def _bare(name: str) -> str:
    return re.sub(r"[\"'\s]", "", name)


def is_url(text: str) -> bool:
    """Whether it is the address of a web server."""
    try:
        url = urlsplit(text)
        return url.scheme in ("https", "http") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is no number, brackets of half an IPv6 address
        return False


def unfit_address(entry: str) -> str:
    """Why the gateway cannot use this entry of its address list; empty when it can (login.md §9.7).

    It compares text: an IPv4 address, or the first numbers of one and `*`. Everything else it takes
    without a word and then lets nobody in by it; `*` alone makes it answer 500 to everybody else.
    """
    numbers = entry.split(".")
    ends = numbers[-1] == "*"
    plain = numbers[:-1] if ends else numbers
    if entry == "*":
        return "'*' breaks the gateway: it answers 500. Name addresses, or a range like 172.17.*."
    if "/" in entry:
        return f"the gateway does not understand the range {entry!r}. Write it like 172.17.*."
    fits = len(plain) < 4 if ends else len(plain) == 4
    if not fits or not all(part.isdecimal() and int(part) < 256 for part in plain):
        return f"{entry!r} is not an IPv4 address; write it like 127.0.0.1 or 172.17.*."
    return ""


def check_ui(ui: Ui, origins: Mapping[str, str], file: Path) -> None:
    """Raises UsageError."""
    if not 1 <= ui.refresh_hz <= 60:
        raise UsageError(f"{where('ui.refresh_hz', origins, file)}: must be from 1 to 60.", SHOW)


def check_addresses(addresses: Addresses, origins: Mapping[str, str], file: Path) -> None:
    """Raises UsageError."""
    for key in ("login_host", "api_host", "twilio"):
        if not is_url(getattr(addresses, key)):
            raise UsageError(
                f"{where(f'addresses.{key}', origins, file)}: must look like https://api.ibkr.com.", SHOW
            )


def check_serve(serve: Serve, origins: Mapping[str, str], file: Path) -> None:
    """Raises UsageError."""
    if not 0 <= serve.port <= 65535:
        raise UsageError(f"{where('serve.port', origins, file)}: must be a port, 0 to 65535.", SHOW)
    if not serve.host:
        raise UsageError(f"{where('serve.host', origins, file)}: must be an address like 127.0.0.1.", SHOW)


def check_profile(profile: Profile, origins: Mapping[str, str], file: Path) -> Profile:
    """The profile with `~` resolved; raises UsageError."""

    def bad(key: str, why: str) -> UsageError:
        return UsageError(f"{where(f'profiles.{profile.name}.{key}', origins, file)}: {why}", SHOW)

    for key, choices in _CHOICES.items():
        found = getattr(profile, key)
        if found not in choices:
            raise bad(key, f"must be one of {', '.join(choices)}{nearest(found, choices)}.")
    for key, (least, most, why) in _RANGES.items():
        if not least <= getattr(profile, key) <= most:
            raise bad(key, f"must be from {least} to {most}: {why}.")
    for key, form in _URLS.items():
        if not is_url(getattr(profile, key)) and not (key in _MAY_BE_EMPTY and not getattr(profile, key)):
            raise bad(key, f"must look like {form}.")
    url = urlsplit(profile.gateway_url)
    if url.scheme == "http" and url.hostname not in LOOPBACK and not profile.insecure_http:
        raise bad("gateway_url", "http:// off this machine sends your session in clear; use https://.")
    if profile.fingerprint and not re.fullmatch(r"[0-9A-Fa-f]{64}", profile.fingerprint.replace(":", "")):
        raise bad("fingerprint", "must be a SHA-256 fingerprint: 64 hex digits.")
    if profile.second_factor and not re.fullmatch(r"sms|ibkey|totp|[0-9][0-9a-z.]*", profile.second_factor):
        raise bad("second_factor", "must be sms, ibkey, totp or IBKR's own code of a factor, like 5.2a.")
    if not re.fullmatch(r"[A-Za-z]{2}", profile.region):
        raise bad("region", "must be two letters, like US.")
    for key in ("hook", "gateway_command"):
        command = getattr(profile, key)
        if command and not command[0].strip():
            raise bad(key, "must begin with a program.")
    for secret in SECRETS:
        command = getattr(profile, secret).command
        if command and not command[0].strip():
            raise bad(f"{secret}.command", "must begin with a program.")
    for address in profile.allowed_addresses:
        why = unfit_address(address)
        if why:
            raise bad("allowed_addresses", why)
    return replace(profile, **{key: os.path.expanduser(getattr(profile, key)) for key in _PATHS})
