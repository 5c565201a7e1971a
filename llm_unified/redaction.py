"""Keeps secrets and upstream echoes out of everything that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["defuse", "scrub"]

_DEPTH = 16


def scrub(text: str, secrets: Iterable[str]) -> str:
    """``text`` with every known secret replaced by ``***``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def defuse(error: BaseException | None) -> BaseException | None:
    """A foreign exception made fit to be a ``__cause__``: its type stays, its words go.

    A vendor's error text can echo the key, the ``Authorization`` header or the prompt, and Python prints
    the text of every cause in a traceback. So the text is replaced by the type's name (and HTTP status),
    along the whole chain; the traceback frames stay. Attributes such as ``.response`` are left alone: they
    are only seen by a program that asks for them.
    """
    current, above, depth = error, None, 0
    while current is not None and depth < _DEPTH:
        if not _muted(current):
            if above is None:
                return None
            above.__cause__, above.__context__ = None, None  # this one cannot be muted: cut it off
            break
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
    for name in ("message", "litellm_debug_info"):
        if isinstance(getattr(error, name, None), str):
            setattr(error, name, words)
    # LiteLLM appends to its messages, hence `in`; UnicodeError and pydantic's errors ignore `args`.
    return words in str(error) and len(str(error)) < len(words) + 100
