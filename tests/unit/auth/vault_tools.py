"""A vault in a temporary folder, and what lies in its file."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ibtui.auth.effects import Enrolled
from ibtui.auth.vault import Vault
from ibtui.secret import Secret

NOW = datetime(2026, 1, 31, 9, 9, 53, 123456, tzinfo=UTC)
OCRA, PIN = "ae7ea584ec7cfaffccca2a4238f8f1fb8e26d5da", "0258"
KEY = Enrolled(Secret(PIN), Secret(OCRA), serial="S-1")
PASS = Secret("correct horse")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def vault(folder: Path, user: str = "Me", **options: Any) -> Vault:
    options.setdefault("now", lambda: NOW)
    return Vault(user, folder / "auth", **options)


def held(box: Vault) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box.path.read_bytes())
    return found


def private(path: Path, content: str | bytes | dict[str, Any]) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return path
