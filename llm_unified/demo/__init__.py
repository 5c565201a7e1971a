"""The main job as one program: ``llm-unified demo``, and ``examples/test_llm_service.py``.

`cast` chooses who plays, `play` makes claims and checks them, `llm_unified.cli.demo` shows them.
"""

import sys

__all__ = ["main"]


def main() -> int:
    """Run ``llm-unified demo`` with the arguments of this process; return its exit code."""
    from llm_unified.cli import main as command

    return command(["demo", *sys.argv[1:]])
