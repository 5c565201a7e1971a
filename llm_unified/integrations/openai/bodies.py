"""Answers of a service in the words of OpenAI's API.

Source: OpenAI API reference, "Chat completions", "Streaming", "Embeddings", "Models". What the API has no member for
is in members of its own: ``reasoning_content`` and ``thinking_blocks`` of a message (the names that DeepSeek
and LiteLLM gave them), and ``llm_unified`` of a completion or of a stream's last chunk.
"""

from __future__ import annotations

import base64
import struct
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

from llm_unified.response import Embedding, LLMResponse, StreamChunk, ToolCallDelta, Usage
from llm_unified.settings import Settings

__all__ = ["MODEL", "Chunks", "completion", "embeddings", "models"]

MODEL: Final = "llm-unified"
"""The name that means each provider's configured model, in the configured order.

The name of a provider (``"groq"``), of a model in it (``"groq/llama-3.3-70b-versatile"``), or of a model that a provider is
configured with, starts the chain there. Any other name is asked of the first provider alone; those after
it are asked for what they are configured with.
"""


def completion(response: LLMResponse) -> dict[str, Any]:
    """A `ChatCompletion`."""
    raw = response.raw_response
    return {
        "id": raw.get("id") or _new_id(),
        "object": "chat.completion",
        "created": raw.get("created") or int(time.time()),
        "model": raw.get("model") or response.model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "refusal": None,
                    "annotations": [],
                    **_beside_text(response),
                    **response.message,
                },
                "logprobs": response.logprobs,
                "finish_reason": response.finish_reason or "stop",
            }
        ],
        "usage": _usage(response.usage),
        "llm_unified": _ours(response),
    }


class Chunks:
    """The `ChatCompletionChunk`s of one stream."""

    def __init__(self, first: StreamChunk) -> None:
        """``first``: the stream's first chunk."""
        self._head = {
            "id": _new_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": first.model,
        }
        self._role: dict[str, Any] = {"role": "assistant"}

    def of(self, chunk: StreamChunk) -> dict[str, Any]:
        """One chunk's."""
        delta, self._role = self._role, {}
        if chunk.content:
            delta["content"] = chunk.content
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            delta["tool_calls"] = [_tool_call(call) for call in chunk.tool_calls]
        return {**self._head, "choices": [_choice(delta)]}

    def last(self, response: LLMResponse) -> dict[str, Any]:
        """The one with the finish reason, and with what is known only at the end."""
        choice = _choice(_beside_text(response), response.finish_reason or "stop")
        if response.logprobs is not None:
            choice["logprobs"] = response.logprobs
        return {**self._head, "choices": [choice], "llm_unified": _ours(response)}

    def usage(self, response: LLMResponse) -> dict[str, Any]:
        """What ``stream_options={"include_usage": True}`` asks for."""
        return {**self._head, "choices": [], "usage": _usage(response.usage)}


def embeddings(found: Embedding, *, as_base64: bool) -> dict[str, Any]:
    """A `CreateEmbeddingResponse`. The SDK asks for base64 unless its caller says otherwise."""
    usage = found.usage or Usage()
    return {
        "object": "list",
        "model": found.model,
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(vector) if as_base64 else vector,
            }
            for index, vector in enumerate(found.vectors)
        ],
        "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens},
        "llm_unified": {
            "call_id": found.call_id,
            "provider": found.provider,
            "cost_usd": found.cost_usd,
        },
    }


def models(settings: Settings) -> dict[str, Any]:
    """The names that ``model`` may have."""
    found = {MODEL: "llm_unified"}
    for provider in settings.providers:
        for deployment in provider.deployments:
            found[f"{provider.name}/{deployment.model}"] = provider.name
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 0, "owned_by": owner}
            for name, owner in found.items()
        ],
    }


def _new_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"


def _choice(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _beside_text(response: LLMResponse) -> dict[str, Any]:
    """Members of a message that no delta had."""
    members: dict[str, Any] = {}
    if response.refusal is not None:
        members["refusal"] = response.refusal
    if response.annotations:
        members["annotations"] = response.annotations
    if (audio := response.raw_response.get("audio")) is not None:
        members["audio"] = audio
    if (blocks := response.message.get("thinking_blocks")) is not None:
        members["thinking_blocks"] = blocks
    return members


def _tool_call(call: ToolCallDelta) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": call.arguments}
    if call.name is not None:
        function["name"] = call.name
    found: dict[str, Any] = {"index": call.index, "function": function}
    if call.id is not None:
        found |= {"id": call.id, "type": "function"}
    return found


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        **usage.as_dict(),
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _ours(response: LLMResponse) -> dict[str, Any]:
    return {
        "call_id": response.call_id,
        "provider": response.provider,
        "model": response.model,
        "cost_usd": response.cost_usd,
        "attempts": [str(attempt) for attempt in response.attempts],
    }


def _base64(vector: tuple[float, ...]) -> str:
    """Little-endian float32: what the providers sent when they were asked for base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
