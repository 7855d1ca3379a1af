"""Where the OAuth configurator keeps its files and whom it asks: a profile's folder and IBKR, or the demo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ibtui import paths
from ibtui.config import Addresses, Profile, Settings
from ibtui.service.answers.fixed import ReadyAnswers
from ibtui.service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Place:
    """`offered` is an `oauth1.json` that could be taken over; empty for none."""

    folder: Path
    addresses: Addresses
    offered: str = ""


def place(settings: Settings, profile: Profile, runtime: Runtime | None) -> Place:
    """The configurator's place; reads a small file in the demo.

    The demo's is a folder that goes with it, with the simulator as IBKR and the simulator's own
    registration to take over: nothing of the person's is touched, nothing is sent anywhere.
    """
    answers = runtime.unattended() if runtime is not None and profile.mode == "demo" else None
    if not isinstance(answers, ReadyAnswers):
        return Place(paths.oauth_dir(profile.name), settings.addresses)
    try:
        ready = msgspec.json.decode(answers.ready.read_bytes())
        addresses = replace(settings.addresses, api_host=ready["url"], api_ca_file=ready["cert"] or "")
        return Place(answers.ready.parent / "oauth", addresses, str(ready["oauth1"]))
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return Place(answers.ready.parent / "oauth", settings.addresses)
