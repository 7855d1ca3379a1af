"""RSA keys and Diffie-Hellman parameters of OAuth 1.0a as text: read, made, written (oauth.md §3).

Forgiving about how a file got here (BOM, CRLF, blanks, lost line ends, PKCS#1 or PKCS#8), strict
about what it holds. Every error says what was found in its place; none repeats key material.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ibtui.errors import UsageError

BITS = 2048
GENERATOR = 2
"""The only one IBKR's instructions make; `oauth1.json` has no field for another."""
ROUNDS = 12
"""Of Miller and Rabin's test; each costs a power with 2048 bits, some 15 ms."""
_PEM = re.compile(r"-----BEGIN ([A-Z0-9. ]+)-----(.*?)(?:-----END \1-----|\Z)", re.DOTALL)
_SMALL = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)
AGAIN = "Choose the right file, or make new ones: ibtui oauth keygen"


def make_key() -> rsa.RSAPrivateKey:
    """A new RSA key of 2048 bits; takes up to a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=BITS)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """PKCS#8, unencrypted, as OpenSSL 3 writes it."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_pem(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> str:
    """SubjectPublicKeyInfo: the file to upload."""
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def fingerprint(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> str:
    """SHA-256 of the public key's DER, the first 16 bytes as `ab12:cd34:…`; harmless to show."""
    body = "".join(public_pem(key).splitlines()[1:-1])
    return _grouped(hashlib.sha256(base64.b64decode(body)).hexdigest())


def prime_fingerprint(prime: int) -> str:
    """The same for Diffie-Hellman parameters: of the prime's bytes."""
    return _grouped(hashlib.sha256(prime.to_bytes((prime.bit_length() + 7) // 8)).hexdigest())


def _grouped(digest: str) -> str:
    return ":".join(digest[at : at + 4] for at in range(0, 32, 4))


def read_private_key(text: str | bytes, what: str = "private key") -> rsa.RSAPrivateKey:
    """An RSA private key of 2048 bits, PKCS#1 or PKCS#8.

    Args:
        what: what it is wanted for, for the error: `private signing key`.

    Raises:
        UsageError: it is something else; says what it is.
    """
    label, pem = _block(text, what)
    if label not in ("PRIVATE KEY", "RSA PRIVATE KEY"):
        raise _wrong_kind(what, label, "private")
    try:
        # The library's own test looks whether p and q are prime, which holds all threads for 30 ms and
        # more; a digit that was lost or changed shows in the relations between the numbers already.
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _damaged(what) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise UsageError(f"The {what} is no RSA key.", AGAIN)
    _check_size(key.key_size, what)
    if not _consistent(key.private_numbers()):
        raise _damaged(what)
    return key


def _consistent(it: rsa.RSAPrivateNumbers) -> bool:
    p, q, d, e = it.p, it.q, it.d, it.public_numbers.e
    return (
        p * q == it.public_numbers.n
        and e * d % (p - 1) == e * d % (q - 1) == 1
        and (it.dmp1, it.dmq1) == (d % (p - 1), d % (q - 1))
        and it.iqmp * q % p == 1
    )


def read_public_key(text: str | bytes, what: str = "public key") -> rsa.RSAPublicKey:
    """An RSA public key of 2048 bits.

    Raises:
        UsageError: it is something else, a private key above all.
    """
    label, pem = _block(text, what)
    if label not in ("PUBLIC KEY", "RSA PUBLIC KEY"):
        raise _wrong_kind(what, label, "public")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise _damaged(what) from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise UsageError(f"The {what} is no RSA key.", AGAIN)
    _check_size(key.key_size, what)
    return key


def check_pair(private: rsa.RSAPrivateKey, public: rsa.RSAPublicKey, what: str) -> None:
    """Do the two belong together? `what` is the pair's name: `signing`.

    Raises:
        UsageError: they do not.
    """
    if private.public_key().public_numbers() != public.public_numbers():
        raise UsageError(
            f"The public {what} key does not belong to the private {what} key.",
            "Upload the public key that ibtui shows: it is made from the private one.",
        )


def check_differ(signature: rsa.RSAPrivateKey, encryption: rsa.RSAPrivateKey) -> None:
    """Are signing and encryption key two keys?

    Raises:
        UsageError: they are the same.
    """
    if signature.public_key().public_numbers() == encryption.public_key().public_numbers():
        raise UsageError(
            "Signing key and encryption key are the same key; IBKR wants two.",
            "Was one file chosen twice? private_signature.pem and private_encryption.pem differ.",
        )


# Diffie-Hellman ---------------------------------------------------------------------------


def read_dh(text: str | bytes, what: str = "Diffie-Hellman parameters") -> tuple[int, int]:
    """Prime and generator of a `BEGIN DH PARAMETERS` file; sizes and generator are checked, not primality.

    Raises:
        UsageError: it is something else, has lost its sign byte, or is not IBKR's size.
    """
    label, pem = _block(text, what)
    if label != "DH PARAMETERS":
        raise _wrong_kind(what, label, "dh")
    prime, generator = _integers(base64.b64decode(b"".join(pem.splitlines()[1:-1])), what)
    if prime < 0:
        raise UsageError(
            "The prime is negative: the file that holds it has lost the prime's sign byte (00).",
            "IBKR would refuse everything signed with it. Make new ones with ibtui oauth keygen, or openssl.",
        )
    if generator != GENERATOR:
        raise UsageError(
            f"The generator is {generator}; IBKR uses 2.",
            "Make the parameters without -5: ibtui oauth keygen",
        )
    check_prime_size(prime)
    return prime, generator


def dh_pem(prime: int, generator: int = GENERATOR) -> str:
    """`BEGIN DH PARAMETERS` (PKCS#3), as openssl writes it. Written by hand, because `cryptography` will
    do without finite-field Diffie-Hellman one day.
    """
    content = _integer(prime) + _integer(generator)
    body = base64.b64encode(b"\x30" + _length(len(content)) + content).decode()
    return _armour("DH PARAMETERS", body)


def parse_prime(text: str) -> int:
    """The prime from hex as `oauth1.json` has it: `0x`, colons, white space and either case are taken.

    Raises:
        UsageError: it is not hex, negative, or not of 2048 bits.
    """
    digits = re.sub(r"[\s:]", "", text.removeprefix("\ufeff"))
    if digits.startswith("-"):
        raise UsageError(
            "The prime is negative: it was read without its sign byte (00).",
            "Take it from dhparam.pem again: ibtui oauth configure --import FOLDER",
        )
    digits = re.sub(r"^0[xX]", "", digits)
    if not digits or not re.fullmatch(r"[0-9a-fA-F]+", digits):
        raise UsageError(
            "The Diffie-Hellman prime is not a hexadecimal number.",
            "Give dhparam.pem itself: ibtui reads the prime out of it.",
        )
    prime = int(digits, 16)
    check_prime_size(prime)
    return prime


def check_prime_size(prime: int) -> None:
    """Raises UsageError unless it has 2048 bits."""
    bits = prime.bit_length()
    if bits == BITS:
        return
    lost = BITS - 16 <= bits < BITS
    why = " Digits at its beginning or end were lost in copying." if lost else ""
    raise UsageError(
        f"The Diffie-Hellman prime has {bits} bits; IBKR wants {BITS}.{why}",
        "Take it from dhparam.pem again." if lost else AGAIN,
    )


def check_prime(prime: int) -> None:
    """Is it a safe prime (p and (p-1)/2 prime) of 2048 bits? Takes some 0.2 s, at most 20 ms at a stretch.

    With q = (p-1)/2 prime, 2^(p-1) = 1 (mod p) proves p prime (Pocklington: q exceeds p's root).

    Raises:
        UsageError: it is not.
    """
    check_prime_size(prime)
    half = prime >> 1
    if prime % 2 and _no_small_factor(prime, half) and probably_prime(half) and pow(2, prime - 1, prime) == 1:
        return
    raise UsageError(
        "The Diffie-Hellman prime is not a safe prime: a digit of it is wrong, or it was made otherwise.",
        "Take it from dhparam.pem again, or make new ones: ibtui oauth keygen",
    )


def _no_small_factor(*numbers: int) -> bool:
    return all(number % small for number in numbers for small in _SMALL)


def probably_prime(number: int, rounds: int = ROUNDS) -> bool:
    """Miller and Rabin's test with random bases; `number` is odd and large."""
    if number % 2 == 0:
        return False
    rest, twos = number - 1, 0
    while rest % 2 == 0:
        rest, twos = rest >> 1, twos + 1
    for _ in range(rounds):
        power = pow(secrets.randbelow(number - 3) + 2, rest, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


# PEM and DER ------------------------------------------------------------------------------


def _block(text: str | bytes, what: str) -> tuple[str, bytes]:
    """Label and clean PEM of the first block in a text, however its lines were mangled."""
    clean = _text(text, what)
    found = _PEM.search(clean)
    if found is None:
        raise _no_pem(clean, what)
    label, body = found[1], found[2]
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise UsageError(
            f"The {what} is locked with a passphrase.",
            "Unlock a copy: openssl pkey -in FILE -out NEWFILE; chmod 600 it, and give that one.",
        )
    packed = re.sub(r"\s", "", body)
    if not found[0].endswith("-----") or not packed:
        raise UsageError(f"The {what} is cut off: its END line is missing.", "Copy the whole file.")
    try:
        base64.b64decode(packed, validate=True)
    except binascii.Error:
        raise _damaged(what) from None
    return label, _armour(label, packed).encode()


def _text(text: str | bytes, what: str) -> str:
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-16" if text[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
        except UnicodeDecodeError:
            raise UsageError(
                f"The {what} is no text; a PEM file is wanted, which begins with -----BEGIN.",
                "A DER file becomes one with: openssl pkey -inform DER -in FILE -out NEWFILE",
            ) from None
    return text.replace("\\r", "").replace("\\n", "\n")  # environment variables carry them as two characters


def _armour(label: str, body: str) -> str:
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))


_KINDS = {
    "PRIVATE KEY": "a private key",
    "RSA PRIVATE KEY": "a private key",
    "EC PRIVATE KEY": "a key of another kind (EC)",
    "OPENSSH PRIVATE KEY": "a key for SSH",
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "DH PARAMETERS": "Diffie-Hellman parameters",
    "X9.42 DH PARAMETERS": "Diffie-Hellman parameters of another kind (X9.42)",
    "CERTIFICATE": "a certificate",
}


def _wrong_kind(what: str, label: str, wanted: str) -> UsageError:
    found = _KINDS.get(label, f"something else ({label})")
    if wanted == "private" and "PUBLIC" in label:
        fix = "Give the private file of the pair; it begins with BEGIN PRIVATE KEY and never leaves here."
    elif wanted == "public" and "PRIVATE" in label:
        fix = "Never upload it! Give the public file of the pair; it begins with BEGIN PUBLIC KEY."
    elif wanted == "dh":
        fix = "Give dhparam.pem; it begins with BEGIN DH PARAMETERS."
    else:
        fix = AGAIN
    return UsageError(f"Where the {what} should be, there is {found}.", fix)


def _no_pem(clean: str, what: str) -> UsageError:
    if clean.lstrip("\ufeff \t\r\n").startswith("ssh-"):
        return _wrong_kind(what, "OPENSSH PRIVATE KEY", "")
    how = "is empty" if not clean.strip("\ufeff \t\r\n") else "is no PEM file: it has no -----BEGIN line"
    return UsageError(f"The {what} {how}.", AGAIN)


def _damaged(what: str) -> UsageError:
    return UsageError(
        f"The {what} is damaged: between its BEGIN and END lines something is missing or changed.",
        "Copy the whole file again.",
    )


def _check_size(bits: int, what: str) -> None:
    if bits != BITS:
        raise UsageError(f"The {what} has {bits} bits; IBKR wants {BITS}.", AGAIN)


def _integers(der: bytes, what: str) -> tuple[int, int]:
    """The first two integers of a DER sequence, signed; a third (private value length) is passed over."""
    try:
        tag, body, _ = _element(der)
        first, prime, rest = _element(body)
        second, generator, _ = _element(rest)
    except IndexError:
        raise _damaged(what) from None
    if (tag, first, second) != (0x30, 2, 2) or not prime or not generator:
        raise _damaged(what)
    return int.from_bytes(prime, signed=True), int.from_bytes(generator, signed=True)


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows of the first DER element; raises IndexError when it is cut off."""
    size, start = der[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start])
    if len(der) < start + size:
        raise IndexError
    return der[0], der[start : start + size], der[start + size :]


def _integer(number: int) -> bytes:
    # One bit more than the number has: the sign, without which a prime would read as negative.
    content = number.to_bytes(number.bit_length() // 8 + 1)
    return b"\x02" + _length(len(content)) + content


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    content = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([0x80 | len(content)]) + content
