"""What can be known of OAuth 2.0 values without sending them (oauth.md §11)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from ibtui.errors import UsageError
from ibtui.service import keyfiles

_NAMES = {"client_id": "client id", "key_id": "key id", "credential": "user name that is acted for"}


def check(values: Mapping[str, str]) -> None:
    """Are these complete, is the key an RSA key for you alone, is the address a public one?

    Args:
        values: `client_id`, `key_id`, `credential`, `key_file`, `ip`.

    Raises:
        UsageError: says which one is wrong, and why.
    """
    for key, name in _NAMES.items():
        if not values[key]:
            raise UsageError(f"The {name} is missing.", "IBKR gave it when it registered your public key.")
    if not values["key_file"]:
        raise UsageError("The file of the private key is missing.", "Name the PEM file on this machine.")
    _check_key(Path(values["key_file"]).expanduser())
    try:
        address = ipaddress.ip_address(values["ip"])
    except ValueError:
        raise UsageError(
            f"{values['ip']!r} is no address."
            if values["ip"]
            else "This machine's public address is missing.",
            "Type it as IBKR sees it, such as 203.0.113.7; your router or provider knows it.",
        ) from None
    if address.is_private or address.is_loopback:
        raise UsageError(
            f"{address} is an address inside your own network; IBKR sees another one.",
            "Type the public one; your router or provider knows it.",
        )


def _check_key(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    remarks: list[str] = []
    content = keyfiles.content_of(path, remarks)
    if remarks:
        raise UsageError(f"Others may read {path}.", f"Run: chmod 600 '{path}'")
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError):
        raise UsageError(
            f"{path} is no unlocked private key in PEM form.", "It begins with BEGIN PRIVATE KEY."
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise UsageError(f"{path} is no RSA key of 2048 bits or more.", "IBKR's sample uses 3072 bits.")
