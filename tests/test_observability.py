"""Exporters need packages that not everybody has. What they export: test_prometheus.py, test_opentelemetry.py."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from llm_unified import ConfigurationError, UnifiedLLMService, load_settings
from llm_unified.observability import export_opentelemetry, export_prometheus
from llm_unified.testing import Simulator


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
    async with UnifiedLLMService(load_settings(sim.environ("openai"))) as service:
        with pytest.raises(ConfigurationError, match=rf"llm-unified\[{extra}\]"):
            export(service)
