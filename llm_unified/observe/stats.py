"""Counters of one service: exact at the moment a call returns, and nobody else's.

Fed inline by the engine, once per attempt and once per call. ``requests - errors = answers`` holds per
provider at any time between calls, because both sides of an attempt are written when its verdict is known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from llm_unified.forksafe import ForkSafeLock
from llm_unified.observe.events import AttemptEnded, CallEnded, CallStarted, Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_unified.response import Attempt

__all__ = ["Histogram", "Statistics"]

_GROWTH: Final = 1.15
_FIRST: Final = 0.001
_BUCKETS: Final = 100


@dataclass(slots=True)
class Histogram:
    """Durations in seconds, in buckets that grow by 15 %: percentiles right to ±7.5 %, in 100 integers."""

    counts: list[int] = field(default_factory=lambda: [0] * (_BUCKETS + 1))
    total: int = 0
    sum: float = 0.0

    def add(self, seconds: float) -> None:
        bucket, edge = 0, _FIRST
        while seconds > edge and bucket < _BUCKETS:
            bucket, edge = bucket + 1, edge * _GROWTH
        self.counts[bucket] += 1
        self.total += 1
        self.sum += seconds

    def percentile(self, share: float) -> float | None:
        """The duration below which ``share`` (0–1) of the samples lie; ``None`` without samples."""
        if self.total == 0:
            return None
        wanted, seen = share * self.total, 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if seen >= wanted and count:
                upper = _FIRST * _GROWTH**bucket
                return upper if bucket == 0 else upper / (_GROWTH**0.5)
        return None  # pragma: no cover - the loop always returns when there are samples

    def as_dict(self) -> dict[str, float | None]:
        return {
            "mean": self.sum / self.total if self.total else None,
            "p50": self.percentile(0.50),
            "p95": self.percentile(0.95),
            "p99": self.percentile(0.99),
        }


@dataclass(slots=True)
class _Provider:
    requests: int = 0
    errors: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


class Statistics:
    """Thread-safe counters per provider and per deployment."""

    def __init__(self, providers: Sequence[str]) -> None:
        self._lock = ForkSafeLock()
        self._providers = {name: _Provider() for name in providers}
        self._deployments: Counter[str] = Counter()
        self._total = 0
        self._fallbacks = 0
        self._failed_calls = 0
        self._cancelled_calls = 0

    def keep(self, providers: Sequence[str]) -> None:
        """After a reload: new providers start at zero, the others keep their counts."""
        with self._lock:
            for name in providers:
                self._providers.setdefault(name, _Provider())

    def note(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, CallStarted):
            self._started()
        elif isinstance(event, CallEnded):
            self._ended(event)
        elif isinstance(event, AttemptEnded) and event.operation != "ping" and event.attempt.sent:
            self._attempt(event.attempt)

    def _attempt(self, attempt: Attempt) -> None:
        """Count one attempt whose verdict is known."""
        with self._lock:
            entry = self._providers.setdefault(attempt.provider, _Provider())
            entry.requests += 1
            self._deployments[attempt.deployment] += 1
            if attempt.kind is None:
                entry.seconds.add(attempt.seconds)
                if attempt.first_token_seconds is not None:
                    entry.first_token.add(attempt.first_token_seconds)
            else:
                entry.errors += 1
                entry.kinds[attempt.kind.value] += 1
            if attempt.usage is not None:
                entry.prompt_tokens += attempt.usage.prompt_tokens
                entry.completion_tokens += attempt.usage.completion_tokens
            if attempt.cost_usd is not None:
                entry.cost_usd += attempt.cost_usd

    def _started(self) -> None:
        """Count one call of the service."""
        with self._lock:
            self._total += 1

    def _ended(self, event: CallEnded) -> None:
        with self._lock:
            if event.outcome == "answered":
                self._fallbacks += event.by_fallback
            elif event.outcome == "cancelled":
                self._cancelled_calls += 1
            else:
                self._failed_calls += 1

    def as_dict(self) -> dict[str, Any]:
        """Plain data; all durations in seconds, all costs in US dollars."""
        with self._lock:
            entries = self._providers
            return {
                "total_requests": self._total,
                "failed_requests": self._failed_calls,
                "cancelled_requests": self._cancelled_calls,
                "fallback_count": self._fallbacks,
                "requests_by_provider": {n: e.requests for n, e in entries.items()},
                "errors_by_provider": {n: e.errors for n, e in entries.items()},
                "errors_by_kind": {n: dict(e.kinds) for n, e in entries.items()},
                "requests_by_deployment": dict(self._deployments),
                "latency_by_provider": {n: e.seconds.as_dict() for n, e in entries.items()},
                "first_token_by_provider": {n: e.first_token.as_dict() for n, e in entries.items()},
                "tokens_by_provider": {
                    n: {
                        "prompt_tokens": e.prompt_tokens,
                        "completion_tokens": e.completion_tokens,
                        "total_tokens": e.prompt_tokens + e.completion_tokens,
                    }
                    for n, e in entries.items()
                },
                "cost_usd_by_provider": {n: e.cost_usd for n, e in entries.items()},
            }
