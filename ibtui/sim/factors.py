"""Second factors: asked for, sent, judged, and closed after too many wrong codes (login.md §3 to §5)."""

from __future__ import annotations

import hmac
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibtui.sim import ocra, totp
from ibtui.sim.seam import SimClock
from ibtui.sim.sms import Outbox

if TYPE_CHECKING:
    from ibtui.sim.scenario import Login, Settings

TOTP, SMS = "4", "4.2"
IBKEY = ("5.2a", "5.2i")
_KINDS = {TOTP: "SWTK", SMS: "SWTK", "5.2a": "SWCR", "5.2i": "SWCR"}
INVALID = "invalid response"


@dataclass(slots=True)
class Device:
    """What a user has besides the password."""

    totp_secret: str = ""
    pin: str = ""
    ocra: str = ""
    """The IBKey secret as 40 hex digits; empty: none was enrolled."""
    counter: int = 2
    """The counter that the client sends first."""
    last: int | None = None
    """The last accepted value (a whole number); None: the one before `counter`."""
    kind: str = ""
    """The `type` that the server answers instead of the usual one."""


@dataclass(frozen=True, slots=True)
class Question:
    """A second factor that was asked for."""

    code: str
    """SF code."""
    kind: str
    """SWTK, SWCR or IBTK."""
    challenge: str = ""
    """Six digits, for SWCR."""
    sms: str = ""
    """The six digits that were sent."""
    until: float = float("inf")
    """When they stop being right."""

    @property
    def xml(self) -> str:
        """The inside of reply 4; a challenge is shown in two groups."""
        shown = f"<challenge>{self.challenge[:3]} {self.challenge[3:]}</challenge>" if self.challenge else ""
        return f"<two_factor><type>{self.kind}</type>{shown}</two_factor>"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a response; `value` is the IBKey value it was made with, if it is known."""

    right: bool
    error: str = ""
    value: int | None = None
    locked: bool = False


class Factors:
    """All second factors of a simulator."""

    def __init__(self, settings: Settings, clock: SimClock, outbox: Outbox, seed: int) -> None:
        self._settings = settings
        self._clock = clock
        self._outbox = outbox
        rng = random.Random(f"codes {seed}")
        self.draw: Callable[[], str] = lambda: f"{rng.randrange(10**6):06d}"
        """Six digits, for challenges and text messages."""
        self.wrong: dict[str, int] = {}
        """Wrong codes in a row, by user name in lower case."""

    def locked(self, username: str) -> bool:
        """Whether too many codes were wrong."""
        return self.wrong.get(username.lower(), 0) >= self._settings.max_codes

    def ask(self, login: Login, code: str) -> Question:
        """Ask for a factor; asking for 4.2 sends the text message. Former codes are void."""
        kind = login.device.kind or _KINDS.get(code, "IBTK")
        if kind == "SWCR":
            return Question(code, kind, challenge=self.draw())
        if code != SMS:
            return Question(code, kind)
        digits = self.draw()
        self._outbox.send(login.user.username, digits)
        return Question(code, kind, sms=digits, until=self._clock.now() + self._settings.code_life_s)

    def judge(self, login: Login, question: Question, response: str) -> Verdict:
        """Compare a response and count it; a right one forgets the wrong ones."""
        name = login.user.username.lower()
        if self.locked(name):
            return Verdict(False, "reached max login", locked=True)
        verdict = self._judge(login.device, question, response)
        if verdict.right:
            self.wrong.pop(name, None)
            return verdict
        self.wrong[name] = self.wrong.get(name, 0) + 1
        return Verdict(False, verdict.error or INVALID, verdict.value, self.locked(name))

    def _judge(self, device: Device, question: Question, response: str) -> Verdict:
        if question.code in IBKEY and question.kind == "SWCR":
            return self._ibkey(device, question.challenge, response)
        if question.code == SMS and question.sms:
            right = hmac.compare_digest(question.sms.encode(), response.encode())
            if right and self._clock.now() > question.until:
                return Verdict(False, "code expired")
            return Verdict(right)
        if question.code == TOTP and question.kind == "SWTK" and device.totp_secret:
            return Verdict(totp.accepts(device.totp_secret, response, self._clock.now()))
        return Verdict(False)

    def _ibkey(self, device: Device, challenge: str, response: str) -> Verdict:
        """Accept last < value <= last + W and store it (login.md §5 'The counter')."""
        if not device.ocra:
            return Verdict(False)
        last, window = self.last(device), self._settings.ibkey_window
        value = ocra.seen(bytes.fromhex(device.ocra), challenge, device.pin, response, last, window)
        if value is None or not last < value <= last + window:
            return Verdict(False, value=value)
        device.last = value
        return Verdict(True, value=value)

    def last(self, device: Device) -> int:
        """The last accepted value of a user."""
        if device.last is None:
            return ocra.value_of(device.counter - 1, rfc=self._settings.ibkey_rfc)
        return device.last

    def counter(self, value: int | None) -> int | None:
        """The counter that a client stores for a value."""
        return None if value is None else ocra.counter_of(value, rfc=self._settings.ibkey_rfc)

    def next_counter(self, device: Device) -> int:
        """The counter that the client has to send next."""
        return ocra.next_counter(self.last(device), rfc=self._settings.ibkey_rfc)
