"""The interop tests: against programs that nobody here wrote, unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.peers import Peers

# At import, before the shared fixture redirects the folders for each test.
_CACHE = Path(
    os.environ.get("IBTUI_PEERS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ibtui-peers"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("interop")


@pytest.fixture
def peers() -> Peers:
    """The programs of `make peers`."""
    return Peers(_CACHE)
