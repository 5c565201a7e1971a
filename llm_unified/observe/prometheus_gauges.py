"""How things stand, read when Prometheus scrapes: nothing that changes by time alone is kept anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from llm_unified.observe.health import Status
from llm_unified.observe.publisher import Source
from llm_unified.pool.rotation import Rotation
from llm_unified.pool.upstream import Upstream
from llm_unified.settings import Settings
from llm_unified.version import __version__

__all__ = ["Scraped", "families"]

_BREAKER: Final = ("closed", "open", "half-open")


class _Dispatcher(Protocol):
    @property
    def rotation(self) -> Rotation: ...
    def sockets(self) -> Mapping[Upstream, tuple[int, int]]: ...


class Scraped(Source, Protocol):
    """What is exported: a service."""

    @property
    def settings(self) -> Settings: ...
    @property
    def closed(self) -> bool: ...
    @property
    def dispatcher_if_built(self) -> _Dispatcher | None: ...
    def status_of(self, provider: str) -> str: ...


_GAUGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "info": ("This library, and the chain of providers", ("version", "chain")),
    "deployment_info": (
        "What is configured",
        ("provider", "deployment", "vendor", "model", "server_address"),
    ),
    "provider_status": ("1 for the state that it is in", ("provider", "status")),
    "breaker_state": ("1 for the state that it is in", ("provider", "deployment", "state")),
    "cooldown_seconds": ("Until it may be asked again", ("provider", "deployment")),
    "calls_in_flight": ("Calls under way", ("operation",)),
    "connections": ("Open connections", ("provider", "deployment", "state")),
}


def families(
    services: Mapping[str, Scraped], in_flight: Mapping[str, Mapping[str, int]]
) -> Iterator[Any]:
    """All gauges with the values of these services, by name; ``in_flight``: their calls by operation."""
    from prometheus_client.core import GaugeMetricFamily

    found = {
        name: GaugeMetricFamily(f"llm_unified_{name}", text, labels=("llm_service", *labels))
        for name, (text, labels) in _GAUGES.items()
    }

    def put(metric: str, value: float, *labels: str) -> None:
        found[metric].add_metric((name, *labels), value)

    for name, service in services.items():
        put("info", 1, __version__, " ".join(service.settings.chain))
        for operation, number in in_flight[name].items():
            put("calls_in_flight", number, operation)
        dispatcher = service.dispatcher_if_built
        for provider in service.settings.chain:
            status = service.status_of(provider)
            for each in Status:
                put("provider_status", each == status, provider, each)
            for state in () if dispatcher is None else dispatcher.rotation.state(provider):
                deployment = state.deployment.id
                for word in _BREAKER:
                    put("breaker_state", state.breaker == word, provider, deployment, word)
                put("cooldown_seconds", state.cooldown_seconds, provider, deployment)
        for one, (busy, idle) in ({} if dispatcher is None else dispatcher.sockets()).items():
            where = one.server_address or ""
            put("deployment_info", 1, one.provider, one.deployment, one.vendor, one.model, where)
            put("connections", busy, one.provider, one.deployment, "busy")
            put("connections", idle, one.provider, one.deployment, "idle")
    yield from found.values()
