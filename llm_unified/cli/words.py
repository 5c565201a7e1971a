"""What the library says of its arguments, in the words of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["in_words_of"]


def in_words_of(options: argparse.Namespace, text: str) -> str:
    """Name the option where the library names its argument."""
    schema = getattr(options, "schema", None)
    return text.replace("response_format", f"--schema {schema}") if schema else text
