"""The test-only keys of the OAuth vectors, and ways to spoil them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "data" / "vectors" / "oauth1.json").read_text(encoding="utf-8")
)
KEYS: dict[str, Any] = VECTORS["keys"]
SIGNATURE: str = KEYS["signature_private_pem"]
ENCRYPTION: str = KEYS["encryption_private_pem"]
DHPARAM: str = KEYS["dhparam_pem"]
SECRET: str = VECTORS["access_token_secrets"]["A"]["cipher_base64"]
TOKEN: str = KEYS["access_token"]
CONSUMER: str = KEYS["consumer_key"]


def vector(name: str) -> dict[str, Any]:
    """One vector by its id."""
    found: dict[str, Any] = next(it for it in VECTORS["vectors"] if it["id"] == name)
    return found


@cache
def other_key(bits: int = 2048) -> str:
    """An RSA key that is none of the registration's, PKCS#8."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def mapping(**changed: str) -> dict[str, str]:
    """The seven fields, as an `oauth1.json` holds them."""
    return {
        "realm": "limited_poa",
        "dhPrime": KEYS["dh_prime_hex"],
        "consumerKey": CONSUMER,
        "accessToken": TOKEN,
        "accessTokenSecret": SECRET,
        "signature": SIGNATURE,
        "encryption": ENCRYPTION,
        **changed,
    }


def put_files(folder: Path, **changed: str) -> Path:
    """The five files of a registration, as openssl would have made them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {
        "private_signature": SIGNATURE,
        "public_signature": KEYS["signature_public_pem"],
        "private_encryption": ENCRYPTION,
        "public_encryption": KEYS["encryption_public_pem"],
        "dhparam": DHPARAM,
        **changed,
    }
    for name, text in files.items():
        if not text:
            continue
        path = folder / f"{name}.pem"
        path.write_bytes(text.encode())
        path.chmod(0o600)
    return folder
