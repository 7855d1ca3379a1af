"""The table of second factors."""

from __future__ import annotations

import pytest

from ibtui.auth.factor import factor, plain_name, plain_names, preferred, supported


def test_what_can_be_answered() -> None:
    every = ("3", "4", "4.1", "4.2", "5", "5.1", "5.2a", "5.2i", "5.3", "6", "7.7", "passkey")
    assert supported(every) == ("4", "4.2", "5.2a", "5.2i")
    assert {code: factor(code).kind for code in supported(every)} == {
        "4": "SWTK", "4.2": "SWTK", "5.2a": "SWCR", "5.2i": "SWCR",
    }  # fmt: skip
    assert {factor(code).digits for code in ("4", "4.2")} == {6} and factor("5.2i").digits == 8


@pytest.mark.parametrize("code", ["3", "9.9", "passkey", "FIDO2", "webauthn"])
def test_the_others_are_named_with_their_way_out(code: str) -> None:
    assert not factor(code).supported
    assert f"[{code}]" in plain_name(code)
    assert "browser" in factor(code).todo


def test_names() -> None:
    assert plain_names(["4.2", "passkey", "8"]) == (
        "text message (SMS) [4.2], passkey [passkey], a factor this program does not know [8]"
    )


@pytest.mark.parametrize(
    ("prefer", "offered", "code"),
    [
        (("sms",), ("4", "4.2"), "4.2"),
        (("ibkey", "sms"), ("4.2", "5.2i"), "5.2i"),
        (("5.2a", "totp"), ("4", "5.2i"), "4"),
        (("5.2a",), ("4", "4.2"), ""),
        (("3",), ("3", "4.2"), ""),
        ((), ("4",), ""),
    ],
)
def test_preferences(prefer: tuple[str, ...], offered: tuple[str, ...], code: str) -> None:
    assert preferred(prefer, offered) == code
