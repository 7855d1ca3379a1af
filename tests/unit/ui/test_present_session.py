"""Session, account and login pages as lines: what is so, since when, why, and what to do next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import msgspec
import pytest

from ibtui import errors
from ibtui.core.models import Keeping, Lamp, LedgerRow, LoginFacts, Pnl, Status
from ibtui.ui.present import account, failure, keeping, leaving, login, session, timeline
from ibtui.ui.present.spans import plain, width
from tests import fakes

SCENE = session.Scene(fakes.NOW)


@pytest.fixture(autouse=True)
def same_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def texts(lines: object) -> list[str]:
    return [plain(spans) for spans in lines]  # type: ignore[attr-defined]


def test_lamps_before_anything_is_known() -> None:
    lines = texts(session.lamps(None, SCENE))
    assert [text.split()[1] for text in lines] == ["Gateway", "Login", "Brokerage"]
    assert all("starting" in text for text in lines)
    assert plain(session.dots(None)) == "· · ·"


def test_lamps_tell_state_age_reason_and_one_next_step() -> None:
    lines = texts(session.lamps(fakes.COMPETING, SCENE))
    assert lines[0] == " ● Gateway     up 6 h 12 m · pid 4711 · https://localhost:5000"
    assert lines[2] == " ▲ Brokerage   contested 40 s · another program holds the session"
    assert lines[3].strip() == "→ t take it over    y yield 30 min    r look again"
    assert plain(session.dots(fakes.COMPETING)) == "● ● ▲"


def test_over_oauth_the_first_lamp_is_the_token() -> None:
    scene = session.Scene(fakes.NOW, direct=True, reset=fakes.NOW + timedelta(hours=2))
    on = Lamp(state="on", reason="token 3 h old, renewed in 20 h · https://api.ibkr.com", since=fakes.NOW)
    lines = texts(session.lamps(Status(gateway=on, sso=Lamp(state="on", reason="token valid")), scene))
    assert lines[0] == " ● Token       3 h old, renewed in 20 h · https://api.ibkr.com"
    assert "expires" not in lines[1]
    lines = texts(session.lamps(Status(gateway=Lamp(state="off", reason="It was dropped.")), scene))
    assert lines[0] == " ○ Token       none · It was dropped."


def test_only_the_first_broken_link_gets_a_step_of_ours() -> None:
    off = Lamp(state="off")
    lines = texts(session.lamps(Status(gateway=off, sso=off, brokerage=off), SCENE))
    assert [text.strip() for text in lines if "→" in text] == ["→ s start it"]
    up = Status(gateway=Lamp(state="on"), sso=off, brokerage=off)
    assert [text.strip() for text in texts(session.lamps(up, SCENE)) if "→" in text] == ["→ l log in"]


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


def test_the_login_says_who_how_since_when_and_until_when() -> None:
    lamp = Lamp(
        state="on", since=fakes.NOW - timedelta(hours=6), reason="me by IB Key · idle time left 9 min"
    )
    status = Status(gateway=lamp, sso=lamp, brokerage=lamp)
    assert texts(session.lamps(status, SCENE))[1] == (
        " ● Login       me by IB Key, 08:32 · idle time left 9 min"
    )
    reset = datetime(2026, 4, 25, 4, 0, tzinfo=UTC)  # midnight in New York
    scene = session.Scene(fakes.NOW, reset=reset)
    assert texts(session.lamps(status, scene))[1] == (
        " ● Login       me by IB Key, 08:32 · expires at midnight New York (13 h 27 m)"
    )
    narrow = session.Scene(fakes.NOW, reset=reset, room=50)
    assert texts(session.lamps(status, narrow))[1].endswith("· expires at 04:00 (13 h 27 m)")
    masked = texts(session.lamps(status, session.Scene(fakes.NOW, hide=True, names=("me",))))[1]
    assert "••• by IB Key" in masked
    nobody = msgspec.structs.replace(status, sso=Lamp(state="on", reason="idle time left 9 min"))
    assert texts(session.lamps(nobody, SCENE))[1].endswith("logged in · idle time left 9 min")
    assert keeping.expires(fakes.NOW + timedelta(hours=1), fakes.NOW).startswith("expires at 15:32 (")
    assert keeping.moment(fakes.NOW - timedelta(days=1), fakes.NOW) == "23 Apr 14:32"


def alive(mode: str = "on", age: float | None = 12.0, **more: object) -> str:
    found = Keeping(mode=mode, **more)  # type: ignore[arg-type]
    return plain(keeping.keep_alive(found, True, age, fakes.ALL_ON, fakes.NOW)).removeprefix("Keep-alive  ")


def test_keep_alive() -> None:
    assert alive() == "ok 12 s ago"
    assert alive(shared=True) == "ok 12 s ago · runs on its own"
    assert keeping.keep_alive(Keeping(mode="on"), True, 400.0, fakes.ALL_ON, fakes.NOW)[1][1] == "warn"
    off = keeping.keep_alive(Keeping(), False, None, fakes.ALL_ON, fakes.NOW)
    assert "off (keep_alive = false)" in plain(off)
    nobody = keeping.keep_alive(Keeping(mode="on"), True, None, fakes.NOBODY, fakes.NOW)
    assert "begins with the login" in plain(nobody)
    assert alive(age=None) == "on, every 15 s"
    soon, later = fakes.NOW + timedelta(seconds=41), fakes.NOW + timedelta(minutes=20)
    assert alive("waiting", until=soon, why="IBKR is away") == "waiting 41 s: IBKR is away"
    assert alive("waiting") == "waiting"
    assert alive("yielding", until=later) == "yielding until 14:52; t takes it back"
    assert alive("person", why="a password is needed") == "needs you: a password is needed"
    assert alive("paused", why="stopped") == "stopped"


def test_facts_of_the_guard_and_of_ib_key() -> None:
    spans = keeping.keep_alive(Keeping(mode="on"), True, 12.0, fakes.ALL_ON, fakes.NOW)
    found = LoginFacts(logins_left=61)
    assert texts(keeping.facts(found, fakes.NOW, spans)) == [
        " Attempts  0 of 4 used   IB Key  61 logins left   Keep-alive  ok 12 s ago"
    ]
    wait = LoginFacts(attempts=2, wait_until=fakes.NOW + timedelta(minutes=59))
    lines = texts(keeping.facts(wait, fakes.NOW, spans))
    assert "2 of 4 used, automatic logins wait 59 m 00 s" in lines[0]
    assert lines[1] == " Keep-alive  ok 12 s ago", "a line of its own where both are too long"
    assert "IB Key" not in lines[0]
    none_left = texts(keeping.facts(LoginFacts(attempts=4, wait_until=wait.wait_until), fakes.NOW, spans))
    assert none_left[0].startswith(" Attempts  4 of 4 used: ibtui login --reset-attempts   Keep-alive")
    assert keeping.facts(LoginFacts(logins_left=7), fakes.NOW, spans)[0][3][1] == "warn"
    broken_off = texts(keeping.facts(LoginFacts(unfinished=fakes.NOW), fakes.NOW, spans))
    assert "IB Key unfinished: ibtui ibkey status" in broken_off[0]


def test_time_line_newest_first_with_marks_and_masks() -> None:
    found = timeline.time_line(fakes.EVENTS, fakes.NOW)
    lines = texts(found.lines)
    assert "sold 100 NVDA" in lines[0]
    assert any("▲ lost" in text for text in lines)
    assert (found.total, found.counter(0), found.counter(99)) == (6, "1/6", "6/6")
    assert "DU1234567" not in texts(timeline.time_line(fakes.EVENTS, fakes.NOW, hide=True).lines)[0]
    assert timeline.time_line((), fakes.NOW).counter(0) == ""


def test_time_line_marks_what_was_missed_and_other_days() -> None:
    left, back = fakes.NOW - timedelta(hours=1), fakes.NOW - timedelta(minutes=1)
    found = timeline.time_line(fakes.EVENTS, fakes.NOW, away=timeline.Away(left, back))
    lines = texts(found.lines)
    assert "sold 100 NVDA" in lines[0], "that one came after"
    assert lines[3].startswith(" ── since you left 13:32: 2 changes ──")
    assert found.numbers[3:5] == [3, 4]
    never = timeline.Away(fakes.NOW - timedelta(days=2), fakes.NOW)
    assert (
        "since you left 22 Apr 14:32: 6 changes"
        in texts(timeline.time_line(fakes.EVENTS, fakes.NOW, away=never).lines)[-1]
    )
    nothing = timeline.Away(fakes.NOW - timedelta(seconds=10), fakes.NOW)
    assert "since" not in str(texts(timeline.time_line(fakes.EVENTS, fakes.NOW, away=nothing).lines))
    tomorrow = texts(timeline.time_line(fakes.EVENTS, fakes.NOW + timedelta(days=1)).lines)
    assert tomorrow[0].startswith(" ── Friday 24 April ──")


def test_leaving_says_what_each_answer_does() -> None:
    alone = leaving.choices(True, ours=True)
    assert [choice.id for choice in alone] == ["leave", "quiet", "stop"]
    assert "go on without you" in alone[0].text
    here = leaving.choices(False, ours=False)
    assert [choice.id for choice in here] == ["leave"]
    assert "ends with this terminal" in here[0].text
    page = texts(leaving.page(alone, 1, "profile default"))
    assert "profile default" in page[0]
    assert [text[1] for text in page if text[3:4] in "qks" and text[3:4]] == [" ", "▸", " "]


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
        (errors.TokenRefused("No token.", "Wait."), "No password is involved", True, False),
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
    assert "demo123" not in "\n".join(
        texts(session.lamps(status, session.Scene(fakes.NOW, hide=True, names=("demo123",))))
    )


def test_over_oauth_there_is_no_gateway_to_install_or_restart() -> None:
    found = session.verbs(fakes.ALL_ON, mode="oauth1")
    assert found["install"].why_not == found["restart"].why_not == "Over OAuth there is no gateway."
    assert not session.verbs(fakes.ALL_ON)["install"].why_not
    assert "demo brings its own" in session.verbs(fakes.ALL_ON, mode="demo")["install"].why_not
    assert leaving.choices(True, ours=False, direct=True)[0].text.startswith("Session and keep-alive")


def test_yielding_needs_somebody_who_takes_up_again() -> None:
    on = Keeping(mode="on")
    assert not session.verbs(fakes.ALL_ON, keeping=on)["yield"].why_not
    assert "already" in session.verbs(fakes.ALL_ON, keeping=Keeping(mode="yielding"))["yield"].why_not
    assert "No keep-alive" in session.verbs(fakes.ALL_ON, keeping=Keeping())["yield"].why_not
    assert "nobody else" in session.verbs(fakes.ALL_ON, keeping=on, mode="demo")["yield"].why_not
    assert "Log in first" in session.verbs(fakes.NOBODY, keeping=on)["yield"].why_not
    assert not session.verbs(fakes.ALL_ON, keeping=on)["quiet"].why_not
    assert "No keep-alive" in session.verbs(fakes.ALL_ON, keeping=Keeping(mode="paused"))["quiet"].why_not
