"""The login conversation with second factors (login.md §3 'Second factors')."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibtui.auth.effects import Answer, Cancel, Credentials, OtherFactor, Reply, Resend, Step
from ibtui.auth.login import MAX_SLIPS, Draw, login
from ibtui.errors import (
    CodeRefused,
    FactorUnsupported,
    GatewayDown,
    IbtuiError,
    LoginRefused,
    PersonNeeded,
    Stalled,
    UnknownReply,
    Unreachable,
    UsageError,
)
from ibtui.secret import Secret
from tests.unit.auth.auth_talk import KEY, PLAIN, Talk, ok, typed
from tests.unit.auth.test_login import Cancelled, response_of, start

INIT, PROVED, ASKED, CHECKED, DONE = ok(KEY["exchanges"])
TYPE = Reply(200, "<ib_auth_res>\n <two_factor>\n<type> SWTK </type>\n</two_factor></ib_auth_res>\n")
CODE = "123456"


def offering(codes: str) -> Reply:
    return Reply(200, PROVED.text.replace("4.2,5.2a", codes))


def asking(kind: str, challenge: str = "") -> Reply:
    return Reply(
        200,
        f"<ib_auth_res><two_factor><type>{kind}</type><challenge>{challenge}</challenge>"
        "</two_factor></ib_auth_res>",
    )


def fields(talk: Talk, action: str) -> list[dict[str, str]]:
    return [dict(send.form) for send in talk.posts if dict(send.form).get("ACTION") == action]


@pytest.mark.parametrize("code", ["4", "4.2"])
def test_typed_codes_go_out_in_the_notes_order(code: str) -> None:
    talk = Talk([INIT, offering(code), TYPE, CHECKED, DONE], [typed(" 123-456 ")])
    result = talk.play(start(KEY))
    assert (result.factor, talk.offered) == (code, [])
    assert talk.posts[2].form == (
        ("ACTION", "COMPLETEAUTH_1"), ("APP_NAME", ""), ("USER", "tkey"), ("ACCT", ""),
        ("M1", dict(talk.posts[1].form)["M1"]), ("VERSION", "1"), ("SF", code),
    )  # fmt: skip
    assert talk.posts[3].form == (
        ("ACTION", "COMPLETETWOFACT"), ("APP_NAME", ""), ("USER", "tkey"), ("ACCT", ""),
        ("RESPONSE", CODE), ("VERSION", "1"), ("SF", code),
    )  # fmt: skip
    assert dict(talk.posts[4].form)["chlginput"] == CODE
    assert talk.what == [
        "GET", "INIT", "spend attempt", "COMPLETEAUTH", "COMPLETEAUTH_1", "ask", "COMPLETETWOFACT",
        "DISPATCH", "spend success",
    ]  # fmt: skip


def test_names_travel_as_typed_but_for_the_proof() -> None:
    mixed = {**KEY, "user": "TKey"}
    talk = Talk([INIT, offering("4.2"), TYPE, CHECKED, DONE], [typed(CODE)])
    talk.play(start(mixed))
    users = [dict(send.form).get("USER") or dict(send.form)["user_name"] for send in talk.posts]
    assert users == ["TKey", "tkey", "TKey", "TKey", "TKey"]


def test_the_counter_is_spent_before_an_automatic_answer_leaves() -> None:
    talk = Talk([INIT, offering("5.2a"), ASKED, CHECKED, DONE], [typed(response_of(KEY), counted=True)])
    talk.play(start(KEY))
    at = talk.what.index("COMPLETETWOFACT")
    assert talk.what[at - 2 : at] == ["ask", "spend counter"]
    typed_by_hand = Talk([INIT, offering("5.2i"), ASKED, CHECKED, DONE], [typed("96588159")])
    typed_by_hand.play(start(KEY))
    assert "spend counter" not in typed_by_hand.what


def test_a_counter_that_cannot_be_kept_keeps_the_answer_here() -> None:
    talk = Talk(
        [INIT, offering("5.2a"), ASKED],
        [typed(response_of(KEY), counted=True)],
        spending={"counter": IbtuiError("the disk is full", "")},
    )
    with pytest.raises(IbtuiError, match="disk"):
        talk.play(start(KEY))
    assert "COMPLETETWOFACT" not in talk.what


def test_several_offered_are_asked_about_without_a_preference() -> None:
    talk = Talk([INIT, offering("5.3, 4.2 ,5.2a,4.2"), TYPE, CHECKED, DONE], [typed(CODE)], ["4.2"])
    assert talk.play(start(KEY)).factor == "4.2"
    assert talk.offered == [("4.2", "5.2a")]
    assert talk.asked[0].others == ("5.2a",)
    noted = [note.text for note in talk.notes if note.step is Step.FACTOR]
    assert "[5.3]" in noted[0] and "[5.2a]" in noted[0]


@pytest.mark.parametrize(
    ("prefer", "code"), [(("sms",), "4.2"), (("4", "ibkey"), "5.2a"), (("5.2a",), "5.2a")]
)
def test_a_preference_is_not_asked_about(prefer: tuple[str, ...], code: str) -> None:
    answer = typed(CODE) if code == "4.2" else typed("96588159")
    talk = Talk([INIT, PROVED, TYPE if code == "4.2" else ASKED, CHECKED, DONE], [answer])
    assert talk.play(start(KEY, prefer=prefer)).factor == code
    assert talk.offered == []


def test_a_preference_that_is_not_offered_leaves_the_choice() -> None:
    talk = Talk([INIT, PROVED, TYPE, CHECKED, DONE], [typed(CODE)], ["4.2"])
    talk.play(start(KEY, prefer=("totp",)))
    assert talk.offered == [("4.2", "5.2a")]


@pytest.mark.parametrize(
    ("choice", "error", "words"),
    [
        (Cancel(), PersonNeeded, "was not given"),
        ("4", FactorUnsupported, "4 is not valid for the account, only: 4.2, 5.2a are available"),
        (PersonNeeded("nobody is here", "say which"), PersonNeeded, "nobody"),
    ],
)
def test_no_choice_no_second_factor(choice: Any, error: type[IbtuiError], words: str) -> None:
    talk = Talk([INIT, PROVED], choices=[choice])
    with pytest.raises(error, match=words):
        talk.play(start(KEY))
    assert talk.what[-2:] == ["choose", "spend refund"]


@pytest.mark.parametrize(
    ("code", "reply", "error", "words"),
    [
        ("4.2", asking("IBTK"), FactorUnsupported, "card or device"),
        ("5.2a", asking("IBTK", "123"), FactorUnsupported, "card or device"),
        ("4.2", asking("SWCR", "123"), FactorUnsupported, r"\(SWCR\) does not go with text message"),
        ("4", asking("SWCR", "123"), FactorUnsupported, "does not go with"),
        ("5.2a", asking("SWTK"), FactorUnsupported, "does not go with"),
        ("5.2i", asking("SWCR"), FactorUnsupported, "does not go with"),
        ("5.2a", asking("SWCR", "12x"), FactorUnsupported, "does not go with"),
        ("4.2", asking("NEWKIND"), FactorUnsupported, "NEWKIND"),
        ("4.2", asking(""), UnknownReply, "did not say how"),
        ("4.2", Reply(200, "<ib_auth_res><error>too many</error></ib_auth_res>"), LoginRefused, "too many"),
        ("4.2", Reply(500, ""), Unreachable, "500"),
        ("4.2", GatewayDown("gone", "start"), GatewayDown, "gone"),
        ("4.2", Stalled("no answer", "wait"), Stalled, "no answer"),
    ],
)
def test_what_cannot_be_answered_sends_nothing(
    code: str, reply: Reply | BaseException, error: type[IbtuiError], words: str
) -> None:
    talk = Talk([INIT, offering(code), reply])
    with pytest.raises(error, match=words) as caught:
        talk.play(start(KEY))
    assert caught.type is error and caught.value.fix
    assert talk.asked == [] and "COMPLETETWOFACT" not in talk.what
    counts = error in (UnknownReply, LoginRefused, Stalled)
    assert talk.balance == int(counts)


def test_a_refused_code_is_its_own_error_and_counts() -> None:
    reply = Reply(
        200,
        "<ib_auth_res><auth_res>false</auth_res>\n"
        "<error>invalid\n response 123456, session=abcdef</error></ib_auth_res>",
    )
    talk = Talk([INIT, offering("4.2"), TYPE, reply], [typed(CODE)])
    with pytest.raises(CodeRefused, match=r"Completing two factor \(4.2\) returned error: invalid") as caught:
        talk.play(start(KEY))
    assert caught.value.exit_code == 5
    assert CODE not in str(caught.value) and "abcdef" not in str(caught.value)
    assert talk.balance == 1


@pytest.mark.parametrize(
    ("reply", "error", "left"),
    [
        (Reply(200, "<r><auth_res>false</auth_res></r>"), CodeRefused, 1),
        (Reply(200, "<r><error>reached max</error></r>"), CodeRefused, 1),
        (Reply(200, "<r></r>"), UnknownReply, 1),
        (Reply(200, "<html>what?"), UnknownReply, 1),
        (Reply(503, ""), Unreachable, 0),
        (Reply(504, ""), Unreachable, 1),
        (GatewayDown("gone", ""), GatewayDown, 0),
        (Stalled("no answer", ""), Stalled, 1),
        (Unreachable("broke", ""), Unreachable, 1),
        (Cancelled(), Cancelled, 1),
    ],
)
def test_other_ends_of_the_check(reply: Any, error: type[BaseException], left: int) -> None:
    talk = Talk([INIT, offering("4"), TYPE, reply], [typed(CODE)])
    with pytest.raises(error) as caught:
        talk.play(start(KEY))
    assert caught.type is error
    talk.check_order()
    assert talk.balance == left


@pytest.mark.parametrize(
    ("answer", "error", "left"),
    [
        (Cancel(), PersonNeeded, 0),
        (PersonNeeded("nobody is here", ""), PersonNeeded, 0),
        (Unreachable("the SMS service is away", ""), Unreachable, 0),
        (UsageError("no such secret", ""), UsageError, 1),
        (Cancelled(), Cancelled, 0),
    ],
)
def test_no_answer(answer: Any, error: type[BaseException], left: int) -> None:
    talk = Talk([INIT, offering("4"), TYPE], [answer])
    with pytest.raises(error):
        talk.play(start(KEY))
    assert talk.balance == left


def test_cancelling_while_the_challenge_is_under_way_is_free() -> None:
    talk = Talk([INIT, offering("4.2"), Cancelled()])
    with pytest.raises(Cancelled):
        talk.play(start(KEY))
    assert talk.what[-2:] == ["COMPLETEAUTH_1", "spend refund"]


def test_resend_repeats_request_four() -> None:
    talk = Talk([INIT, offering("4.2"), TYPE, TYPE, TYPE, CHECKED, DONE], [Resend(), Resend(), typed(CODE)])
    talk.play(start(KEY))
    requests = fields(talk, "COMPLETEAUTH_1")
    assert len(requests) == 3 and requests[0] == requests[1] == requests[2]
    assert talk.spent == ["attempt", "success"]


def test_another_factor_on_the_way() -> None:
    talk = Talk(
        [INIT, PROVED, TYPE, ASKED, CHECKED, DONE],
        [OtherFactor("5.2a"), typed("96588159")],
        ["4.2"],
    )
    assert talk.play(start(KEY)).factor == "5.2a"
    assert [request["SF"] for request in fields(talk, "COMPLETEAUTH_1")] == ["4.2", "5.2a"]
    assert fields(talk, "COMPLETETWOFACT")[0]["SF"] == "5.2a"
    assert talk.asked[1].others == ("4.2",)


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        (typed("12345"), "6 digits"),
        (typed("abcdef"), "6 digits"),
        (typed("１２３４５６"), "6 digits"),
        (typed(""), "6 digits"),
        (OtherFactor("4"), "4 is not valid"),
        (OtherFactor("9.9"), "9.9 is not valid"),
    ],
)
def test_what_cannot_be_right_is_asked_again_instead_of_sent(slip: Answer, words: str) -> None:
    talk = Talk([INIT, offering("4.2"), TYPE, CHECKED, DONE], [slip, typed(CODE)])
    talk.play(start(KEY))
    assert talk.asked[0].problem == "" and words in talk.asked[1].problem
    assert len(fields(talk, "COMPLETEAUTH_1")) == len(fields(talk, "COMPLETETWOFACT")) == 1


def test_nonsense_without_end_ends_the_login() -> None:
    talk = Talk([INIT, offering("4.2"), TYPE], [typed("no")] * MAX_SLIPS)
    with pytest.raises(PersonNeeded):
        talk.play(start(KEY))
    assert talk.balance == 0 and "COMPLETETWOFACT" not in talk.what


def test_the_clock_is_compared_with_the_reply() -> None:
    now = datetime(2026, 1, 31, 9, 9, 53, tzinfo=UTC)
    asked = Reply(200, TYPE.text, now + timedelta(seconds=100))
    talk = Talk([INIT, offering("4"), asked, CHECKED, DONE], [typed(CODE)])
    draw = Draw(
        a=lambda: int(KEY["a"], 16),
        padding=bytes.fromhex(KEY["rsa_padding"]),
        now_ms=lambda: int(now.timestamp() * 1000),
    )
    talk.play(login(Credentials(KEY["user"], Secret(KEY["password"])), draw))
    assert talk.asked[0].skew == pytest.approx(100.5)


def test_challenge_and_code_do_not_print() -> None:
    talk = Talk([INIT, offering("5.2a"), ASKED, CHECKED, DONE], [typed("96588159")])
    talk.play(start(KEY))
    assert "178264" not in repr(talk.asked) and "96588159" not in repr(talk.sent) + repr(talk.notes)


REPLIES = [
    INIT, PROVED, offering("4"), offering("4.2,4"), offering(""), TYPE, ASKED, CHECKED, DONE,
    asking("IBTK"), Reply(503, ""), Reply(200, "<r/>"), Reply(200, "x"),
]  # fmt: skip
FAULTS = [GatewayDown("a", ""), Stalled("b", ""), Unreachable("c", ""), Cancelled()]
ANSWERS = [
    typed(CODE), typed("96588159", counted=True), typed("x"), Cancel(), Resend(), OtherFactor("4"),
    OtherFactor("4.2"), PersonNeeded("d", ""), Cancelled(),
]  # fmt: skip


@given(
    st.lists(st.sampled_from([*REPLIES, *FAULTS]), max_size=8),
    st.lists(st.sampled_from(ANSWERS), max_size=8),
    st.lists(st.sampled_from(["4", "4.2", "5.2a", Cancel()]), max_size=2),
)
def test_on_every_path_counting_comes_before_sending(
    tail: list[Any], answers: list[Any], picks: list[Any]
) -> None:
    talk = Talk([INIT, PROVED, *tail], answers, picks)
    try:
        talk.play(start(KEY))
        assert talk.what[-1] == "spend success"
    except (IbtuiError, Cancelled):
        assert talk.balance in (0, 1)
    except (StopIteration, RuntimeError):
        pass  # the player ran out of lines
    talk.check_order()
    for index, word in enumerate(talk.what):
        if word == "spend counter":
            assert talk.what[index - 1] == "ask" and talk.what[index + 1] == "COMPLETETWOFACT"


def test_the_plain_transcript_offers_nothing() -> None:
    assert Talk(ok(PLAIN["exchanges"])).play(start(PLAIN)).factor == ""
