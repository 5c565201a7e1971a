"""LiteLLM's own answer objects as pieces: Anthropic's translation, and the way through `completion()`."""

from __future__ import annotations

from typing import Any

from llm_unified.engine.pieces import (
    AnswerError,
    CallPiece,
    Piece,
    call_of,
    count,
    optional_text,
    text_of,
)
from llm_unified.response import Usage

__all__ = ["piece_of", "usage_of"]


def usage_of(raw: Any) -> Usage | None:
    """Tokens from LiteLLM's ``Usage``."""
    if raw is None:
        return None
    prompt, completion = (
        count(getattr(raw, "prompt_tokens", 0)),
        count(getattr(raw, "completion_tokens", 0)),
    )
    asked = getattr(raw, "prompt_tokens_details", None)
    answered = getattr(raw, "completion_tokens_details", None)
    return Usage(
        prompt,
        completion,
        count(getattr(raw, "total_tokens", 0)) or prompt + completion,
        cached_tokens=count(getattr(asked, "cached_tokens", 0)),
        cache_write_tokens=count(getattr(asked, "cache_creation_tokens", 0)),
        reasoning_tokens=count(getattr(answered, "reasoning_tokens", 0)),
    )


def piece_of(answer: Any, *, part: str) -> Piece:
    """LiteLLM's ``ModelResponse`` (``part="message"``) or ``ModelResponseStream`` (``"delta"``).

    Raises:
        AnswerError: it has no choices where it should.
    """
    piece = Piece(
        getattr(answer, "id", None),
        getattr(answer, "model", None),
        getattr(answer, "created", None),
        usage=usage_of(getattr(answer, "usage", None)),
    )
    choices: Any = getattr(answer, "choices", None)
    said = getattr(choices[0], part, None) if choices else None
    if said is None:
        if part == "message":
            raise AnswerError("no choices", usage=piece.usage)
        return piece
    piece.finish_reason = optional_text(choices[0].finish_reason)
    piece.logprobs = getattr(choices[0], "logprobs", None)
    piece.text = text_of(said.content, "content")
    piece.reasoning = getattr(said, "reasoning_content", None) or ""
    piece.thinking = getattr(said, "thinking_blocks", None) or ()
    specific = getattr(said, "provider_specific_fields", None) or {}
    piece.refusal = getattr(said, "refusal", None) or specific.get("refusal") or ""
    piece.annotations = getattr(said, "annotations", None) or ()
    calls = said.tool_calls
    if calls:
        piece.tool_calls = [_call_of_object(call) for call in calls]
    return piece


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
