"""ibtui: get an Interactive Brokers Web API session up, keep it up and watch it.

`IbkrClient` is the library's front door; it is imported on first use, so that
`import ibtui` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibtui.core.client import IbkrClient

__version__ = "0.1.0"
__all__ = ["IbkrClient", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "IbkrClient":
        from ibtui.core.client import IbkrClient

        return IbkrClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
