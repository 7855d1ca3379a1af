"""Which attempts cost something: the part that `login` and `enroll` share.

An attempt is counted before the password proof leaves (`Spend("attempt")`) and given back
(`Spend("refund")`) only where IBKR cannot have held it against the account: the bytes were
never sent, its server was away before it judged, or the person stopped after a good
password. Lost replies count, because nobody knows.
"""

from __future__ import annotations

import msgspec

from ibtui.auth.effects import Flow, Reply, Send, Spend, T
from ibtui.errors import GatewayDown, IbtuiError, Pacing, PersonNeeded, Unreachable

_FAILED, _AWAY = 500, 503


class Ledger(msgspec.Struct):
    """Where one conversation stands."""

    spent: bool = False
    """An attempt was counted."""
    in_flight: bool = False
    """A request has left, its reply has not come."""
    judged: bool = False
    """What is in flight is something that IBKR judges: a proof, a code."""

    def post(self, send: Send, *, judged: bool = False) -> Flow[Reply]:
        """Send; an error thrown in here leaves `in_flight` set.

        So does an answer of something before the judge that got none from it (500, 502, 504): nobody
        knows whether it was judged. 503 says that it was not.
        """
        self.in_flight, self.judged = True, judged
        reply: Reply = yield send
        self.in_flight = judged and reply.status >= _FAILED and reply.status != _AWAY
        return reply

    def spend(self) -> Flow[None]:
        """Count an attempt.

        A cancellation may arrive while it is being counted, so it is held for spent before;
        the vault gives back only what it has counted.
        """
        self.spent = True
        yield Spend("attempt")

    def owed(self, error: BaseException) -> bool:
        """Whether the attempt is to be given back after `error` ended the conversation."""
        if not self.spent:
            return False
        if isinstance(error, (GatewayDown, Pacing, PersonNeeded)):
            return True  # never sent; or a good password, and no answer to the second factor
        if isinstance(error, Unreachable):
            return not self.in_flight  # an answer that says "away"; without an answer it may have been judged
        # Not an Exception: the task was cancelled, which before `spent` or after a good password is free.
        return not isinstance(error, Exception) and not (self.in_flight and self.judged)


def counted(ledger: Ledger, talk: Flow[T]) -> Flow[T]:
    """Run a conversation; whatever ends it, give back the attempt that cost nothing.

    Raises:
        whatever `talk` raises; an error of the refund itself stays unsaid behind it.
    """
    try:
        return (yield from talk)
    except GeneratorExit:
        raise
    except BaseException as error:
        if ledger.owed(error):
            try:
                yield Spend("refund")
            except IbtuiError as unsaid:
                error.add_note(f"and the attempt could not be given back: {unsaid.what}")
        raise
