"""Which room may load what: each is imported in a fresh process and `sys.modules` looked at."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "ibtui"
NETWORK = {"httpx", "websockets", "aiohttp", "cryptography", "twilio"}
ARROWS = {
    "auth": set(),
    "core": {"auth"},
    "gateway": set(),
    "service": {"auth", "core", "gateway", "sim", "ui"},
    "sim": set(),
    "ui": {"service", "auth", "core"},
}
"""What a room may import besides itself and the porch. `service.commands` starts `ui` and `sim`;
`ui` names models, effects and feed types, never the network parts (tested below)."""


def loaded(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def modules(room: str) -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        for path in (ROOT / room).rglob("*.py")
        if path.name != "__init__.py"
    )


def importing(names: list[str]) -> str:
    return "\n".join(f"import {name}" for name in names)


@pytest.mark.parametrize("room", ["auth", "core", "gateway", "sim"])
def test_no_room_below_the_screen_loads_textual(room: str) -> None:
    assert "textual" not in loaded(importing(modules(room)))


@pytest.mark.parametrize("room", ["auth", "core", "gateway"])
def test_no_room_but_the_simulator_loads_a_web_server(room: str) -> None:
    assert "aiohttp" not in loaded(importing(modules(room)))


def test_auth_loads_no_network_library() -> None:
    assert not loaded(importing(modules("auth"))) & {"httpx", "websockets", "aiohttp", "ssl"}


def test_status_loads_neither_screen_nor_server() -> None:
    found = loaded("import ibtui.service.commands.session\nimport ibtui.service.commands.panes")
    assert not found & {"textual", "aiohttp", "ibtui.sim.main", "ibtui.ui.app"}


def test_the_first_frame_needs_no_network_library() -> None:
    found = loaded("import ibtui.cli, ibtui.service.commands.terminal, ibtui.ui.app")
    assert not found & (NETWORK | {"ibtui.core.client", "ibtui.service.local"})


def test_presenters_and_wire_are_free_of_screens_and_sockets() -> None:
    names = [*modules("ui/present"), *modules("core/wire"), "ibtui.core.models", "ibtui.core.store"]
    assert not loaded(importing(names)) & (NETWORK | {"textual"})


def test_the_porch_imports_no_room() -> None:
    porch = [path.stem for path in ROOT.glob("*.py") if path.stem not in ("__main__", "__init__")]
    found = loaded(importing([f"ibtui.{name}" for name in porch]))
    assert not {name for name in found if name.startswith("ibtui.") and name.count(".") > 1}


@pytest.mark.parametrize("room", sorted(ARROWS))
def test_arrows_point_one_way(room: str) -> None:
    allowed = ARROWS[room] | {room}
    wrong = []
    for path in sorted((ROOT / room).rglob("*.py")):
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "ibtui" and len(parts) > 1 and parts[1] in ARROWS and parts[1] not in allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_only_the_commands_start_screens_and_simulators() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "service").rglob("*.py"))
        if path.parent.name != "commands"
        for name in imports_of(path)
        if name.startswith(("ibtui.ui", "ibtui.sim"))
    ]
    assert wrong == []


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found
