"""What the vendors refuse beside the mistakes that every simulator knows; ``Simulator(strict=True)``.

Rules of its own, from the vendors' references and SDK types and from their 400s, so that a client is not
tested by its own tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from llm_unified.testing.wire import RefusedError, text_of

__all__ = ["check_strictly"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# OpenAI: API reference "Create chat completion"; SDK: CompletionCreateParams.
OPENAI = _names(
    "model messages temperature top_p max_tokens max_completion_tokens stop seed n stream "
    "stream_options presence_penalty frequency_penalty logit_bias logprobs top_logprobs user "
    "metadata service_tier store prediction modalities audio web_search_options safety_identifier "
    "prompt_cache_key prompt_cache_retention verbosity reasoning_effort functions function_call "
    "parallel_tool_calls tools tool_choice response_format"
)
# Groq: SDK: CompletionCreateParams, without what it says is not supported; "OpenAI Compatibility".
GROQ = _names(
    "model messages temperature top_p max_tokens max_completion_tokens stop seed n stream "
    "stream_options user service_tier parallel_tool_calls tools tool_choice response_format "
    "reasoning_effort reasoning_format include_reasoning"
)
# Anthropic: SDK: MessageCreateParams (0.x has the sampling parameters of the older models).
ANTHROPIC = _names(
    "model messages max_tokens system metadata stop_sequences stream temperature top_p top_k tools "
    "tool_choice thinking output_config output_format service_tier container cache_control "
    "inference_geo"
)
MEMBERS = {
    "openai": {
        "system": {"role", "content", "name"},
        "developer": {"role", "content", "name"},
        "user": {"role", "content", "name"},
        "assistant": {"role", "content", "name", "refusal", "audio", "tool_calls", "function_call"},
        "tool": {"role", "content", "tool_call_id"},
    },
    "groq": {  # "OpenAI Compatibility": messages[].name is a 400
        "system": {"role", "content"},
        "developer": {"role", "content"},
        "user": {"role", "content"},
        "assistant": {"role", "content", "reasoning", "tool_calls", "function_call"},
        "tool": {"role", "content", "tool_call_id"},
    },
}
REASONING = re.compile(r"o\d|gpt-[56](?!-chat)")
SAMPLING = {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs"}
EFFORTS = (
    (r"gpt-5\.1", "none low medium high"),
    (r"gpt-5\.[2-6]|gpt-6", "none low medium high xhigh"),
    (r"gpt-5", "minimal low medium high"),
    (r"o\d", "low medium high"),
    (r"openai/gpt-oss", "low medium high"),
    (r"qwen/qwen3\.8", "none default low medium high"),
    (r"qwen/qwen3", "none default"),
)
BLIND = re.compile(r"gpt-3|gpt-4(-0613)?$|o3-mini|openai/gpt-oss|llama-3|claude-2")
IMAGES = {"image/png", "image/jpeg", "image/webp", "image/gif"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_strictly(provider: str, model: str, body: Mapping[str, Any]) -> None:
    """Raise :class:`RefusedError` where the vendor would refuse a chat request."""
    if provider == "anthropic":
        _anthropic(model, body)
    else:
        _openai(provider, model, body)


def refuse(message: str, param: str | None = None) -> None:
    raise RefusedError(400, message, param=param)


# -- OpenAI, Azure OpenAI, Groq -----------------------------------------------------------------------


def _openai(provider: str, model: str, body: Mapping[str, Any]) -> None:
    groq = provider == "groq"
    for name in body.keys() - (GROQ if groq else OPENAI):
        refuse(f"Unrecognized request argument supplied: {name}", name)
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:  # noqa: PLR2004
        refuse("Invalid 'stop': array too long. Expected an array with maximum length 4.", "stop")
    if len(body.get("user") or "") > 64:  # noqa: PLR2004
        refuse("Invalid 'user': string too long. Expected maximum length 64.", "user")
    if "metadata" in body and not body.get("store"):
        refuse("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")
    _tools(body)
    _efforts(model, body)
    form = (body.get("response_format") or {}).get("type")
    if form == "json_object" and "json" not in str(body["messages"]).lower():
        refuse("'messages' must contain the word 'json' in some form.", "messages")
    if groq and form in ("json_object", "json_schema") and body.get("tools"):
        refuse("json mode cannot be combined with tool/function calling", "response_format")
    members = MEMBERS["groq" if groq else "openai"]
    for i, message in enumerate(body["messages"]):
        known = members.get(message["role"])
        for name in message.keys() - (known or set(message)):
            if groq:
                refuse(
                    f"'messages.{i}' : for 'role:{message['role']}' the following must be "
                    f"satisfied[('messages.{i}' : property '{name}' is unsupported)]"
                )
            refuse(f"Unknown parameter: 'messages[{i}].{name}'.", f"messages[{i}].{name}")
        _message(model, message, i)


def _tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    if tools == []:
        refuse("Invalid 'tools': empty array.", "tools")
    if not tools:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                refuse(f"'{name}' is only allowed when 'tools' are specified.", name)
    for i, tool in enumerate(tools or ()):
        if not NAME.fullmatch(tool["function"].get("name") or ""):
            refuse(f"Invalid 'tools[{i}].function.name': string does not match pattern.")
        if tool.keys() - {"type", "function"}:
            refuse(f"Unknown parameter: 'tools[{i}]'.")


def _efforts(model: str, body: Mapping[str, Any]) -> None:
    effort = body.get("reasoning_effort")
    levels = next((levels for pattern, levels in EFFORTS if re.match(pattern, model)), "").split()
    if effort is not None and effort not in levels:
        refuse(f"Unsupported value: 'reasoning_effort' does not support '{effort}'.")
    if not REASONING.match(model):
        return
    if "max_tokens" in body:
        refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
    quiet = effort == "none" or (effort is None and re.match(r"gpt-5\.[1-4]", model))
    for name in SAMPLING & body.keys():
        if not quiet and not (name == "temperature" and body[name] == 1):
            refuse(f"Unsupported parameter: '{name}' is not supported with this model.", name)


def _message(model: str, message: Mapping[str, Any], i: int) -> None:
    for call in message.get("tool_calls") or ():
        if len(call["id"]) > 40:  # noqa: PLR2004
            refuse(f"Invalid 'messages[{i}].tool_calls[0].id': string too long.")
        if not NAME.fullmatch(call["function"]["name"]):
            refuse(f"Invalid 'messages[{i}].tool_calls[0].function.name': does not match pattern.")
        if call.keys() - {"id", "type", "function"}:
            refuse(f"Unknown parameter: 'messages[{i}].tool_calls[0]'.")
    parts = message.get("content")
    for part in parts if isinstance(parts, list) else ():
        if part.keys() - {"type", part["type"]}:
            refuse(f"Unknown parameter: 'messages[{i}].content[0]'.")
        if part["type"] == "image_url":
            if message["role"] != "user":
                refuse("Image URLs are only allowed for messages with role 'user'.")
            if BLIND.match(model):
                refuse("Invalid content type. image_url is only supported by certain models.")
            _image(part["image_url"]["url"], ("https", "http", "data"))


def _image(url: str, schemes: Iterable[str]) -> None:
    scheme, _, rest = url.partition(":")
    if scheme not in schemes:
        refuse("Only HTTPS URLs are supported.")
    if scheme == "data" and rest.partition(";")[0] not in IMAGES:
        refuse("You uploaded an unsupported image.")


# -- Anthropic ----------------------------------------------------------------------------------------

OLDER = re.compile(r"claude-(3|2|instant|(opus|sonnet|haiku)-4(?![-.][6-9]))")
"""Prefill, sampling parameters, budgets: up to 4.5. "Migration guide", "Adaptive thinking"."""
SAMPLED = re.compile(rf"{OLDER.pattern}|claude-\w+-4-6")
ONE_OF = re.compile(r"claude-\w+-4-[156](?!\d)")
ALWAYS_ON = re.compile(r"claude-(opus-5-5|fable|mythos-5)")


def _anthropic(model: str, body: Mapping[str, Any]) -> None:
    _members(model, body)
    thinks = _thinking(model, body)
    messages = body["messages"]
    if messages[-1]["role"] == "assistant":
        if not OLDER.match(model) or thinks:
            refuse("This model does not support assistant message prefill.")
        if text_of(messages[-1]["content"]) != text_of(messages[-1]["content"]).rstrip():
            refuse("messages: final assistant content cannot end with trailing whitespace")
    for i, message in enumerate(messages):
        content = message["content"]
        for block in content if isinstance(content, list) else ():
            _block(block, f"messages.{i}.content")


def _members(model: str, body: Mapping[str, Any]) -> None:
    for name in body.keys() - ANTHROPIC:
        refuse(f"{name}: Extra inputs are not permitted")
    if set(body.get("metadata") or ()) - {"user_id"}:
        refuse("metadata: Extra inputs are not permitted")
    if not SAMPLED.match(model) and {"temperature", "top_p", "top_k"} & body.keys():
        refuse("`temperature` is deprecated for this model.")
    if ONE_OF.match(model) and {"temperature", "top_p"} <= body.keys():
        refuse("`temperature` and `top_p` cannot both be specified for this model.")
    if any(not text.strip() for text in body.get("stop_sequences") or ()):
        refuse("stop_sequences: each stop sequence must contain non-whitespace")
    for i, tool in enumerate(body.get("tools") or ()):
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"]):
            refuse(f"tools.{i}.custom.name: String should match pattern")


def _thinking(model: str, body: Mapping[str, Any]) -> bool:
    """Whether it thinks. Sources: SDK: ThinkingConfigEnabledParam; "Extended thinking"."""
    thinking = body.get("thinking") or {}
    kind = thinking.get("type")
    if kind in ("adaptive", "between_tools") and OLDER.match(model):
        refuse("adaptive thinking is not supported on this model")
    if kind == "disabled" and ALWAYS_ON.match(model):
        refuse('"thinking.type.disabled" is not supported for this model.')
    if kind not in ("enabled", "adaptive"):
        return False
    if body.get("temperature", 1) != 1 or "top_k" in body:
        refuse("`temperature` may only be set to 1 when thinking is enabled.")
    if kind == "adaptive":
        return True
    if not SAMPLED.match(model) or re.match(r"claude-(2|3-[05]|3-[a-z])", model):
        refuse('"thinking.type.enabled" is not supported for this model.')
    if not 1024 <= thinking.get("budget_tokens", 0) < body["max_tokens"]:  # noqa: PLR2004
        refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        refuse("Thinking may not be enabled when tool_choice forces tool use.")
    _last_turn(body["messages"])
    return True


def _last_turn(messages: list[Any]) -> None:
    """A turn that waits for the results of its tools began with thinking."""
    last = next((m for m in reversed(messages) if m["role"] == "assistant"), None)
    content = messages[-1]["content"]
    open_turn = any(isinstance(b, dict) and b.get("type") == "tool_result" for b in content)
    if open_turn and last is not None and "thinking" not in str(last["content"][0].get("type")):
        refuse("Expected `thinking` or `redacted_thinking`, but found `tool_use`.")


def _block(block: Mapping[str, Any], where: str) -> None:
    kind = block["type"]
    if kind == "text" and not block["text"].strip():
        refuse("messages: text content blocks must contain non-whitespace text")
    if kind == "tool_use" and not re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]):
        refuse(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    if kind == "thinking" and not block.get("signature"):
        refuse(f"{where}.thinking.signature: Field required")
    if kind == "image":
        source = block["source"]
        if source["type"] == "url":
            _image(source["url"], ("https",))
        elif source["media_type"] not in IMAGES:
            refuse(f"{where}.image.source.base64.media_type: Input should be 'image/jpeg', …")
