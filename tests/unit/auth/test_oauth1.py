"""OAuth 1.0a beyond the vectors: what is random, what never runs backwards, what is never shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from ibtui.auth import oauth1, oauth_refusals
from ibtui.auth.grant import LIFE, lasts_until
from ibtui.errors import TokenRefused, UnknownReply, UsageError
from ibtui.secret import Secret
from tests.oauth_tools import KEYS, SECRETS, fields, mapping, signer

NOW = datetime(2026, 4, 24, 14, 32, 10, tzinfo=UTC)
URL = "https://api.ibkr.com/v1/api/oauth/live_session_token"


def pairs(header: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


def test_each_request_has_a_nonce_of_its_own_and_no_older_timestamp() -> None:
    ours = oauth1.Signer(fields())
    grant = ours.grant(Secret("Dh1nQEYjEOlOII3twj1XMMqocx4="), NOW, NOW)
    headers = [
        ours.sign(grant, "get", "https://api.ibkr.com/v1/api/tickle", "", NOW - timedelta(seconds=back))
        for back in (0, 3600, -5, 60)
    ]
    seen = [pairs(header) for header in headers]
    stamps = [int(found["oauth_timestamp"]) for found in seen]
    assert stamps == sorted(stamps) and stamps[1] == stamps[0] and stamps[-1] == stamps[0] + 5
    assert len({found["oauth_nonce"] for found in seen}) == 4
    assert all(len(str(stamp)) == 10 for stamp in stamps)


def test_challenges_differ_and_are_bare_hex() -> None:
    first, second = signer().challenge(URL, NOW), signer().challenge(URL, NOW)
    one, other = (pairs(found.header)["diffie_hellman_challenge"] for found in (first, second))
    assert one != other and re.fullmatch(r"[1-9a-f][0-9a-f]{500,511}", one)
    assert first.exponent.bit_length() > 200


@pytest.mark.parametrize("answer", [None, [], {}, {"diffie_hellman_response": "xyz"}, {"error": "no"}])
def test_an_answer_that_is_none_is_told(answer: object) -> None:
    with pytest.raises(UnknownReply):
        signer().finish(signer().challenge(URL, NOW), answer, NOW)


def test_a_token_that_does_not_prove_itself_names_the_prime() -> None:
    answer = {"diffie_hellman_response": "5" * 512, "live_session_token_signature": "0" * 40}
    with pytest.raises(UsageError, match="prime"):
        signer().finish(signer().challenge(URL, NOW), answer, NOW)
    with pytest.raises(UsageError, match="no live session token"):
        signer().grant(Secret("not base64!"), NOW, NOW)


def test_forms_are_known() -> None:
    with pytest.raises(UsageError, match="left_out"):
        oauth1.Signer(fields(), "rfc")


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        (int((NOW + timedelta(hours=5)).timestamp() * 1000), 5),
        (int((NOW + timedelta(hours=50)).timestamp() * 1000), 24),
        (int((NOW - timedelta(minutes=1)).timestamp() * 1000), 24),
        (0, 24),
        (None, 24),
        (10**20, 24),
    ],
)
def test_when_a_token_ends(said: int | None, hours: int) -> None:
    assert lasts_until(said, NOW) - NOW == timedelta(hours=hours)
    assert timedelta(hours=24) == LIFE


def test_nothing_secret_is_shown() -> None:
    ours = signer()
    challenge = ours.challenge(URL, NOW)
    token = "Dh1nQEYjEOlOII3twj1XMMqocx4="
    grant = ours.grant(Secret(token), NOW, NOW)
    shown = f"{ours!r} {challenge!r} {grant!r} {fields()!r}"
    plain = SECRETS["A"]["plain_hex"]
    for secret in (plain, token, str(challenge.exponent), KEYS["access_token"], "PRIVATE KEY"):
        assert secret not in shown
    assert repr(grant.key) not in shown


@pytest.mark.parametrize(
    ("status", "said", "words", "waits"),
    [
        (401, "id: 39687, error: invalid consumer", "not active yet", True),
        (401, "id: 1, error: LST failed, error: No access secret key found for ABC", "Generate Token", True),
        (401, "id: 515400, error: LST failed, error: ", "Generate Token", True),
        (401, "id: 3, error: LST failed, error: invalid signature", "private signing key", False),
        (401, "", "private signing key", False),
        (401, "stale timestamp", "clock", False),
        (401, "nonce already used", "Try again", False),
        (403, "<html>", "proxy", False),
        (410, "gone", "api_host", True),
    ],
)
def test_what_a_refused_token_means(status: int, said: str, words: str, waits: bool) -> None:
    error = oauth_refusals.live_session_token(status, said)
    assert isinstance(error, TokenRefused) and error.exit_code == 5
    assert words in str(error) and error.waiting_helps is waits and error.fix


def test_fields_may_come_as_secrets() -> None:
    hidden = {name: Secret(value) for name, value in mapping().items()}
    found = oauth1.OAuth1Fields.from_mapping(hidden)
    assert found.mapping()["accessToken"] == KEYS["access_token"]
