"""``llm-unified demo``: the whole thing at work."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from llm_unified.cli.output import WrongInputError

if TYPE_CHECKING:
    import argparse

    from llm_unified.cli.output import Output

__all__ = ["run"]


def run(options: argparse.Namespace, out: Output) -> int:
    """Hand over to the demonstration."""
    if find_spec("llm_unified.demo") is None:
        raise WrongInputError("this build has no demonstration. Try `llm-unified ask`.")
    code: int | None = import_module("llm_unified.demo").main()
    return code or 0
