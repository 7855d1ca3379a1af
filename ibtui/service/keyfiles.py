"""The five files of an OAuth 1.0a registration: their names, one set in memory, a folder read and written.

Names are IBKR's (oauth.md §2). Synchronous, for callers in threads.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from ibtui import given, paths
from ibtui.auth import files, keys
from ibtui.errors import IbtuiError, UsageError
from ibtui.secret import Secret

PRIVATE_SIGNATURE, PUBLIC_SIGNATURE = "private_signature.pem", "public_signature.pem"
PRIVATE_ENCRYPTION, PUBLIC_ENCRYPTION = "private_encryption.pem", "public_encryption.pem"
DHPARAM = "dhparam.pem"
UPLOADS = {
    PUBLIC_SIGNATURE: "Public Signing Key",
    PUBLIC_ENCRYPTION: "Public Encryption Key",
    DHPARAM: "Diffie-Hellman Parameters",
}
"""The files to upload, and where on IBKR's page."""
NAMES = (PRIVATE_SIGNATURE, PUBLIC_SIGNATURE, PRIVATE_ENCRYPTION, PUBLIC_ENCRYPTION, DHPARAM)
_LONGEST = 64 * 1024
_WORKSHOP = ".keys."
_LEFT_S = 600.0
"""Writing five files takes no such time: whoever made the folder is dead."""


@dataclass(frozen=True)
class KeySet:
    """Two private keys (PEM) and the prime; everything else is made from them."""

    signature: Secret
    encryption: Secret
    prime: int

    @cached_property
    def signature_key(self) -> rsa.RSAPrivateKey:
        """The signing key, loaded."""
        return keys.read_private_key(self.signature.reveal(), "private signing key")

    @cached_property
    def encryption_key(self) -> rsa.RSAPrivateKey:
        """The encryption key, loaded."""
        return keys.read_private_key(self.encryption.reveal(), "private encryption key")

    @cached_property
    def uploads(self) -> dict[str, str]:
        """The three public files by name."""
        return {
            PUBLIC_SIGNATURE: keys.public_pem(self.signature_key),
            PUBLIC_ENCRYPTION: keys.public_pem(self.encryption_key),
            DHPARAM: keys.dh_pem(self.prime),
        }

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """What may be shown of them, by the name of the public file."""
        return {
            PUBLIC_SIGNATURE: keys.fingerprint(self.signature_key),
            PUBLIC_ENCRYPTION: keys.fingerprint(self.encryption_key),
            DHPARAM: keys.prime_fingerprint(self.prime),
        }

    def check(self) -> None:
        """Two keys of the right size, and different; the prime's size (that it is prime takes longer).

        Raises:
            UsageError: something of it is wrong.
        """
        keys.check_differ(self.signature_key, self.encryption_key)
        keys.check_prime_size(self.prime)


def there(folder: Path) -> list[str]:
    """Which of the five files a folder holds."""
    return [name for name in NAMES if os.path.lexists(folder / name)]


def refuse_existing(folder: Path, go_on: str = "") -> None:
    """Keys are never overwritten: a registration at IBKR may hang on them.

    `go_on`: the command that uses those that are there.

    Raises:
        UsageError: one of the five is there; says how to go on.
    """
    found = there(folder)
    if found:
        go_on = go_on or f"ibtui oauth configure --import '{folder}'"
        raise UsageError(
            f"{folder} already holds {', '.join(found)}; nothing was made or overwritten.",
            f"Use them: {go_on}. Or make others in a folder of their own: ibtui oauth keygen --folder NEW",
        )


def refuse_place(folder: Path) -> None:
    """Where keys cannot be written; asked before minutes are spent on making them.

    Raises:
        UsageError: it is no folder and cannot become one, or others may write to it.
    """
    there = next(it for it in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(it))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"Keys cannot be written to {folder}.", "Name another folder: --folder NEW")
    if there == folder.absolute():
        files.check_folder(folder, strict=False)


def write(folder: Path, made: KeySet) -> None:
    """Write the five files (0600; a new folder 0700), all or none of them.

    Raises:
        UsageError: one exists already, or others may write to the folder.
        IbtuiError: the disk said no; nothing is left of it.
    """
    sweep(folder)
    refuse_existing(folder)
    content = {
        PRIVATE_SIGNATURE: made.signature.reveal(),
        PRIVATE_ENCRYPTION: made.encryption.reveal(),
        **made.uploads,
    }
    try:
        if not folder.exists():
            paths.private(folder)
        files.check_folder(folder, strict=False)
        _put(folder, content)
    except FileExistsError:
        refuse_existing(folder)
        raise IbtuiError(f"{folder} is not a folder.", "Name another one: --folder NEW") from None
    except OSError as error:
        raise IbtuiError(
            f"The keys could not be written to {folder}: {error.strerror}.", "Nothing was left there."
        ) from None


def _put(folder: Path, content: dict[str, str]) -> None:
    """Whole files first in a folder of their own, then under their names: a link never overwrites."""
    linked: list[Path] = []
    workshop = Path(tempfile.mkdtemp(dir=folder, prefix=_WORKSHOP))
    try:
        for name, text in content.items():
            paths.write_private(workshop / name, text.encode())
        for name in content:
            os.link(workshop / name, folder / name)
            linked.append(folder / name)
    except BaseException:
        for path in linked:
            path.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove workshops of ours that a process which was killed has left: private keys lie in them.

    Young ones may be at work, and what looks otherwise than we make it is not ours.
    """
    for left in folder.glob(f"{_WORKSHOP}*"):
        try:
            if _forsaken(left):
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # somebody else was quicker


def _forsaken(workshop: Path) -> bool:
    found = workshop.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return False
    # The atomic writer makes names of its own out of ours.
    ours = all(it.name.lstrip(".").startswith(NAMES) for it in workshop.iterdir())
    return ours and found.st_mtime < time.time() - _LEFT_S


def read(folder: Path) -> tuple[KeySet, list[str]]:
    """The keys in a folder and remarks about it; public files that are there must fit the private ones.

    Raises:
        UsageError: a file is missing, wrong, or belongs to another key.
    """
    remarks: list[str] = []
    texts = {name: content_of(folder / name, remarks) for name in there(folder)}
    missing = [it for it in (PRIVATE_SIGNATURE, PRIVATE_ENCRYPTION, DHPARAM) if it not in texts]
    if missing:
        raise UsageError(
            f"{folder} has no {' and no '.join(missing)}.",
            f"A set is these: {PRIVATE_SIGNATURE}, {PRIVATE_ENCRYPTION}, {DHPARAM}."
            " ibtui oauth keygen makes a new one.",
        )
    signature = keys.read_private_key(texts[PRIVATE_SIGNATURE], f"private signing key ({PRIVATE_SIGNATURE})")
    encryption = keys.read_private_key(
        texts[PRIVATE_ENCRYPTION], f"private encryption key ({PRIVATE_ENCRYPTION})"
    )
    prime, _ = keys.read_dh(texts[DHPARAM])
    for name, key, what in (
        (PUBLIC_SIGNATURE, signature, "signing"),
        (PUBLIC_ENCRYPTION, encryption, "encryption"),
    ):
        if name in texts:
            keys.check_pair(key, keys.read_public_key(texts[name], f"public {what} key ({name})"), what)
    found = KeySet(Secret(keys.private_pem(signature)), Secret(keys.private_pem(encryption)), prime)
    found.check()
    return found, remarks


def content_of(path: Path, remarks: list[str] | None = None) -> bytes:
    """A file that a person hands over; a private one that others could read is remarked upon.

    Raises:
        UsageError: it cannot be read, or is no key file by its size.
    """
    try:
        content, mode = given.read(path, _LONGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Look at its name and owner.") from None
    if len(content) > _LONGEST:
        raise UsageError(f"{path} is too large for a key file.", "Is it the right one?")
    if remarks is not None and mode & 0o077 and b"PRIVATE KEY" in content:
        remarks.append(f"Others could read {path}; run: chmod 600 '{path}'")
    return content


def save_uploads(folder: Path, made: KeySet) -> list[Path]:
    """The three public files, for a browser to pick up; the same ones there already are left alone.

    Raises:
        UsageError: a file of that name holds something else. IbtuiError: the disk said no.
    """
    done: list[Path] = []
    for name, text in made.uploads.items():
        path = folder / name
        if os.path.lexists(path):
            if content_of(path) != text.encode():
                raise UsageError(f"{path} exists already and is another one.", "Name another folder.")
        else:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                paths.write_private(path, text.encode())
            except OSError as error:
                raise IbtuiError(f"{path} could not be written: {error.strerror}.", "Name another.") from None
        done.append(path)
    return done
