"""Log events, one per thing that went wrong: names, kinds and seconds, never content, never a secret.

Silent by default, as a library is: an application that configured structlog gets the events through it, one
that configured the standard `logging` gets them from the logger ``llm_unified``, all others get nothing, unless
they call `configure_logging`. docs/logs.md lists the events and their fields.
"""

from __future__ import annotations

import functools
import logging
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

if TYPE_CHECKING:
    from structlog.typing import Processor

__all__ = ["Level", "configure_logging", "log", "wanted"]

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_standard: Final = logging.getLogger("llm_unified")
_standard.addHandler(logging.NullHandler())  # else Python's last-resort handler prints to stderr


def configure_logging(
    *, json: bool = False, level: Level = "info", stream: TextIO | None = None
) -> None:
    """Print this library's events, one line each: for a program that has no logging of its own.

    ``json``: as JSON objects, else as ``key=value``. ``stream``: default is stderr. It touches the logger
    ``llm_unified`` only; called again it replaces what it did before. An application that configured structlog
    gets the events there, whatever is said here.

    Raises:
        ConfigurationError: there is no such level.
    """
    if level not in _LEVELS:
        from llm_unified.errors import ConfigurationError

        raise ConfigurationError(f"level={level!r} is none of {', '.join(_LEVELS)}")
    for handler in [h for h in _standard.handlers if isinstance(h, _OurHandler)]:
        _standard.removeHandler(handler)
    _standard.addHandler(_OurHandler(stream or sys.stderr))
    _standard.setLevel(_LEVELS[level])
    _standard.propagate = False  # else a root logger that is configured later prints them again
    _format.update(json=json, timed=True)


class _OurHandler(logging.StreamHandler[TextIO]):
    """So that a second call finds what the first one did."""


_format: Final = {"json": False, "timed": False}
"""A process prints its log in one way."""


def log(level: Level, event: str, **fields: Any) -> None:
    """Emit one structlog event."""
    import structlog  # late: the package's import stays light

    if structlog.is_configured():
        getattr(structlog.get_logger("llm_unified"), level)(event, **fields)
    else:
        getattr(_standard_logger(**_format), level)(event, **fields)


def wanted(level: Level) -> bool:
    """Whether anybody may listen at this level; for events that cost something to make."""
    import structlog

    return structlog.is_configured() or _standard.isEnabledFor(_LEVELS[level])


@functools.cache
def _standard_logger(*, json: bool, timed: bool) -> Any:
    import structlog

    first = ["timestamp", "level", "event"] if timed else ["event"]
    stamp: list[Processor] = [structlog.processors.TimeStamper(fmt="iso")] if timed else []
    return structlog.wrap_logger(
        _standard,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            *stamp,
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if json
            else structlog.processors.LogfmtRenderer(key_order=first, bool_as_flag=False),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
