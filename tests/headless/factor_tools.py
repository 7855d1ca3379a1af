"""Profiles, keys and codes for logins with a second factor."""

from __future__ import annotations

import json
import re
from typing import Any

from ibtui import config, paths
from ibtui.auth import ocra
from ibtui.auth.vault import Vault
from ibtui.secret import Secret
from tests.conftest import Sim
from tests.headless.conftest import Done, Run

CODE_PROMPT = r"(Code|Response) \("


def profile(sim: Sim, user: dict[str, Any], *tables: str, **keys: Any) -> None:
    """A profile for a user; `tables` are texts like `[profiles.default.password]\\n…`."""
    values = {"gateway_url": sim.url, "ca_file": sim.cert, "username": user["username"], "keep_alive": False}
    values |= keys
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    twilio = sim.ready["twilio"]
    head = f'[addresses]\ntwilio = "{twilio["url"]}"\ntwilio_ca_file = "{sim.cert}"\n'
    head += f'login_host = "{sim.url}"\nlogin_ca_file = "{sim.cert}"\n'
    path = config.default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "[profiles.default]\n" + "\n".join([*lines, *tables]) + "\n")
    path.chmod(0o600)


def secret_file(name: str, text: str) -> str:
    path = paths.private(paths.data_dir()) / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return f'[profiles.default.{name}]\nfile = "{path}"'


def piped(run: Run, user: dict[str, Any], *more: str, password: str = "") -> Done:
    return run("login", "--password-stdin", *more, stdin=(password or user["password"]) + "\n")


def enrolled(user: dict[str, Any], counter: int | None = None) -> Vault:
    vault = Vault(user["username"])
    vault.import_secret(Secret(user["ocra"]), Secret(user["pin"]), counter or user["counter"])
    return vault


def sms_code(sim: Sim) -> str:
    found = re.search(r"\d{6}", sim.control("sms")[-1]["body"])
    assert found is not None
    return found[0]


def proofs(sim: Sim) -> int:
    """How many passwords IBKR has judged."""
    return sum(row["action"] == "COMPLETEAUTH" for row in sim.control("logins"))


def answer(user: dict[str, Any], counter: int, challenge: str) -> str:
    return ocra.respond(Secret(user["ocra"]), Secret(user["pin"]), counter, challenge).reveal()
