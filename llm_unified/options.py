"""The options of a call, once, for all methods that take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from llm_unified.response import LLMResponse

__all__ = ["ChatOptions", "EmbedOptions"]


class CallOptions(TypedDict, total=False):
    """What every call may say about how it is carried out."""

    provider: str | None
    """Start the chain at this provider; the others follow, unless ``fallback=False``."""
    fallback: bool
    """``False``: ask the first provider only."""
    deadline: float | None
    """Seconds for the whole call (default: ``LLM_DEADLINE``; 1,200 for a model that reasons, if that is not set)."""
    timeout: float | None
    """Seconds for one attempt (default: ``LLM_TIMEOUT``; 600 for a model that reasons, if that is not set)."""
    extra_body: Mapping[str, Any] | None
    """Members put into the request's JSON body as they are."""
    extra_headers: Mapping[str, str] | None
    """Headers added to the request."""
    user: str | None


class EmbedOptions(CallOptions, total=False):
    """The options of `UnifiedLLMService.embed_async`."""

    dimensions: int | None
    encoding_format: Literal["float", "base64"] | None


class ChatOptions(CallOptions, total=False):
    """The options of chat calls. Further parameters of the vendors go into ``extra_body``."""

    model: str | None
    """Ask the first provider of the chain for this model instead of its configured one."""
    accept: Callable[[LLMResponse], Any] | None
    """Called with the `LLMResponse` (may be ``async``) within the attempt's time; if it returns something
    false, the answer is ``rejected`` and the next provider is asked."""
    response_format: Any
    """A pydantic model, a JSON schema, or OpenAI's ``{"type": …}``; the object, validated here, is
    ``response.parsed``. An answer that does not match is turned down, and the next provider asked."""
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    max_completion_tokens: int | None
    reasoning_effort: str | None
    verbosity: str | None
    thinking: Mapping[str, Any] | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    top_k: int | None
    modalities: Sequence[str] | None
    audio: Mapping[str, Any] | None
    prediction: Mapping[str, Any] | None
    web_search_options: Mapping[str, Any] | None
    service_tier: str | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    store: bool | None
    metadata: Mapping[str, Any] | None
    stream_options: Mapping[str, Any] | None
    functions: Sequence[Mapping[str, Any]] | None
    function_call: str | Mapping[str, Any] | None
