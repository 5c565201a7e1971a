"""Prompts, answers and tools in the conventions' JSON, for those who opted in.

Source: semantic conventions v1.41.0, gen-ai-input-messages.json, gen-ai-output-messages.json and
gen-ai-tool-definitions.json. Spans take no structured values yet, so they are JSON strings, as these say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from llm_unified.observe.events import CallEnded, CallStarted
from llm_unified.response import LLMResponse

__all__ = ["asked_content", "told_content"]

_FINISH: Final = {"tool_calls": "tool_call"}


def asked_content(event: CallStarted) -> dict[str, str]:
    """What was asked."""
    if event.operation == "embeddings":
        texts = [{"role": "user", "parts": [_text(text)]} for text in event.messages]
        return {"gen_ai.input.messages": _json(texts)}
    found = {"gen_ai.input.messages": _json([_message(m) for m in event.messages])}
    tools = event.params.get("tools")
    if tools:
        found["gen_ai.tool.definitions"] = _json([_tool(tool) for tool in tools])
    return found


def told_content(event: CallEnded) -> dict[str, str]:
    """What was answered."""
    if not isinstance(event.response, LLMResponse):
        return {}
    response = event.response
    reason = response.finish_reason or "stop"
    message = {**_message(response.message), "finish_reason": _FINISH.get(reason, reason)}
    return {"gen_ai.output.messages": _json([message])}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        return {"role": "user", "parts": [_text(message)]}
    role = str(message.get("role", "user"))
    if role == "tool":
        response = message.get("content")
        part = {"type": "tool_call_response", "id": message.get("tool_call_id")}
        return {"role": role, "parts": [{**part, "response": response}]}
    return {"role": role, "parts": list(_parts(message))}


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    reasoning = message.get("reasoning_content")
    if reasoning:
        yield {"type": "reasoning", "content": reasoning}
    content = message.get("content")
    if isinstance(content, str):
        yield _text(content)
    elif isinstance(content, Sequence):
        for part in content:
            yield _part(part)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield {
            "type": "tool_call",
            "id": call.get("id"),
            "name": str(function.get("name", "")),
            "arguments": _parsed(function.get("arguments")),
        }


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        return _text(part)
    if isinstance(part.get("text"), str):
        return _text(part["text"])
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if isinstance(url, str):
        return {"type": "uri", "modality": "image", "uri": url}
    return {"type": str(part.get("type", "unknown"))}


def _text(value: Any) -> dict[str, Any]:
    return {"type": "text", "content": str(value)}


def _parsed(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    named = function if isinstance(function, Mapping) else tool
    name = named.get("name") if isinstance(named, Mapping) else None
    return {"type": "function", "name": str(name or "")}
