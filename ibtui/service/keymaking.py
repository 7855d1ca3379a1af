"""Keys and Diffie-Hellman parameters made in a process of its own: looking for a safe prime of 2048 bits
takes from seconds to minutes, and only a process can be stopped at any moment (oauth.md §3).

`python -m ibtui.service.keymaking` is that process: one JSON object a line, first what it makes
(`making`), at the end the three secrets of a set. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from ibtui import config, sources
from ibtui.auth import keys
from ibtui.errors import IbtuiError
from ibtui.secret import Secret
from ibtui.service.keyfiles import KeySet

CHILD = (sys.executable, "-P", "-m", "ibtui.service.keymaking")
SIGNING, ENCRYPTING, PRIME = "the signing key", "the encryption key", "the Diffie-Hellman parameters"
STEPS = (SIGNING, ENCRYPTING, PRIME)
LONGEST_S = 1800.0
"""Even the slow way on a small machine is through by then."""
_LINE = 64 * 1024
_SIEVE = 20_000


async def make(progress: Callable[[str], None]) -> KeySet:
    """A new set of keys. `progress` hears of each of `STEPS`; cancelling ends the process at once.

    Raises:
        IbtuiError: the process could not be started, failed, or took longer than half an hour.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *CHILD,
            stdin=asyncio.subprocess.PIPE,  # never written to: its end is how the child learns of ours
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=sources.scrubbed(config.environment()),
            start_new_session=True,
            limit=_LINE,
        )
    except OSError as error:
        raise IbtuiError(f"The process that makes keys cannot be started: {error.strerror}.") from None
    try:
        async with asyncio.timeout(LONGEST_S):
            return await _listen(process, progress)
    except TimeoutError:
        raise IbtuiError("No safe prime was found within half an hour.", "Try again.") from None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _listen(process: asyncio.subprocess.Process, progress: Callable[[str], None]) -> KeySet:
    assert process.stdout is not None
    while raw := await process.stdout.readline():
        try:
            said: dict[str, Any] = json.loads(raw)
        except ValueError:
            break
        if "making" in said:
            progress(str(said["making"]))
        else:
            return await asyncio.to_thread(_read, said)
    raise IbtuiError(
        f"The process that makes keys ended without any (exit status {await process.wait()}).", "Try again."
    )


def _read(said: dict[str, Any]) -> KeySet:
    """What comes out of the pipe is read like any file: nothing broken gets further."""
    prime, _ = keys.read_dh(said["dhparam"])
    made = KeySet(Secret(said["signature"]), Secret(said["encryption"]), prime)
    made.check()
    return made


# In the child --------------------------------------------------------------------------------


def main(bits: int = keys.BITS) -> None:
    """Make a set and print it; the work of the child process."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    _say(making=SIGNING)
    signature = keys.private_pem(keys.make_key())
    _say(making=ENCRYPTING)
    encryption = keys.private_pem(keys.make_key())
    _say(making=PRIME)
    _say(signature=signature, encryption=encryption, dhparam=keys.dh_pem(safe_prime(bits)))


def _end_with_input() -> None:
    while os.read(0, 1024):
        continue
    os._exit(1)  # whoever wanted the keys has gone


def _say(**words: str) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def safe_prime(bits: int = keys.BITS) -> int:
    """A new safe prime for generator 2: by OpenSSL's code while `cryptography` has it, else by our own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces that finite fields will go; then our own does it
        try:
            from cryptography.hazmat.primitives.asymmetric import dh

            return dh.generate_parameters(keys.GENERATOR, bits).parameter_numbers().p
        except Exception:  # noqa: BLE001 - however it goes away, the plain way is there
            return plain_safe_prime(bits)


def plain_safe_prime(bits: int = keys.BITS) -> int:
    """The same in plain Python: p = 2q+1 and p mod 24 = 23, so that 2 generates the subgroup of order q.

    A sieve over a stretch of candidates leaves few for the costly tests.
    """
    small = _small_primes(_SIEVE)
    while True:
        start = secrets.randbits(bits) | 3 << (bits - 2)
        start += (23 - start) % 24
        for prime in _sieved(start, small):
            half = prime >> 1
            if prime.bit_length() != bits or pow(2, half - 1, half) != 1 or pow(2, prime - 1, prime) != 1:
                continue
            if keys.probably_prime(half):
                return prime


def _sieved(start: int, small: list[int]) -> list[int]:
    """Of start, start + 24, …: those where neither p nor (p-1)/2 has a small factor."""
    good = bytearray(b"\1") * _SIEVE
    for factor in small:
        inverse = pow(24, -1, factor)
        # p = 0 and q = (p-1)/2 = 0, that is p = 1 (mod factor), are out.
        for rest in (0, 1):
            first = (rest - start) * inverse % factor
            good[first::factor] = bytes(len(range(first, _SIEVE, factor)))
    return [start + 24 * at for at in range(_SIEVE) if good[at]]


def _small_primes(limit: int) -> list[int]:
    flags = bytearray(b"\1") * limit
    for number in range(2, int(limit**0.5) + 1):
        if flags[number]:
            flags[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(5, limit) if flags[number]]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
