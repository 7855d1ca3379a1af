"""The same terminal for every picture."""

from tests.pilot.conftest import same_terminal

__all__ = ["same_terminal"]
