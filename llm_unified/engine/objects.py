"""LiteLLM's own answer objects as pieces: Anthropic's translation, and the way through `completion()`."""

from __future__ import annotations

from typing import Any, Final

from llm_unified.engine.pieces import (
    AnswerError,
    CallPiece,
    Piece,
    call_of,
    optional_text,
    text_of,
)
from llm_unified.engine.usage import litellm_usage

__all__ = ["piece_of"]


_MEMBERS: Final = (
    *("reasoning_content", "reasoning", "thinking_blocks", "reasoning_items"),
    *("refusal", "annotations", "audio"),
)
"""What LiteLLM's messages have beside content and tool calls."""


def piece_of(answer: Any, *, part: str) -> Piece:
    """LiteLLM's ``ModelResponse`` (``part="message"``) or ``ModelResponseStream`` (``"delta"``).

    Raises:
        AnswerError: it has no choices where it should.
    """
    piece = Piece(
        getattr(answer, "id", None),
        getattr(answer, "model", None),
        getattr(answer, "created", None),
        usage=litellm_usage(getattr(answer, "usage", None)),
    )
    choices: Any = getattr(answer, "choices", None)
    said = getattr(choices[0], part, None) if choices else None
    if said is None:
        if part == "message":
            raise AnswerError("no choices", usage=piece.usage)
        return piece
    piece.finish_reason = piece.native_finish_reason = optional_text(choices[0].finish_reason)
    piece.text = text_of(said.content, "content")
    piece.logprobs = _plain(getattr(choices[0], "logprobs", None))
    specific = getattr(said, "provider_specific_fields", None) or {}
    found = {name: getattr(said, name, None) or specific.get(name) for name in _MEMBERS}
    members = {name: _plain(value) for name, value in found.items() if value}
    piece.members = members
    reasoning = members.get("reasoning_content") or members.get("reasoning")
    piece.reasoning = text_of(reasoning, "reasoning")
    piece.thinking = members.get("thinking_blocks", ())
    piece.refusal = text_of(members.get("refusal"), "refusal")
    piece.annotations = members.get("annotations", ())
    if said.tool_calls:
        piece.tool_calls = [_call_of_object(call) for call in said.tool_calls]
    piece.rich = bool(members or piece.tool_calls or piece.logprobs)
    return piece


def _plain(value: Any) -> Any:
    """LiteLLM's objects as the JSON that they stand for."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.model_dump() if hasattr(value, "model_dump") else value


def _call_of_object(call: Any) -> CallPiece:
    if isinstance(call, dict):
        return call_of(call)
    function = call.function
    return (
        getattr(call, "index", None),
        call.id or None,
        function.name or None,
        function.arguments or "",
    )
