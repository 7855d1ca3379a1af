"""Records that show only what they name."""

from __future__ import annotations

import pytest
from rich.pretty import pretty_repr

from ibtui.auth.effects import Challenge, Enrolled, Reply, Send
from ibtui.auth.login import LoggedIn
from ibtui.auth.replies import Asked
from ibtui.auth.shy import Shy
from ibtui.auth.srp import Proof
from ibtui.core.http import Answer, Request
from ibtui.secret import Secret

HIDDEN = "d41d8cd9"
RECORDS = [
    Send("POST", "/sso/Authenticator", (("M1", HIDDEN),), (("XYZAB", HIDDEN),)),
    Reply(200, HIDDEN),
    Enrolled(Secret(HIDDEN), Secret(HIDDEN), serial=HIDDEN),
    Challenge("5.2a", "SWCR", HIDDEN),
    LoggedIn("somebody", HIDDEN),
    Asked("SWCR", HIDDEN),
    Request("POST", f"/x?{HIDDEN}", (("Cookie", HIDDEN), ("Authorization", HIDDEN)), HIDDEN.encode()),
    Answer(200, (("set-cookie", HIDDEN),), HIDDEN.encode()),
    Proof(HIDDEN, HIDDEN, HIDDEN, HIDDEN.encode()),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_nothing_hidden_in_any_repr(record: Shy) -> None:
    for shown in (repr(record), str(record), f"{record}", pretty_repr(record), pretty_repr([record])):
        assert HIDDEN not in shown
        assert shown.lstrip("[ \n").startswith(type(record).__name__)


def test_what_is_shown() -> None:
    assert repr(LoggedIn("somebody", HIDDEN)) == "LoggedIn(username='somebody', factor='', paper=None)"
    assert "kind='SWCR'" in pretty_repr(Asked("SWCR", HIDDEN))
