"""The error tree: one class per different reaction, each with what happened and what to do.

    IbtuiError                      1   failed
    ├── UsageError                  2   wrong words, wrong settings
    ├── GatewayDown                 3   nothing answers where the gateway should be
    │   └── CertificateMismatch     3   somebody answers, but not with the pinned certificate
    ├── GatewayFault                1   the gateway process could not be started or stopped
    ├── NotLoggedIn                 4   no SSO session
    │   └── NoBridge                4   SSO session, but no brokerage session
    ├── LoginRefused                5   wrong user name or password
    │   ├── CodeRefused             5   right password, wrong code of the second factor
    │   ├── Backoff                 5   an automatic login has to wait after failed ones
    │   ├── LoginLocked             5   no further attempt is allowed
    │   └── TokenRefused            5   OAuth: IBKR gives no token for this registration
    ├── WrongAccountType            5   a paper login in a live profile, or the reverse
    ├── PersonNeeded                6   only a person can give what is missing
    │   └── FactorUnsupported       6   a second factor that only IBKR's own page can answer
    ├── TradingLocked               7   an order-changing request from a read-only profile
    ├── Competing                   8   the brokerage session belongs to another program
    ├── Unreachable                75   IBKR is away or in maintenance: try later
    │   ├── Stalled                75   no answer within the time-out
    │   └── Pacing                 75   too many requests
    ├── Rejected                    1   IBKR understood and said no
    └── UnknownReply                1   a reply that none of the notes describes

No error carries a secret: texts from the wire go through `log.redact` first.
"""

from __future__ import annotations

from datetime import datetime


class IbtuiError(Exception):
    """What happened (`what`) and what to do next (`fix`), for a person."""

    exit_code = 1
    """The status a command ends with."""
    title = "That did not work"
    """A heading for a page or dialog."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} {self.fix}".strip()


class UsageError(IbtuiError):
    """Wrong words on the command line or wrong settings; nothing was tried."""

    exit_code = 2
    title = "Settings"


class GatewayDown(IbtuiError):
    """Nothing answers at the gateway's address."""

    exit_code = 3
    title = "The gateway does not answer"


class CertificateMismatch(GatewayDown):
    """The server's certificate is not the one that was pinned; nothing was sent to it."""

    title = "The gateway's certificate has changed"


class GatewayFault(IbtuiError):
    """The gateway process could not be started, adopted or stopped."""

    title = "The gateway process"


class NotLoggedIn(IbtuiError):
    """There is no SSO session (web-api.md §1.5: 401, 302 or `no session`)."""

    exit_code = 4
    title = "Not logged in"


class NoBridge(NotLoggedIn):
    """The SSO session is there, the brokerage session is not (`no bridge`)."""

    title = "No brokerage session"


class LoginRefused(IbtuiError):
    """IBKR refused user name, password or code, or the account is locked."""

    exit_code = 5
    title = "IBKR refused the login"


class CodeRefused(LoginRefused):
    """The password was right, the answer to the second factor was not; it counts as an attempt."""

    title = "IBKR refused the code"


class Backoff(LoginRefused):
    """Failed logins: an automatic one may not try before `until` (aware, UTC). A person may."""

    title = "Waiting after failed logins"

    def __init__(self, what: str, fix: str = "", *, until: datetime) -> None:
        super().__init__(what, fix)
        self.until = until


class LoginLocked(LoginRefused):
    """No further attempt is allowed, by IBKR or by our own limit; trying again makes it worse."""

    title = "The account is locked"


class TokenRefused(LoginRefused):
    """OAuth: IBKR gives no token for this registration; `waiting_helps` where time may mend it."""

    title = "IBKR gives no token"

    def __init__(self, what: str, fix: str = "", *, waiting_helps: bool = False) -> None:
        super().__init__(what, fix)
        self.waiting_helps = waiting_helps


class WrongAccountType(IbtuiError):
    """The login is `found` (paper or live) and the profile is meant for `wanted`; it was logged out again.

    The password was right, so it is no refusal and costs no attempt.
    """

    exit_code = 5
    title = "Paper and live"

    def __init__(self, what: str, fix: str = "", *, wanted: str = "", found: str = "") -> None:
        super().__init__(what, fix)
        self.wanted = wanted
        self.found = found


class PersonNeeded(IbtuiError):
    """Something only a person can give is missing: a second factor, a password."""

    exit_code = 6
    title = "Something only you can give is missing"


class FactorUnsupported(PersonNeeded):
    """IBKR wants a second factor that this program cannot answer; nothing was sent, no retry helps."""

    title = "A second factor ibtui cannot answer"


class TradingLocked(IbtuiError):
    """An order-changing request from a profile whose trading is locked; nothing was sent."""

    exit_code = 7
    title = "Trading is locked"


class Competing(IbtuiError):
    """Another program holds the brokerage session of this user name."""

    exit_code = 8
    title = "Another program holds the session"


class Unreachable(IbtuiError):
    """IBKR cannot be reached or is in maintenance; trying later may help."""

    exit_code = 75
    title = "IBKR cannot be reached"


class Stalled(Unreachable):
    """A request had no answer within its time-out (the gateway itself has none)."""

    title = "No answer"


class Pacing(Unreachable):
    """Too many requests: IBKR answered 429, or our own limiter would have waited too long."""

    title = "Too many requests"


class Rejected(IbtuiError):
    """IBKR understood the request and refused it; `status` is the HTTP status."""

    title = "IBKR said no"

    def __init__(self, what: str, fix: str = "", status: int = 200) -> None:
        super().__init__(what, fix)
        self.status = status


class UnknownReply(IbtuiError):
    """A reply that none of the protocol notes describes; `status` is the HTTP status."""

    title = "A reply ibtui does not know"

    def __init__(self, what: str, fix: str = "", status: int = 0) -> None:
        super().__init__(what, fix)
        self.status = status


class ReaderGone(Exception):
    """Whoever read our standard output has gone (`| head`); no failure, there is nothing more to say."""
