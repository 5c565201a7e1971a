"""Attempts as Prometheus metrics or OpenTelemetry spans: names, kinds, seconds and tokens, never content.

One line each, after which every attempt of the service (pings too, labelled so) is exported inline::

    stop = export_prometheus(service)          # extra [prometheus]
    stop = export_opentelemetry(service)       # extra [otel]

Several services may share one registry. Attribute names of the spans are those of OpenTelemetry's semantic
conventions for generative AI.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from llm_unified.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_unified.response import Attempt
    from llm_unified.service import UnifiedLLMService

__all__ = ["export_opentelemetry", "export_prometheus"]

_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SEMCONV_NAMES = {"azure_openai": "azure.ai.openai"}
_metrics: dict[int, Any] = {}  # by registry: a metric can be registered once


def export_prometheus(service: UnifiedLLMService, registry: Any = None) -> Callable[[], None]:
    """Count and time every attempt in ``registry`` (default: the global one); returns what ends it.

    ``llm_unified_attempts_total{provider, deployment, outcome, kind, ping}``,
    ``llm_unified_attempt_seconds{provider, outcome}``, ``llm_unified_first_token_seconds{provider}``,
    ``llm_unified_tokens_total{provider, direction}``, ``llm_unified_cost_usd_total{provider}``.

    Raises:
        ConfigurationError: the package prometheus-client is missing.
    """
    try:
        import prometheus_client as prometheus
    except ImportError:
        raise ConfigurationError(
            "Prometheus metrics need a package: pip install 'llm-unified[prometheus]'"
        ) from None
    registry = prometheus.REGISTRY if registry is None else registry
    if id(registry) not in _metrics:
        _metrics[id(registry)] = _Metrics(prometheus, registry)
    return service.subscribe(_metrics[id(registry)].note)


class _Metrics:
    def __init__(self, prometheus: Any, registry: Any) -> None:
        def counter(name: str, help_: str, *labels: str) -> Any:
            return prometheus.Counter(f"llm_unified_{name}", help_, labels, registry=registry)

        def histogram(name: str, help_: str, *labels: str) -> Any:
            return prometheus.Histogram(
                f"llm_unified_{name}", help_, labels, registry=registry, buckets=_BUCKETS
            )

        self.registry = registry  # kept alive, so that its id stays its own
        self._attempts = counter(
            "attempts", "Requests sent", "provider", "deployment", "outcome", "kind", "ping"
        )
        self._seconds = histogram("attempt_seconds", "Until the verdict", "provider", "outcome")
        self._first = histogram("first_token_seconds", "Streams", "provider")
        self._tokens = counter(
            "tokens", "Tokens, rejected answers included", "provider", "direction"
        )
        self._cost = counter("cost_usd", "US dollars, where the price is known", "provider")

    def note(self, attempt: Attempt, users: bool) -> None:
        provider, kind = attempt.provider, str(attempt.kind or "")
        ping = str(not users).lower()
        self._attempts.labels(provider, attempt.deployment, attempt.outcome, kind, ping).inc()
        self._seconds.labels(provider, attempt.outcome).observe(attempt.seconds)
        if attempt.first_token_seconds is not None:
            self._first.labels(provider).observe(attempt.first_token_seconds)
        if attempt.usage is not None:
            self._tokens.labels(provider, "input").inc(attempt.usage.prompt_tokens)
            self._tokens.labels(provider, "output").inc(attempt.usage.completion_tokens)
        if attempt.cost_usd is not None:
            self._cost.labels(provider).inc(attempt.cost_usd)


def export_opentelemetry(
    service: UnifiedLLMService, tracer_provider: Any = None
) -> Callable[[], None]:
    """Make one client span of every attempt, a child of the caller's span; returns what ends it.

    Raises:
        ConfigurationError: the package opentelemetry-api is missing.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        raise ConfigurationError(
            "OpenTelemetry spans need a package: pip install 'llm-unified[otel]'"
        ) from None
    tracer = trace.get_tracer("llm_unified", tracer_provider=tracer_provider)

    def note(attempt: Attempt, users: bool) -> None:
        ended = time.time_ns()
        span = tracer.start_span(
            f"chat {attempt.model}" if users else f"ping {attempt.model}",
            kind=trace.SpanKind.CLIENT,
            start_time=ended - int(attempt.seconds * 1e9),
            attributes=_attributes(attempt),
        )
        if attempt.kind is not None:
            span.set_status(trace.StatusCode.ERROR, attempt.reason)
        span.end(ended)

    return service.subscribe(note)


def _attributes(attempt: Attempt) -> dict[str, Any]:
    usage = attempt.usage
    every = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _SEMCONV_NAMES.get(attempt.provider, attempt.provider),
        "gen_ai.request.model": attempt.model,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "http.response.status_code": attempt.status,
        "error.type": None if attempt.kind is None else attempt.kind.value,
        "llm_unified.deployment": attempt.deployment,
        "llm_unified.first_token_seconds": attempt.first_token_seconds,
        "llm_unified.cost_usd": attempt.cost_usd,
    }
    return {name: value for name, value in every.items() if value is not None}
