"""The values of a registration: every wrong one a person can paste has a sentence (oauth.md §4)."""

from __future__ import annotations

import json

import pytest

from ibtui.auth import keys, oauth_fields
from ibtui.auth.oauth_fields import OAuth1Fields
from ibtui.errors import UsageError
from ibtui.secret import Secret
from tests.unit.auth.oauth_tools import (
    CONSUMER,
    DHPARAM,
    ENCRYPTION,
    KEYS,
    SECRET,
    SIGNATURE,
    TOKEN,
    VECTORS,
    mapping,
    other_key,
    vector,
)


def trouble(call: object, *words: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()  # type: ignore[operator]
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert caught.value.fix
    assert SECRET[:40] not in text and TOKEN not in text


@pytest.mark.parametrize("typed", ["QHXRBMKTA", "qhxrbmkta", " QhXrBmKtA\r\n", "'qhxrbmkta'"])
def test_the_consumer_key_is_put_into_capitals(typed: str) -> None:
    assert oauth_fields.consumer_key(typed) == "QHXRBMKTA"
    assert oauth_fields.consumer_key("testcons") == "TESTCONS"


def test_what_is_no_consumer_key_is_named() -> None:
    trouble(lambda: oauth_fields.consumer_key(""), "no consumer key")
    trouble(lambda: oauth_fields.consumer_key("QHXRBMKT"), "nine letters", "8")
    trouble(lambda: oauth_fields.consumer_key("QHXRBMK-A"), "letters only")
    trouble(lambda: oauth_fields.consumer_key(TOKEN), "access token")


def test_a_consumer_key_is_made_as_ibkr_wants_it() -> None:
    made = {oauth_fields.make_consumer_key() for _ in range(20)}
    assert len(made) == 20
    assert all(len(it) == 9 and it.isalpha() and it.isupper() and it.isascii() for it in made)


def test_the_access_token_stays_as_it_is() -> None:
    assert oauth_fields.access_token(f" {TOKEN}\n").reveal() == TOKEN
    assert oauth_fields.access_token(TOKEN.upper()).reveal() == TOKEN.upper()
    trouble(lambda: oauth_fields.access_token(TOKEN[:-1]), "20 digits", "19")
    trouble(lambda: oauth_fields.access_token(SECRET), "too long", "secret")
    trouble(lambda: oauth_fields.access_token("QHXRBMKTA"), "other characters")
    trouble(lambda: oauth_fields.access_token(""), "no access token")


@pytest.mark.parametrize(
    "typed", [SECRET, f"{SECRET}\r\n", SECRET[:100] + "\n" + SECRET[100:], SECRET.rstrip("="), f'"{SECRET}"']
)
def test_the_secret_is_taken_in_one_piece(typed: str) -> None:
    assert oauth_fields.access_token_secret(typed).reveal() == SECRET


def test_a_mangled_secret_is_named() -> None:
    trouble(lambda: oauth_fields.access_token_secret(SECRET[:129]), "129 characters", "344", "cut off")
    trouble(lambda: oauth_fields.access_token_secret(SECRET * 2), "characters that do not belong")
    trouble(lambda: oauth_fields.access_token_secret("A" * 400), "400", "pasted twice")
    trouble(lambda: oauth_fields.access_token_secret("é" + SECRET[1:]), "do not belong")
    trouble(lambda: oauth_fields.access_token_secret(""), "no access token secret")
    trouble(lambda: oauth_fields.access_token_secret("A" * 343 + "="), "end in ==")


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_the_encryption_key_opens_the_secret(name: str) -> None:
    given = VECTORS["access_token_secrets"][name]
    opened = oauth_fields.open_secret(Secret(given["cipher_base64"]), keys.read_private_key(ENCRYPTION))
    assert opened is not None and opened.hex() == given["plain_hex"]
    assert opened.hex() == vector(f"prepend-{name}")["expected"]["prepend"]


def test_a_secret_that_does_not_open_is_told_from_swapped_keys() -> None:
    signature, encryption = keys.read_private_key(SIGNATURE), keys.read_private_key(ENCRYPTION)
    secret = Secret(SECRET)
    oauth_fields.check_opens(secret, encryption, signature)
    trouble(lambda: oauth_fields.check_opens(secret, signature, encryption), "swapped")
    stranger = keys.read_private_key(other_key())
    trouble(lambda: oauth_fields.check_opens(secret, stranger, signature), "does not belong")
    trouble(lambda: oauth_fields.check_opens(secret, stranger, None), "does not belong")
    assert oauth_fields.open_secret(Secret("/" * 342 + "=="), encryption) is None


def test_a_file_of_the_published_script_is_read_and_written_byte_for_byte() -> None:
    given = vector("configure-script")["expected"]
    raw = given["oauth1_json"] if isinstance(given.get("oauth1_json"), str) else json.dumps(mapping())
    found = OAuth1Fields.parse(raw)
    assert found.mapping() == {**json.loads(raw), "dhPrime": found.dh_prime}
    assert list(json.loads(found.json())) == list(oauth_fields.NAMES.values())
    assert b"\n" not in found.json()
    assert oauth_fields.problems(found) == []


def test_seven_fields_pass_as_texts_as_secrets_and_under_their_other_names() -> None:
    plain = OAuth1Fields.from_mapping(mapping())
    assert plain.mapping() == mapping(dhPrime="00" + KEYS["dh_prime_hex"])
    assert plain.prime == int(KEYS["dh_prime_hex"], 16)
    other = mapping()
    other["signaturePrivateKey"] = other.pop("signature")
    other["encryptionPrivateKey"] = other.pop("encryption")
    assert OAuth1Fields.from_mapping(other) == plain
    ours = {field: getattr(plain, field) for field in oauth_fields.NAMES}
    assert OAuth1Fields.from_mapping(ours) == plain


def test_nothing_secret_is_printed() -> None:
    found = OAuth1Fields.from_mapping(mapping())
    assert not any(it in repr(found) for it in (TOKEN, SECRET, SIGNATURE[50:90], ENCRYPTION[50:90]))


def test_crlf_and_lower_case_are_mended_on_the_way() -> None:
    found = OAuth1Fields.parse(
        b"\xef\xbb\xbf"
        + json.dumps(
            mapping(signature=SIGNATURE.replace("\n", "\r\n"), consumerKey=CONSUMER.lower(), realm="")
        ).encode()
    )
    assert found.consumer_key == CONSUMER and found.realm == "limited_poa"
    assert "\r" not in found.signature.reveal()
    assert "BEGIN PRIVATE KEY" in found.signature.reveal()
    assert (
        OAuth1Fields.from_mapping(mapping(consumerKey="TESTCONS", realm="test_realm")).realm == "test_realm"
    )


def test_a_wrong_field_is_named() -> None:
    trouble(lambda: OAuth1Fields.parse("[]", "/x/oauth1.json"), "/x/oauth1.json", "JSON")
    trouble(lambda: OAuth1Fields.parse("{"), "JSON")
    trouble(lambda: OAuth1Fields.from_mapping(mapping(realm="test_realm")), "limited_poa")
    trouble(lambda: OAuth1Fields.from_mapping(mapping(consumerKey="TESTCONS")), "test_realm")
    for name in oauth_fields.NAMES.values():
        if name != "realm":
            trouble(lambda name=name: OAuth1Fields.from_mapping(mapping(**{name: " "})), name, "missing")
    trouble(lambda: OAuth1Fields.from_mapping({**mapping(), "dhPrime": 7}), "dhPrime", "not a text")
    trouble(lambda: OAuth1Fields.from_mapping(mapping(signature=DHPARAM)), "private signing key")


def test_fields_that_do_not_fit_together() -> None:
    def found(**changed: str) -> str:
        return " ".join(map(str, oauth_fields.problems(OAuth1Fields.from_mapping(mapping(**changed)))))

    assert "swapped" in found(signature=ENCRYPTION, encryption=SIGNATURE)
    same = found(signature=ENCRYPTION)
    assert "the same key" in same and "swapped" not in same
    assert "not a safe prime" in found(dhPrime=KEYS["dh_prime_hex"][:-1] + "d")
    assert "does not belong" in found(encryption=other_key())
