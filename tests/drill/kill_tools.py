"""A login or enrollment that is killed at a step, and what must be true afterwards."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibtui.auth.vault import Vault
from tests.conftest import Sim

KILL_ENV = Path(__file__).with_name("kill_env")
PIN = "009513"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is killed: a login with one second factor, or an enrollment."""

    name: str
    factors: tuple[str, ...]
    enrolls: bool = False


LOGINS = (Kind("ibkey", ("5.2a",)), Kind("sms", ("4.2",)), Kind("totp", ("4",)), Kind("plain", ()))
ENROLLMENT = Kind("enroll", ("4.2",), enrolls=True)
KINDS = {kind.name: kind for kind in (*LOGINS, ENROLLMENT)}


class Victim:
    """One user at one simulator, with auth data and settings of its own below `folder`."""

    def __init__(self, sim: Sim, kind: Kind, folder: Path) -> None:
        self.sim, self.kind = sim, kind
        self.user = dict(sim.user(*kind.factors))
        self.name: str = self.user["username"]
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True)
        self.vault = Vault(self.name, folder / "data" / "ibtui" / "auth", person=True)
        self._settings()
        sim.control("settings", {"auth_delay_s": 0})
        if "5.2a" in kind.factors:
            self._give_key()

    def _give_key(self) -> None:
        from ibtui.secret import Secret

        user = self.user
        self.vault.import_secret(Secret(user["ocra"]), Secret(user["pin"]), user["counter"], replace=True)

    def _settings(self) -> None:
        sim, account = self.sim, self.sim.ready["twilio"]
        cert = json.dumps(sim.cert)
        lines = [
            f'[addresses]\nlogin_host = "{sim.url}"\nlogin_ca_file = {cert}',
            f'twilio = "{account["url"]}"\ntwilio_ca_file = {cert}',
            f'[profiles.default]\nkeep_alive = false\ngateway_url = "{sim.url}"\nca_file = {cert}',
            f'twilio_sid = "{account["sid"]}"',
            f'twilio_token.file = "{self._private("token", account["token"])}"',
        ]
        if "totp_secret" in self.user:
            lines.append(f'totp_secret.file = "{self._private("totp", self.user["totp_secret"])}"')
        self._private("config.toml", "\n".join(lines))

    def _private(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    # Running -----------------------------------------------------------------------------

    def run(
        self, *, enroll: bool = False, limit: int | None = None, **drill: str
    ) -> subprocess.CompletedProcess[str]:
        """The command as a process of its own; `limit` bytes a file may have."""
        words = ["login"]
        if enroll:
            pin = self._private("pin", PIN)
            words = ["ibkey", "enroll", "--yes", "--pin-file", str(pin), "--no-test-login"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        env |= {
            f"XDG_{what}_HOME": str(self.folder / what.lower())
            for what in ("CONFIG", "DATA", "STATE", "CACHE")
        }
        env |= {"IBTUI_CONFIG": str(self.folder / "config.toml"), **drill}
        if drill:
            env["PYTHONPATH"] = str(KILL_ENV)
        if "totp_secret" in self.user:
            # A code counts once; the client follows the server's clock by its Date header.
            self.sim.control("clock", {"advance_s": 31})

        def small() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit or 0, limit or 0))

        return subprocess.run(
            [sys.executable, "-m", "ibtui", *words, "--user", self.name, "--password-stdin"],
            env=env,
            input=self.user["password"] + "\n",
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=None if limit is None else small,
        )

    def steps(self) -> int:
        """How many steps an undisturbed run has."""
        count = self.folder / "count"
        done = self.run(enroll=self.kind.enrolls, DRILL_COUNT=str(count))
        assert done.returncode == 0, done.stderr
        return int(count.read_text())

    def killed(self, at: int, when: str) -> bool:
        """Run until the step; False when it ended before."""
        done = self.run(enroll=self.kind.enrolls, DRILL_AT=str(at), DRILL_WHEN=when)
        assert done.returncode in (0, -9), (at, when, done.stderr)
        return done.returncode == -9

    # What must be true -------------------------------------------------------------------

    def rows(self, since: int = 0) -> list[dict[str, Any]]:
        """What the login host judged since the row of that number; waits until nothing comes any more."""
        found: list[dict[str, Any]] = []
        while True:
            again = [row for row in self.sim.control("logins") if row["user"].lower() == self.name.lower()]
            if again == found:
                return found[since:]
            found = again
            time.sleep(0.05)

    def written(self) -> int:
        """When the file was written last, ns; 0 while there is none."""
        return self.vault.path.stat().st_mtime_ns if self.vault.path.exists() else 0

    def check(self, since: int, where: str, *, lived: bool = False) -> None:
        """The file parses; attempts and counter are not lower than what the server saw.

        Who `lived` may have taken back the attempt of a password that the server found good, where
        it then gave up before an answer to the second factor was judged, as a person who cancels does.
        """
        rows = self.rows(since)
        status = self.vault.status()
        tried = 0
        for row in rows:
            if row["action"] == "COMPLETEAUTH":
                tried += not (lived and row["accepted"])
            elif row["action"] == "COMPLETETWOFACT" and not row["accepted"]:
                tried += lived
            elif row["accepted"] and row["action"] in ("DISPATCHER", "COMPLETE_SETUP"):
                tried = 0  # from here on the client may count it as a success
        assert status.record.attempts >= tried, f"{where}: {status.record} on disk, the server saw {rows}"
        used = [
            row["counter"]
            for row in rows
            if row["counter"] is not None and row["action"] == "COMPLETETWOFACT"
        ]
        assert not used or status.counter > max(used), f"{where}: counter {status.counter}, sent {used}"
        if status.enrolled:
            self.vault.key()

    def activated(self, since: int) -> bool:
        """Whether the login host made a new key the account's since the row of that number."""
        return any(row["action"] == "COMPLETE_SETUP" and row["accepted"] for row in self.rows(since))

    def recovers(self, where: str, *, activated: bool = False) -> None:
        """After an explicit reset the next try works: with the new key, where it was `activated`."""
        since = len(self.rows())
        self.vault.reset()
        if activated:
            if self.vault.status().unfinished is not None:
                self.vault.take_unfinished(replace=True)
            assert self.vault.status().enrolled, f"{where}: the new key is lost"
        elif self.kind.enrolls:
            done = self.run(enroll=True)
            assert done.returncode == 0, f"{where}: {done.stderr}"
            assert self.vault.key().pin.reveal() == PIN
        done = self.run()
        assert done.returncode == 0, f"{where}: {done.stderr}"
        self.check(since, where)
        assert self.vault.status().record.attempts == 0
        left = [path.name for path in self.vault.folder.iterdir() if path.suffix not in (".json", ".lock")]
        assert left == [], where

    def lift_the_wait(self) -> None:
        """As if hours had gone by; the attempts stay."""
        data = json.loads(self.vault.path.read_text())
        data["not_before"] = None
        self.vault.path.write_text(json.dumps(data))

    def drill(self, at: int, when: str) -> bool:
        """One point: kill, check, recover."""
        where = f"{self.kind.name}: killed {when} step {at}"
        since = len(self.rows())
        died = self.killed(at, when)
        self.check(since, where)
        self.recovers(where, activated=self.activated(since))
        return died


def spread(steps: int, points: int, seed: int) -> list[tuple[int, str]]:
    """So many different points among the steps, in order."""
    every = [(at, when) for at in range(1, steps + 1) for when in ("before", "after")]
    return sorted(random.Random(seed).sample(every, min(points, len(every))))


def full_disk(victim: Victim, limit: int) -> None:
    """No file may be longer than `limit` bytes: what cannot be counted is not tried, nothing is lost."""
    before, written = victim.vault.status(), victim.written()
    since = len(victim.rows())
    done = victim.run(enroll=victim.kind.enrolls, limit=limit)
    where = f"{victim.kind.name}: files of at most {limit} bytes"
    assert "Traceback" not in done.stderr, f"{where}: {done.stderr}"
    victim.check(since, where, lived=True)
    rows = victim.rows(since)
    after = victim.vault.status()
    if after.record == before.record and after.counter == before.counter and done.returncode:
        # Counted and taken back leaves the same record, in another file.
        tried = any(row["action"] == "COMPLETEAUTH" for row in rows)
        assert not tried or victim.written() != written, f"{where}: tried without counting"
    victim.recovers(where, activated=victim.activated(since))
