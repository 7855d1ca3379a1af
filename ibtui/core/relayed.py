"""Errors on their way through the supervisor's socket: the far end raises what the near end raised.

A reply that a gateway gave passes unchanged. What was never a reply (nothing answers, trading
is locked, the limiter refuses) travels as JSON under a header that no gateway's reply can carry,
for of those only the content's own headers are passed on.
"""

from __future__ import annotations

import msgspec

from ibtui import errors
from ibtui.errors import IbtuiError

HEADER = "X-Ibtui-Error"
"""Names the class of `ibtui.errors`."""
_STATUS: tuple[tuple[type[IbtuiError], int], ...] = (
    (errors.UsageError, 400),
    (errors.TradingLocked, 403),
    (errors.NotLoggedIn, 401),
    (errors.Pacing, 429),
    (errors.Stalled, 504),
)
_OTHER = 502
_PLAIN: dict[str, type[IbtuiError]] = {
    found.__name__: found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, IbtuiError) and found is not errors.Backoff
}
"""Those that are made of two texts; `Backoff` belongs to logins, which are not relayed as such."""


def gone() -> errors.GatewayDown:
    """Nobody listens on the supervisor's socket any more."""
    return errors.GatewayDown(
        "ibtui's background process does not answer any more.", "Try again; a new one takes its place."
    )


class Asked(msgspec.Struct, frozen=True):
    """A request to pass on: `path` with its query, as it was written; only headers about the content."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class Given(msgspec.Struct, frozen=True):
    """A gateway's reply as it came, decompressed."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes


class _Body(msgspec.Struct):
    what: str
    fix: str = ""


def status_of(error: IbtuiError) -> int:
    """The HTTP status for clients that do not know the header."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), _OTHER)


def pack(error: IbtuiError) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that carry `error`."""
    body = msgspec.json.encode(_Body(error.what, error.fix))
    return status_of(error), {HEADER: type(error).__name__, "Content-Type": "application/json"}, body


def unpack(name: str, content: bytes) -> IbtuiError | None:
    """The error that `pack` made a reply of, `name` being its `HEADER`; None without one."""
    if not name:
        return None
    try:
        body = msgspec.json.decode(content, type=_Body)
    except msgspec.MsgspecError:
        body = _Body("ibtui's background process could not do that.", "Its log says more.")
    return _PLAIN.get(name, IbtuiError)(body.what, body.fix)
