"""The login conversation as transcripts (login.md §3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ibtui.auth.effects import Answer, Ask, Cancel, Credentials, Flow, Note, Reply, Send
from ibtui.auth.login import Draw, LoggedIn, login, read_params
from ibtui.errors import (
    IbtuiError,
    LoginLocked,
    LoginRefused,
    PersonNeeded,
    UnknownReply,
    Unreachable,
)
from ibtui.secret import Secret

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "vectors" / "login.json").read_text(encoding="utf-8")
)
PLAIN, SHORT, KEY = VECTORS["transcripts"]


def talk(flow: Flow[LoggedIn], replies: list[Reply]) -> tuple[LoggedIn, list[Send]]:
    """Drive a flow with canned replies; collects what it sent."""
    sent: list[Send] = []
    left = iter(replies)
    answer: Reply | Answer | None = None
    while True:
        try:
            effect = flow.send(answer)
        except StopIteration as end:
            return end.value, sent
        answer = None
        if isinstance(effect, Send):
            sent.append(effect)
            answer = Reply(302, "") if effect.path == "/" else next(left)
        elif isinstance(effect, Ask):
            answer = Cancel()
        else:
            assert isinstance(effect, Note)


def start(transcript: dict[str, Any]) -> Flow[LoggedIn]:
    return login(
        Credentials(transcript["user"], Secret(transcript["password"])),
        Draw(a=lambda: int(transcript["a"], 16), padding=bytes.fromhex(transcript["rsa_padding"])),
    )


def replies_of(transcript: dict[str, Any], **changes: Reply) -> list[Reply]:
    out = [Reply(200, exchange["reply"]) for exchange in transcript["exchanges"]]
    for index, reply in changes.items():
        out[int(index[1:])] = reply
    return out


@pytest.mark.parametrize(
    "transcript",
    [
        t
        for t in VECTORS["transcripts"]
        if all("COMPLETEAUTH_1" not in str(e["fields"]) for e in t["exchanges"])
    ],
    ids=lambda t: t["name"],
)
def test_whole_logins_match_field_for_field(transcript: dict[str, Any]) -> None:
    result, sent = talk(start(transcript), replies_of(transcript))
    posts = [send for send in sent if send.method == "POST"]
    assert len(posts) == len(transcript["exchanges"])
    for send, exchange in zip(posts, transcript["exchanges"], strict=True):
        assert f"{send.method} {send.path.partition('?')[0]}" == exchange["request"]
        assert [list(pair) for pair in send.form] == exchange["fields"]
    assert result.session_key == transcript["session_key"]
    assert posts[-1].cookies == (("XYZAB_AM.LOGIN", transcript["session_key"]),)
    assert posts[0].cookies[0][0] == "SBID"


def test_password_and_key_never_travel_or_print() -> None:
    result, sent = talk(start(PLAIN), replies_of(PLAIN))
    everything = "".join(str(send.form) + str(send.cookies) for send in sent)
    assert PLAIN["password"] not in everything
    assert PLAIN["session_key"] not in repr(sent) + repr(result)


@pytest.mark.parametrize(
    ("index", "reply", "error", "words"),
    [
        ("r0", Reply(200, "<ib_auth_res><error>no such user</error></ib_auth_res>"), LoginRefused, "no such"),
        ("r0", Reply(200, "<html>maintenance"), UnknownReply, "does not know"),
        ("r0", Reply(200, "<ib_auth_res><ini_params/></ib_auth_res>"), UnknownReply, "lacks a number"),
        ("r0", Reply(503, "busy"), Unreachable, "503"),
        ("r0", Reply(404, "Access Denied"), Unreachable, "does not let this machine in"),
        ("r0", Reply(200, '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), UnknownReply, "does not know"),
        ("r1", Reply(200, "<r><ini_params><M2></M2></ini_params></r>"), LoginRefused, "refused user name"),
        ("r1", Reply(200, "<r><ini_params><M2>00</M2></ini_params></r>"), LoginRefused, "refused user name"),
        (
            "r1",
            Reply(200, "<r><auth_info><reached_max_login>true</reached_max_login></auth_info></r>"),
            LoginLocked,
            "no further attempt",
        ),
        ("r2", Reply(200, "Client login fails"), UnknownReply, "did not open"),
        ("r2", Reply(302, ""), UnknownReply, "did not open"),
        ("r2", Reply(502, ""), Unreachable, "502"),
    ],
)
def test_each_refusal_has_its_own_error(
    index: str, reply: Reply, error: type[IbtuiError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        talk(start(PLAIN), replies_of(PLAIN, **{index: reply}))
    assert caught.type is error
    assert caught.value.fix
    assert PLAIN["password"] not in str(caught.value)


def test_a_second_factor_is_named_and_ends_with_the_way_out() -> None:
    offered = PLAIN["exchanges"][1]["reply"].replace(
        "</ib_auth_res>", "<sftypes>4.2,9.9</sftypes></ib_auth_res>"
    )
    with pytest.raises(PersonNeeded, match=r"text message \(SMS\) \[4.2\].*does not know \[9.9\]") as caught:
        talk(start(PLAIN), replies_of(PLAIN, r1=Reply(200, offered)))
    assert "browser" in caught.value.fix


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
    _, sent = talk(flow, [init, init, done, Reply(200, "Client login succeeds")])
    inits = [send for send in sent if ("ACTION", "INIT") in send.form]
    assert [send.path for send in sent].count("/") == 2
    assert dict(inits[0].form)["A"] != dict(inits[1].form)["A"]
    assert dict(inits[1].form)["A"] == case["out"]["A"]
    assert "EKX" not in dict(sent[4].form)


def test_a_group_that_keeps_changing_ends_the_login() -> None:
    def init(n: str) -> Reply:
        return Reply(
            200, f"<r><ini_params><N>{n}</N><g>5</g><proto>6</proto><s>1</s><B>3</B></ini_params></r>"
        )

    with pytest.raises(UnknownReply, match="twice in a row"):
        talk(start(PLAIN), [init("17"), init("1d")])


@pytest.mark.parametrize(("tag", "value"), [("hash", "SHA256"), ("proto", "9")])
def test_unknown_algorithms_stop_the_login(tag: str, value: str) -> None:
    body = {"N": "17", "g": "5", "proto": "6", "hash": "SHA1", "s": "1", "B": "3", tag: value}
    text = "".join(f"<{name}>{content}</{name}>" for name, content in body.items())
    with pytest.raises(UnknownReply, match="unknown"):
        read_params(Reply(200, f"<r><ini_params>{text}</ini_params></r>"))
