"""``llm-unified``: what an operator types. One module per command; each is imported when it runs.

Exit codes: 0 well; 1 a provider is down, or nobody answered; 2 something given is wrong: the
configuration, an option, a file, the request; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from llm_unified.cli.commands import cli
from llm_unified.cli.parsing import PROGRAM, explained
from llm_unified.cli.runner import INTERRUPTED, WRONG

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``None`` takes the arguments of the process."""
    given = None if arguments is None else list(arguments)
    try:
        code: int | None = cli.main(given, prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        sys.stderr.write(explained(error))
        return WRONG
    except click.Abort:
        return INTERRUPTED
    return code or 0
