"""The login conversation as transcripts, without a second factor (login.md §3)."""

from __future__ import annotations

from typing import Any

import pytest

from ibtui.auth import ocra
from ibtui.auth.effects import Cancel, Credentials, Flow, Reply
from ibtui.auth.login import Draw, LoggedIn, login, read_params
from ibtui.errors import (
    FactorUnsupported,
    GatewayDown,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    Pacing,
    PersonNeeded,
    Stalled,
    UnknownReply,
    Unreachable,
)
from ibtui.secret import Secret
from tests.unit.auth.auth_talk import KEY, PLAIN, VECTORS, Talk, ok, typed


def start(transcript: dict[str, Any], **options: Any) -> Flow[LoggedIn]:
    return login(
        Credentials(transcript["user"], Secret(transcript["password"])),
        Draw(a=lambda: int(transcript["a"], 16), padding=bytes.fromhex(transcript["rsa_padding"])),
        **options,
    )


def replies_of(transcript: dict[str, Any], **changes: Reply | BaseException) -> list[Reply | BaseException]:
    out: list[Reply | BaseException] = list(ok(transcript["exchanges"]))
    for index, reply in changes.items():
        out[int(index[1:])] = reply
    return out


def response_of(transcript: dict[str, Any]) -> str:
    """What IB Key answers to the transcript's challenge."""
    return ocra.respond(
        Secret(transcript["ocra"]), Secret(transcript["pin"]), transcript["counter"], "178 264"
    ).reveal()


@pytest.mark.parametrize("transcript", VECTORS["transcripts"], ids=lambda t: t["name"])
def test_whole_logins_match_field_for_field(transcript: dict[str, Any]) -> None:
    answers = [typed(response_of(KEY), counted=True)] if transcript is KEY else []
    talk = Talk(replies_of(transcript), answers)
    result = talk.play(start(transcript, prefer=("5.2a",)))
    talk.check_order()
    assert len(talk.posts) == len(transcript["exchanges"])
    for send, exchange in zip(talk.posts, transcript["exchanges"], strict=True):
        assert f"{send.method} {send.path.partition('?')[0]}" == exchange["request"]
        assert [list(pair) for pair in send.form] == exchange["fields"]
        assert send.host == ""
    assert result.session_key == transcript["session_key"]
    key_cookie = (("XYZAB_AM.LOGIN", transcript["session_key"]),)
    assert talk.posts[-1].cookies == key_cookie
    assert talk.posts[0].cookies[0][0] == "SBID"
    assert talk.posts[1].cookies == ()
    if transcript is KEY:
        assert result.factor == "5.2a"
        assert talk.posts[2].cookies == key_cookie
        assert talk.asked[0].challenge == "178264"


def test_password_and_key_never_travel_or_print() -> None:
    talk = Talk(replies_of(PLAIN))
    result = talk.play(start(PLAIN))
    everything = "".join(str(send.form) + str(send.cookies) for send in talk.sent)
    assert PLAIN["password"] not in everything
    assert PLAIN["session_key"] not in repr(talk.sent) + repr(result)


def test_the_order_of_counting() -> None:
    talk = Talk(replies_of(PLAIN))
    talk.play(start(PLAIN))
    assert talk.what == ["GET", "INIT", "spend attempt", "COMPLETEAUTH", "DISPATCH", "spend success"]


@pytest.mark.parametrize(("word", "paper"), [("true", True), ("false", False), (None, None)])
def test_paper_user_names_are_recognised(word: str | None, paper: bool | None) -> None:
    replies = ok(PLAIN["exchanges"])
    if word is not None:
        first = replies[0].text.replace("</ini_params>", f"<paper>{word}</paper></ini_params>")
        replies[0] = Reply(200, first)
    assert Talk(replies).play(start(PLAIN)).paper is paper


@pytest.mark.parametrize(
    ("index", "reply", "error", "words", "left"),
    [
        (
            "r0",
            Reply(200, "<ib_auth_res><error>no such user</error></ib_auth_res>"),
            LoginRefused,
            "no such",
            0,
        ),
        ("r0", Reply(200, "<html>hello"), UnknownReply, "does not know", 0),
        ("r0", Reply(200, "<html>down for maintenance"), Unreachable, "in maintenance", 0),
        ("r0", Reply(200, "<ib_auth_res><ini_params/></ib_auth_res>"), UnknownReply, "lacks a number", 0),
        ("r0", Reply(503, "busy"), Unreachable, "503", 0),
        ("r0", Reply(404, "Access Denied"), Unreachable, "does not let this machine in", 0),
        ("r0", Reply(200, '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), UnknownReply, "does not know", 0),
        ("r0", Stalled("no answer", "wait"), Stalled, "no answer", 0),
        ("r1", Reply(200, "<r><ini_params><M2></M2></ini_params></r>"), LoginRefused, "refused user name", 1),
        ("r1", Reply(200, "<r><ini_params><M2>00</M2></ini_params></r>"), LoginRefused, "refused user", 1),
        (
            "r1",
            Reply(200, "<r><auth_info><reached_max_login>true</reached_max_login></auth_info></r>"),
            LoginLocked,
            "no further attempt",
            1,
        ),
        ("r1", Reply(200, "<html>hello"), UnknownReply, "does not know", 1),
        ("r1", Reply(503, ""), Unreachable, "503", 0),
        ("r1", Reply(502, ""), Unreachable, "502", 1),  # lost on the way: it may have been judged
        ("r1", Reply(500, "fault"), Unreachable, "500", 1),
        ("r1", Reply(200, "<html>System Maintenance"), Unreachable, "in maintenance", 0),
        ("r1", Reply(429, ""), Pacing, "429", 0),
        ("r1", GatewayDown("nothing there", "start it"), GatewayDown, "nothing there", 0),
        ("r1", Pacing("over budget", "wait"), Pacing, "budget", 0),
        ("r1", Stalled("no answer", "wait"), Stalled, "no answer", 1),
        ("r1", Unreachable("broke off", "wait"), Unreachable, "broke", 1),
        ("r2", Reply(200, "Client login fails"), UnknownReply, "did not open", 1),
        ("r2", Reply(302, ""), UnknownReply, "did not open", 1),
        ("r2", Reply(503, ""), Unreachable, "503", 0),
        ("r2", Reply(502, ""), Unreachable, "502", 1),
        ("r2", GatewayDown("nothing there", "start it"), GatewayDown, "nothing there", 0),
        ("r2", Stalled("no answer", "wait"), Stalled, "no answer", 1),
    ],
)
def test_each_refusal_has_its_own_error_and_its_price(
    index: str, reply: Reply | BaseException, error: type[IbtuiError], words: str, left: int
) -> None:
    talk = Talk(replies_of(PLAIN, **{index: reply}))
    with pytest.raises(error, match=words) as caught:
        talk.play(start(PLAIN))
    assert caught.type is error
    assert caught.value.fix
    assert PLAIN["password"] not in str(caught.value)
    talk.check_order()
    assert talk.balance == left


class Cancelled(BaseException):
    """As asyncio.CancelledError: no Exception."""


@pytest.mark.parametrize(("index", "left"), [("r0", 0), ("r1", 1), ("r2", 1)])
def test_a_cancelled_task_pays_only_for_what_may_have_been_judged(index: str, left: int) -> None:
    talk = Talk(replies_of(PLAIN, **{index: Cancelled()}))
    with pytest.raises(Cancelled):
        talk.play(start(PLAIN))
    assert talk.balance == left


def test_cancelled_while_the_attempt_is_counted() -> None:
    talk = Talk(replies_of(PLAIN), spending={"attempt": Cancelled()})
    with pytest.raises(Cancelled):
        talk.play(start(PLAIN))
    assert talk.what == ["GET", "INIT", "spend attempt", "spend refund"]


def test_an_attempt_that_may_not_be_counted_ends_the_login_unsent() -> None:
    talk = Talk(replies_of(PLAIN), spending={"attempt": LoginLocked("limit", "reset")})
    with pytest.raises(LoginLocked):
        talk.play(start(PLAIN))
    assert talk.what == ["GET", "INIT", "spend attempt"]


def test_a_refund_that_fails_does_not_hide_the_error() -> None:
    talk = Talk(
        replies_of(PLAIN, r1=Reply(503, "")), spending={"refund": IbtuiError("the disk is full", "free some")}
    )
    with pytest.raises(Unreachable, match="503") as caught:
        talk.play(start(PLAIN))
    assert "disk is full" in "".join(caught.value.__notes__)


def test_closing_a_login_at_any_step_is_quiet() -> None:
    for steps in range(1, 9):
        flow = start(PLAIN)
        left = iter(ok(PLAIN["exchanges"]))
        result: Any = None
        for _ in range(steps):
            effect = flow.send(result)
            result = None
            if hasattr(effect, "form"):
                result = Reply(302, "") if effect.path == "/" else next(left)
        flow.close()


def test_a_second_factor_is_named_and_ends_with_the_way_out() -> None:
    offered = PLAIN["exchanges"][1]["reply"].replace(
        "</ib_auth_res>", "<sftypes>5.3,9.9,passkey</sftypes></ib_auth_res>"
    )
    talk = Talk(replies_of(PLAIN, r1=Reply(200, offered)))
    with pytest.raises(FactorUnsupported, match=r"security device \[5.3\].*does not know \[9.9\]") as caught:
        talk.play(start(PLAIN))
    assert "passkey [passkey]" in caught.value.what
    assert "browser" in caught.value.fix and caught.value.exit_code == 6
    assert talk.what[-2:] == ["COMPLETEAUTH", "spend refund"]


def test_a_second_factor_that_nobody_gives() -> None:
    offered = PLAIN["exchanges"][1]["reply"].replace(
        "</ib_auth_res>", "<sftypes>4.2,9.9</sftypes></ib_auth_res>"
    )
    asked = Reply(200, "<ib_auth_res><two_factor><type>SWTK</type></two_factor></ib_auth_res>")
    talk = Talk([ok(PLAIN["exchanges"])[0], Reply(200, offered), asked], [Cancel()])
    with pytest.raises(PersonNeeded, match=r"text message \(SMS\) \[4.2\]") as caught:
        talk.play(start(PLAIN))
    assert "browser" in caught.value.fix
    assert talk.balance == 0


def test_another_group_is_taken_over_with_a_new_a() -> None:
    case = next(c for c in VECTORS["srp"] if c["name"] == "another group, proto 6")
    given = case["in"]
    init = Reply(
        200,
        "<r><ini_params>"
        + "".join(f"<{tag}>{given[tag]}</{tag}>" for tag in ("N", "g", "proto", "s", "B"))
        + "<hash>SHA1</hash><lp>true</lp></ini_params></r>",
    )
    done = Reply(200, f"<r><ini_params><M2>{case['out']['M2']}</M2></ini_params></r>")
    flow = login(Credentials(given["user"], Secret(given["password"])), Draw(a=lambda: int(given["a"], 16)))
    talk = Talk([init, init, done, Reply(200, "Client login succeeds")])
    talk.play(flow)
    inits = [send for send in talk.sent if ("ACTION", "INIT") in send.form]
    assert [send.path for send in talk.sent].count("/") == 2
    assert dict(inits[0].form)["A"] != dict(inits[1].form)["A"]
    assert dict(inits[1].form)["A"] == case["out"]["A"]
    assert "EKX" not in dict(talk.sent[4].form)
    assert talk.spent == ["attempt", "success"]


def test_a_group_that_keeps_changing_ends_the_login() -> None:
    def init(n: str) -> Reply:
        return Reply(
            200, f"<r><ini_params><N>{n}</N><g>5</g><proto>6</proto><s>1</s><B>3</B></ini_params></r>"
        )

    talk = Talk([init("17"), init("1d")])
    with pytest.raises(UnknownReply, match="twice in a row"):
        talk.play(start(PLAIN))
    assert talk.spent == []


@pytest.mark.parametrize(("tag", "value"), [("hash", "SHA256"), ("proto", "9")])
def test_unknown_algorithms_stop_the_login(tag: str, value: str) -> None:
    body = {"N": "17", "g": "5", "proto": "6", "hash": "SHA1", "s": "1", "B": "3", tag: value}
    text = "".join(f"<{name}>{content}</{name}>" for name, content in body.items())
    with pytest.raises(UnknownReply, match="unknown"):
        read_params(Reply(200, f"<r><ini_params>{text}</ini_params></r>"))
