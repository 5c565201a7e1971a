"""Attempts as Prometheus metrics: names, kinds, seconds and tokens, never content. Extra ``[prometheus]``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llm_unified.errors import ConfigurationError
from llm_unified.observe.events import AttemptEnded
from llm_unified.observe.publisher import Source

__all__ = ["export_prometheus"]

_BUCKETS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_metrics: Final[dict[int, _Metrics]] = {}  # by registry: a metric can be registered once


def export_prometheus(service: Source, registry: Any = None) -> Callable[[], None]:
    """Count and time every attempt in ``registry`` (default: the global one); returns what ends it.

    Pings too, labelled so. Several services may share one registry.

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
    return service.subscribe(_metrics[id(registry)].note, only=(AttemptEnded,), inline=True)


class _Metrics:
    def __init__(self, prometheus: Any, registry: Any) -> None:
        def counter(name: str, help_: str, *labels: str) -> Any:
            return prometheus.Counter(f"llm_unified_{name}", help_, labels, registry=registry)

        def histogram(name: str, help_: str, *labels: str) -> Any:
            return prometheus.Histogram(
                f"llm_unified_{name}", help_, labels, registry=registry, buckets=_BUCKETS_SECONDS
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

    def note(self, event: AttemptEnded) -> None:
        attempt, users = event.attempt, event.operation != "ping"
        if not attempt.sent:
            return
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
