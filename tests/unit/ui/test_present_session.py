"""Session, account and login pages as lines: what is so, since when, why, and what to do next."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D

import msgspec
import pytest

from ibtui import errors
from ibtui.core.models import Lamp, LedgerRow, LoginFacts, Pnl, Status
from ibtui.ui.present import account, failure, login, session
from ibtui.ui.present.spans import plain, width
from tests import fakes


def texts(lines: object) -> list[str]:
    return [plain(spans) for spans in lines]  # type: ignore[attr-defined]


def test_lamps_before_anything_is_known() -> None:
    lines = texts(session.lamps(None, fakes.NOW))
    assert [text.split()[1] for text in lines] == ["Gateway", "Login", "Brokerage"]
    assert all("starting" in text for text in lines)
    assert plain(session.dots(None)) == "· · ·"


def test_lamps_tell_state_age_reason_and_one_next_step() -> None:
    lines = texts(session.lamps(fakes.COMPETING, fakes.NOW))
    assert lines[0] == " ● Gateway     up 6 h 12 m · pid 4711 · https://localhost:5000"
    assert lines[2] == " ▲ Brokerage   contested 40 s · another program holds the session"
    assert lines[3].strip() == "→ t takes it over"
    assert plain(session.dots(fakes.COMPETING)) == "● ● ▲"


def test_only_the_first_broken_link_gets_a_step_of_ours() -> None:
    off = Lamp(state="off")
    lines = texts(session.lamps(Status(gateway=off, sso=off, brokerage=off), fakes.NOW))
    assert [text.strip() for text in lines if "→" in text] == ["→ s start it"]
    up = Status(gateway=Lamp(state="on"), sso=off, brokerage=off)
    assert [text.strip() for text in texts(session.lamps(up, fakes.NOW)) if "→" in text] == ["→ l log in"]


def test_shapes_differ_without_colour() -> None:
    assert len({glyph for glyph, _ in session.GLYPHS.values()}) == len(session.GLYPHS)


def test_verbs_say_why_not() -> None:
    assert all(verb.why_not for verb in session.verbs(None).values())
    on = session.verbs(fakes.ALL_ON)
    assert on["start"].label == "stop"
    assert "logged in already" in on["login"].why_not
    assert "yours already" in on["takeover"].why_not
    assert not on["logout"].why_not
    nobody = session.verbs(fakes.NOBODY)
    assert not nobody["login"].why_not
    assert "l logs in" in nobody["logout"].why_not
    assert "Log in first" in nobody["takeover"].why_not
    assert not session.verbs(fakes.COMPETING)["takeover"].why_not
    assert "logging in" in session.verbs(fakes.NOBODY, "logging in")["refresh"].why_not


def test_keep_alive() -> None:
    assert "12 s ago" in plain(session.keep_alive(True, 12.0, fakes.ALL_ON))
    assert session.keep_alive(True, 400.0, fakes.ALL_ON)[1][1] == "warn"
    assert "off (keep_alive = false)" in plain(session.keep_alive(False, None, fakes.ALL_ON))
    assert "begins with the login" in plain(session.keep_alive(True, None, fakes.NOBODY))
    assert "once a minute" in plain(session.keep_alive(True, None, fakes.ALL_ON))


def test_facts_of_the_guard_and_of_ib_key() -> None:
    alive = session.keep_alive(True, 12.0, fakes.ALL_ON)
    found = LoginFacts(logins_left=61)
    assert plain(session.facts(found, fakes.NOW, alive)) == (
        " Attempts  0 of 4 used   IB Key  61 logins left   Keep-alive  ok 12 s ago"
    )
    wait = LoginFacts(attempts=2, wait_until=fakes.NOW + timedelta(minutes=59))
    assert "2 of 4 used, automatic logins wait 59 m 00 s" in plain(session.facts(wait, fakes.NOW, alive))
    assert "IB Key" not in plain(session.facts(wait, fakes.NOW, alive))
    assert session.facts(LoginFacts(logins_left=7), fakes.NOW, alive)[3][1] == "warn"


def test_time_line_newest_first_with_marks_and_masks() -> None:
    lines = texts(session.time_line(fakes.EVENTS))
    assert "sold 100 NVDA" in lines[0]
    assert any("▲ lost" in text for text in lines)
    assert "DU1234567" not in texts(session.time_line(fakes.EVENTS, hide=True))[0]


def test_log_marks_levels() -> None:
    lines = session.log(["x ERROR y", "x WARN y", "plain\x1b[0m"])
    assert [spans[0][1] for spans in lines] == ["bad", "warn", "muted"]
    assert "\x1b" not in plain(lines[2])


def test_problem() -> None:
    assert texts(session.problem("T", "what", "fix")) == [" ✕ T", "   what", "   → fix"]
    assert len(session.problem("T", "what", "")) == 2


# Account ---------------------------------------------------------------------------


def test_summary_and_ledger() -> None:
    lines = texts(account.summary(fakes.summary("1020114.20")))
    assert lines[0].split() == ["Net", "liquidation", "1,020,114.20", "USD"]
    assert lines[-1].split() == ["Cushion", "0.895"]
    rows = {
        "BASE": LedgerRow(currency="BASE", cash="5"),
        "EUR": LedgerRow(currency="EUR", exchange_rate="1.0682"),
    }
    ledger = texts(account.ledger(rows, "USD"))
    assert [text.split()[0] for text in ledger] == ["Ccy", "EUR", "sum"]
    assert "1.0682" in ledger[1]
    assert "—" in ledger[1]
    assert "in USD" in ledger[2]
    assert "•••" in texts(account.ledger(rows, "USD", hide=True))[2]


def test_pnl_and_title() -> None:
    assert "▲+461.00" in texts(account.pnl(Pnl(account="U1", daily="461"), "USD"))[0]
    assert "—" in texts(account.pnl(None, "USD"))[0]
    assert account.title("U1", "savings", "USD") == "U1 · savings · USD"
    assert account.title("", None, "") == "—"


def test_chart_fits_and_names_its_ends() -> None:
    samples = [D(value) for value in range(-50, 150)]
    lines = account.chart(samples, 60, 4)
    assert len(lines) == 4
    assert all(width(spans) <= 60 for spans in lines)
    assert "+149.00" in plain(lines[0])
    assert "+106.00" in plain(lines[3])  # the oldest sample that still fits
    assert "•••" in plain(account.chart(samples, 60, 4, hide=True)[0])
    assert len({plain(spans)[15:] for spans in account.chart([D(1), D(1)], 60, 2)}) == 2
    assert "second value" in plain(account.chart([D(1)], 60, 4)[0])


# Login -----------------------------------------------------------------------------


def test_steps() -> None:
    states = {
        login.GATEWAY: login.StepState("done", 0.24),
        login.STEPS[1]: login.StepState("now", 14, "proving"),
    }
    lines = texts(login.steps(states, 80))
    assert len(lines) == len(login.STEPS) == 6
    assert lines[0].startswith("   ✓ Gateway")
    assert lines[0].endswith("0.2 s")
    assert "▸ User name and password" in lines[1]
    assert lines[1].endswith("14 s")
    assert lines[5].startswith("   · Ready")
    assert all(len(text) <= 80 for text in lines)


def test_track_finishes_what_is_passed_by_but_for_optional_steps() -> None:
    track = login.Track(("a", "b", "c", "d"), optional=("c",))
    track.enter("a", 1.0)
    assert texts(track.lines(80, 4.0))[0].endswith("3 s")
    track.begin("a", None)
    assert texts(track.lines(80, 9.0))[0].rstrip() == "   ▸ a"
    track.begin("a", 9.0)
    track.enter("d", 9.5)
    assert [track.state(name) for name in track.names] == ["done", "done", "waiting", "now"]
    track.fail(10.0)
    assert track.state("d") == "failed"
    track.clear()
    assert track.state("a") == "waiting"


def test_the_way_out_by_browser() -> None:
    page = "\n".join(texts(failure.browser("https://localhost:5001")))
    assert "ssh -L 5001:localhost:5001" in page
    assert "https://localhost:5001" in page


@pytest.mark.parametrize(
    ("error", "word", "again", "take_over"),
    [
        (errors.LoginLocked("Locked.", "Unlock it."), "makes it worse", False, False),
        (errors.LoginRefused("Refused.", "Check."), "wrong password counts", True, False),
        (errors.Competing("Other.", ""), "take it over", True, True),
        (errors.PersonNeeded("Factor.", ""), "ssh -L", True, False),
        (errors.GatewayDown("Down.", "Start it."), "no attempt was used", True, False),
        (errors.UnknownReply("Odd.", ""), "No further request", True, False),
        (errors.Unreachable("Away.", ""), "IBKR's side", True, False),
        (errors.IbtuiError("Else.", ""), "Else.", True, False),
    ],
)
def test_each_failure_has_its_page(error: errors.IbtuiError, word: str, again: bool, take_over: bool) -> None:
    page = failure.failure(error, "https://localhost:5000")
    assert word in "\n".join(texts(page.lines))
    assert (bool(page.again), page.take_over) == (again, take_over)


def test_credentials_page_warns_of_live() -> None:
    assert "live" in "\n".join(texts(login.credentials("https://x:1", True)))
    assert "paper" in "\n".join(texts(login.credentials("", False)))


def test_reason_of_a_lamp_is_masked() -> None:
    status = msgspec.structs.replace(fakes.ALL_ON, sso=Lamp(state="on", reason="demo123"))
    assert "demo123" not in "\n".join(texts(session.lamps(status, fakes.NOW, hide=True, names=["demo123"])))
