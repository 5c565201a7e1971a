"""A piece of an answer: one streamed chunk, or a whole message. Read from what came over the wire.

OpenAI's wire is read here as the dicts it is; `objects` reads LiteLLM's own answer objects. Whatever is not
of the expected type is an `AnswerError`, never an exception of another kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from llm_unified.failures.envelope import VendorError, of_event
from llm_unified.response import FailureKind, Usage

__all__ = [
    "AnswerError",
    "CallPiece",
    "Piece",
    "call_of",
    "chunk_of",
    "count",
    "optional_text",
    "text_of",
    "usage_of",
    "whole_of",
    "without_helper",
]

HELPER_TOOL: Final = "json_tool_call"
"""LiteLLM's ``RESPONSE_FORMAT_TOOL_NAME``: the tool by which it asks older models for JSON."""

_FINISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{name: name for name in ("stop", "length", "tool_calls", "content_filter")},
        "function_call": "tool_calls",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "MAX_TOKENS": "length",
        "model_length": "length",
        "content_filtered": "content_filter",
        "SAFETY": "content_filter",
    }
)
"""Finish reasons on OpenAI's wire in OpenAI's words; whatever is not here is "stop".

Sources: OpenAI API reference; Mistral ("model_length"), Google's OpenAI endpoint (upper case), older OpenAI
("function_call"), LiteLLM's own table.
"""

CallPiece = tuple[int | None, str | None, str | None, str]
"""``(index, id, name, arguments)`` of a tool call, or of a part of one."""


class AnswerError(Exception):
    """A 2xx that is no answer. Internal: it never leaves the package."""

    def __init__(
        self,
        reason: str,
        kind: FailureKind | None = None,
        *,
        error: VendorError | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.error, self.usage = reason, kind, error, usage


@dataclass(slots=True)
class Piece:
    """What one event, or one whole answer, brought."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: Sequence[CallPiece] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    message: dict[str, Any] | None = None
    """A whole answer's own message members beside content and tool calls, as they came."""
    thinking: Sequence[Any] = ()
    """Anthropic's thinking blocks, or parts of them."""
    annotations: Sequence[Any] = ()
    logprobs: Any = None


def usage_of(raw: Any) -> Usage | None:
    """Tokens from OpenAI's ``usage`` object; ``None`` where there is none."""
    if not isinstance(raw, dict):
        return None
    prompt, completion = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    asked = raw.get("prompt_tokens_details")
    answered = raw.get("completion_tokens_details")
    return Usage(
        prompt,
        completion,
        count(raw.get("total_tokens")) or prompt + completion,
        cached_tokens=_part(asked, "cached_tokens"),
        cache_write_tokens=_part(asked, "cache_write_tokens"),
        reasoning_tokens=_part(answered, "reasoning_tokens"),
    )


def _part(details: Any, name: str) -> int:
    return count(details.get(name)) if isinstance(details, dict) else 0


def count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def text_of(value: Any, what: str) -> str:
    """A text member; a list of parts is joined (Mistral's and vLLM's way)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict)]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(value):
            return "".join(texts)
    raise AnswerError(f"{what} is no text")


def optional_text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def chunk_of(event: dict[str, Any]) -> Piece:
    """One event of a stream on OpenAI's wire.

    Raises:
        AnswerError: an error event, or one of the wrong shape.
    """
    choices = event.get("choices")
    if choices is None and (event.get("error") is not None or event.get("object") == "error"):
        raise AnswerError("error event in the stream", error=of_event(event))
    piece = Piece(
        optional_text(event.get("id")),
        optional_text(event.get("model")),
        _moment(event.get("created")),
    )
    usage = event.get("usage")
    if usage is None and (groq := event.get("x_groq")) is not None:
        usage = _usage_of_groq(groq)
    if usage is not None:
        piece.usage = usage_of(usage)
    choice = _choice(choices)
    if choice is None:
        return piece
    if finish_reason := optional_text(choice.get("finish_reason")):
        piece.finish_reason = _FINISH.get(finish_reason, "stop")
    piece.logprobs = choice.get("logprobs")
    delta = choice.get("delta")
    if delta is None:
        return piece
    if not isinstance(delta, dict):
        raise AnswerError("delta is no object")
    content = delta.get("content")
    if content:
        piece.text = content if content.__class__ is str else text_of(content, "content")
    if len(delta) > 1 or content is None:
        _read_more(piece, delta)
    return piece


def _usage_of_groq(own: Any) -> Any:
    """What Groq's own member of an event says."""
    if not isinstance(own, dict):
        return None
    if own.get("error") is not None:
        raise AnswerError("error event in the stream", error=of_event(own))
    return own.get("usage")


def whole_of(data: Any) -> Piece:
    """A whole answer on OpenAI's wire.

    Raises:
        AnswerError: it is an error, has no choices, or is of the wrong shape.
    """
    if not isinstance(data, dict):
        raise AnswerError("answer is no object")
    usage = usage_of(data.get("usage"))
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
    piece.usage, piece.message = usage, message
    if finish_reason := optional_text(choice.get("finish_reason")):
        piece.finish_reason = _FINISH.get(finish_reason, "stop")
    piece.logprobs = choice.get("logprobs")
    piece.text = text_of(message.get("content"), "content")
    _read_more(piece, message)
    return piece


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


def _moment(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value == value else None  # noqa: PLR0124


def _read_more(piece: Piece, message: dict[str, Any]) -> None:
    """Everything beside the text."""
    for name in ("reasoning_content", "reasoning"):  # DeepSeek's and vLLM's name, then Groq's
        if isinstance(value := message.get(name), str) and value:
            piece.reasoning = value
            break
    if isinstance(refusal := message.get("refusal"), str):
        piece.refusal = refusal
    if isinstance(annotations := message.get("annotations"), list):
        piece.annotations = annotations
    calls = message.get("tool_calls")
    if calls:
        if not isinstance(calls, list):
            raise AnswerError("tool_calls is no list")
        piece.tool_calls = [call_of(call) for call in calls]
    elif isinstance(function := message.get("function_call"), dict):  # the older form
        piece.tool_calls = [(0, None, *_function(function))]


def call_of(call: Any) -> CallPiece:
    if not isinstance(call, dict):
        raise AnswerError("tool call is no object")
    index = call.get("index")
    name, arguments = _function(call.get("function") or {})
    return (
        index if isinstance(index, int) else None,
        optional_text(call.get("id")),
        name,
        arguments,
    )


def _function(function: Any) -> tuple[str | None, str]:
    if not isinstance(function, dict):
        raise AnswerError("function of a tool call is no object")
    arguments = function.get("arguments")
    if isinstance(arguments, dict):  # some servers send the object itself
        arguments = json.dumps(arguments, ensure_ascii=False)
    if arguments is not None and not isinstance(arguments, str):
        raise AnswerError("tool call with broken JSON arguments")
    return optional_text(function.get("name")), arguments or ""


def without_helper(piece: Piece, helpers: set[int | None]) -> Piece:
    """LiteLLM's helper tool for JSON never shows: its arguments are the text.

    ``helpers``: the indices of its calls in this answer, kept from piece to piece.
    """
    kept: list[CallPiece] = []
    for call in piece.tool_calls:
        index, _, name, arguments = call
        if name == HELPER_TOOL:
            helpers.add(index)
        if index in helpers:
            piece.text += arguments
        else:
            kept.append(call)
    if helpers and not kept and piece.finish_reason == "tool_calls":
        piece.finish_reason = "stop"
    piece.tool_calls = kept
    return piece
