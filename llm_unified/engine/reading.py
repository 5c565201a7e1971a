"""What comes back from Anthropic, through LiteLLM's own translation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from llm_unified.engine.imports import AnthropicEvents, LiteLLMUsage, ModelResponse
from llm_unified.engine.objects import piece_of
from llm_unified.engine.pieces import AnswerError, Piece, count
from llm_unified.failures.envelope import of_event
from llm_unified.response import Usage

__all__ = ["AnthropicReader", "anthropic_whole"]

_FINISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "pause_turn": "stop",
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }
)
"""Anthropic's ``stop_reason`` in OpenAI's words. Source: Anthropic API reference, "Handling stop reasons"."""


class _RawAnswer:
    """As much of an ``httpx.Response`` as LiteLLM's translation reads."""

    status_code = 200
    headers: Mapping[str, str] = MappingProxyType({})
    text = ""

    def __init__(self, data: Any) -> None:
        self._data = data

    def json(self) -> Any:
        return self._data


class _NoLogging:
    """LiteLLM's logging object, as far as a translation touches it; nothing is logged."""

    def __init__(self) -> None:
        self.model_call_details: dict[str, Any] = {}
        self.optional_params: dict[str, Any] = {}

    def pre_call(self, *_: Any, **__: Any) -> None:
        """Nothing is to be logged."""

    def post_call(self, *_: Any, **__: Any) -> None:
        """Nothing is to be logged."""


def usage_of(raw: Any) -> Usage | None:
    """Anthropic's counts: what was read from and written to the cache is counted apart from the input.

    Source: Anthropic API reference, "Prompt caching: tracking cache performance".
    """
    if not isinstance(raw, Mapping):
        return None
    cached, written = (
        count(raw.get("cache_read_input_tokens")),
        count(raw.get("cache_creation_input_tokens")),
    )
    prompt, completion = (
        count(raw.get("input_tokens")) + cached + written,
        count(raw.get("output_tokens")),
    )
    return Usage(
        prompt, completion, prompt + completion, cached_tokens=cached, cache_write_tokens=written
    )


def anthropic_whole(config: Any, data: Any, **request: Any) -> Piece:
    """A whole answer. ``request``: what LiteLLM's ``transform_response`` wants to know of it.

    Raises:
        AnswerError: it is an error, or could not be read.
    """
    usage = usage_of(data.get("usage")) if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("content"), list):
        error = of_event(data)
        raise AnswerError(
            "no content" if error is None else "error in place of an answer",
            error=error,
            usage=usage,
        )
    answer: Any = ModelResponse()
    answer.usage = LiteLLMUsage()
    try:
        answer = config.transform_response(
            raw_response=_RawAnswer(data),
            model_response=answer,
            logging_obj=_NoLogging(),
            encoding=None,
            api_key="",
            **request,
        )
    except Exception:  # noqa: BLE001 - LiteLLM raises anything; its words may quote the answer
        raise AnswerError("answer could not be read", usage=usage) from None
    piece = piece_of(answer, part="message")
    piece.usage = usage or piece.usage
    _name_the_end(piece, data.get("stop_reason"))
    return piece


class AnthropicReader:
    """The events of one stream, each into the piece that it brings."""

    def __init__(self, *, json_mode: bool, tool_names: dict[str, str] | None) -> None:
        self._events = AnthropicEvents(
            None, sync_stream=False, json_mode=json_mode, tool_name_reverse_map=tool_names
        )
        self._usage: dict[str, Any] = {}

    def __call__(self, event: dict[str, Any]) -> Piece | None:
        """Take the next event.

        Raises:
            AnswerError: an error event, or one that could not be read.
        """
        kind = event.get("type")
        if kind == "error" or (kind is None and "error" in event):
            raise AnswerError("error event in the stream", error=of_event(event))
        try:
            piece = piece_of(self._events.chunk_parser(event), part="delta")
        except Exception:  # noqa: BLE001 - as above
            raise AnswerError("event could not be read") from None
        if kind == "message_start":
            self._started(event, piece)
        elif kind == "message_delta":
            self._ending(event, piece)
        else:
            piece.usage = None
        return piece

    def _started(self, event: dict[str, Any], piece: Piece) -> None:
        message = event.get("message")
        if isinstance(message, dict):
            piece.id, piece.model = message.get("id"), message.get("model")
            if isinstance(usage := message.get("usage"), dict):
                self._usage |= usage
        piece.usage = usage_of(self._usage)

    def _ending(self, event: dict[str, Any], piece: Piece) -> None:
        """The counts of the last event are cumulative, and name only what has changed."""
        if isinstance(usage := event.get("usage"), dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}
        piece.usage = usage_of(self._usage) if self._usage else None
        delta = event.get("delta")
        _name_the_end(piece, delta.get("stop_reason") if isinstance(delta, dict) else None)


def _name_the_end(piece: Piece, stop_reason: Any) -> None:
    """LiteLLM calls whatever it does not know "stop"."""
    if stop_reason == "tool_use" and piece.finish_reason == "stop":
        return  # its helper tool for JSON
    if isinstance(stop_reason, str) and stop_reason in _FINISH:
        piece.finish_reason = _FINISH[stop_reason]
