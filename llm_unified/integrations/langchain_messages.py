"""LangChain's messages and ours, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    convert_to_openai_messages,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call, tool_call_chunk

from llm_unified.response import LLMResponse, StreamChunk, Usage

__all__ = ["last_chunk", "message_of", "piece_of", "wire_messages"]

_ASSISTANT_PARTS: Final = frozenset({"text", "refusal", "tool_use"})
"""What of an assistant's content blocks goes back as content; calls and thinking have members of their own."""
_REASONING: Final = ("reasoning_content", "thinking_blocks", "reasoning_items")
_BEHIND_BLOCKS: Final = 1000


def wire_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The conversation in OpenAI's form, as the service takes it."""
    found: list[dict[str, Any]] = []
    for message in messages:
        marks = _cache_marks(message)
        more = {}
        if isinstance(message, AIMessage):
            more = _thinking(message)
            message = message.model_copy(update={"content": _spoken(message.content)})  # noqa: PLW2901
        turns = convert_to_openai_messages([message], text_format="block" if marks else "string")
        turns[0] |= more
        for part in turns[0]["content"] if marks else ():
            if (mark := marks.get(part.get("text"))) is not None:
                part["cache_control"] = mark
        found += turns
    return found


def _cache_marks(message: BaseMessage) -> dict[str, Any]:
    """LangChain's translation drops Anthropic's ``cache_control`` of text blocks."""
    blocks = message.content if isinstance(message.content, list) else []
    marked = (b for b in blocks if isinstance(b, dict) and b.get("type") == "text")
    return {b["text"]: b["cache_control"] for b in marked if b.get("cache_control")}


def _spoken(content: str | list[Any]) -> str | list[Any]:
    if isinstance(content, str):
        return content
    return [b for b in content if isinstance(b, str) or b.get("type") in _ASSISTANT_PARTS]


def _thinking(message: AIMessage) -> dict[str, Any]:
    """An earlier turn's reasoning, as `LLMResponse.message` has it; also what other integrations left."""
    kept = message.additional_kwargs
    found = {name: kept[name] for name in _REASONING if kept.get(name)}
    if found or isinstance(message.content, str):
        return found
    blocks = []
    for block in message.content:
        if isinstance(block, str):
            continue
        kind = block.get("type")
        if kind in ("thinking", "redacted_thinking"):  # langchain-anthropic's
            blocks.append(block)
        elif kind == "reasoning":  # LangChain's standard
            signature = (block.get("extras") or {}).get("signature")
            thought = {"type": "thinking", "thinking": block.get("reasoning", "")}
            blocks.append({**thought, "signature": signature} if signature else thought)
    return {"thinking_blocks": blocks} if blocks else {}


def message_of(response: LLMResponse) -> AIMessage:
    """The answer as a message."""
    return AIMessage(
        content=response.content,
        tool_calls=[tool_call(name=c.name, args=c.arguments, id=c.id) for c in response.tool_calls],
        additional_kwargs=_extras(response),
        response_metadata=_metadata(response),
        usage_metadata=_usage(response.usage),
    )


def piece_of(chunk: StreamChunk, output_version: str | None) -> AIMessageChunk:
    """A piece of a streamed answer; LangChain adds them up."""
    # With "v1" LangChain numbers text and reasoning, then joins whatever has the same number, calls included.
    begin = _BEHIND_BLOCKS if output_version == "v1" else 0
    return AIMessageChunk(
        content=chunk.content,
        tool_call_chunks=[
            tool_call_chunk(name=c.name, args=c.arguments, id=c.id, index=begin + c.index)
            for c in chunk.tool_calls
        ],
        additional_kwargs={"reasoning_content": chunk.reasoning} if chunk.reasoning else {},
    )


def last_chunk(response: LLMResponse) -> AIMessageChunk:
    """What is known when the stream has ended."""
    extras = _extras(response)
    extras.pop("reasoning_content", None)  # it came in pieces, which LangChain joins
    return AIMessageChunk(
        content="",
        additional_kwargs=extras,
        response_metadata=_metadata(response),
        usage_metadata=_usage(response.usage),
        chunk_position="last",
    )


def _extras(response: LLMResponse) -> dict[str, Any]:
    found = {name: response.message.get(name) for name in _REASONING}
    found |= {"refusal": response.refusal, "annotations": list(response.annotations)}
    return {name: value for name, value in found.items() if value}


def _metadata(response: LLMResponse) -> dict[str, Any]:
    found = {
        "provider": response.provider,
        "model_name": response.model,
        "finish_reason": response.finish_reason,
        "id": response.raw_response.get("id"),
        "cost_usd": response.cost_usd,
        "logprobs": response.logprobs,
        "attempts": [str(attempt) for attempt in response.attempts],
    }
    return {name: value for name, value in found.items() if value is not None}


def _usage(usage: Usage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    found = UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )
    read = {"cache_read": usage.cached_tokens, "cache_creation": usage.cache_write_tokens}
    if any(read.values()):
        found["input_token_details"] = InputTokenDetails(**read)  # type: ignore[typeddict-item]
    if usage.reasoning_tokens:
        found["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return found
