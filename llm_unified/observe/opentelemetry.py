"""Attempts as OpenTelemetry spans: names, kinds, seconds and tokens, never content. Extra ``[otel]``.

Attribute names are those of OpenTelemetry's semantic conventions for generative AI.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from llm_unified.errors import ConfigurationError
from llm_unified.observe.events import AttemptEnded
from llm_unified.observe.publisher import Source
from llm_unified.response import Attempt

__all__ = ["export_opentelemetry"]

_SEMCONV_NAMES: Final[Mapping[str, str]] = {"azure_openai": "azure.ai.openai"}


def export_opentelemetry(service: Source, tracer_provider: Any = None) -> Callable[[], None]:
    """Make one client span of every attempt, a child of the caller's span; returns what ends it.

    Pings too, named so. ``tracer_provider``: default is the global one.

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

    def note(event: AttemptEnded) -> None:
        attempt, users = event.attempt, event.operation != "ping"
        if not attempt.sent:
            return
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

    return service.subscribe(note, only=(AttemptEnded,), inline=True)


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
