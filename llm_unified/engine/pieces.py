"""A piece of an answer: one streamed chunk, or a whole message; and what its parts are read with.

Whatever is not of the expected type is an `AnswerError`, never an exception of another kind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llm_unified.failures.envelope import VendorError
from llm_unified.response import FailureKind, Usage

__all__ = [
    "AnswerError",
    "CallPiece",
    "Piece",
    "call_of",
    "function_of",
    "optional_text",
    "text_of",
    "without_helper",
]

HELPER_TOOL: Final = "json_tool_call"
"""LiteLLM's ``RESPONSE_FORMAT_TOOL_NAME``: the tool by which it asks older models for JSON."""

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
    """In OpenAI's words."""
    native_finish_reason: str | None = None
    usage: Usage | None = None
    rich: bool = False
    """There is something beside the text and the fields above."""
    members: Mapping[str, Any] | None = None
    """The message's members beside role, content and tool calls, as they came, unless empty."""
    thinking: Sequence[Any] = ()
    """Anthropic's thinking blocks, or parts of them."""
    annotations: Sequence[Any] = ()
    logprobs: Any = None


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


def call_of(call: Any) -> CallPiece:
    if not isinstance(call, dict):
        raise AnswerError("tool call is no object")
    index = call.get("index")
    name, arguments = function_of(call.get("function") or {})
    return (
        index if isinstance(index, int) else None,
        optional_text(call.get("id")),
        name,
        arguments,
    )


def function_of(function: Any) -> tuple[str | None, str]:
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
        if name is not None:
            (helpers.add if name == HELPER_TOOL else helpers.discard)(index)
        if index in helpers:
            piece.text += arguments
        else:
            kept.append(call)
    if helpers and not kept and piece.finish_reason == "tool_calls":
        piece.finish_reason = "stop"
    piece.tool_calls = kept
    return piece
