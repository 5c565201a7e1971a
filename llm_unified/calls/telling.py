"""A call's own two events, and its id on whatever it ends with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_unified.errors import LLMError, StreamInterruptedError
from llm_unified.observe.events import CallEnded, CallOutcome, CallStarted
from llm_unified.response import Attempt, Embedding, LLMResponse, Usage

if TYPE_CHECKING:
    from llm_unified.calls.chain import Chain

__all__ = ["call_ended", "call_started"]


def call_started(chain: Chain) -> None:
    """Nobody has been asked yet."""
    request = chain.request
    chain.publisher.publish(
        CallStarted(
            chain.trail.call_id,
            request.operation,
            request.stream,
            request.chain,
            chain.meant,
            request.messages,
            request.params,
        )
    )


def call_ended(
    chain: Chain,
    error: BaseException | None,
    response: LLMResponse | Embedding | None = None,
) -> None:
    """Exactly once, however it ended."""
    request, trail = chain.request, chain.trail
    attempts, end = trail.attempts, trail.ended
    if isinstance(error, LLMError):
        error.call_id = trail.call_id
    outcome: CallOutcome = "answered" if error is None else _outcome(error)
    usage, cost = _spent(attempts)
    upstream = chain.meant if end is None else end.upstream
    chain.publisher.publish(
        CallEnded(
            trail.call_id,
            request.operation,
            request.stream,
            request.chain,
            outcome,
            upstream,
            tuple(attempts),
            seconds=time.monotonic() - trail.started,
            first_token_seconds=trail.first_token,
            by_fallback=outcome in ("answered", "interrupted")
            and upstream.provider != request.chain[0],
            usage=usage,
            cost_usd=cost,
            kind=attempts[-1].kind if attempts else None,
            error=error,
            response_model=None if end is None else end.response_model,
            response_id=None if end is None else end.response_id,
            finish_reason=None if end is None else end.finish_reason,
            response=response,
        )
    )


def _outcome(error: BaseException) -> CallOutcome:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return "interrupted" if isinstance(error, StreamInterruptedError) else "failed"


def _spent(attempts: Sequence[Attempt]) -> tuple[Usage | None, float | None]:
    """Tokens and US dollars of all of them, as far as they are known."""
    if len(attempts) == 1:
        return attempts[0].usage, attempts[0].cost_usd
    counted = [attempt.usage for attempt in attempts if attempt.usage is not None]
    known = [attempt.cost_usd for attempt in attempts if attempt.cost_usd is not None]
    usage = sum(counted[1:], counted[0]) if counted else None
    return usage, sum(known) if known else None
