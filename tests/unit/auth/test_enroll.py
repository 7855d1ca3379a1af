"""Enrolling IB Key against a server side of its own arithmetic (login.md §6)."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ibtui.auth import ocra, srp
from ibtui.auth.effects import Answer, Cancel, Credentials, Reply, Resend
from ibtui.auth.enroll import enroll
from ibtui.auth.fields import Prepared
from ibtui.auth.login import Draw
from ibtui.errors import (
    CertificateMismatch,
    CodeRefused,
    FactorUnsupported,
    GatewayDown,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    PersonNeeded,
    Rejected,
    Stalled,
    UnknownReply,
    Unreachable,
    UsageError,
)
from ibtui.secret import Secret
from tests.unit.auth.auth_talk import VECTORS, Talk, typed
from tests.unit.auth.test_login import Cancelled

USER, PASSWORD, PIN, SMS = "TKey", "Key-920586", "0258", "314159"
PRIVATE = rsa.generate_private_key(65537, 2048)
SRP = VECTORS["srp"][0]["in"]
OK_ORDER = [
    "INIT", "INIT", "spend attempt", "COMPLETEAUTH", "COMPLETEAUTH_1", "ask", "SECOND_FACTOR_CONFIG",
    "COMPLETETWOFACT", "IS_USER_ENABLED", "GET_PARAMS", "store", "COMPLETE_SETUP", "store",
    "spend success",
]  # fmt: skip


def server(**changes: Reply | BaseException) -> list[Reply | BaseException]:
    """The replies of a whole enrolment; `changes` by r1 .. r9."""
    numbers = PRIVATE.public_key().public_numbers()
    params = "".join(f"<{tag}>{SRP[tag]}</{tag}>" for tag in ("N", "g", "proto", "s", "B"))
    m2 = proof().M2
    replies: list[Reply | BaseException] = [
        Reply(200, "<html>whatever"),
        Reply(200, f"<r><ini_params>{params}<hash>SHA1</hash><lp>true</lp><rsapub/></ini_params></r>"),
        Reply(200, f"<r><ini_params><M2>{m2}</M2></ini_params><sftypes>4.2,5.2a</sftypes></r>"),
        Reply(200, "<r><two_factor><type>SWTK</type></two_factor></r>"),
        Reply(200, ""),
        Reply(200, '{"auth_res":"true"}'),
        Reply(200, '{"USER_ALLOWED":0}'),
        Reply(200, json.dumps({
            "CHALLENGE": "174838", "ALGO": ocra.SUITE, "MODULUS": f"{numbers.n:x}", "EXPONENT": "10001",
        })),
        Reply(200, '{"ACTIVATION_RESULT":true,"SERIAL_NO":"S-1"}'),
    ]  # fmt: skip
    for name, reply in changes.items():
        replies[int(name[1:]) - 1] = reply
    return replies


def proof() -> srp.Proof:
    params = srp.Params(
        srp.Group(int(SRP["N"], 16), int(SRP["g"])), SRP["proto"], int(SRP["s"], 16), int(SRP["B"], 16)
    )
    a = int(SRP["a"], 16)
    return srp.prove(USER, Secret(PASSWORD), params, a, srp.public(params.group, a))


def start(pin: str = PIN) -> Any:
    return enroll(Credentials(USER, Secret(PASSWORD)), Secret(pin), Draw(a=lambda: int(SRP["a"], 16)))


def test_a_whole_enrolment() -> None:
    talk = Talk(server(), [typed(SMS)])
    done = talk.play(start())
    assert talk.what == OK_ORDER
    assert (done.counter, done.serial) == (2, "S-1")
    assert talk.stored == [Prepared(done.pin, done.ocra_hex), done], "kept before IBKR is asked"
    assert {send.host for send in talk.sent} == {"login"}
    assert [send.path for send in talk.sent] == [
        f"/sso/{page}" for page in (
            "AuthenticatorMgr", "DynamicAuthenticatorAuth", "DynamicAuthenticatorAuth",
            "DynamicAuthenticatorAuth", "AuthenticatorMgr", "DynamicAuthenticatorAuth",
            "AuthenticatorMgr", "AuthenticatorMgr", "AuthenticatorMgr",
        )
    ]  # fmt: skip
    forms = [send.form for send in talk.sent]
    mine = proof()
    A = f"{srp.public(srp.DEFAULT_GROUP, int(SRP['a'], 16)):x}"
    assert forms[:8] == [
        (("ACTION", "INIT"), ("VERSION", "3"), ("MODE", "ENABLE_USER")),
        (("ACTION", "INIT"), ("RESP_TYPE", "XML"), ("USER", USER), ("A", A), ("VERSION", "1")),
        (("ACTION", "COMPLETEAUTH"), ("M1", mine.M1), ("RESP_TYPE", "XML"), ("VERSION", "1")),
        (("ACTION", "COMPLETEAUTH_1"), ("APP_NAME", ""), ("RESP_TYPE", "XML"), ("VERSION", "1"),
         ("SF", "4.2")),
        (("ACTION", "SECOND_FACTOR_CONFIG"),),
        (("ACTION", "COMPLETETWOFACT"), ("USER", USER), ("RESPONSE", SMS), ("RESP_TYPE", "JSON"),
         ("VERSION", "1"), ("SF", "4.2")),
        (("ACTION", "IS_USER_ENABLED"), ("OS", "Android+9")),
        (("ACTION", "GET_PARAMS"),),
    ]  # fmt: skip
    assert "OS=Android%2B9" in urlencode(forms[6])
    last = dict(forms[8])
    assert list(last) == [
        "ACTION", "CHALLENGE_RESPONSE", "E_PIN", "E_DEVICE_ID", "OS", "COUNTRY_CODE", "CARRIER_NAME",
        "APP_VERSION", "STORAGE", "KEY_TYPE",
    ]  # fmt: skip
    assert (last["APP_VERSION"], last["KEY_TYPE"], last["CARRIER_NAME"]) == (
        "IBTWS_8.4.348",
        "IKEY",
        "T-Mobile",
    )
    opened = [
        PRIVATE.decrypt(bytes.fromhex(last[name].zfill(512)), padding.PKCS1v15()).decode()
        for name in ("E_PIN", "E_DEVICE_ID")
    ]
    assert opened == [PIN, "48f8ede2193efa5f"]
    inner = hashlib.sha1(mine.K).hexdigest()
    key = hashlib.sha1((inner + "48f8ede2193efa5f").encode()).hexdigest()
    assert done.ocra_hex.reveal() == key
    assert last["CHALLENGE_RESPONSE"] == ocra.respond(Secret(key), Secret(PIN), 1, "174838").reveal()
    assert talk.sent[2].cookies == () and talk.sent[3].cookies == (("XYZAB.LOGIN", mine.session_key),)


def test_nothing_of_it_prints() -> None:
    talk = Talk(server(), [typed(SMS)])
    done = talk.play(start())
    shown = repr(talk.sent) + repr(done) + repr(talk.notes) + repr(talk.stored)
    for secret in (PIN, PASSWORD, done.ocra_hex.reveal(), SMS, "S-1"):
        assert secret not in shown


def test_a_modulus_goes_into_ekx() -> None:
    replies = server()
    assert isinstance(replies[1], Reply)
    modulus = f"{PRIVATE.public_key().public_numbers().n:x}"
    replies[1] = Reply(200, replies[1].text.replace("<rsapub/>", f"<rsapub>{modulus}</rsapub>"))
    talk = Talk(replies, [typed(SMS)])
    talk.play(start())
    assert [name for name, _ in talk.sent[2].form] == ["ACTION", "M1", "RESP_TYPE", "VERSION", "EKX"]


def test_without_second_factor_requests_4_to_6_are_left_out() -> None:
    replies = server(r3=Reply(200, f"<r><ini_params><M2>{proof().M2}</M2></ini_params></r>"))
    talk = Talk([*replies[:3], *replies[6:]])
    talk.play(start())
    assert talk.what == [*OK_ORDER[:4], *OK_ORDER[8:]]
    assert talk.sent[3].cookies[0][0] == "XYZAB.LOGIN"


def test_another_group_repeats_requests_1_and_2() -> None:
    case = next(c for c in VECTORS["srp"] if c["name"] == "another group, proto 6")
    given = case["in"]
    tags = "".join(f"<{tag}>{given[tag]}</{tag}>" for tag in ("N", "g", "proto", "s", "B"))
    init = Reply(200, f"<r><ini_params>{tags}<lp>true</lp></ini_params></r>")
    good = Reply(200, f"<r><ini_params><M2>{case['out']['M2']}</M2></ini_params></r>")
    replies = server()
    talk = Talk([replies[0], init, replies[0], init, good, *replies[6:]])
    who = Credentials(given["user"], Secret(given["password"]))
    talk.play(enroll(who, Secret(PIN), Draw(a=lambda: int(given["a"], 16))))
    assert talk.what[:4] == ["INIT"] * 4
    assert dict(talk.sent[3].form)["A"] == case["out"]["A"] != dict(talk.sent[1].form)["A"]
    other = Reply(200, init.text.replace(f"<N>{given['N']}</N>", "<N>17</N>"))
    with pytest.raises(UnknownReply, match="twice in a row"):
        Talk([replies[0], init, replies[0], other]).play(start())


def test_the_message_can_be_sent_again() -> None:
    replies = server()
    talk = Talk([*replies[:4], replies[3], *replies[4:]], [Resend(), typed("314-159")])
    talk.play(start())
    assert talk.what.count("COMPLETEAUTH_1") == 2 and talk.what.count("SECOND_FACTOR_CONFIG") == 1


@pytest.mark.parametrize("pin", ["", "123", "1234567", "12a4", "１２３４"])
def test_a_pin_that_is_none_sends_nothing(pin: str) -> None:
    talk = Talk([])
    with pytest.raises(UsageError, match="4 to 6 digits"):
        talk.play(start(pin))
    assert talk.what == []


def test_made_pins() -> None:
    pins = {ocra.make_pin().reveal() for _ in range(50)}
    assert len(pins) > 40 and all(len(pin) == 6 and pin.isdecimal() for pin in pins)


BAD_KEY = Reply(200, json.dumps({"CHALLENGE": "1", "ALGO": ocra.SUITE, "MODULUS": "zz", "EXPONENT": "3"}))
ODD_KEY = Reply(200, json.dumps({"CHALLENGE": "1", "ALGO": ocra.SUITE, "MODULUS": "f" * 99, "EXPONENT": "1"}))
NO_CHALLENGE = Reply(200, json.dumps({"ALGO": ocra.SUITE, "MODULUS": "ff" * 64, "EXPONENT": "3"}))
OTHER_SUITE = Reply(200, json.dumps({"ALGO": "OCRA-1:HOTP-SHA256-8:C-QN08"}))
CARD = Reply(200, "<r><two_factor><type>IBTK</type></two_factor></r>")
REFUSED = Reply(200, "<r><ini_params><M2></M2></ini_params></r>")
LOCKED = Reply(200, "<r><auth_info><reached_max_login>true</reached_max_login></auth_info></r>")
NO_SMS = Reply(200, f"<r><ini_params><M2>{proof().M2}</M2></ini_params><sftypes>4</sftypes></r>")


@pytest.mark.parametrize(
    ("change", "error", "words", "left"),
    [
        ({"r1": Reply(503, "")}, Unreachable, "503", 0),
        ({"r1": GatewayDown("x", "start the gateway")}, Unreachable, "login host", 0),
        ({"r1": CertificateMismatch("changed", "look")}, CertificateMismatch, "changed", 0),
        ({"r2": Reply(200, "<ib_auth_res><error>no</error></ib_auth_res>")}, LoginRefused, "no", 0),
        ({"r3": REFUSED}, LoginRefused, "refused user name", 1),
        ({"r3": LOCKED}, LoginLocked, "no further", 1),
        ({"r3": Stalled("lost", "")}, Stalled, "lost", 1),
        ({"r3": GatewayDown("x", "")}, Unreachable, "login host", 0),
        ({"r3": NO_SMS}, FactorUnsupported, r"needs a text message .* only authenticator app", 0),
        (
            {"r4": Reply(200, "<r><two_factor><type>IBTK</type></two_factor></r>")},
            FactorUnsupported,
            "card",
            0,
        ),
        ({"r5": Reply(404, "")}, UnknownReply, "not there", 1),
        ({"r6": Reply(200, '{"auth_res":"false","error":"invalid response"}')}, CodeRefused, "invalid", 1),
        ({"r6": Reply(200, '{"auth_res":false}')}, CodeRefused, "4.2", 1),
        ({"r6": Reply(200, "nonsense")}, UnknownReply, "about the code", 1),
        ({"r6": Reply(200, "<r><error>too late</error></r>")}, Rejected, "too late", 1),
        ({"r6": Reply(200, "<!DOCTYPE x>")}, UnknownReply, "about the code", 1),
        ({"r6": Reply(502, "")}, Unreachable, "502", 1),
        ({"r6": Reply(503, "")}, Unreachable, "503", 0),
        ({"r7": Reply(200, '{"USER_ALLOWED":3}')}, Rejected, "USER_ALLOWED 3", 1),
        ({"r7": Reply(200, "{}")}, Rejected, "does not let", 1),
        ({"r8": OTHER_SUITE}, UnknownReply, "another kind", 1),
        ({"r8": BAD_KEY}, UnknownReply, "lack a number", 1),
        ({"r8": ODD_KEY}, UnknownReply, "make no sense", 1),
        ({"r8": NO_CHALLENGE}, UnknownReply, "not a number", 1),
        ({"r9": Reply(200, '{"ACTIVATION_RESULT":false}')}, Rejected, "did not activate", 1),
        ({"r9": Reply(200, '{"OTHER":1}')}, UnknownReply, "import --unfinished", 1),
        ({"r9": Stalled("lost", "wait")}, Stalled, "enroll again", 1),
        ({"r9": Reply(500, "")}, Unreachable, "enroll again", 1),
    ],
)
def test_each_end_has_its_own_error_and_no_key_counts_as_active(
    change: dict[str, Any], error: type[IbtuiError], words: str, left: int
) -> None:
    talk = Talk(server(**change), [typed(SMS)])
    with pytest.raises(error, match=words) as caught:
        talk.play(start())
    assert caught.type is error
    assert all(type(one) is Prepared for one in talk.stored) and bool(talk.stored) == ("r9" in change)
    assert PIN not in str(caught.value)
    talk.check_order()
    assert talk.balance == left


@pytest.mark.parametrize(("answer", "error"), [(Cancel(), PersonNeeded), (Cancelled(), Cancelled)])
def test_stopping_at_the_message_is_free(answer: Answer, error: type[BaseException]) -> None:
    talk = Talk(server(), [answer])
    with pytest.raises(error):
        talk.play(start())
    assert talk.balance == 0 and talk.stored == []


def test_a_key_that_cannot_be_stored_is_an_error_of_its_own() -> None:
    talk = Talk(server(), [typed(SMS)], spending={"store": IbtuiError("the disk is full", "")})
    with pytest.raises(IbtuiError, match="disk is full"):
        talk.play(start())
    assert talk.what[-1] == "store" and "COMPLETE_SETUP" not in talk.what


def test_a_truth_in_words_is_one() -> None:
    reply = Reply(200, '{"ACTIVATION_RESULT":"true"}')
    assert Talk(server(r9=reply), [typed(SMS)]).play(start()).counter == 2


@pytest.mark.parametrize("serial", ["null", "12"])
def test_odd_serials_do_not_matter(serial: str) -> None:
    reply = Reply(200, f'{{"ACTIVATION_RESULT":true,"SERIAL_NO":{serial}}}')
    assert Talk(server(r9=reply), [typed(SMS)]).play(start()).serial == ""
