"""Log events, one per thing that went wrong: names, kinds and seconds, never content, never a secret.

Silent by default, as a library is: an application that configured structlog gets the events through it, one
that configured the standard `logging` gets them from the logger ``llm_unified``, all others get nothing.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Literal

__all__ = ["Level", "log"]

Level = Literal["debug", "info", "warning", "error"]


def log(level: Level, event: str, **fields: Any) -> None:
    """Emit one structlog event."""
    import structlog  # late: the package's import stays light

    if structlog.is_configured():
        getattr(structlog.get_logger("llm_unified"), level)(event, **fields)
    else:
        getattr(_standard_logger(), level)(event, **fields)


@functools.cache
def _standard_logger() -> Any:
    import structlog

    logger = logging.getLogger("llm_unified")
    logger.addHandler(logging.NullHandler())  # else Python's last-resort handler prints to stderr
    return structlog.wrap_logger(
        logger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.processors.LogfmtRenderer(key_order=["event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
