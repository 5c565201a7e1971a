"""What comes back over OpenAI's wire, read as the dicts it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from llm_unified.engine.pieces import (
    AnswerError,
    Piece,
    call_of,
    function_of,
    optional_text,
    text_of,
)
from llm_unified.engine.usage import openai_usage
from llm_unified.failures.envelope import of_event

__all__ = ["chunk_of", "whole_of"]

_FINISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{name: name for name in ("stop", "length", "tool_calls", "content_filter")},
        "function_call": "tool_calls",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "MAX_TOKENS": "length",
        "model_length": "length",
        "model_context_window_exceeded": "length",
        "content_filtered": "content_filter",
        "refusal": "content_filter",
        "SAFETY": "content_filter",
    }
)
"""Finish reasons on OpenAI's wire in OpenAI's words; whatever is not here is "stop".

Sources: OpenAI API reference; Mistral ("model_length"), Google's OpenAI endpoint (upper case), older OpenAI
("function_call"), Anthropic's OpenAI endpoint (its own words), LiteLLM's own table.
"""

_BROKEN_OFF: Final = frozenset({"error", "insufficient_system_resource", "abort"})
"""Finish reasons of an answer that its server did not finish.

Sources: OpenRouter ("error": Errors), DeepSeek ("insufficient_system_resource": Create chat completion),
vLLM ("abort": RequestStatus).
"""
_OWN_PLACE: Final = frozenset({"role", "content", "tool_calls", "function_call"})
"""Members of a message that `Piece` has a field for, and no others need."""


def chunk_of(event: dict[str, Any]) -> Piece:
    """One event of a stream on OpenAI's wire.

    Raises:
        AnswerError: an error event, or one of the wrong shape.
    """
    choices = event.get("choices")
    if event.get("error") or (choices is None and event.get("object") == "error"):
        raise AnswerError("error event in the stream", error=of_event(event))
    piece = Piece(
        optional_text(event.get("id")),
        optional_text(event.get("model")),
        _moment(event.get("created")),
    )
    usage = event.get("usage")
    if usage is None and (groq := event.get("x_groq")) is not None and isinstance(groq, dict):
        usage = groq.get("usage")
        if groq.get("error") is not None:
            raise AnswerError("error event in the stream", error=of_event(groq))
    if usage is not None:
        piece.usage = openai_usage(usage)
    choice = _choice(choices)
    if choice is None:
        return piece
    _read_choice(piece, choice)
    delta = choice.get("delta")
    if delta is None:
        return piece
    if not isinstance(delta, dict):
        raise AnswerError("delta is no object")
    content = delta.get("content")
    if content.__class__ is str:
        piece.text = content
    else:
        _read_content(piece, content)
    if len(delta) > 1 or content is None:
        _read_more(piece, delta)
    return piece


def whole_of(data: Any) -> Piece:
    """A whole answer on OpenAI's wire.

    Raises:
        AnswerError: it is an error, has no choices, or is of the wrong shape.
    """
    if not isinstance(data, dict):
        raise AnswerError("answer is no object")
    usage = openai_usage(data.get("usage"))
    choice = _choice(data.get("choices"))
    message = None if choice is None else choice.get("message")
    if choice is None or not isinstance(message, dict):
        error = of_event(data)
        reason = "no choices" if error is None else "error in place of an answer"
        raise AnswerError(reason, error=error, usage=usage)
    piece = Piece(
        optional_text(data.get("id")),
        optional_text(data.get("model")),
        _moment(data.get("created")),
    )
    piece.usage = usage
    _read_choice(piece, choice)
    _read_content(piece, message.get("content"))
    _read_more(piece, message)
    piece.tool_calls = [(i, *call[1:]) for i, call in enumerate(piece.tool_calls)]
    return piece


def _read_content(piece: Piece, content: Any) -> None:
    """Text, or parts: some are what the model thinks (Mistral: Reasoning)."""
    if isinstance(content, list):
        thoughts = [p for p in content if isinstance(p, dict) and p.get("type") == "thinking"]
        if thoughts:
            texts = [text_of(part.get("thinking"), "thinking") for part in thoughts]
            piece.reasoning, piece.rich = "".join(texts), True
            content = [part for part in content if part not in thoughts]
    piece.text = text_of(content, "content")


def _choice(choices: Any) -> dict[str, Any] | None:
    """The first choice; others are never mixed into it."""
    if not choices:
        return None
    if not isinstance(choices, list):
        raise AnswerError("choices is no list")
    for choice in choices:
        if not isinstance(choice, dict):
            raise AnswerError("choice is no object")
        if choice.get("index") in (0, None):
            return choice
    return None


def _read_choice(piece: Piece, choice: dict[str, Any]) -> None:
    """Everything beside the message."""
    if (logprobs := choice.get("logprobs")) is not None:
        piece.logprobs, piece.rich = logprobs, True
    if finish_reason := optional_text(choice.get("finish_reason")):
        if finish_reason in _BROKEN_OFF:
            raise AnswerError(
                "the server broke the answer off", error=of_event(choice), usage=piece.usage
            )
        piece.finish_reason = _FINISH.get(finish_reason, "stop")
        piece.native_finish_reason = finish_reason


def _moment(value: Any) -> int | None:
    if isinstance(value, float):  # JSON has 1e999, which is no moment
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def _read_more(piece: Piece, message: dict[str, Any]) -> None:
    """Everything beside the text."""
    members = {name: value for name, value in message.items() if value and name not in _OWN_PLACE}
    if members:
        piece.members, piece.rich = members, True
        for name in ("reasoning_content", "reasoning"):  # DeepSeek's and vLLM's name, then Groq's
            if isinstance(value := members.get(name), str):
                piece.reasoning = value
                break
        if isinstance(refusal := members.get("refusal"), str):
            piece.refusal = refusal
        if isinstance(annotations := members.get("annotations"), list):
            piece.annotations = annotations
    calls = message.get("tool_calls")
    if calls:
        if not isinstance(calls, list):
            raise AnswerError("tool_calls is no list")
        piece.tool_calls, piece.rich = [call_of(call) for call in calls], True
    elif isinstance(function := message.get("function_call"), dict):  # the older form
        piece.tool_calls, piece.rich = [(0, None, *function_of(function))], True
