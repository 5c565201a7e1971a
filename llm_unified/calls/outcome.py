"""How a call ends that nobody answered: its error, in words for whoever reads them at three in the morning."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from llm_unified.calls.request import Trail
from llm_unified.errors import AllProvidersFailedError, BadRequestError, DeadlineExceededError
from llm_unified.failures.classify import Failure
from llm_unified.providers import provider_row
from llm_unified.redaction import redacted_cause
from llm_unified.response import FailureKind as K

__all__ = ["nobody_answered", "refused"]

_NEXT_STEPS: Final[Mapping[K, tuple[str, str]]] = MappingProxyType(
    {
        K.AUTH: ("api_key", "renew {}"),
        K.QUOTA: ("api_keys", "top up the account, or add a key of another in {}"),
        K.RATE_LIMIT: ("api_keys", "wait, or add keys in {}"),
        K.NOT_FOUND: ("model", "correct {}"),
        K.CONNECTION: ("base_url", "check {} and the network"),
    }
)
"""Per kind: the setting that its operator can turn, and how."""


def _next_steps(trail: Trail) -> str:
    """What an operator can do about those who failed, in one sentence."""
    steps: dict[str, None] = {}
    for attempt in trail.attempts:
        row = provider_row(attempt.provider)
        if attempt.kind is K.TIMEOUT:
            steps["LLM_TIMEOUT and LLM_DEADLINE say how long to wait"] = None
        elif attempt.kind is K.CONTEXT_LENGTH:
            steps["shorten the conversation, or add a model with a larger window"] = None
        elif attempt.kind is not None and attempt.kind in _NEXT_STEPS:
            setting, words = _NEXT_STEPS[attempt.kind]
            name = row.variable(setting) or f"`{setting}` of {attempt.provider}"
            steps[words.format(name)] = None
    return f". Next: {'; '.join(steps)}" if steps else ""


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
            f"no answer within the deadline of {trail.deadline:g} s; the time went to: {said}{_next_steps(trail)}",
            attempts=trail.attempts,
            retry_after=wait,
        )
    else:
        spent = time.monotonic() - trail.started
        error = AllProvidersFailedError(
            f"no provider answered (after {spent:.2f} s): {said}{_next_steps(trail)}",
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
