"""What the bridge tells a screen: one message a kind and flush; values are read from the store."""

from __future__ import annotations

from textual.message import Message

EVERYTHING: frozenset[str] = frozenset({"*"})
"""Keys of a message after which the whole kind is read anew."""


class Changed(Message, bubble=False):
    """Base: `keys` name what changed, by the store's keys."""

    def __init__(self, keys: frozenset[str] = EVERYTHING) -> None:
        super().__init__()
        self.keys = keys

    @property
    def everything(self) -> bool:
        """Read the whole kind anew."""
        return "*" in self.keys


class PositionsChanged(Changed):
    """Keys of positions (`ACCT:CONID`), or conids whose quote changed."""


class OrdersChanged(Changed):
    """Order ids."""


class FillsChanged(Changed):
    """Execution ids."""


class PnlChanged(Changed):
    """Account ids."""


class SummaryChanged(Changed):
    """Account ids whose summary or ledger changed, or the list of accounts."""


class StatusChanged(Changed):
    """The three lamps, or what is being done now."""


class EventLogged(Changed):
    """The time line grew."""


class LogLines(Changed):
    """The gateway's log grew."""


BY_KIND: dict[str, type[Changed]] = {
    "position": PositionsChanged,
    "quote": PositionsChanged,
    "order": OrdersChanged,
    "execution": FillsChanged,
    "pnl": PnlChanged,
    "summary": SummaryChanged,
    "ledger": SummaryChanged,
    "accounts": SummaryChanged,
    "status": StatusChanged,
    "event": EventLogged,
    "log": LogLines,
}
"""The message of each kind of `core.feed.Change`."""
