"""Our log, and the one redactor for everything that is written down or shown.

Libraries that print cookies at DEBUG are held at WARNING always.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

LOUD = ("httpx", "httpcore", "websockets", "twilio", "aiohttp", "asyncio", "hpack", "urllib3")

_HIDDEN = "***"
# As text: `re` keeps what it compiled, and most programs never have anything to redact.
_NAMED = r"""(?ix)
    (
      ["']? \b (?: [\w.-]*(?: password | passwd | secret | token | credential | private_?key | session_?key )
        | pwd | session(?:id)? | jsessionid | x-sess-uuid | api | xyzab(?:_am)?(?:\.login)?
        | ekx | e_pin | m1 | m2 | chlginput | response | challenge_response | pin | ocra ) \b ["']?
      \s* [=:] \s*
    )
    ( \{ [^}]* \} | "(?:[^"\\]|\\.)*" | '[^']*' | (?:bearer|basic|oauth)\s+[^\s,;]+ | [^\s,;&"'<>}]+ )
    """
_HEADER = r"(?i)\b((?:set-)?cookie|(?:proxy-)?authorization)(['\"]?\s*:\s*)[^\r\n]*"
_XML = r"<(M1|M2|B|A|s|rsapub|challenge)>[^<]*</\1>"
_LONG_HEX = r"\b[0-9a-fA-F]{32,}\b"


def redact(text: str) -> str:
    """`text` without cookies, tokens, passwords, proofs and long hex runs."""
    text = re.sub(_HEADER, rf"\1\2{_HIDDEN}", text)
    text = re.sub(_XML, rf"<\1>{_HIDDEN}</\1>", text)
    text = re.sub(_NAMED, rf"\1{_HIDDEN}", text)
    return re.sub(_LONG_HEX, _HIDDEN, text)


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def quiet_libraries() -> None:
    """Hold libraries that print cookies or bodies at WARNING."""
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)


def set_up(folder: Path, *, debug: bool = False) -> Path | None:
    """Send our log to `folder`/ibtui.log (0600, rotated at 1 MB, three kept); returns the path.

    None where nothing can be written there (a read-only or full disk): then the log goes nowhere,
    for a log is no reason not to do the work.
    """
    quiet_libraries()
    # Else a disk that fills up later would spill tracebacks over the terminal.
    logging.raiseExceptions = False
    handler, path = _handler(folder / "ibtui.log")
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger("ibtui")
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.propagate = False
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    return path


def _handler(path: Path) -> tuple[logging.Handler, Path | None]:
    # Not above: who only wants `redact` needs neither, and they take a twentieth of a login's time.
    from logging.handlers import RotatingFileHandler

    from ibtui.paths import private

    try:
        private(path.parent)
        path.touch(mode=0o600, exist_ok=True)
        return (
            RotatingFileHandler(
                path, maxBytes=1_000_000, backupCount=3, encoding="utf-8", errors="backslashreplace"
            ),
            path,
        )
    except OSError:
        return logging.NullHandler(), None
