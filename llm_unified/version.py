"""The version, for whoever must not load more than that."""

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
