"""Prometheus metrics of one service, or of several in one registry. Extra ``[prometheus]``.

`prometheus_counters` counts events as they happen, `prometheus_gauges` reads how things stand when somebody
scrapes. docs/observability.md lists all metrics.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from llm_unified.errors import ConfigurationError
from llm_unified.observe.prometheus_counters import Counters
from llm_unified.observe.prometheus_gauges import Scraped, families

__all__ = ["export_prometheus"]

_FIRST_EDGE: Final = 0.01
_LAST_EDGE: Final = 120.0
"""Seconds; the default deadline. There is at least one bucket for what took longer."""
_collectors: Final[weakref.WeakKeyDictionary[Any, _Collector]] = weakref.WeakKeyDictionary()
"""By registry, for a metric can be registered once. A registry that is gone takes its own along."""


def export_prometheus(
    service: Scraped, registry: Any = None, *, name: str = ""
) -> Callable[[], None]:
    """Put the metrics of ``service`` into ``registry`` (default: the global one); returns what ends it.

    Services in one registry stay apart by the label ``llm_service``, which is their ``name``; Prometheus
    drops the label where that is empty. The name of a service that was closed is free again, and the
    counters under it go on. After the end the counters stay as they are, and the gauges are gone.

    Raises:
        ConfigurationError: the package prometheus-client is missing, or the registry has an open service of
            that name.
    """
    try:
        import prometheus_client as prometheus
    except ImportError:
        raise ConfigurationError(
            "Prometheus metrics need a package: pip install 'llm-unified[prometheus]'"
        ) from None
    registry = prometheus.REGISTRY if registry is None else registry
    collector = _collectors.get(registry)
    if collector is None:
        collector = _Collector(_edges(service.settings.deadline))
        registry.register(collector)
        _collectors[registry] = collector
    return collector.add(service, name)


def _edges(deadline: float) -> tuple[float, ...]:
    """Upper edges in seconds, each twice the one before, like the GenAI conventions' buckets, beyond the deadline."""
    longest = max(deadline, _LAST_EDGE)
    doubled = itertools.accumulate(itertools.repeat(2.0), float.__mul__, initial=_FIRST_EDGE)
    below = list(itertools.takewhile(lambda edge: edge <= longest, doubled))
    return (*below, below[-1] * 2)


class _Collector:
    """What one registry has of us. It knows services weakly: a registry keeps none alive."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        self._counters = Counters(edges)
        self._services: dict[str, weakref.ref[Scraped]] = {}

    def add(self, service: Scraped, name: str) -> Callable[[], None]:
        known = self._services.get(name)
        other = None if known is None else known()
        if other is not None and not other.closed:
            raise ConfigurationError(
                f"this registry has an open service named {name!r}: give each a name of its own, "
                "export_prometheus(service, registry, name=…)"
            )
        self._services[name] = mine = weakref.ref(service)
        ends = [
            service.subscribe(handler, only=(kind,), inline=True)
            for kind, handler in self._counters.of(name).items()
        ]

        def end() -> None:
            for unsubscribe in ends:
                unsubscribe()
            if self._services.get(name) is mine:
                del self._services[name]

        return end

    def describe(self) -> Iterator[Any]:
        """All metrics, so that a registry finds another's of the same name."""
        yield from self._counters.describe()
        yield from families({}, {})

    def collect(self) -> Iterator[Any]:
        """All values, now."""
        yield from self._counters.collect()
        found = {name: service() for name, service in tuple(self._services.items())}
        open_ = {name: service for name, service in found.items() if service and not service.closed}
        yield from families(open_, self._counters.in_flight(open_))
