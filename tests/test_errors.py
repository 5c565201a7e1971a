"""What all errors have in common."""

from __future__ import annotations

import pickle

import pytest

from llm_unified import (
    AllProvidersFailedError,
    Attempt,
    BadRequestError,
    ConfigurationError,
    DeadlineExceededError,
    FailureKind,
    LLMError,
    ServiceClosedError,
    StreamInterruptedError,
    ToolCallDelta,
    Usage,
)

TRAIL = [Attempt("openai", "m", "openai#0", "failed", FailureKind.SERVER, 500, reason="x")]
EACH: list[LLMError] = [
    ConfigurationError(["one", "two"]),
    BadRequestError("no", attempts=TRAIL, kind=FailureKind.CONTEXT_LENGTH, status=400),
    AllProvidersFailedError("nobody", attempts=TRAIL, retry_after=3.0),
    DeadlineExceededError("late", attempts=TRAIL, retry_after=None),
    StreamInterruptedError(
        "broke",
        kind=FailureKind.CONNECTION,
        partial_text="half",
        tool_calls=[ToolCallDelta(0, "id", "f", "{")],
        usage=Usage(1, 2, 3),
        attempts=TRAIL,
    ),
    ServiceClosedError("closed"),
]


@pytest.mark.parametrize("error", EACH, ids=lambda e: type(e).__name__)
def test_an_error_survives_pickling_whole(error: LLMError) -> None:
    """Worker pools send what was raised to the parent process."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.attempts == error.attempts
