"""The main job as one program: ``llm-unified demo``, and ``examples/test_llm_service.py``.

It runs on what is configured, and where nothing is, on the embedded model and a simulated provider.
`cast` chooses who plays, `play` makes claims and checks them, `llm_unified.cli.demo` shows them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration as the command does; return its exit code."""
    from llm_unified.cli import main as command

    return command(["demo", *(sys.argv[1:] if arguments is None else arguments)])
