"""Runs one command: its module is imported, and whatever it raises becomes words and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any, Final

from llm_unified.cli.output import Output, WrongInputError
from llm_unified.errors import BadRequestError, ConfigurationError, LLMError
from llm_unified.response import FailureKind

__all__ = ["INTERRUPTED", "WRONG", "run"]

DOWN: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141  # as a shell reports a program that SIGPIPE ended


def run(command: str, config: str | None, options: dict[str, Any], *, as_json: bool) -> int:
    """Run ``llm_unified.cli.<command>`` and return its exit code."""
    out = Output(as_json=as_json)
    try:
        module = import_module(f"llm_unified.cli.{command}")
        code: int = module.run(out, config, **options)
        out.flush()
    except ConfigurationError as error:
        out.failure("configuration", error.problems)
        code = WRONG
    except WrongInputError as error:
        out.failure(command, [str(error)])
        code = WRONG
    except BadRequestError as error:
        out.failure("request", [str(error)])
        code = WRONG
    except LLMError as error:
        trail = [str(attempt) for attempt in error.attempts] or [str(error)]
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
    if refused:
        others = [a for a in attempts if a.kind is not FailureKind.AUTH]
        wait = min((a.retry_after for a in others if a.retry_after), default=None)
        advice = f"The key of {', '.join(refused)} was refused: see llm-unified ping."
    else:
        wait = getattr(error, "retry_after", None)
        advice = "`llm-unified ping` asks each provider."
    return advice if wait is None else f"Worth asking again in {wait:.0f} s. {advice}"
