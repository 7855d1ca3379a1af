"""`python -m ibtui` is `ibtui`."""

import sys

from ibtui.cli import main

if __name__ == "__main__":
    sys.exit(main())
