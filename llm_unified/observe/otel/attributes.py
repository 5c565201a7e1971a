"""What spans say of a request and of its answer. Never content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_unified.observe.events import AttemptEnded, CallStarted
from llm_unified.observe.otel.vocabulary import REQUEST_ATTRIBUTES, Vocabulary

__all__ = ["request_attributes", "response_attributes"]


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
    found: dict[str, Any] = {
        "error.type": None if attempt.kind is None else attempt.kind.value,
        "http.response.status_code": attempt.status,
        "llm_unified.cost_usd": attempt.cost_usd,
        "llm_unified.request_id": attempt.request_id,
        "llm_unified.cooldown_seconds": event.cooldown_seconds or None,
        "llm_unified.adapted": attempt.adapted or None,
        "llm_unified.sent": None if attempt.sent else False,
    }
    if event.operation != "ping":
        found |= _gen_ai(event, vocabulary)
    return {name: value for name, value in found.items() if value is not None}


def _gen_ai(event: AttemptEnded, vocabulary: Vocabulary) -> dict[str, Any]:
    attempt, usage = event.attempt, event.attempt.usage
    finish = event.finish_reason
    if finish is None and vocabulary.error_finish and attempt.first_token_seconds is not None:
        finish = "error"
    found = {
        "gen_ai.response.model": event.response_model,
        "gen_ai.response.id": event.response_id,
        "gen_ai.response.finish_reasons": None if finish is None else (finish,),
        "gen_ai.response.time_to_first_chunk": attempt.first_token_seconds,
    }
    if usage is not None:
        found |= {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
            vocabulary.cache_write: usage.cache_write_tokens or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        }
    return found
