"""What a service exports to Prometheus: exact, bounded, apart from others', and gone with it."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import prometheus_client as prometheus
import pytest

from llm_unified import ConfigurationError, UnifiedLLMService, load_settings
from llm_unified.observability import export_prometheus
from llm_unified.testing import Simulator, faults

HELLO = [{"role": "user", "content": "the secret word is swordfish"}]
DOCS = Path(__file__).parent.parent / "docs" / "observability.md"


def service_for(sim: Simulator, *names: str, **settings: Any) -> UnifiedLLMService:
    names = names or ("openai", "groq")
    return UnifiedLLMService(load_settings(sim.environ(*names), **{"pool_size": 1, **settings}))


class Scrape:
    """All samples of a registry at one moment."""

    def __init__(self, registry: Any) -> None:
        self.samples = [sample for family in registry.collect() for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == f"llm_unified_{name}" and labels.items() <= sample.labels.items()
        )

    def by(self, name: str, *labels: str, **only: str) -> dict[Any, float]:
        """Sums by these labels (one: its value alone), of the samples that have the others; none is 0."""
        sums: dict[Any, float] = {}
        for sample in self.samples:
            if sample.name == f"llm_unified_{name}" and only.items() <= sample.labels.items():
                values = tuple(sample.labels[label] for label in labels)
                key = values[0] if len(values) == 1 else values
                sums[key] = sums.get(key, 0) + sample.value
        return {key: value for key, value in sums.items() if value}

    def labels(self, name: str) -> set[str]:
        """All values of this label."""
        return {sample.labels[name] for sample in self.samples if name in sample.labels}


async def test_calls_and_attempts_are_counted_apart(sim: Simulator) -> None:
    """A rescued call is one answered call, by fallback, and two attempts; failures have their kind."""
    registry = prometheus.CollectorRegistry()
    sim.openai.script(faults.rate_limit())
    async with service_for(sim) as service:
        export_prometheus(service, registry)
        await service.generate_response_async(HELLO)
        async for _ in service.stream_response_async(HELLO):
            pass
    found = Scrape(registry)
    chat = {"operation": "chat", "stream": "false"}
    assert found("calls_total") == 2
    assert found("calls_total", outcome="answered", provider="groq", fallback="true", **chat) == 1
    assert found("calls_total", stream="true", outcome="answered") == 1
    assert found("call_duration_seconds_count", outcome="answered") == 2
    assert found("call_first_token_seconds_count") == 1
    assert found("fallbacks_total", source="openai", target="groq", kind="rate_limit") == 1
    assert (
        found("attempts_total", provider="openai", outcome="failed", kind="rate_limit", **chat) == 1
    )
    assert found("attempt_duration_seconds_count", provider="groq", outcome="answered") == 2
    assert found("attempt_first_token_seconds_count", provider="groq") == 1
    assert found("cooldowns_total", deployment="openai#0", kind="rate_limit") == 1
    assert found("tokens_total", provider="groq", direction="output") > 0
    assert found("cost_usd_total", provider="groq") > 0
    assert found("connections_opened_total") == 2
    assert found("connections_reused_total", provider="groq") == 1
    assert "swordfish" not in prometheus.generate_latest(registry).decode()


async def test_gauges_are_read_when_somebody_scrapes(sim: Simulator) -> None:
    """Breaker, cooldown, health, calls in flight and connections, as they are at that moment."""
    registry = prometheus.CollectorRegistry()
    sim.openai.always(faults.status(500))
    sim.groq.always(faults.blackhole())
    async with service_for(sim, failure_threshold=1, cooldown=60.0) as service:
        stop = export_prometheus(service, registry)
        assert Scrape(registry)("info", chain="openai groq") == 1
        task = asyncio.create_task(service.generate_response_async(HELLO))
        await sim.groq.wait_for_async(requests=1)
        found = Scrape(registry)
        assert found("calls_in_flight", operation="chat") == 1
        assert found("connections", provider="groq", state="busy") == 1
        assert found("breaker_state", deployment="openai#0", state="open") == 1
        assert found("breaker_state", deployment="openai#0", state="closed") == 0
        assert 0 < found("cooldown_seconds", deployment="openai#0") <= 120
        assert found("breaker_changes_total", scope="endpoint", state="open") == 1
        assert found("provider_status", provider="openai", status="unhealthy") == 1
        assert found("provider_status") == 2
        assert found("deployment_info", vendor="groq", server_address="127.0.0.1") == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        found = Scrape(registry)
        assert found("calls_in_flight") == 0
        assert found("calls_total", outcome="cancelled", provider="", kind="cancelled") == 1
        stop()
        stop()
        assert Scrape(registry)("info") == 0


async def test_pings_are_attempts_with_a_label_and_no_calls(sim: Simulator) -> None:
    """Whoever leaves out operation="ping" sees users' requests alone."""
    registry = prometheus.CollectorRegistry()
    async with service_for(sim) as service:
        export_prometheus(service, registry)
        await service.warm_connections()
        await service.generate_response_async(HELLO)
    found = Scrape(registry)
    assert found("calls_total") == 1
    assert found("attempts_total", operation="ping") == 2
    assert found("attempts_total", operation="chat") == 1
    assert found("tokens_total", operation="ping") > 0


async def test_a_callers_own_model_is_no_label(sim: Simulator) -> None:
    """Every value of every label comes from the configuration or a closed list, whatever callers ask for."""
    registry = prometheus.CollectorRegistry()
    async with service_for(sim) as service:
        export_prometheus(service, registry)
        await service.generate_response_async(HELLO)
        before = {(s.name, *sorted(s.labels.items())) for s in Scrape(registry).samples}
        for number in range(5):
            await service.generate_response_async(
                HELLO, model=f"gpt-{number}", user=f"user-{number}"
            )
        after = {(s.name, *sorted(s.labels.items())) for s in Scrape(registry).samples}
    assert {
        each for each in after - before if not each[0].startswith("llm_unified_connections")
    } == set()


async def test_services_in_one_registry_stay_apart(sim: Simulator) -> None:
    """By their names; two of one name would be one series, so that is refused while both are open."""
    registry = prometheus.CollectorRegistry()
    async with service_for(sim) as one, service_for(sim, "groq") as two:
        export_prometheus(one, registry, name="one")
        export_prometheus(two, registry, name="two")
        await one.generate_response_async(HELLO)
        for _ in range(2):
            await two.generate_response_async(HELLO)
        found = Scrape(registry)
        assert [found("calls_total", llm_service=name) for name in ("one", "two")] == [1, 2]
        assert found("info", llm_service="two", chain="groq") == 1
        with pytest.raises(ConfigurationError, match="open service named 'two'"):
            export_prometheus(one, registry, name="two")
    async with service_for(sim) as three:
        export_prometheus(three, registry, name="two")
        await three.generate_response_async(HELLO)
        assert Scrape(registry)("calls_total", llm_service="two") == 3


async def test_one_service_may_have_several_registries(sim: Simulator) -> None:
    """Each counts from the moment of its own export."""
    registries = [prometheus.CollectorRegistry() for _ in range(2)]
    async with service_for(sim) as service:
        for registry in registries:
            export_prometheus(service, registry)
            await service.generate_response_async(HELLO)
    assert [Scrape(registry)("calls_total") for registry in registries] == [2, 1]


async def test_neither_registry_nor_service_is_kept_alive(sim: Simulator) -> None:
    """What nobody else holds is gone, whichever goes first."""
    registry = prometheus.CollectorRegistry()
    async with service_for(sim) as service:
        export_prometheus(service, registry)
        await service.generate_response_async(HELLO)
    kept = weakref.ref(service)
    del service
    gc.collect()
    assert kept() is None
    assert Scrape(registry)("calls_total") == 1
    gone = weakref.ref(registry)
    async with service_for(sim) as other:
        export_prometheus(other, registry)()
        del registry
        gc.collect()
        assert gone() is None


async def test_a_metric_of_the_same_name_is_found_at_once(sim: Simulator) -> None:
    """Two metrics of one name would be an exposition that Prometheus refuses; the registry says so at the export."""
    registry = prometheus.CollectorRegistry()
    prometheus.Gauge("llm_unified_cooldown_seconds", "mine", registry=registry)
    async with service_for(sim) as service:
        with pytest.raises(ValueError, match="llm_unified_cooldown_seconds"):
            export_prometheus(service, registry)


@pytest.mark.parametrize("deadline", [1.0, 120.0, 1000.0, 86400.0])
def test_there_are_buckets_beyond_the_deadline(sim: Simulator, deadline: float) -> None:
    """A call that took all its time is in a bucket of its own, not in +Inf: its percentile is a number."""
    registry = prometheus.CollectorRegistry()
    with service_for(sim, deadline=deadline) as service:
        export_prometheus(service, registry)
        service.generate_response(HELLO)
    edges = sorted(float(edge) for edge in Scrape(registry).labels("le"))
    assert edges[0] == 0.01
    assert edges[-2] > max(deadline, 120.0)
    assert len(edges) < 30


async def test_a_reload_is_counted_and_what_is_gone_has_no_gauges(sim: Simulator) -> None:
    """The counters of a provider that was taken out stay, as Prometheus expects of counters."""
    registry = prometheus.CollectorRegistry()
    async with service_for(sim) as service:
        export_prometheus(service, registry)
        assert Scrape(registry)("reloads_total") == 0
        await service.generate_response_async(HELLO)
        await service.reload(load_settings(sim.environ("groq"), pool_size=1))
        found = Scrape(registry)
        assert found("reloads_total") == 1
        assert found("calls_total", provider="openai") == 1
        assert not [
            s
            for s in found.samples
            if s.name == "llm_unified_breaker_state" and s.labels["provider"] == "openai"
        ]
        assert found("info", chain="groq") == 1


async def test_a_refused_key_is_a_misconfiguration(sim: Simulator) -> None:
    """It is counted once, and the status says so until it works again."""
    registry = prometheus.CollectorRegistry()
    sim.openai.always(faults.status(401))
    async with service_for(sim) as service:
        export_prometheus(service, registry)
        for _ in range(2):
            await service.generate_response_async(HELLO)
        found = Scrape(registry)
        assert found("misconfigurations_total", provider="openai", kind="auth") == 1
        assert found("provider_status", provider="openai", status="misconfigured") == 1


PROCESS = """
import prometheus_client
from llm_unified import UnifiedLLMService
from llm_unified.observability import export_prometheus
with UnifiedLLMService() as service:
    export_prometheus(service)
    service.generate_response([{"role": "user", "content": "Hello"}])
"""


def test_counters_of_several_processes_add_up(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """prometheus_client's multiprocess mode, as gunicorn's workers need it."""
    from prometheus_client import multiprocess

    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(DOCS.parent.parent),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        **sim.environ("openai"),
    }
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS], env=environ) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    registry = prometheus.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    found = Scrape(registry)
    assert found("calls_total", outcome="answered", provider="openai") == 2
    assert found("call_duration_seconds_count") == 2


async def test_the_documentation_lists_exactly_what_is_exported(sim: Simulator) -> None:
    """Each metric with its type and its labels, and no other."""
    registry = prometheus.CollectorRegistry()
    async with service_for(sim) as service:
        export_prometheus(service, registry)
        exported = {}
        for family in registry.collect():
            name = family.name + ("_total" if family.type == "counter" else "")
            exported[name] = family.type
    rows = re.findall(
        r"^\| `(llm_unified_\w+)` \| (\w+) \| (.*?) \|", DOCS.read_text("utf-8"), re.MULTILINE
    )
    assert {name: kind for name, kind, _ in rows} == exported
    labels = {name: re.findall(r"`(\w+)`", text) for name, _, text in rows}
    from llm_unified.observe.prometheus_counters import _COUNTERS, _HISTOGRAMS
    from llm_unified.observe.prometheus_gauges import _GAUGES

    for name, (_, declared) in {**_COUNTERS, **_HISTOGRAMS, **_GAUGES}.items():
        suffix = "_total" if name in _COUNTERS else ""
        assert tuple(labels[f"llm_unified_{name}{suffix}"]) == declared
