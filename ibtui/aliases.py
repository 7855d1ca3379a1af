"""Variables of the node service (login.md §7), read as other names of settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PLAIN = {
    "data_store_path": "IB_GATEWAY_DATA_STORE_PATH",
    "max_attempts": "IB_AUTH_MAX_ATTEMPTS",
    "max_counter": "IB_AUTH_MAX_COUNTER",
    "twilio_sid": "IB_AUTH_TWILIO_ACCOUNT_SID",
}
_IBKEY = "IB_AUTH_USE_IBKEY"
_TOKEN = "IB_AUTH_TWILIO_AUTH_TOKEN"  # noqa: S105 - a variable's name
_PARTS = ("IB_GATEWAY_SCHEME", "IB_GATEWAY_DOMAIN", "IB_GATEWAY_PORT")
_BIN, _CONF, _SERVE_PORT = "IB_GATEWAY_BIN", "IB_GATEWAY_CONF", "IB_GATEWAY_SERVICE_PORT"
PROGRAM = (_BIN, _CONF)
NAMES = frozenset({*_PLAIN.values(), _IBKEY, _TOKEN, *_PARTS, *PROGRAM, _SERVE_PORT})
"""All that are read."""
RUN = "bin/run.sh"
"""The program of a gateway; without IB_GATEWAY_CONF it runs on a configuration of ours."""
_NO = frozenset({"false", "0", "no", "off"})


def found(env: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """Keys of a profile that these variables set: the value, and the variable's name.

    A variable that is set to nothing is not set. The token stays where it is: its value
    here is only the name of the variable.
    """
    out: dict[str, tuple[Any, str]] = {
        key: (env[name].strip(), name) for key, name in _PLAIN.items() if env.get(name, "").strip()
    }
    given = [name for name in _PARTS if env.get(name, "").strip()]
    if given:
        out["gateway_url"] = (_url(env), given[0])
    if env.get(_IBKEY, "").strip():
        # There any text turns it on, `false` too; nobody means that.
        out["use_ibkey"] = (env[_IBKEY].strip().lower() not in _NO, _IBKEY)
    if env.get(_TOKEN, "").strip():
        out["twilio_token"] = ({"env": _TOKEN}, _TOKEN)
    program, conf = (env.get(name, "").strip() for name in (_BIN, _CONF))
    if program and (conf or Path(program).match(RUN)):
        out["gateway_command"] = ([program, conf] if conf else [program], _BIN)
        out["gateway_cwd"] = (str(Path.cwd()), _BIN)
    return out


def sections(env: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
    """Keys outside profiles that these variables set, dotted: the value, and the variable's name."""
    port = env.get(_SERVE_PORT, "").strip()
    return {"serve.port": (port, _SERVE_PORT)} if port else {}


def _url(env: Mapping[str, str]) -> str:
    scheme, domain, port = (env.get(name, "").strip() for name in _PARTS)
    return f"{(scheme or 'https').removesuffix('://')}://{domain or 'localhost'}:{port or 5000}"
