"""`ibtui oauth configure`: the six steps at a terminal. What was done is kept; the next run goes on there."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any

from ibtui import config, paths, rewrite
from ibtui.clock import SystemClock
from ibtui.config import Profile
from ibtui.errors import IbtuiError, PersonNeeded, UsageError
from ibtui.service import keyfiles, oauth_import, output
from ibtui.service.answers import tty
from ibtui.service.commands.context import Context, run
from ibtui.service.commands.oauth import make_with_clock, profile_name
from ibtui.service.keyfiles import KeySet
from ibtui.service.oauth_setup import Setup
from ibtui.service.oauth_state import PORTAL, STEPS, Check, Step, works

LEFT = "Saved. Go on whenever you like: ibtui oauth configure"


def configure(context: Context, source: str | None = None, user: str = "", start_over: bool = False) -> int:
    """Go through the steps that are not done yet; without a terminal, those that need no person.

    Args:
        source: what to import: a folder, an `oauth1.json`, a `.env`, IBKR's sample file, or `env`.
        user: which user of IBKR's sample file.
        start_over: begin a new registration; the old one's files stay under other names.

    Raises:
        PersonNeeded: nobody is there to do the next step.
        UsageError: what was given cannot be right; says what it is.
    """
    work = _Configuring(context)
    done = run(work.work(source, user, start_over))
    if context.as_json:
        output.dump(work.json())
    return done


class _Left(Exception):
    """The person goes on another time."""


class _Configuring:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._name = profile_name(context)
        self._person = sys.stdin.isatty()
        self._setup = Setup(paths.oauth_dir(self._name))
        self._checks: list[Check] = []

    async def work(self, source: str | None, user: str, start_over: bool) -> int:
        self._setup = await asyncio.to_thread(Setup.open, self._setup.folder)
        if start_over:
            await asyncio.to_thread(self._setup.start_over)
        if source:
            await self._import(source, user)
        steps = {
            Step.KEYS: self._keys,
            Step.PORTAL: self._portal,
            Step.UPLOAD: self._upload,
            Step.SECRETS: self._secrets,
            Step.CHECK: self._check,
        }
        try:
            while True:
                step = self._setup.state.step
                if step is Step.CHECK and not self._person:
                    await self._check()
                    return 0
                if step is Step.LIVE and not self._person:
                    return 0
                self._need_person(step)
                output.say(f"\n{STEPS.index(step) + 1} of {len(STEPS)}: {step.value}  (profile {self._name})")
                if step is Step.LIVE:
                    return await self._live()
                await steps[step]()
        except _Left:
            output.say(LEFT)
            return 0

    def json(self) -> dict[str, Any]:
        """Where it stands; nothing secret."""
        state, made = self._setup.state, self._setup.keys
        done = state.is_done(Step.CHECK)
        return {
            "profile": self._name,
            "step": state.step.value,
            "done": [step.value for step in STEPS if state.is_done(step)],
            "folder": str(self._setup.folder),
            "consumer_key": state.consumer_key,
            "fingerprints": made.fingerprints if made is not None else {},
            "oauth1": str(self._setup.result) if done else None,
        }

    def _need_person(self, step: Step) -> None:
        if not self._person:
            raise PersonNeeded(
                f"The next step is {step.value!r}, and standard input is no terminal.",
                "Run ibtui oauth configure at a terminal, or --import what you have.",
            )

    async def _ask(self, prompt: str, *, echo: bool = True) -> str:
        typed = (await tty.line(prompt, echo=echo)).strip()
        if typed.lower() == "q":
            raise _Left
        return typed

    def _now(self) -> datetime:
        return SystemClock().now()

    async def _keep(self, change: Callable[[], object]) -> bool:
        """Do a change of the setup; what is wrong is said, to be typed again."""
        try:
            await asyncio.to_thread(change)
        except UsageError as error:
            output.say(f"  {error.what} {error.fix}")
            return False
        return True

    async def _import(self, source: str, user: str) -> None:
        found = await asyncio.to_thread(oauth_import.from_source, source, config.environment(), user)
        await asyncio.to_thread(self._setup.take, found, self._now())
        output.say(f"Imported from {found.where}; what is there stays as it is.")
        for remark in found.remarks:
            output.say(remark)

    # The steps ---------------------------------------------------------------------------

    async def _keys(self) -> None:
        output.say("Two RSA key pairs and Diffie-Hellman parameters, made on this machine.")
        there = self._setup.elsewhere(self._profile)
        if there is not None:
            output.say(f"There is a registration in {there}: type that name to take it over.")
        typed = await self._ask("Enter makes them; or name what to import (folder, file, env); q leaves: ")
        if typed:
            try:
                await self._import(typed, "")
            except UsageError as error:
                output.say(f"  {error.what} {error.fix}")
            return
        made = await make_with_clock()
        await asyncio.to_thread(self._setup.take_keys, made)
        output.say(f"Made, in {self._setup.folder / self._setup.state.keys}, for you alone.")

    async def _portal(self) -> None:
        key = await asyncio.to_thread(self._setup.propose_consumer_key)
        output.say("Open IBKR's page and log in as the user name this is for (live and paper are two):")
        output.say(f"  {PORTAL}")
        output.say("  Should another country's site come: your own region's login page with &action=OAUTH.")
        output.say("The first time, accept the agreement. Tick Enabled. At Consumer Key type nine letters,")
        output.say("then press Save Key. They work after tonight's reset at the earliest, sometimes after")
        output.say('the weekend\'s; until then "invalid consumer" is normal and nothing is lost.')
        output.say(f"  Consumer key: {key}")
        typed = await self._ask("Enter: it is saved there. Or type the one that you have there; q leaves: ")
        if typed and not await self._keep(lambda: self._setup.set_consumer_key(typed)):
            return
        await asyncio.to_thread(self._setup.registered, self._now())

    async def _upload(self) -> None:
        made = self._setup.keys
        assert made is not None
        output.say("Upload these on the same page; never a file called private_…:")
        names = list(keyfiles.UPLOADS)
        for number, name in enumerate(names, 1):
            output.say(f"  {number} {name:<23} {keyfiles.UPLOADS[name]:<27} {made.fingerprints[name][:19]}")
        output.say(f"  They lie in {self._setup.folder / self._setup.state.keys}.")
        while True:
            typed = await self._ask(
                "Enter: all three are there. 1-3 shows one, c1-c3 copies it, w FOLDER writes them; q leaves: "
            )
            if not typed:
                break
            digit = typed.removeprefix("c")
            if digit in ("1", "2", "3"):
                self._hand_out(made.uploads[names[int(digit) - 1]], copied=typed != digit)
            elif typed.startswith("w "):
                await self._save(typed[2:].strip(), made)
            else:
                output.say("  Type 1, 2, 3, c1, c2, c3, w and a folder, q, or nothing.")
        await asyncio.to_thread(self._setup.uploaded)

    async def _save(self, folder: str, made: KeySet) -> None:
        if await self._keep(lambda: keyfiles.save_uploads(Path(folder).expanduser(), made)):
            output.say(f"  The three public files are in {folder}.")

    def _hand_out(self, text: str, *, copied: bool) -> None:
        if not copied:
            output.out(text.rstrip())
            return
        # OSC 52: the terminal puts it on the clipboard, over SSH too.
        sys.stderr.write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07")
        sys.stderr.flush()
        output.say("  Copied to the terminal's clipboard.")

    async def _secrets(self) -> None:
        setup = self._setup
        output.say("Press Generate Token on the page. The secret is shown there once: copy both now.")
        output.say("What is pasted here does not show. Programs with the old secret stop working.")
        while not setup.state.access_token:
            typed = await self._ask("Access Token (q leaves): ", echo=False)
            await self._keep(lambda typed=typed: setup.set_access_token(typed))  # type: ignore[misc]
        while not setup.state.access_token_secret:
            typed = await self._ask("Access Token Secret (q leaves): ", echo=False)
            await self._keep(lambda typed=typed: setup.set_access_token_secret(typed))  # type: ignore[misc]
        output.say("The encryption key opens the secret.")

    async def _check(self) -> None:
        output.say("Self-test: nothing is sent.")
        self._checks = await asyncio.to_thread(self._setup.self_test, self._now())
        for it in self._checks:
            _print(it)
        bad = next((it for it in self._checks if not it.ok), None)
        if bad is not None:
            raise UsageError(f"{bad.name}: {bad.problem}", bad.fix)
        path = await asyncio.to_thread(self._setup.write, self._now())
        output.say(f"All fits together. Written, for you alone: {path}")

    async def _live(self) -> int:
        typed = await self._ask("Test it at IBKR now? It changes nothing there. [Y/n] ")
        if typed.lower().startswith("n"):
            output.say("Later: ibtui oauth check")
            return 0
        failed = await self._ask_ibkr()
        if works(self._checks):
            await asyncio.to_thread(self._setup.tested, self._now())
            await self._switch()
        if failed is not None:
            output.say("Test again with: ibtui oauth check")
            return failed.exit_code
        return 0

    async def _ask_ibkr(self) -> IbtuiError | None:
        from ibtui.service import oauth_live

        self._checks = []
        way = await asyncio.to_thread(self._setup.way, self._profile.oauth_query)
        async with aclosing(oauth_live.live(way, self._profile, self._context.settings.addresses)) as steps:
            async for result in steps:
                self._checks.append(result.check)
                _print(result.check)
                if result.error is not None:
                    return result.error
        return None

    @property
    def _profile(self) -> Profile:
        return self._context.settings.profiles.get(self._name) or Profile(name=self._name)

    async def _switch(self) -> None:
        path = self._context.settings.path
        if self._profile.mode == "oauth1":
            output.say(f"The profile {self._name} runs on it: ibtui status")
            return
        output.say(f'The profile uses it with mode = "oauth1" in [profiles.{self._name}] of {path}.')
        if (await self._ask("Write that now? [y/N] ")).lower() in ("y", "yes"):
            await asyncio.to_thread(rewrite.set_keys, path, self._setup.switch(self._profile))
            output.say("Written. Look: ibtui status")


def _print(it: Check) -> None:
    output.say(f"  {'✓' if it.ok else '✕'} {it.name:<28} {it.detail or it.problem}")
    if it.fix:
        output.say(f"    → {it.fix}")
