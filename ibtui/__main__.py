"""The door: `ibtui` and `python -m ibtui`.

The two command lines that open the screen are understood here; the parser that all others need would
take a tenth of the time to the first frame.
"""

from __future__ import annotations

import sys

from ibtui import plain
from ibtui.secret import leave_no_core


def main() -> int:
    """Run one command; returns the exit status. Never a traceback."""
    leave_no_core()
    plain.open_missing()
    plain.prepare(sys.stdout, sys.stderr)
    words = sys.argv[1:]
    # Shell completion calls with no words either, but reads what is printed.
    if words in ([], ["demo"]) and sys.stdin.isatty() and sys.stdout.isatty():
        try:
            from ibtui.service.commands import terminal

            return terminal.screen(demo=bool(words))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - no traceback reaches a person
            from ibtui import cli

            return cli.told(error)
    from ibtui import cli

    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main())
