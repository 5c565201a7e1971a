"""From pieces to an `LLMResponse`, and whether it is an answer at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from llm_unified.engine.pieces import AnswerError, CallPiece, Piece
from llm_unified.response import (
    FailureKind,
    LLMResponse,
    StreamChunk,
    ToolCall,
    ToolCallDelta,
    Usage,
)

__all__ = ["Assembly", "parse_arguments"]

_NO_ARGUMENTS: Final = frozenset({"", "null", "None", "undefined", "{}"})
"""How vendors and servers spell a tool call without arguments."""


def parse_arguments(text: str) -> dict[str, Any]:
    """A tool call's JSON arguments as a dict.

    Raises:
        AnswerError: they are no JSON object.
    """
    if text.strip() in _NO_ARGUMENTS:
        return {}
    try:
        arguments = json.loads(text)
        if isinstance(arguments, str):  # encoded twice
            arguments = json.loads(arguments)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise AnswerError("tool call with broken JSON arguments", FailureKind.INVALID_RESPONSE)
    return arguments


@dataclass(slots=True)
class _Call:
    """One tool call as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.arguments)

    def as_raw(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function",
            "name": self.name,
            "arguments": self.text,
            "function": {"name": self.name, "arguments": self.text},
        }


@dataclass(slots=True)
class Assembly:
    """The parts of one answer, whole or still streaming in."""

    provider: str
    model: str
    text: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    finish_reason: str | None = None
    usage: Usage | None = None
    upstream_id: str | None = None
    upstream_model: str | None = None
    created: int | None = None
    refusal: list[str] = field(default_factory=list)
    reasoned: bool = False

    def add(self, piece: Piece) -> StreamChunk | None:
        """Take one piece; what of it is worth showing, or ``None``."""
        if self.upstream_id is None and piece.id is not None:
            self.upstream_id, self.upstream_model = piece.id, piece.model
            self.created = piece.created
        if piece.finish_reason is not None:
            self.finish_reason = piece.finish_reason
        if piece.usage is not None:
            self.usage = piece.usage
        text = piece.text
        if text:
            self.text.append(text)
            if not piece.tool_calls:
                return StreamChunk(text, self.provider, self.model)
        if piece.reasoning or piece.thinking:
            self.reasoned = True
        if piece.refusal:
            self.refusal.append(piece.refusal)
        if piece.tool_calls:
            deltas = tuple(self._add_call(call) for call in piece.tool_calls)
            return StreamChunk(text, self.provider, self.model, deltas)
        return None

    def _add_call(self, call: CallPiece) -> ToolCallDelta:
        index, id_, name, arguments = call
        if index is None:  # some servers number nothing: a new id, or a name, is a new call
            newest = max(self.calls, default=-1)
            known = self.calls.get(newest)
            starts = known is None or (id_ is not None and id_ != known.id)
            index = newest + 1 if starts else newest
        entry = self.calls.get(index)
        if entry is None:
            entry = self.calls[index] = _Call()
        entry.id = entry.id or id_ or ""
        entry.name = entry.name or name or ""
        if arguments:
            entry.arguments.append(arguments)
        return ToolCallDelta(index, id_, name, arguments)

    @property
    def content(self) -> str:
        return "".join(self.text)

    def deltas(self) -> tuple[ToolCallDelta, ...]:
        """The tool calls so far, one delta each; for an interrupted stream."""
        return tuple(
            ToolCallDelta(index, call.id or None, call.name or None, call.text)
            for index, call in sorted(self.calls.items())
        )

    def finish(
        self,
        *,
        cost_usd: float | None,
        parser: Callable[[str], Any] | None,
        empty_is_fine: bool = False,
        limited: bool = False,
    ) -> LLMResponse:
        """The whole answer. ``limited``: the caller set a number of tokens.

        Raises:
            AnswerError: neither content nor tool call, broken tool arguments, or not in the format that
                was asked for.
        """
        content = self.content
        calls = [call for _, call in sorted(self.calls.items()) if call.name]
        if not content.strip() and not calls and not empty_is_fine:
            raise self._emptiness(limited=limited)
        parsed_calls = tuple(
            ToolCall(call.id, call.name, parse_arguments(call.text)) for call in calls
        )
        parsed = None
        if parser is not None and not calls:
            parsed = _parsed(content, parser)
        finish_reason = self.finish_reason
        if calls and finish_reason == "stop":
            finish_reason = "tool_calls"
        usage = self.usage or Usage()
        raw: dict[str, Any] = {
            "id": self.upstream_id,
            "model": self.upstream_model,
            "created": self.created,
            "content": content,
            "finish_reason": finish_reason,
            "usage": usage.as_dict(),
        }
        if calls:
            raw["tool_calls"] = [call.as_raw() for call in calls]
        return LLMResponse(
            content=content,
            provider=self.provider,
            model=self.model,
            finish_reason=finish_reason,
            tool_calls=parsed_calls,
            usage=usage,
            cost_usd=cost_usd,
            parsed=parsed,
            raw_response=raw,
        )

    def _emptiness(self, *, limited: bool) -> AnswerError:
        if self.refusal or self.finish_reason == "content_filter":
            return AnswerError("refused by the content filter", FailureKind.CONTENT_POLICY)
        if self.finish_reason == "length" and limited:
            return AnswerError(
                "max_tokens was spent before any content; raise it, most of all for a model that reasons",
                FailureKind.REJECTED,
            )
        return AnswerError("neither content nor tool call", FailureKind.INVALID_RESPONSE)


def _parsed(content: str, parser: Callable[[str], Any]) -> Any:
    try:
        return parser(content)
    except (
        ValueError,
        RecursionError,
    ):  # json's and pydantic's errors; their texts quote the answer
        raise AnswerError("answer does not match response_format", FailureKind.REJECTED) from None
