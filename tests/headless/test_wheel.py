"""What travels in the wheel: themes, the example settings, style sheets; found there as in a checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOW = """
from pathlib import Path
from ibtui import config
from ibtui.ui import themes
import ibtui
print(Path(ibtui.__file__).parent)
print(config.example_text().splitlines()[0])
print(",".join(sorted(theme.name for theme in themes.load_all(Path("/nowhere")))))
"""
THEMES = "ibtui-blue,ibtui-contrast,ibtui-dark,ibtui-light"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def show(site: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r})\n{SHOW}"],
        cwd=site,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.split("\n")


def test_the_wheel_carries_what_the_program_reads(unpacked: Path) -> None:
    where, example, names, *_ = show(unpacked)
    assert where == str(unpacked / "ibtui")
    assert (
        example
        == "# Settings of ibtui. What stands here is the default, key for key; keep only what you change."
    )
    assert names == THEMES
    for name in ("py.typed", "ui/tcss/ibtui.tcss", "_config.example.toml"):
        assert (unpacked / "ibtui" / name).is_file()
    assert not (unpacked / "tests").exists()


def test_a_checkout_reads_the_repositorys_own() -> None:
    where, _, names, *_ = show(ROOT)
    assert where == str(ROOT / "ibtui")
    assert names == THEMES
