"""Exporters, by the name under which applications import them.

stop = export_prometheus(service)          # extra [prometheus]
stop = export_opentelemetry(service)       # extra [otel]
"""

from __future__ import annotations

from llm_unified.observe.otel import export_opentelemetry
from llm_unified.observe.prometheus import export_prometheus

__all__ = ["export_opentelemetry", "export_prometheus"]
