"""What spans say of a request and of its answer. Never content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_unified.observe.events import AttemptEnded, CallStarted, Upstream
from llm_unified.observe.otel.vocabulary import REQUEST_ATTRIBUTES, Vocabulary, provider_name
from llm_unified.response import Usage

__all__ = ["request_attributes", "response_attributes", "upstream_attributes"]


def upstream_attributes(operation: str, upstream: Upstream) -> dict[str, str | int]:
    """Who is asked, for spans and metrics alike; a ping's have nothing of ``gen_ai``."""
    found: dict[str, str | int] = {"llm_unified.provider": upstream.provider}
    if upstream.server_address is not None:
        found["server.address"] = upstream.server_address
    if upstream.server_port is not None:
        found["server.port"] = upstream.server_port
    if operation != "ping":
        found |= {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider_name(upstream),
            "gen_ai.request.model": upstream.model,
        }
    return found


def request_attributes(event: CallStarted, vocabulary: Vocabulary) -> dict[str, Any]:
    """Of the call's parameters, as the caller gave them."""
    params = event.params
    found: dict[str, Any] = {"llm_unified.call_id": event.call_id}
    for name, attribute in REQUEST_ATTRIBUTES.items():
        value = params.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[attribute] = value
    if event.stream:
        found["gen_ai.request.stream"] = True
    count = params.get("n")
    if isinstance(count, int) and count != 1:
        found["gen_ai.request.choice.count"] = count
    stop = params.get("stop")
    if stop:
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if (output := _output_type(params.get("response_format"))) is not None:
        found["gen_ai.output.type"] = output
    encoding = params.get("encoding_format")
    if isinstance(encoding, str):
        found["gen_ai.request.encoding_formats"] = [encoding]
    effort = params.get("reasoning_effort")
    if vocabulary.reasoning_level is not None and isinstance(effort, str):
        found[vocabulary.reasoning_level] = effort
    return found


def _output_type(wanted: Any) -> str | None:
    if wanted is None:
        return None
    text = isinstance(wanted, Mapping) and wanted.get("type") == "text"
    return "text" if text else "json"


def response_attributes(event: AttemptEnded, vocabulary: Vocabulary) -> dict[str, Any]:
    """Of an attempt's end; a ping's have nothing of ``gen_ai``."""
    attempt = event.attempt
    found: dict[str, Any] = {}
    if attempt.kind is not None:
        found["error.type"] = attempt.kind.value
    if attempt.status is not None:
        found["http.response.status_code"] = attempt.status
    if attempt.cost_usd is not None:
        found["llm_unified.cost_usd"] = attempt.cost_usd
    if attempt.request_id is not None:
        found["llm_unified.request_id"] = attempt.request_id
    if event.cooldown_seconds:
        found["llm_unified.cooldown_seconds"] = event.cooldown_seconds
    if attempt.adapted:
        found["llm_unified.adapted"] = attempt.adapted
    if not attempt.sent:
        found["llm_unified.sent"] = False
    if event.operation != "ping":
        _add_gen_ai(found, event, vocabulary)
    return found


def _add_gen_ai(found: dict[str, Any], event: AttemptEnded, vocabulary: Vocabulary) -> None:
    first, finish = event.attempt.first_token_seconds, event.finish_reason
    if event.response_model is not None:
        found["gen_ai.response.model"] = event.response_model
    if event.response_id is not None:
        found["gen_ai.response.id"] = event.response_id
    if finish is None and vocabulary.error_finish and first is not None:
        finish = "error"
    if finish is not None:
        found["gen_ai.response.finish_reasons"] = (finish,)
    if first is not None:
        found["gen_ai.response.time_to_first_chunk"] = first
    if event.attempt.usage is not None:
        _add_usage(found, event.attempt.usage, event.operation, vocabulary)


def _add_usage(found: dict[str, Any], usage: Usage, operation: str, vocabulary: Vocabulary) -> None:
    found["gen_ai.usage.input_tokens"] = usage.prompt_tokens
    if operation != "embeddings":
        found["gen_ai.usage.output_tokens"] = usage.completion_tokens
    if usage.cached_tokens:
        found["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        found[vocabulary.cache_write] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        found["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
