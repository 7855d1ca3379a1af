"""httpx without its own command line, which would bring rich and click: a third of what it takes to import.

`core.proxied` takes httpx from here.
"""

from __future__ import annotations

import sys

_CLI = "httpx._main"

_there = _CLI in sys.modules
if not _there:
    # The import system reads None as 'not installed'; httpx is made for that.
    sys.modules[_CLI] = None  # type: ignore[assignment]
try:
    import httpx
finally:
    if not _there:
        del sys.modules[_CLI]

__all__ = ["httpx"]
