"""What `UnifiedLLMService.get_stats` returns, as types: plain data, ready for JSON.

All durations are seconds, all costs US dollars. Pings count in ``connections`` alone.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = ["Connections", "Figures", "Seconds", "ServiceStats", "Stats", "Tokens"]


class Seconds(TypedDict):
    """Durations, right to ±7.5 %; ``None`` without a sample."""

    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class Tokens(TypedDict):
    """As the providers counted them, those of rejected and interrupted answers included."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    """Of the prompt."""
    cache_write_tokens: int
    """Of the prompt."""
    reasoning_tokens: int
    """Of the answer."""


class Connections(TypedDict):
    """The wire's own; pings included."""

    opened: int
    reused: int
    """Requests that went over a connection that had carried another before."""


class Figures(TypedDict):
    """Of one provider, or of one deployment."""

    calls: int
    """Calls that asked it at least once."""
    attempts: int
    answers: int
    errors: int
    errors_by_kind: dict[str, int]
    fallbacks_in: int
    """It was asked instead of another."""
    fallbacks_out: int
    """Another was asked instead. (A deployment's: after it had failed.)"""
    in_flight: int
    """Attempts under way at this moment."""
    tokens: Tokens
    cost_usd: float
    latency: Seconds
    """Of attempts that answered, whole."""
    first_token: Seconds
    """Of streams that answered."""
    connections: Connections


class Stats(TypedDict):
    """Exact at the moment a call returned. ``requests - errors = answers``, always."""

    total_requests: int
    failed_requests: int
    """Interrupted streams included."""
    interrupted_requests: int
    cancelled_requests: int
    fallback_count: int
    """Calls answered by another provider than the first of their chain."""
    in_flight: int
    """Calls under way at this moment."""
    requests_by_provider: dict[str, int]
    """Attempts sent."""
    errors_by_provider: dict[str, int]
    errors_by_kind: dict[str, dict[str, int]]
    requests_by_deployment: dict[str, int]
    latency_by_provider: dict[str, Seconds]
    first_token_by_provider: dict[str, Seconds]
    tokens_by_provider: dict[str, Tokens]
    cost_usd_by_provider: dict[str, float]
    latency: Seconds
    """Of calls that were answered, whole, with all their attempts."""
    providers: dict[str, Figures]
    deployments: dict[str, Figures]


class ServiceStats(TypedDict):
    """Of one service."""

    primary_provider: str
    fallback_providers: list[str]
    pool_size: int
    stats: Stats
