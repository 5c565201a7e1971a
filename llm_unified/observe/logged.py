"""Events as log lines: the names and fields of docs/logs.md. Never content, never a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from llm_unified.errors import LLMError
from llm_unified.logs import Level, log, wanted
from llm_unified.observe import events as e
from llm_unified.observe.publisher import Publisher
from llm_unified.response import Attempt, FailureKind

__all__ = ["log_events"]


def log_events(publisher: Publisher) -> None:
    """Log what is worth a line."""
    for kind, writer in _WRITERS.items():
        publisher.subscribe(writer, only=(kind,), inline=True)


def _attempt_ended(event: e.AttemptEnded) -> None:
    attempt = event.attempt
    if attempt.adapted:
        log(
            "debug",
            "request_adapted",
            call_id=event.call_id,
            **_who(attempt),
            changes="; ".join(attempt.adapted),
        )
    failed = attempt.outcome == "failed" and attempt.sent and not attempt.stale
    # A probe of the connection whose key is refused comes again and again, and decides nothing.
    undecided = event.operation == "ping" and attempt.kind is FailureKind.AUTH
    if failed and not event.misconfigured and not undecided:
        _failed("warning", "attempt_failed", event, attempt, event.cooldown_seconds)


def _misconfigured(event: e.Misconfigured | e.QuotaSpent) -> None:
    attempt, cooldown = event.attempt, event.cooldown_seconds
    _failed("error", "provider_misconfigured", event, attempt, cooldown)


def _failed(
    level: Level,
    name: str,
    event: e.AttemptEnded | e.Misconfigured | e.QuotaSpent,
    attempt: Attempt,
    cooldown: float,
) -> None:
    log(
        level,
        name,
        call_id=event.call_id,
        operation=event.operation,
        **_who(attempt),
        kind=str(attempt.kind),
        status=attempt.status,
        reason=attempt.reason,
        seconds=round(attempt.seconds, 4),
        cooldown_seconds=round(cooldown, 3),
    )


def _breaker_changed(event: e.BreakerChanged) -> None:
    log(
        "warning" if event.after == "open" else "info",
        "breaker_changed",
        call_id=event.call_id,
        provider=event.provider,
        deployment=event.deployment,
        scope=event.scope,
        before=event.before,
        after=event.after,
        kind=None if event.kind is None else str(event.kind),
        seconds=round(event.seconds, 3),
    )


def _reloaded(event: e.Reloaded) -> None:
    log("info", "reloaded", chain=list(event.chain), pool_size=event.pool_size)


def _call_ended(event: e.CallEnded) -> None:
    attempts = event.attempts
    if event.outcome == "answered":
        if event.by_fallback:
            # While the first cools down nothing new happens, call after call.
            log(
                "warning" if len(attempts) > 1 else "info",
                "fallback",
                call_id=event.call_id,
                operation=event.operation,
                wanted=event.chain[0],
                answered=event.upstream.provider,
                attempts=len(attempts),
                seconds=_seconds(attempts),
            )
        if wanted("debug"):
            log("debug", "call_answered", **_call(event), **_spent(event))
    elif event.outcome == "cancelled":
        if wanted("debug"):
            log("debug", "call_cancelled", **_call(event), **_spent(event))
    elif isinstance(event.error, LLMError):
        log(
            "error",
            "call_failed",
            **_call(event),
            error=type(event.error).__name__,
            attempts=[f"{a.deployment} {a.kind or a.outcome}" for a in attempts],
        )


def _call(event: e.CallEnded) -> dict[str, object]:
    return {
        "call_id": event.call_id,
        "operation": event.operation,
        "stream": event.stream,
        "seconds": round(event.seconds, 4),
    }


def _spent(event: e.CallEnded) -> dict[str, object]:
    usage, first = event.usage, event.first_token_seconds
    return {
        "provider": event.upstream.provider,
        "deployment": event.upstream.deployment,
        "model": event.upstream.model,
        "attempts": len(event.attempts),
        "first_token_seconds": None if first is None else round(first, 4),
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
        "cost_usd": event.cost_usd,
    }


def _who(attempt: Attempt) -> dict[str, str]:
    return {
        "provider": attempt.provider,
        "deployment": attempt.deployment,
        "model": attempt.model,
    }


def _seconds(attempts: Sequence[Attempt]) -> float:
    return round(sum(a.seconds for a in attempts), 4)


_WRITERS: Final[Mapping[type[e.Event], Callable[[Any], None]]] = {
    e.AttemptEnded: _attempt_ended,
    e.Misconfigured: _misconfigured,
    e.QuotaSpent: _misconfigured,
    e.BreakerChanged: _breaker_changed,
    e.Reloaded: _reloaded,
    e.CallEnded: _call_ended,
}
