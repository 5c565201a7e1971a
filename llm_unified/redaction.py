"""Keeps secrets and upstream echoes out of everything that people read."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["redacted_cause", "scrub"]

_DEEPEST = 16
_SAID = ("message", "litellm_debug_info")
"""Where LiteLLM's and the SDKs' exceptions keep their text, which their ``__str__`` reads."""


def scrub(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every known secret replaced by ``***``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def redacted_cause(error: BaseException | None) -> BaseException | None:
    """A foreign exception made fit to be a ``__cause__``: its type stays, its words and frames go.

    A vendor's error text can echo the key, the ``Authorization`` header or the prompt, and Python prints
    the text of every cause in a traceback; error trackers print the variables of its frames. So the text is
    replaced by the type's name (and HTTP status), and the traceback is dropped, along the whole chain.
    """
    current, above, depth = error, None, 0
    while current is not None and depth < _DEEPEST:
        if not _muted(current):
            if above is None:
                return None
            above.__cause__, above.__context__ = None, None  # this one cannot be muted: cut it off
            break
        current.__traceback__ = None
        above, depth = current, depth + 1
        current = current.__cause__ or current.__context__
    return error


def _muted(error: BaseException) -> bool:
    words = type(error).__name__
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        words += f" (HTTP {status})"
    words += ", its text withheld: it may echo secrets"
    error.args = (words,)
    # Whatever else it carries (an SDK's errors: request, response and body) is not needed to know what it was.
    carried = vars(error)
    carried.pop("__notes__", None)
    for name, value in carried.items():
        if value is not None and not isinstance(value, bool | int | float):
            carried[name] = words if name in _SAID else None
    if isinstance(error, OSError):
        error.strerror = error.filename = None
    # LiteLLM appends to its messages, hence `in`; UnicodeError and pydantic's errors ignore `args`.
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - its class needs what was taken from it
        return False
    return words in said and len(said) < len(words) + 100
