"""pydantic-ai's messages and ours, both ways."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    AudioUrl,
    BaseToolReturnPart,
    BinaryContent,
    CachePoint,
    DocumentUrl,
    FinishReason,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import download_item
from pydantic_ai.usage import RequestUsage

from llm_unified.response import LLMResponse, Usage

__all__ = [
    "details_of",
    "finish_of",
    "provider_of",
    "response_of",
    "thinking_deltas",
    "usage_of",
    "wire_messages",
]

_FINISH: Final[dict[str | None, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "content_filter": "content_filter",
}
_NAMES: Final = {"azure_openai": "azure"}
"""Our providers that pydantic-ai (and its price list) calls otherwise."""
_REDACTED: Final = "redacted_thinking"
"""pydantic-ai's ``id`` of a thinking part whose ``signature`` is the encrypted text (its AnthropicModel)."""
_BLOCKS: Final = "thinking_blocks"


# -- there ---------------------------------------------------------------------------------------


async def wire_messages(
    messages: Sequence[ModelMessage], instructions: Iterable[str], signers: Collection[str]
) -> list[dict[str, Any]]:
    """The conversation in OpenAI's form, as the service takes it.

    ``signers``: the names of those whose signed thinking may go back.

    Raises:
        UserError: a part cannot be sent to every provider.
    """
    found: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            found += await _request(message)
        else:
            found.append(_assistant(message, signers))
    leading = next((i for i, m in enumerate(found) if m["role"] != "system"), len(found))
    found[leading:leading] = [{"role": "system", "content": text} for text in instructions]
    return found


async def _request(message: ModelRequest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    files: list[UserContent] = []  # of tools: behind all their results, which must come first
    for part in message.parts:
        if isinstance(part, SystemPromptPart):
            found.append({"role": "system", "content": part.content})
        elif isinstance(part, UserPromptPart):
            found.append({"role": "user", "content": await _user(part.content)})
        elif isinstance(part, BaseToolReturnPart):
            text, more = part.model_response_str_and_user_content()
            files += more
            found.append({"role": "tool", "tool_call_id": part.tool_call_id, "content": text})
        elif callable(said := getattr(part, "model_response", None)):  # asks to try again
            if getattr(part, "tool_name", None) is None:
                found.append({"role": "user", "content": said()})
            else:
                answered = getattr(part, "tool_call_id", "")
                found.append({"role": "tool", "tool_call_id": answered, "content": said()})
        else:
            raise UserError(f"a {part.part_kind} part cannot be sent through llm_unified")
    if files:
        found.append({"role": "user", "content": await _user(files)})
    return found


async def _user(content: str | Sequence[UserContent]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for item in content:
        if isinstance(item, CachePoint):
            if parts:
                ttl = {"ttl": item.ttl} if item.ttl != "5m" else {}
                parts[-1]["cache_control"] = {"type": "ephemeral", **ttl}
        else:
            parts.append(await _part(item))
    return parts


async def _part(item: Any) -> dict[str, Any]:
    if isinstance(item, str | TextContent):
        return {"type": "text", "text": item if isinstance(item, str) else item.content}
    if isinstance(item, ImageUrl) and not item.force_download:
        return {"type": "image_url", "image_url": {"url": item.url}}
    if isinstance(item, ImageUrl | AudioUrl | DocumentUrl):
        got = await download_item(item, data_format="bytes")
        item = BinaryContent(got["data"], media_type=item.media_type)
    if not isinstance(item, BinaryContent) or item.is_video:
        raise UserError(f"{type(item).__name__}: not every provider takes it; send its content")
    if item.is_image:
        return {"type": "image_url", "image_url": {"url": item.data_uri}}
    if item.is_audio:
        return {"type": "input_audio", "input_audio": {"data": item.base64, "format": item.format}}
    if item.media_type.startswith("text/"):
        return {"type": "text", "text": item.data.decode()}
    name = f"{item.identifier}.{item.format}"
    return {"type": "file", "file": {"filename": name, "file_data": item.data_uri}}


def _assistant(message: ModelResponse, signers: Collection[str]) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    blocks: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            texts.append(part.content)
        elif isinstance(part, ToolCallPart):
            function = {"name": part.tool_name, "arguments": part.args_as_json_str()}
            calls.append({"id": part.tool_call_id, "type": "function", "function": function})
        elif isinstance(part, ThinkingPart):
            thoughts.append(part.content)
            if part.provider_name in signers:
                blocks += _blocks(part)
    found: dict[str, Any] = {"role": "assistant", "content": "\n\n".join(texts) or None}
    more = {"tool_calls": calls, "reasoning_content": "\n\n".join(filter(None, thoughts))}
    return (
        found
        | {name: value for name, value in more.items() if value}
        | ({_BLOCKS: blocks} if blocks else {})
    )


def _blocks(part: ThinkingPart) -> list[dict[str, Any]]:
    several: list[dict[str, Any]] | None = (part.provider_details or {}).get(_BLOCKS)
    if several is not None:
        return several
    if part.signature is None:
        return []
    if part.id == _REDACTED:
        return [{"type": _REDACTED, "data": part.signature}]
    return [{"type": "thinking", "thinking": part.content, "signature": part.signature}]


# -- back ----------------------------------------------------------------------------------------


def response_of(response: LLMResponse) -> ModelResponse:
    """The answer as pydantic-ai's."""
    provider = provider_of(response.provider)
    parts: list[ModelResponsePart] = []
    for block in response.message.get(_BLOCKS) or ():
        redacted = block.get("type") == _REDACTED
        parts.append(
            ThinkingPart(
                content=block.get("thinking", ""),
                id=_REDACTED if redacted else None,
                signature=block.get("data" if redacted else "signature"),
                provider_name=provider,
            )
        )
    if not parts and response.reasoning:
        parts.append(ThinkingPart(content=response.reasoning, provider_name=provider))
    if response.content:
        parts.append(TextPart(content=response.content))
    # As the provider sent them: pydantic-ai validates, and shows the model what it sent.
    parts += [
        ToolCallPart(
            tool_name=call["function"]["name"],
            args=call["function"]["arguments"],
            tool_call_id=call["id"],
        )
        for call in response.message.get("tool_calls") or ()
    ]
    return ModelResponse(
        parts=parts,
        usage=usage_of(response.usage),
        model_name=response.model,
        provider_name=provider,
        provider_response_id=response.raw_response.get("id"),
        provider_details=details_of(response),
        finish_reason=finish_of(response.finish_reason),
    )


def thinking_deltas(response: LLMResponse) -> Iterable[dict[str, Any]]:
    """What a stream's end adds to its thinking, as arguments of ``handle_thinking_delta``."""
    blocks = response.message.get(_BLOCKS) or []
    provider = provider_of(response.provider)
    if len(blocks) == 1 and blocks[0].get("signature"):
        yield {"signature": blocks[0]["signature"], "provider_name": provider}
    elif blocks:  # pieces do not tell where one block ends
        yield {"provider_details": {_BLOCKS: blocks}, "provider_name": provider}


def provider_of(name: str) -> str:
    """A provider's name, as pydantic-ai's price list has it where it does."""
    return _NAMES.get(name, name)


def finish_of(reason: str | None) -> FinishReason | None:
    """OpenAI's words → OpenTelemetry's, which pydantic-ai uses."""
    return _FINISH.get(reason)


def details_of(response: LLMResponse) -> dict[str, Any]:
    """How the answer came about."""
    found = {
        "finish_reason": response.raw_response.get("native_finish_reason"),
        "attempts": [str(attempt) for attempt in response.attempts],
        "cost_usd": response.cost_usd,
        "logprobs": response.logprobs,
        "annotations": list(response.annotations) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def usage_of(usage: Usage | None) -> RequestUsage:
    """Tokens, as far as the provider counted them."""
    if usage is None:
        return RequestUsage()
    return RequestUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        details={"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {},
    )
