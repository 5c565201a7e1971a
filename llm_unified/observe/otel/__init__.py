"""Calls as OpenTelemetry traces and metrics, by its semantic conventions for generative AI. Extra ``[otel]``.

Only the API is needed; the application brings an SDK and says where things go. Content leaves this process only
where somebody opted in (`export_opentelemetry`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from llm_unified.errors import ConfigurationError
from llm_unified.observe.publisher import Source
from llm_unified.version import __version__

__all__ = ["export_opentelemetry"]

_OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
_LATEST: Final = "gen_ai_latest_experimental"
_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURED: Final = frozenset({"true", "span_only", "span_and_event"})
"""Values of OpenTelemetry's own instrumentations for Python that ask for content on spans."""


def export_opentelemetry(
    service: Source,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    *,
    content: bool | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Callable[[], None]:
    """Trace and measure every call of ``service``; returns what ends that.

    A span for each call, a child of the caller's; below it one for each attempt, which is current while its
    request is sent, so that spans of an HTTP client hang below it, and which goes upstream as ``traceparent``.
    docs/opentelemetry.md lists names, attributes and metrics.

    ``tracer_provider``, ``meter_provider``: default are the global ones. ``content``: whether prompts, answers
    and tools stand on the attempts' spans; ``None``: if ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT``
    is ``true``, ``span_only`` or ``span_and_event``. ``environ``: also ``OTEL_SEMCONV_STABILITY_OPT_IN``, which
    asks for the names after v1.41 by ``gen_ai_latest_experimental``.

    Raises:
        ConfigurationError: the package opentelemetry-api is missing.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        raise ConfigurationError(
            "OpenTelemetry needs a package: pip install 'llm-unified[otel]'"
        ) from None
    from llm_unified.observe.otel.metrics import Metrics
    from llm_unified.observe.otel.spans import Spans
    from llm_unified.observe.otel.vocabulary import LATEST, V1_41

    latest = _LATEST in (value.strip() for value in environ.get(_OPT_IN, "").split(","))
    vocabulary = LATEST if latest else V1_41
    if content is None:
        content = environ.get(_CAPTURE, "").strip().lower() in _CAPTURED
    scope: dict[str, Any] = {"schema_url": vocabulary.schema_url}
    tracer = trace.get_tracer("llm_unified", __version__, tracer_provider, **scope)
    meter = metrics.get_meter("llm_unified", __version__, meter_provider, **scope)
    spans = Spans(tracer, vocabulary, content=content)
    measured = Metrics(meter, vocabulary)
    ends = [
        service.subscribe(handler, only=(kind,), inline=True)
        for handlers in (spans.handlers, measured.handlers)
        for kind, handler in handlers.items()
    ]

    def end() -> None:
        for each in ends:
            each()
        measured.flush()

    return end
