"""`ibtui oauth keygen` whole, with the real search for a safe prime (`make drill`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibtui.auth import keys
from ibtui.service import keyfiles, keymaking
from tests.headless.conftest import Run, run

__all__ = ["run"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_keys_for_ibkr_are_made(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "keys"
    assert run("oauth", "keygen", "--folder", str(target)).code == 0
    made, remarks = keyfiles.read(target)
    keys.check_prime(made.prime)
    assert remarks == [] and made.prime.bit_length() == 2048


def test_plain_python_finds_one_too() -> None:
    """Of half the length: in full it takes minutes."""
    prime = keymaking.plain_safe_prime(1024)
    assert keys.probably_prime(prime) and keys.probably_prime(prime >> 1) and prime % 24 == 23
