"""The README's pictures: the real app on the real demo, saved as SVG into docs/pictures.

python tools/pictures.py [--to FOLDER]

Seed 7, 100x30. Process ids and ports, which differ from run to run, are masked; nothing of the
machine is in the demo's screens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from textual.pilot import Pilot
from textual.widgets import Input

from tools.bench_report import ROOT, environment

SIZE = (100, 30)
_BLANK = "&#160;"
_CELL = 12.2
"""Width of a cell in Rich's pictures."""
_TEXT = re.compile(
    r'(?P<head><text class="[^"]*" )x="(?P<x>[\d.]+)"(?P<middle> y="[\d.]+" )textLength="(?P<length>[\d.]+)"'
    r"(?P<tail>[^>]*>)(?P<words>[^<]*)</text>"
)
_FONTS = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"
_NUMBERS = ((re.compile(r"(pid(?:&#160;|\s))(\d+)"), "4"), (re.compile(r"(127\.0\.0\.1:)(\d+)"), "5"))


def masked(svg: str) -> str:
    """The picture with other process ids and ports of the same width, so that nothing moves."""
    for pattern, digit in _NUMBERS:
        for found in set(pattern.findall(svg)):
            svg = svg.replace("".join(found), found[0] + digit.ljust(len(found[1]), "0"))
    # No font from the network: nobody is told who reads, and pages that show pictures refuse it anyway.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: Fira Code, monospace", f"font-family: {_FONTS}", svg)
    svg = _TEXT.sub(_tight, svg)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _tight(text: re.Match[str]) -> str:
    """A piece of text without the blanks around it, which some viewers swallow, in the same place."""
    words = given = text["words"]
    while words.startswith(_BLANK):
        words = words.removeprefix(_BLANK)
    x = float(text["x"]) + (len(given) - len(words)) / len(_BLANK) * _CELL
    while words.endswith(_BLANK):
        words = words.removesuffix(_BLANK)
    if not words:
        return ""
    length = float(text["length"]) - (len(given) - len(words)) / len(_BLANK) * _CELL
    return f'{text["head"]}x="{x:g}"{text["middle"]}textLength="{length:g}"{text["tail"]}{words}</text>'


async def _until(pilot: Pilot[int], condition: Callable[[], object], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await pilot.pause(0.05)


async def take(folder: Path) -> None:
    """Run the demo once, visit its screens, and save each."""
    # Made here, for these imports read the environment that `main` has set.
    from ibtui import config
    from ibtui.service.commands.terminal import demo_settings
    from ibtui.service.local import LocalRuntime
    from ibtui.service.runtime import Runtime
    from ibtui.ui.app import IbtuiApp

    settings = demo_settings(config.load(env={}), 7)

    async def make() -> Runtime:
        return LocalRuntime(settings)

    app = IbtuiApp(settings, make, demo=True)

    def save(name: str) -> None:
        (folder / f"{name}.svg").write_text(masked(app.export_screenshot(title=f"ibtui: {name}")), "utf-8")

    def stands(words: str) -> bool:
        return any(words in strip.text for strip in app.screen._compositor.render_strips())

    async with app.run_test(size=SIZE) as pilot:
        await _until(pilot, lambda: app.status is not None and app.status.ready and app.busy is None)
        await _until(pilot, lambda: app.store is not None and "pnl" in app.store.loaded)
        await pilot.pause(5)
        save("session")
        for mode in ("positions", "orders", "account"):
            await app.action_go(mode)
            # The day's P&L is drawn from what came meanwhile.
            await pilot.pause(20 if mode == "account" else 2)
            save(mode)
        await app.action_go("session")
        runtime = app.runtime
        assert runtime is not None
        await runtime.logout()
        app.verbs.open_wizard()
        await _until(pilot, lambda: stands("Password"))
        app.screen.query_one("#username", Input).value = "demo123"
        await pilot.pause(0.5)
        save("login")
        await app.action_quit()


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "pictures")
    folder: Path = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ibtui-pictures-") as home:
        own = environment(Path(home)) | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "TZ": "UTC"}
        os.environ.clear()
        os.environ.update(own)
        asyncio.run(take(folder))
    for file in sorted(folder.glob("*.svg")):
        print(f"{file.stat().st_size / 1024:6.1f} KiB  {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
