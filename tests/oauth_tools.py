"""The TEST-ONLY registration of the OAuth vectors, as fields, as a mapping, as an `oauth1.json`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from ibtui.auth.oauth1 import Signer
from ibtui.auth.oauth_fields import OAuth1Fields

_ALL = json.loads((Path(__file__).parent / "data/vectors/oauth1.json").read_text(encoding="utf-8"))
KEYS: dict[str, Any] = _ALL["keys"]
VECTORS: list[dict[str, Any]] = _ALL["vectors"]
SECRETS: dict[str, Any] = _ALL["access_token_secrets"]


def mapping(**other: str) -> dict[str, str]:
    """The seven fields under the names of `oauth1.json`."""
    return {
        "realm": "limited_poa",
        "dhPrime": KEYS["dh_prime_hex"],
        "consumerKey": KEYS["consumer_key"],
        "accessToken": KEYS["access_token"],
        "accessTokenSecret": SECRETS["A"]["cipher_base64"],
        "signature": KEYS["signature_private_pem"],
        "encryption": KEYS["encryption_private_pem"],
        **other,
    }


@functools.cache
def fields(**other: str) -> OAuth1Fields:
    """The same, read; once for each, for keys take a while to load."""
    return OAuth1Fields.from_mapping(mapping(**other))


@functools.cache
def signer(form: str = "left_out", **other: str) -> Signer:
    """A signer with these fields; the same one each time."""
    return Signer(fields(**other), form)
