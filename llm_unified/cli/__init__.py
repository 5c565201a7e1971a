"""``llm-unified``: what an operator types. One module per command; each is imported when it runs.

Exit codes: 0 well; 1 a provider is down, or nobody answered; 2 something given is wrong: the
configuration, an option, a file, the request; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from llm_unified.cli.output import Output, WrongInputError
from llm_unified.cli.parser import build_parser
from llm_unified.cli.words import in_words_of
from llm_unified.errors import BadRequestError, ConfigurationError, LLMError
from llm_unified.response import FailureKind

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

DOWN: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141  # as a shell reports a program that SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        sys.stdout.write(parser.format_help())
        return WRONG
    out = Output(as_json=options.json)
    command = import_module(f"llm_unified.cli.{options.command}")
    try:
        code: int = command.run(options, out)
        out.flush()
    except ConfigurationError as error:
        out.failure("configuration", error.problems)
        code = WRONG
    except WrongInputError as error:
        out.failure(options.command, [str(error)])
        code = WRONG
    except BadRequestError as error:
        out.failure("request", [in_words_of(options, str(error))])
        code = WRONG
    except LLMError as error:
        trail = [str(attempt) for attempt in error.attempts] or [str(error)]
        trail = [in_words_of(options, text) for text in trail]
        out.failure("no answer", trail, _next_step(error))
        code = DOWN
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # `llm-unified check | head -1`: nobody reads on, and that is fine
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    return code


def _next_step(error: LLMError) -> str:
    """Return what to do when nobody answered: a refused key does not get better by waiting."""
    attempts = error.attempts
    if attempts and all("response_format" in attempt.reason for attempt in attempts):
        return "Another model (-m) or provider (-p), or a simpler schema, may do better."
    refused = dict.fromkeys(a.provider for a in attempts if a.kind is FailureKind.AUTH)
    if not refused:
        wait: float | None = getattr(error, "retry_after", None)
        soon = "" if wait is None else f"Worth asking again in {wait:.0f} s. "
        return f"{soon}`llm-unified ping` asks each provider."
    others = [a.retry_after for a in attempts if a.kind is not FailureKind.AUTH and a.retry_after]
    soon = f"Worth asking again in {min(others):.0f} s. " if others else ""
    return f"{soon}The key of {', '.join(refused)} was refused: see llm-unified ping."
