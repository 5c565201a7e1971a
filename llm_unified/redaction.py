"""Keeps secrets and upstream echoes out of everything that people read."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["redacted_cause", "scrub"]

_DEEPEST = 16


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
    for name in ("message", "litellm_debug_info", "strerror", "filename", "os_error"):
        if isinstance(getattr(error, name, None), str):
            try:
                setattr(error, name, words)
            except AttributeError:
                return False
    # LiteLLM appends to its messages, hence `in`; UnicodeError and pydantic's errors ignore `args`.
    return words in str(error) and len(str(error)) < len(words) + 100
