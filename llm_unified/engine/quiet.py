"""LiteLLM's loggers say nothing of our requests: at INFO and DEBUG they print parameters, prompts and answers.

What this does to the process: the loggers named below get a filter, once. It lets everything pass that is not
logged inside of `quiet`, so an application's own calls of LiteLLM log as ever.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

__all__ = ["quiet"]

_LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "openai", "openai._base_client")
_quiet: Final[ContextVar[bool]] = ContextVar("llm_unified_quiet", default=False)


def _passes(_record: logging.LogRecord) -> bool:
    return not _quiet.get()


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_passes)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is logged inside, in tasks begun here too, is printed."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)
