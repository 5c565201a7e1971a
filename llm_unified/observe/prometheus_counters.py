"""Events as Prometheus counters and histograms. No label has a value that the configuration, or a closed list, does not."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from llm_unified.forksafe import ForkSafeLock, after_fork
from llm_unified.observe.events import (
    AttemptEnded,
    BreakerChanged,
    CallEnded,
    CallStarted,
    CooledDown,
    Event,
    FellBack,
    Misconfigured,
    QuotaSpent,
    Reloaded,
)

__all__ = ["Counters"]

_SERVICE: Final = "llm_service"
_PENDING: Final = 128
"""So many attempts and calls wait until they are counted, at the next scrape at the latest."""
_MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Set: others read the counters in files, whenever they like, so nothing waits."""
_ANSWERED: Final = ("answered", "interrupted")

_COUNTERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "calls": (
        "Calls that ended, by who answered",
        ("operation", "stream", "outcome", "provider", "fallback", "kind"),
    ),
    "fallbacks": (
        "Times that another provider was asked",
        ("operation", "source", "target", "kind"),
    ),
    "attempts": (
        "Requests sent",
        ("provider", "deployment", "operation", "stream", "outcome", "kind"),
    ),
    "tokens": (
        "Tokens, those of rejected answers included",
        ("provider", "operation", "direction"),
    ),
    "cached_tokens": ("Of the input tokens: from the provider's cache", ("provider", "operation")),
    "reasoning_tokens": ("Of the output tokens: for reasoning", ("provider", "operation")),
    "cost_usd": ("US dollars, where the price is known", ("provider", "operation")),
    "connections_opened": ("Connections made", ("provider", "deployment")),
    "connections_reused": ("Requests over a kept connection", ("provider", "deployment")),
    "breaker_changes": ("Changes into a state", ("provider", "deployment", "scope", "state")),
    "cooldowns": ("Times left alone for a while", ("provider", "deployment", "kind")),
    "misconfigurations": (
        "Keys and models refused, quotas spent, once until it works again",
        ("provider", "kind"),
    ),
    "reloads": ("Configurations put in force", ()),
}
_HISTOGRAMS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "call_duration_seconds": (
        "A call with all its attempts",
        ("operation", "stream", "outcome"),
    ),
    "call_first_token_seconds": ("Streams: from the call's beginning", ()),
    "attempt_duration_seconds": (
        "One request until its verdict",
        ("provider", "operation", "outcome"),
    ),
    "attempt_first_token_seconds": ("Streams: from the attempt's beginning", ("provider",)),
}


class Counters:
    """The metrics of one registry, for all its services. Safe from any thread."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        """``edges``: the buckets' upper edges in seconds."""
        import prometheus_client as prometheus

        self._metrics: dict[str, Any] = {
            name: prometheus.Counter(
                f"llm_unified_{name}", text, (_SERVICE, *labels), registry=None
            )
            for name, (text, labels) in _COUNTERS.items()
        } | {
            name: prometheus.Histogram(
                f"llm_unified_{name}", text, (_SERVICE, *labels), registry=None, buckets=edges
            )
            for name, (text, labels) in _HISTOGRAMS.items()
        }
        self._services: dict[str, _OneService] = {}

    def of(self, name: str) -> Mapping[type[Event], Callable[[Any], None]]:
        """What counts the events of the service of this name, by their type."""
        if name in self._services:
            self._services[name].settle()
        self._services[name] = service = _OneService(name, self._metrics)
        return service.handlers

    def in_flight(self, names: Collection[str]) -> dict[str, Mapping[str, int]]:
        """Calls under way by operation, of each of these services."""
        return {name: self._services[name].in_flight() for name in names}

    def describe(self) -> Iterator[Any]:
        for metric in self._metrics.values():
            yield from metric.describe()

    def collect(self) -> Iterator[Any]:
        for service in tuple(self._services.values()):
            service.settle()
        for metric in self._metrics.values():
            yield from metric.collect()


class _OneService:
    def __init__(self, name: str, metrics: Mapping[str, Any]) -> None:
        self._name, self._metrics = name, metrics
        self._children: dict[tuple[str, ...], Any] = {}
        self._open: dict[str, str] = {}
        self._lock = ForkSafeLock()
        self._pending: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._at_most = 1 if _MULTIPROCESS in os.environ else _PENDING
        self.handlers: Mapping[type[Event], Callable[[Any], None]] = {
            CallStarted: self._started,
            AttemptEnded: lambda event: self._later(self._attempt, event),
            FellBack: self._fell_back,
            BreakerChanged: self._breaker,
            CooledDown: self._cooled,
            Misconfigured: self._misconfigured,
            QuotaSpent: self._misconfigured,
            Reloaded: lambda _: self._of("reloads").inc(),
            CallEnded: self._ended,
        }
        self._of("reloads")  # the first one shall be a change from 0
        after_fork(self)

    def _later(self, count: Callable[..., None], *facts: Any) -> None:
        """Many at once cost a third of the CPU of the same ones between other work: what they touch is at hand."""
        self._pending.append((count, facts))
        if len(self._pending) >= self._at_most:
            self.settle()

    def settle(self) -> None:
        """Count what waits; whoever comes meanwhile waits until it is counted."""
        with self._lock:
            while self._pending:
                count, facts = self._pending.popleft()
                count(*facts)

    def after_fork(self) -> None:
        """In the child: the calls under way are the parent's."""
        self._open.clear()

    def in_flight(self) -> Mapping[str, int]:
        under_way = Counter(list(self._open.values()))  # a copy, at once: others change it
        return {"chat": 0, "embeddings": 0, **under_way}

    def _of(self, metric: str, *labels: str) -> Any:
        """The child of a metric. Found in a plain dictionary: prometheus_client's own way takes a lock."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._metrics[metric].labels(self._name, *labels)
        return child

    def _started(self, event: CallStarted) -> None:
        self._open[event.call_id] = event.operation

    def _ended(self, event: CallEnded) -> None:
        self._open.pop(event.call_id, None)
        labels = (
            event.operation,
            _boolean(event.stream),
            event.outcome,
            event.upstream.provider if event.outcome in _ANSWERED else "",
            _boolean(event.by_fallback),
            _kind(event),
        )
        # Without the event, which holds the answer.
        self._later(self._call, labels, event.seconds, event.first_token_seconds)

    def _call(self, labels: tuple[str, ...], seconds: float, first_token: float | None) -> None:
        self._of("calls", *labels).inc()
        self._of("call_duration_seconds", *labels[:3]).observe(seconds)
        if first_token is not None:
            self._of("call_first_token_seconds").observe(first_token)

    def _attempt(self, event: AttemptEnded) -> None:
        attempt, operation = event.attempt, event.operation
        if not attempt.sent:
            return
        provider, deployment = attempt.provider, attempt.deployment
        stream, outcome, kind = _boolean(event.stream), attempt.outcome, _kind(attempt)
        self._of("attempts", provider, deployment, operation, stream, outcome, kind).inc()
        self._of("attempt_duration_seconds", provider, operation, outcome).observe(attempt.seconds)
        if attempt.first_token_seconds is not None:
            self._of("attempt_first_token_seconds", provider).observe(attempt.first_token_seconds)
        if (usage := attempt.usage) is not None:
            self._add(usage.prompt_tokens, "tokens", provider, operation, "input")
            self._add(usage.completion_tokens, "tokens", provider, operation, "output")
            self._add(usage.cached_tokens, "cached_tokens", provider, operation)
            self._add(usage.reasoning_tokens, "reasoning_tokens", provider, operation)
        if attempt.cost_usd is not None:
            self._add(attempt.cost_usd, "cost_usd", provider, operation)
        self._add(event.connections_opened, "connections_opened", provider, deployment)
        self._add(event.connections_reused, "connections_reused", provider, deployment)

    def _add(self, amount: float, *key: str) -> None:
        """The first 0 makes the series, so that what follows is an increase; the others cost nothing."""
        if amount or key not in self._children:
            self._of(*key).inc(amount)

    def _fell_back(self, event: FellBack) -> None:
        self._of("fallbacks", event.operation, event.source, event.target, _kind(event)).inc()

    def _breaker(self, event: BreakerChanged) -> None:
        self._of(
            "breaker_changes", event.provider, event.deployment, event.scope, event.after
        ).inc()

    def _cooled(self, event: CooledDown) -> None:
        self._of("cooldowns", event.provider, event.deployment, _kind(event)).inc()

    def _misconfigured(self, event: Misconfigured | QuotaSpent) -> None:
        self._of("misconfigurations", event.attempt.provider, _kind(event.attempt)).inc()


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _kind(of: Any) -> str:
    return "" if of.kind is None else of.kind.value
