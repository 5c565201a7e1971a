"""How a call ends that nobody answered: its error, in words for whoever reads them at three in the morning."""

from __future__ import annotations

import time

from llm_unified.calls.request import Trail
from llm_unified.errors import AllProvidersFailedError, BadRequestError, DeadlineExceededError
from llm_unified.failures.classify import Failure
from llm_unified.redaction import redacted_cause

__all__ = ["nobody_answered", "refused"]


def nobody_answered(
    trail: Trail, soonest: tuple[str, float, bool] | None
) -> AllProvidersFailedError:
    """``soonest``: ``(provider, seconds, asked_for)`` of who is back first."""
    said = "; ".join(str(a) for a in trail.attempts) or "nobody could be asked"
    wait = soonest[1] if soonest is not None and soonest[1] > 0 else None
    if wait is None:
        wishes = (a.retry_after for a in trail.attempts if a.retry_after is not None)
        wait = min(wishes, default=None)
    if trail.remaining <= 0.0:
        error: AllProvidersFailedError = DeadlineExceededError(
            f"no answer within the deadline of {trail.deadline:g} s; the time went to: {said}",
            attempts=trail.attempts,
            retry_after=wait,
        )
    else:
        spent = time.monotonic() - trail.started
        error = AllProvidersFailedError(
            f"no provider answered (after {spent:.2f} s): {said}",
            attempts=trail.attempts,
            retry_after=wait,
        )
    error.__cause__ = redacted_cause(trail.cause)
    return error


def refused(trail: Trail, failure: Failure) -> BadRequestError:
    """The request is wrong; another provider would say the same."""
    last = trail.attempts[-1]
    error = BadRequestError(
        f"{last.provider} refused the request: {last}",
        attempts=trail.attempts,
        kind=failure.kind,
        status=failure.status,
    )
    error.__cause__ = redacted_cause(trail.cause)
    return error
