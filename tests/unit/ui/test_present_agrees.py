"""Words and figures that the screens know of other rooms are those of these rooms."""

from __future__ import annotations

import msgspec
import pytest

from ibtui.auth.guard import Policy, Record, permit
from ibtui.errors import LoginLocked
from ibtui.gateway.state import Info, State
from ibtui.service import keeper
from ibtui.service.lamps import running_lamp
from ibtui.ui.present import failure, keeping, session
from ibtui.ui.present.spans import plain
from tests import fakes


def test_the_keep_alives_own_figure() -> None:
    assert keeper.TICKLE_S == keeping.EVERY_S


def test_a_process_that_ibtui_did_not_start() -> None:
    for state, foreign in ((State.EXTERNAL, True), (State.RUNNING, False)):
        lamp = running_lamp(Info(state, "https://localhost:5000", 5000, pid=81, program="java"))
        assert (session.ELSEWHERE in lamp.reason) is foreign
        status = msgspec.structs.replace(fakes.ALL_ON, gateway=lamp)
        assert bool(session.verbs(status)["start"].why_not) is foreign
        assert bool(session.verbs(status)["restart"].why_not) is foreign


def test_the_guards_limit_is_no_lock_of_ibkrs() -> None:
    with pytest.raises(LoginLocked) as caught:
        permit(Record(attempts=4), Policy(limit=4), fakes.NOW, person=True)
    page = "\n".join(plain(spans) for spans in failure.failure(caught.value, "", used=4, limit=4).lines)
    assert "All attempts are used up" in page and "ibtui login --reset-attempts" in page
