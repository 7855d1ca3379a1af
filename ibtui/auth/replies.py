"""What IBKR's login pages answer (login.md §3): checked, never assumed.

Texts from the wire that end up in an error go through `log.redact` first.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from ibtui.auth import srp
from ibtui.auth.effects import Reply
from ibtui.auth.factor import CARD, factor, plain_name
from ibtui.auth.shy import Shy
from ibtui.errors import (
    CodeRefused,
    FactorUnsupported,
    IbtuiError,
    LoginLocked,
    LoginRefused,
    Pacing,
    UnknownReply,
    Unreachable,
)
from ibtui.log import redact

WHERE = "Log in with a browser at the gateway's address, and report this."
BROWSER = "Log in with a browser at the gateway's address; ibtui then sees the session by itself."
_AWAY = re.compile(r"(?i)\b(maintenance|temporarily unavailable|service unavailable|system is down)\b")


def read_params(reply: Reply) -> srp.Params:
    """The reply to INIT (reply 2).

    Raises:
        LoginRefused: IBKR's own `<error>`; UnknownReply: members missing or not numbers.
        Unreachable: IBKR's server is away.
    """
    root = xml(reply)
    error = wire_text(root.findtext("error"))
    if error:
        raise LoginRefused(f"IBKR refused to begin the login: {error}", "Check the user name.")

    def text(name: str) -> str:
        return (root.findtext(f"ini_params/{name}") or "").strip()

    algorithm = text("hash") or "SHA1"
    if algorithm.upper().replace("-", "") != "SHA1":
        raise UnknownReply(f"IBKR asks for the unknown hash {algorithm[:16]!r}.", "Log in with a browser.")
    try:
        modulus = text("rsapub")
        params = srp.Params(
            srp.Group(int(text("N"), 16), int(text("g"), 10)),
            text("proto") or "6",
            int(text("s"), 16),
            int(text("B"), 16),
            text("lp") != "false",
            int(modulus, 16) if modulus else None,
            {"true": True, "false": False}.get(text("paper")),
        )
    except ValueError:
        raise UnknownReply("IBKR's login reply lacks a number that ibtui needs.", WHERE) from None
    if params.proto not in srp.PROTOS:
        raise UnknownReply(f"IBKR asks for the unknown password protocol {params.proto[:8]!r}.", WHERE)
    return params


def read_offer(reply: Reply, expected_m2: str) -> tuple[str, ...]:
    """The reply to COMPLETEAUTH (reply 3): the SF codes offered, empty when none is wanted.

    Raises:
        LoginRefused: M2 is not the expected one; LoginLocked: and no further attempt is allowed.
        UnknownReply, Unreachable: no such reply.
    """
    root = xml(reply)
    theirs = (root.findtext("ini_params/M2") or "").strip().lower()
    if theirs != expected_m2:
        if (root.findtext("auth_info/reached_max_login") or "").strip() == "true":
            raise LoginLocked(
                "IBKR refused user name or password and allows no further attempt.",
                "Do not try again. Unlock the account in IBKR's Client Portal or by phone.",
            )
        raise LoginRefused(
            "IBKR refused user name or password.",
            "Check both, then try again; too many refusals lock the account.",
        )
    codes = (code.strip() for code in (root.findtext("sftypes") or "").split(","))
    return tuple(dict.fromkeys(code for code in codes if code))


class Asked(Shy, frozen=True):
    """The reply to COMPLETEAUTH_1."""

    SHOWN = ("kind",)

    kind: str
    challenge: str


def read_challenge(reply: Reply, code: str) -> Asked:
    """The reply to COMPLETEAUTH_1 (reply 4), checked against the factor `code` that was asked for.

    Raises:
        FactorUnsupported: a kind that cannot be answered (IBTK), or one that does not go with `code`.
        LoginRefused: IBKR's own `<error>`.
        UnknownReply, Unreachable: no such reply.
    """
    root = xml(reply)
    error = wire_text(root.findtext("error") or root.findtext("two_factor/error"))
    if error:
        raise LoginRefused(
            f"IBKR did not start the second factor {plain_name(code)}: {error}",
            "Wait a minute, then try again.",
        )
    kind = (root.findtext("two_factor/type") or "").strip()
    if not kind:
        raise fault(reply, "IBKR did not say how it wants the second factor")
    challenge = re.sub(r"\s", "", root.findtext("two_factor/challenge") or "")
    if kind == CARD:
        raise FactorUnsupported(
            f"IBKR wants a card or device for {plain_name(code)}; nothing was sent.", BROWSER
        )
    if kind != factor(code).kind or (kind == "SWCR" and not re.fullmatch(r"[0-9]{1,64}", challenge)):
        raise FactorUnsupported(
            f"IBKR's question ({wire_text(kind)}) does not go with {plain_name(code)}; nothing was sent.",
            WHERE,
        )
    return Asked(kind, challenge if kind == "SWCR" else "")


def read_result(reply: Reply, code: str) -> None:
    """The reply to COMPLETETWOFACT (reply 5); returns when the code was accepted.

    Raises:
        CodeRefused: it was not; UnknownReply, Unreachable: no such reply.
    """
    root = xml(reply)
    result = (root.findtext("auth_res") or "").strip().lower()
    if result == "true":
        return
    error = wire_text(root.findtext("error"))
    if result != "false" and not error:
        raise fault(reply, "IBKR did not say whether it accepts the code")
    raise refused_code(code, error)


def refused_code(code: str, error: str) -> CodeRefused:
    """The error of a refused code; `error` is the server's own text, already redacted."""
    return CodeRefused(
        f"Completing two factor ({code}) returned error: {error or 'the code was refused'}",
        "Check the code and its age, then log in again; this counted as an attempt.",
    )


def wire_text(text: str | None) -> str:
    """A text of the server's, fit for an error: one line, redacted, at most 200 characters.

    Runs of six digits or more go too: it might repeat the code.
    """
    return re.sub(r"\d{6,}", "***", redact(" ".join((text or "").split())))[:200]


def xml(reply: Reply) -> ET.Element:
    """The reply as XML.

    Raises:
        UnknownReply, Unreachable, Pacing: see `fault`.
    """
    # A document type could make the parser expand entities; no login reply has one.
    if reply.status == 200 and "<!DOCTYPE" not in reply.text and "<!ENTITY" not in reply.text:
        try:
            return ET.fromstring(reply.text.strip())
        except ET.ParseError:
            pass
    raise fault(reply, "IBKR's login page gave a reply that ibtui does not know")


def fault(reply: Reply, what: str) -> IbtuiError:
    """The error of a reply that is not the expected one; `what` begins its sentence."""
    if reply.status >= 500:
        return Unreachable(
            f"IBKR's login server answered {reply.status}; it may be in maintenance.",
            "Try again in a few minutes.",
        )
    if reply.status == 429:
        return Pacing("IBKR's login server answered 429: too many requests.", "Wait some minutes.")
    if reply.status == 404 and "Access Denied" in reply.text:
        return Unreachable(
            "The gateway does not let this machine in (Access Denied).",
            "Add its address to ips.allow in conf.yaml.",
        )
    if reply.status == 200 and "<ib_auth_res" not in reply.text and _AWAY.search(reply.text):
        return Unreachable("IBKR's login server is in maintenance.", "Try again in a few minutes.")
    return UnknownReply(f"{what} (status {reply.status}).", WHERE, reply.status)
