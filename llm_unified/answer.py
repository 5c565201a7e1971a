"""From LiteLLM's answer object to an `LLMResponse`, and whether it is an answer at all.

Duck-typed on the OpenAI shape that LiteLLM translates every provider into, so nothing here imports LiteLLM.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_unified.response import (
    Embedding,
    FailureKind,
    LLMResponse,
    StreamChunk,
    ToolCall,
    ToolCallDelta,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Assembly", "NoAnswerError", "embedding_of", "from_completion", "usage_of"]


class NoAnswerError(Exception):
    """A 2xx that is no answer. Internal: it never leaves the engine."""

    def __init__(
        self,
        reason: str,
        kind: FailureKind = FailureKind.INVALID_RESPONSE,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.usage = reason, kind, usage


def usage_of(raw: Any) -> Usage:
    """Tokens from any object with the OpenAI names; zeros where they are missing."""
    prompt = getattr(raw, "prompt_tokens", 0) or 0
    completion = getattr(raw, "completion_tokens", 0) or 0
    return Usage(prompt, completion, getattr(raw, "total_tokens", 0) or prompt + completion)


def parse_arguments(text: str | None) -> dict[str, Any]:
    """A tool call's JSON arguments as a dict; an empty text means no arguments."""
    if text is None or not text.strip():
        return {}
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise NoAnswerError("tool call with broken JSON arguments")
    return arguments


def parse_content(content: str, parser: Callable[[str], Any] | None) -> Any:
    """What ``response_format`` asked for, or `NoAnswerError`."""
    if parser is None:
        return None
    try:
        return parser(content)
    except ValueError:  # json's and pydantic's errors; their texts quote the answer
        raise NoAnswerError("answer does not match response_format") from None


def _raw_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "name": name,
        "arguments": arguments,
        "function": {"name": name, "arguments": arguments},
    }


@dataclass(slots=True)
class Assembly:
    """The parts of one answer, whole or still streaming in."""

    provider: str
    model: str
    text: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    finish_reason: str | None = None
    usage: Usage | None = None
    upstream_id: str | None = None
    upstream_model: str | None = None
    created: int | None = None
    refusal: bool = False

    def add(self, chunk: Any) -> StreamChunk | None:
        """Take one streamed chunk; what of it is worth showing, or ``None``.

        On the path of every chunk, so it reads as few of LiteLLM's (slow) attributes as it can.
        """
        if self.upstream_id is None:
            self.upstream_id = getattr(chunk, "id", None)
            self.upstream_model = getattr(chunk, "model", None)
            self.created = getattr(chunk, "created", None)
        choices = chunk.choices
        choice = choices[0] if choices else None
        if choice is None or self.finish_reason is not None or choice.finish_reason is not None:
            self._add_end(chunk, choice)
            if choice is None:
                return None
        delta = choice.delta
        content = delta.content
        calls = delta.tool_calls
        if content and not calls:
            self.text.append(content)
            return StreamChunk(content, self.provider, self.model)
        if calls:
            if content:
                self.text.append(content)
            deltas = tuple(self._add_call(call) for call in calls)
            return StreamChunk(content or "", self.provider, self.model, deltas)
        if getattr(delta, "refusal", None):
            self.refusal = True
        return None

    def _add_end(self, chunk: Any, choice: Any) -> None:
        """Usage and finish reason, which come last.

        The finish reason is shown at the verified end only: LiteLLM makes one up for a cut stream.
        """
        if choice is not None and choice.finish_reason:
            self.finish_reason = choice.finish_reason
        usage = getattr(chunk, "usage", None)
        if usage is None:  # not asked for on the wire: LiteLLM puts what came into the last chunk
            usage = (getattr(chunk, "_hidden_params", None) or {}).get("usage")
        if usage is not None:
            self.usage = usage_of(usage)

    def _add_call(self, call: Any) -> ToolCallDelta:
        index = call.index or 0
        function = call.function
        name, arguments = function.name or None, function.arguments or ""
        entry = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        if call.id and not entry["id"]:
            entry["id"] = call.id
        if name and not entry["name"]:
            entry["name"] = name
        entry["arguments"] += arguments
        return ToolCallDelta(index, call.id, name, arguments)

    @property
    def content(self) -> str:
        return "".join(self.text)

    def deltas(self) -> tuple[ToolCallDelta, ...]:
        """The tool calls so far, one delta each; for an interrupted stream."""
        return tuple(
            ToolCallDelta(index, c["id"] or None, c["name"] or None, c["arguments"])
            for index, c in sorted(self.calls.items())
        )

    def finish(
        self,
        *,
        cost_usd: float | None,
        parser: Callable[[str], Any] | None,
        empty_is_fine: bool = False,
    ) -> LLMResponse:
        """The whole answer.

        Raises:
            NoAnswerError: neither content nor tool call, broken tool arguments, or not in the format
                that was asked for.
        """
        content = self.content
        usage = self.usage or Usage()
        try:
            if not content.strip() and not self.calls and not empty_is_fine:
                raise self._emptiness()
            calls = tuple(
                ToolCall(c["id"], c["name"], parse_arguments(c["arguments"]))
                for _, c in sorted(self.calls.items())
            )
            parsed = None if calls else parse_content(content, parser)
        except NoAnswerError as error:
            error.usage = usage
            raise
        raw: dict[str, Any] = {
            "id": self.upstream_id,
            "model": self.upstream_model,
            "created": self.created,
            "content": content,
            "finish_reason": self.finish_reason,
            "usage": usage.as_dict(),
        }
        if calls:
            raw["tool_calls"] = [
                _raw_call(c["id"], c["name"], c["arguments"]) for _, c in sorted(self.calls.items())
            ]
        return LLMResponse(
            content=content,
            provider=self.provider,
            model=self.model,
            finish_reason=self.finish_reason,
            tool_calls=calls,
            usage=usage,
            cost_usd=cost_usd,
            parsed=parsed,
            raw_response=raw,
        )

    def _emptiness(self) -> NoAnswerError:
        if self.refusal or self.finish_reason == "content_filter":
            return NoAnswerError("refused by the content filter", FailureKind.CONTENT_POLICY)
        return NoAnswerError("neither content nor tool call")


def from_completion(
    completion: Any,
    *,
    provider: str,
    model: str,
    cost_usd: float | None,
    parser: Callable[[str], Any] | None,
    empty_is_fine: bool = False,
) -> LLMResponse:
    """A whole (not streamed) answer of LiteLLM's.

    Raises:
        NoAnswerError: it has no choices, or see `Assembly.finish`.
    """
    choices = getattr(completion, "choices", None)
    usage = getattr(completion, "usage", None)
    if not choices or getattr(choices[0], "message", None) is None:
        raise NoAnswerError("no choices", usage=usage_of(usage))
    message = choices[0].message
    assembly = Assembly(
        provider,
        model,
        finish_reason=choices[0].finish_reason,
        usage=usage_of(usage),
        upstream_id=getattr(completion, "id", None),
        upstream_model=getattr(completion, "model", None),
        created=getattr(completion, "created", None),
        refusal=bool(_refusal(message)),
    )
    if message.content:
        assembly.text.append(message.content)
    calls: Iterable[Any] = message.tool_calls or ()
    for index, call in enumerate(calls):
        function = call.function
        assembly.calls[index] = {
            "id": call.id or "",
            "name": function.name or "",
            "arguments": function.arguments or "",
        }
    return assembly.finish(cost_usd=cost_usd, parser=parser, empty_is_fine=empty_is_fine)


def _refusal(message: Any) -> Any:
    specific = getattr(message, "provider_specific_fields", None) or {}
    return getattr(message, "refusal", None) or specific.get("refusal")


def embedding_of(result: Any, *, provider: str, model: str, cost_usd: float | None) -> Embedding:
    """LiteLLM's vectors, in the order of the inputs.

    Raises:
        NoAnswerError: there are none.
    """
    data = getattr(result, "data", None)
    if not data:
        raise NoAnswerError("no embeddings")
    rows = [item if isinstance(item, dict) else item.model_dump() for item in data]
    rows.sort(key=lambda row: row.get("index") or 0)
    return Embedding(
        vectors=tuple(tuple(row["embedding"]) for row in rows),
        provider=provider,
        model=model,
        usage=usage_of(getattr(result, "usage", None)),
        cost_usd=cost_usd,
    )
