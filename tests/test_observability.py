"""Attempts as metrics: exact, labelled, without content."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from llm_unified import ConfigurationError, UnifiedLLMService, load_settings
from llm_unified.observability import export_opentelemetry, export_prometheus
from llm_unified.testing import Simulator, faults

HELLO = [{"role": "user", "content": "the secret word is swordfish"}]


def service_for(sim: Simulator) -> UnifiedLLMService:
    return UnifiedLLMService(load_settings(sim.environ("openai", "groq"), pool_size=1))


async def test_prometheus_counts_every_attempt(sim: Simulator) -> None:
    """Failures by kind, seconds, tokens; two services share one registry."""
    prometheus = pytest.importorskip("prometheus_client")
    registry = prometheus.CollectorRegistry()
    sim.openai.script(faults.rate_limit())
    async with service_for(sim) as one, service_for(sim) as two:
        export_prometheus(one, registry)
        stop = export_prometheus(two, registry)
        await one.generate_response_async(HELLO)
        async for _ in two.stream_response_async(HELLO):
            pass
        stop()
        await two.generate_response_async(HELLO)

    def value(name: str, **labels: str) -> Any:
        return registry.get_sample_value(f"llm_unified_{name}", labels)

    common = {"provider": "openai", "deployment": "openai#0", "ping": "false"}
    assert value("attempts_total", outcome="failed", kind="rate_limit", **common) == 1
    assert value("attempts_total", outcome="answered", kind="", **common) == 1
    assert value("attempt_seconds_count", provider="groq", outcome="answered") == 1
    assert value("first_token_seconds_count", provider="openai") == 1
    assert value("tokens_total", provider="groq", direction="output") > 0
    assert value("cost_usd_total", provider="openai") > 0
    assert "swordfish" not in prometheus.generate_latest(registry).decode()


@pytest.mark.parametrize(
    ("export", "module", "extra"),
    [
        (export_prometheus, "prometheus_client", "prometheus"),
        (export_opentelemetry, "opentelemetry", "otel"),
    ],
)
async def test_the_missing_package_is_named(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, export: Any, module: str, extra: str
) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    async with service_for(sim) as service:
        with pytest.raises(ConfigurationError, match=rf"llm-unified\[{extra}\]"):
            export(service)
