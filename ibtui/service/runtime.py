"""What the screens and commands may ask of a running profile.

`actions` and the UI know only this protocol, so that it does not matter whether the
work is done in this process or behind a socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ibtui.auth.effects import Answers
from ibtui.config import Profile
from ibtui.core.feed import Feed
from ibtui.core.models import Event, Keeping, LoginFacts, Status
from ibtui.core.store import Store
from ibtui.secret import Secret

Progress = Callable[[str], None]
"""Hears one short line about what is being done now."""


class Runtime(Protocol):
    """A profile at work. Methods raise `errors.IbtuiError` subclasses only."""

    @property
    def profile(self) -> Profile:
        """The settings it runs on."""
        ...

    @property
    def store(self) -> Store:
        """The latest known values; read-only for everybody but the runtime."""
        ...

    @property
    def status(self) -> Status:
        """The three lamps as last seen."""
        ...

    @property
    def login_facts(self) -> LoginFacts:
        """Attempts used and IB Key's logins left, as last read."""
        ...

    @property
    def keeping(self) -> Keeping:
        """How the keep-alive does; a change of it is published as kind `status`."""
        ...

    @property
    def events(self) -> Sequence[Event]:
        """The time line, oldest first, bounded."""
        ...

    @property
    def log_lines(self) -> Sequence[str]:
        """The last lines of the gateway's log, oldest first, redacted."""
        ...

    def subscribe(self) -> Feed:
        """Changes from now on."""
        ...

    async def start_gateway(self, progress: Progress) -> None:
        """Start the gateway process or adopt a running one; return when it answers."""
        ...

    async def stop_gateway(self) -> None:
        """Stop a gateway process of ours."""
        ...

    async def login(self, answers: Answers, *, factor: str = "") -> None:
        """Log in (SSO), asking `answers` for what only a person knows, then open the brokerage session.

        `factor` is the second factor to use, in place of the profile's setting.
        """
        ...

    def mean(self, account_type: str) -> None:
        """The profile means `paper` or `live` accounts from now on; written to the settings after a login."""
        ...

    async def enroll(self, answers: Answers, pin: Secret) -> None:
        """Enroll IB Key (login.md §6), asking for credentials and the text message's code; kept at once."""
        ...

    async def export_key(self, path: Path, passphrase: Secret) -> None:
        """Write the IB Key that was enrolled last to a new file, sealed."""
        ...

    def unattended(self) -> Answers | None:
        """Answers that need nobody (the demo's own user); None where a person must be asked."""
        ...

    async def logout(self) -> None:
        """End the brokerage session and the login."""
        ...

    async def open_brokerage(self, *, compete: bool) -> None:
        """Open the brokerage session; `compete` takes it from another program."""
        ...

    async def yield_session(self, minutes: int) -> None:
        """Leave the brokerage session to another program for `minutes`, then take it up again."""
        ...

    async def stop_keeping(self) -> None:
        """End the keep-alive, also the one that outlives this terminal; the gateway lives on."""
        ...

    async def refresh(self) -> Status:
        """Look at the three things anew."""
        ...

    async def go_live(self) -> None:
        """Load accounts, positions, orders and open the stream; returns once the first values are in."""
        ...

    async def request(
        self,
        path: str,
        method: str = "GET",
        data: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Any REST call; read-only profiles refuse what changes orders (`TradingLocked`)."""
        ...

    async def close(self) -> None:
        """Let go of everything this process holds; a detached gateway lives on."""
        ...
