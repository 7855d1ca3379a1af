"""Enrolling IB Key over HTTP, at IBKR's login host itself (login.md §6).

It replaces the phone's IB Key: the account has one. The new key depends on this session's
proof, so it exists only here: it is stored before IBKR is asked to activate it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any

import msgspec

from ibtui.auth import ocra, srp
from ibtui.auth.effects import (
    LOGIN_HOST,
    Credentials,
    Enrolled,
    Flow,
    Note,
    Reply,
    Send,
    Spend,
    Step,
    Store,
)
from ibtui.auth.factor import plain_name, plain_names
from ibtui.auth.fields import Prepared
from ibtui.auth.ledger import Ledger, counted
from ibtui.auth.login import Draw, ask_code
from ibtui.auth.replies import (
    BROWSER,
    WHERE,
    fault,
    read_offer,
    read_params,
    refused_code,
    wire_text,
)
from ibtui.errors import (
    FactorUnsupported,
    GatewayDown,
    IbtuiError,
    Rejected,
    UnknownReply,
    Unreachable,
)
from ibtui.secret import Secret

__all__ = ["Enrolled", "enroll"]

SMS = "4.2"
OS = ("OS", "Android+9")
UNKNOWN = (
    "The old IB Key may be gone already. The new one is kept: if IBKR's app no longer has its IB Key,"
    " run ibtui ibkey import --unfinished; else enroll again before you log in."
)
_MANAGER = "/sso/AuthenticatorMgr"
_AUTH = "/sso/DynamicAuthenticatorAuth"
_XML = ("RESP_TYPE", "XML")
_VERSION = ("VERSION", "1")
_Form = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _State:
    who: Credentials
    pin: Secret
    draw: Draw
    ledger: Ledger
    cookies: _Form = ()


def enroll(who: Credentials, pin: Secret, draw: Draw | None = None) -> Flow[Enrolled]:
    """Make a new IB Key for the user name, and store it.

    Yields effects; every `Send` goes to `LOGIN_HOST`. Asks for the code of the text message
    and nothing else. Yields `Store` with the key as `Prepared` right before IBKR is asked to
    activate it, and `Store` again right after it has. Attempts are counted as in `login.login`.

    Args:
        pin: 4 to 6 digits, chosen by the person or made by `ocra.make_pin`.

    Raises:
        UsageError: the PIN is none; nothing was sent.
        LoginRefused, CodeRefused, LoginLocked, PersonNeeded: as `login.login`.
        FactorUnsupported: IBKR does not offer the text message.
        Rejected: IBKR does not let this user name have IB Key, or did not activate it.
        UnknownReply, Unreachable: as `login.login`.
    """
    ocra.check_pin(pin)
    state = _State(who, pin, draw or Draw(), Ledger())
    try:
        return (yield from counted(state.ledger, _talk(state)))
    except GatewayDown as error:
        if type(error) is not GatewayDown:  # a certificate: its own words fit
            raise
        raise Unreachable(
            "Nothing answers at IBKR's login host.", "Look at the network, and at login_host in the settings."
        ) from error


def _talk(state: _State) -> Flow[Enrolled]:
    yield Note(Step.PASSWORD, "asking IBKR how to prove the password")
    proof, offered = yield from _prove(state)
    yield Note(Step.PASSWORD, done=True)
    if offered:
        yield from _text_message(state, offered)
        yield Note(Step.FACTOR, done=True)
    else:
        yield Note(Step.FACTOR, "none asked for", done=True)
    yield Note(Step.SESSION, "activating IB Key")
    enrolled = yield from _activate(state, proof)
    yield Store(enrolled)
    yield Spend("success")
    yield Note(Step.SESSION, "IB Key is enrolled", done=True)
    return enrolled


def _prove(state: _State) -> Flow[tuple[srp.Proof, tuple[str, ...]]]:
    """Requests 1 to 3."""
    group = srp.DEFAULT_GROUP
    for _ in range(2):
        start = (("ACTION", "INIT"), ("VERSION", "3"), ("MODE", "ENABLE_USER"))
        _there((yield from _post(state, _MANAGER, start)))
        a = srp.draw_a(group, state.draw.a())
        A = srp.public(group, a)
        begin = (("ACTION", "INIT"), _XML, ("USER", state.who.username), ("A", srp.hexn(A)), _VERSION)
        params = read_params((yield from _post(state, _AUTH, begin)))
        if params.group == group:
            break
        group = params.group
    else:
        raise UnknownReply(
            "IBKR changed the login's group twice in a row; the password was not sent.",
            "Try again in a minute.",
        )
    yield Note(Step.PASSWORD, "proving the password")
    proof = srp.prove(state.who.username, state.who.password, params, a, A)
    form: _Form = (("ACTION", "COMPLETEAUTH"), ("M1", proof.M1), _XML, _VERSION)
    if params.rsa_modulus is not None:
        ekx = srp.rsa_text(proof.K.hex(), params.rsa_modulus, padding=state.draw.padding)
        form = (*form, ("EKX", ekx))
    yield from state.ledger.spend()
    offered = read_offer((yield from _post(state, _AUTH, form, judged=True)), proof.M2)
    state.cookies = (("XYZAB.LOGIN", proof.session_key),)
    return proof, offered


def _text_message(state: _State, offered: tuple[str, ...]) -> Flow[None]:
    """Requests 4 to 6; 4 again when the person wants the message again."""
    yield Note(Step.FACTOR, plain_names(offered))
    if SMS not in offered:
        raise FactorUnsupported(
            f"Enrolling IB Key needs a {plain_name(SMS)}; IBKR offers only {plain_names(offered)}.", BROWSER
        )

    def request(code: str) -> Flow[tuple[Reply, float]]:
        """Request 4: the text message leaves."""
        form = (("ACTION", "COMPLETEAUTH_1"), ("APP_NAME", ""), _XML, _VERSION, ("SF", code))
        reply = yield from _post(state, _AUTH, form)
        return reply, ocra.skew(reply.date, state.draw.now_ms() / 1000)

    _, answer = yield from ask_code(request, SMS, (SMS,), state.who.username)
    _there((yield from _post(state, _MANAGER, (("ACTION", "SECOND_FACTOR_CONFIG"),))))
    form = (
        ("ACTION", "COMPLETETWOFACT"),
        ("USER", state.who.username),
        ("RESPONSE", re.sub(r"[\s\-]", "", answer.text.reveal())),
        ("RESP_TYPE", "JSON"),
        _VERSION,
        ("SF", SMS),
    )
    reply = yield from _post(state, _AUTH, form, judged=True)
    result = _json(reply, "the code")
    if str(result.get("auth_res")).lower() == "true":
        return
    raise refused_code(SMS, wire_text(str(result.get("error") or "")))


def _activate(state: _State, proof: srp.Proof) -> Flow[Enrolled]:
    """Requests 7 to 9."""
    allowed = _json((yield from _post(state, _MANAGER, (("ACTION", "IS_USER_ENABLED"), OS))), "IB Key")
    if str(allowed.get("USER_ALLOWED")) != "0":
        raise Rejected(
            f"IBKR does not let {state.who.username} have IB Key"
            f" (USER_ALLOWED {wire_text(str(allowed.get('USER_ALLOWED')))}).",
            "Ask IBKR's customer service, or use another second factor.",
        )
    given = _json((yield from _post(state, _MANAGER, (("ACTION", "GET_PARAMS"),))), "its parameters")
    modulus, exponent, challenge = _params(given)
    key = ocra.derive_key(proof.K)
    form = (
        ("ACTION", "COMPLETE_SETUP"),
        ("CHALLENGE_RESPONSE", ocra.respond(key, state.pin, 1, challenge).reveal()),
        ("E_PIN", srp.rsa_text(state.pin.reveal(), modulus, exponent)),
        ("E_DEVICE_ID", srp.rsa_text(ocra.DEVICE_ID, modulus, exponent)),
        OS,
        ("COUNTRY_CODE", "US"),
        ("CARRIER_NAME", "T-Mobile"),
        ("APP_VERSION", "IBTWS_8.4.348"),
        ("STORAGE", "0"),
        ("KEY_TYPE", "IKEY"),
    )
    # Whatever happens from here on, the new key is on disk.
    yield Store(Prepared(state.pin, key))
    try:
        reply = yield from _post(state, _MANAGER, form, judged=True)
        result = _json(reply, "the activation")
        activated = str(result.get("ACTIVATION_RESULT")).lower()
        if activated not in ("true", "false"):
            raise fault(reply, "IBKR did not say whether it activated IB Key")
    except (Unreachable, UnknownReply) as error:
        error.fix = f"{UNKNOWN} {error.fix}"
        raise
    if activated == "false":
        raise Rejected("IBKR did not activate IB Key.", "Enroll again; the old key may be gone already.")
    serial = result.get("SERIAL_NO")
    return Enrolled(state.pin, key, serial=serial if isinstance(serial, str) else "")


def _params(given: dict[str, Any]) -> tuple[int, int, str]:
    """MODULUS, EXPONENT (both hex) and CHALLENGE of reply 8."""
    if given.get("ALGO") != ocra.SUITE:
        raise UnknownReply(
            f"IBKR asks for another kind of IB Key ({wire_text(str(given.get('ALGO')))}).", WHERE
        )
    try:
        modulus, exponent = int(given["MODULUS"], 16), int(given["EXPONENT"], 16)
    except (KeyError, TypeError, ValueError):
        raise UnknownReply("IBKR's parameters of IB Key lack a number.", WHERE) from None
    if exponent < 2:
        raise UnknownReply("IBKR's parameters of IB Key make no sense.", WHERE)
    return modulus, exponent, str(given.get("CHALLENGE") or "")


def _post(state: _State, path: str, form: _Form, *, judged: bool = False) -> Flow[Reply]:
    send = Send("POST", path, form, state.cookies, host=LOGIN_HOST)
    return (yield from state.ledger.post(send, judged=judged))


def _there(reply: Reply) -> None:
    """A reply that says nothing; but an outage must not pass for one."""
    if reply.status >= 400:
        raise fault(reply, "IBKR's enrolment page is not there")


def _json(reply: Reply, about: str) -> dict[str, Any]:
    found: Any = None
    if reply.status == 200:
        try:
            found = msgspec.json.decode(reply.text)
        except msgspec.DecodeError:
            pass
    if isinstance(found, dict):
        return found
    raise _xml_error(reply) or fault(reply, f"IBKR's enrolment page gave an unknown reply about {about}")


def _xml_error(reply: Reply) -> IbtuiError | None:
    """`<ib_auth_res><error>…` in place of JSON."""
    if "<!DOCTYPE" in reply.text or "<!ENTITY" in reply.text:
        return None
    try:
        text = wire_text(ET.fromstring(reply.text.strip()).findtext("error"))
    except ET.ParseError:
        return None
    return Rejected(f"IBKR refused the enrolment: {text}", "Enroll again later.") if text else None
