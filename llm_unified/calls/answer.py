"""From pieces to an `LLMResponse`, and whether it is an answer at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_unified.calls.joining import joined, thinking_blocks
from llm_unified.calls.toolcalls import ToolCalls
from llm_unified.engine.pieces import AnswerError, Piece
from llm_unified.response import FailureKind, LLMResponse, StreamChunk, Usage

__all__ = ["Assembly"]


@dataclass(slots=True)
class Assembly:
    """The parts of one answer, whole or still streaming in."""

    provider: str
    model: str
    text: list[str] = field(default_factory=list)
    calls: ToolCalls = field(default_factory=ToolCalls)
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    usage: Usage | None = None
    upstream_id: str | None = None
    upstream_model: str | None = None
    created: int | None = None
    refusal: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    thinking: list[Any] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    members: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, piece: Piece) -> StreamChunk | None:
        """Take one piece; what of it is worth showing, or ``None``."""
        if self.upstream_id is None or self.upstream_model is None:
            self.upstream_id = self.upstream_id or piece.id
            self.upstream_model = self.upstream_model or piece.model
            self.created = self.created or piece.created
        if piece.finish_reason is not None:
            self.finish_reason = piece.finish_reason
            self.native_finish_reason = piece.native_finish_reason
        if piece.usage is not None:
            self.usage = piece.usage
        text = piece.text
        if text:
            self.text.append(text)
        if not piece.rich:
            return StreamChunk(text, self.provider, self.model) if text else None
        return self._add_more(piece)

    def _add_more(self, piece: Piece) -> StreamChunk | None:
        reasoning = piece.reasoning
        if reasoning:
            self.reasoning.append(reasoning)
        if piece.thinking:
            self.thinking += piece.thinking
        if piece.refusal:
            self.refusal.append(piece.refusal)
        if piece.annotations:
            self.annotations += piece.annotations
        if piece.logprobs is not None:
            self.logprobs.append(piece.logprobs)
        if piece.members:
            self.members.append(piece.members)
        add = self.calls.add
        deltas = tuple(d for call in piece.tool_calls if (d := add(call)) is not None)
        if not (piece.text or reasoning or deltas):
            return None
        return StreamChunk(piece.text, self.provider, self.model, deltas, None, reasoning)

    @property
    def content(self) -> str:
        return "".join(self.text)

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
        calls, raw_calls, portable_calls = self.calls.finish()
        if not content.strip() and not calls and not empty_is_fine:
            raise self._emptiness(limited=limited)
        parsed = None
        if parser is not None and not calls:
            parsed = _parsed(content, parser)
        finish_reason = self.finish_reason
        if calls and finish_reason == "stop":
            finish_reason = "tool_calls"
        elif not calls and finish_reason == "tool_calls":
            finish_reason = "stop"
        self.finish_reason = finish_reason
        members: dict[str, Any] = _together(self.members) or {}
        raw: dict[str, Any] = {
            **members,
            "id": self.upstream_id,
            "model": self.upstream_model,
            "created": self.created,
            "content": content,
            "finish_reason": finish_reason,
            "usage": None if self.usage is None else self.usage.as_dict(),
            "native_finish_reason": self.native_finish_reason,
        }
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content if content.strip() else None,
        }
        if calls:
            raw["tool_calls"], message["tool_calls"] = raw_calls, portable_calls
        reasoning = "".join(self.reasoning) or None
        if reasoning is not None:
            message["reasoning_content"] = reasoning
        if self.thinking:
            message["thinking_blocks"] = thinking_blocks(self.thinking)
            raw["thinking_blocks"] = thinking_blocks(self.thinking)
        if items := members.get("reasoning_items"):  # of the Responses API, through LiteLLM
            message["reasoning_items"] = items
        return LLMResponse(
            content=content,
            provider=self.provider,
            model=self.model,
            finish_reason=finish_reason,
            tool_calls=calls,
            usage=self.usage,
            cost_usd=cost_usd,
            parsed=parsed,
            raw_response=raw,
            reasoning=reasoning,
            refusal="".join(self.refusal) or None,
            annotations=tuple(a for a in self.annotations if isinstance(a, dict)),
            logprobs=_logprobs(self.logprobs),
            message=message,
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


def _together(parts: Sequence[Any]) -> Any:
    try:
        return joined(parts)
    except RecursionError:
        raise AnswerError("answer is nested too deeply", FailureKind.INVALID_RESPONSE) from None


def _logprobs(parts: Sequence[Any]) -> dict[str, Any] | None:
    found = _together(parts)
    return found if isinstance(found, dict) and any(found.values()) else None


def _parsed(content: str, parser: Callable[[str], Any]) -> Any:
    try:
        return parser(content)
    except (
        ValueError,
        RecursionError,
    ):  # json's and pydantic's errors; their texts quote the answer
        raise AnswerError("answer does not match response_format", FailureKind.REJECTED) from None
