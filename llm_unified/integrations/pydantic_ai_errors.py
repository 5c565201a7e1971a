"""Our errors as pydantic-ai's, by which its agents and its FallbackModel decide what to do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UserError

from llm_unified.errors import (
    AllProvidersFailedError,
    BadRequestError,
    ConfigurationError,
    LLMError,
    ServiceClosedError,
    StreamInterruptedError,
)

__all__ = ["pydantic_errors"]


@contextmanager
def pydantic_errors(model_name: str) -> Generator[None]:
    """Raises pydantic-ai's error where the block raises one of ours; ours is its ``__cause__``."""
    try:
        yield
    except LLMError as error:
        raise _translated(error, model_name) from error


def _translated(error: LLMError, model_name: str) -> Exception:
    status = error.status if isinstance(error, BadRequestError) else None
    if isinstance(error, ConfigurationError | ServiceClosedError):
        return UserError(str(error))
    if isinstance(error, BadRequestError) and not error.attempts:
        return UserError(str(error))
    if status is None and error.attempts:
        status = error.attempts[-1].status
    found: ModelAPIError
    if status is not None and status >= 400 and not isinstance(error, StreamInterruptedError):  # noqa: PLR2004
        attempts = [str(attempt) for attempt in error.attempts]
        found = ModelHTTPError(
            status, model_name, body={"message": str(error), "attempts": attempts}
        )
    else:
        found = ModelAPIError(model_name, str(error))
    if isinstance(error, AllProvidersFailedError):
        found.retry_after = error.retry_after
    return found
